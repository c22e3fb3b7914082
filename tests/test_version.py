import configparser
import importlib.metadata
import pathlib

import keras_sparse_rnn as ksr
from keras_sparse_rnn.version import version


def test_the_version_of_a_checkout_is_that_of_its_setup_cfg():
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).parents[1] / "setup.cfg")
    assert ksr.__version__ == config["metadata"]["version"]


def test_a_checkout_goes_before_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.9")
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = keras_sparse_rnn\nversion = 1.2.3\n")
    assert version(tmp_path) == "1.2.3"


def test_an_installed_package_has_the_version_of_its_metadata(tmp_path, monkeypatch):
    """Also beside the `setup.cfg` of somebody else."""
    monkeypatch.setattr(importlib.metadata, "version", {"keras_sparse_rnn": "0.9"}.get)
    assert version(tmp_path) == "0.9"
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = other\nversion = 1.2.3\n")
    assert version(tmp_path) == "0.9"
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\n")
    assert version(tmp_path) == "0.9"
