"""In a process of its own, where neither TensorFlow nor Keras nor keras_sparse_rnn can be had."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

import ksr_runtime

ROOT = pathlib.Path(ksr_runtime.__file__).parents[1]
SCRIPT = """
import sys
for name in ("tensorflow", "keras", "keras_sparse_rnn", "ai_edge_litert"):
    sys.modules[name] = None
import json, numpy, ksr_runtime
numpy.random.seed(0)
x = numpy.random.normal(size=(1, 4, 6))
stream = ksr_runtime.Model(sys.argv[1]).stream()
print(json.dumps([stream(x[:, t : t + 1])[0, 0].tolist() for t in range(4)]))
"""


def test_it_runs_with_numpy_alone(files, chain, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(files["chain"])]
    # In another folder: the one that it starts in may be a source tree, without the library.
    ran = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    np.random.seed(0)
    expected = np.asarray(chain(np.random.normal(size=(1, 4, 6)).astype("float32")))
    np.testing.assert_allclose(json.loads(ran.stdout), expected[0], atol=1e-6)
