"""Which versions of Keras and TensorFlow are tested."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]


def test_the_oldest_versions_that_are_tested_are_the_oldest_that_are_allowed():
    allowed = re.findall(r"^ +(\w+)>=([\d.]+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
    oldest = (ROOT / "tests" / "versions" / "oldest.txt").read_text()
    tested = dict(re.findall(r"^(\w+)==([\d.]+)$", oldest, re.MULTILINE))
    assert dict(allowed) == {
        name: ".".join(tested[name].split(".")[:2]) for name in ("keras", "tensorflow")
    }
