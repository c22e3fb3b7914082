"""What all tests have in common: how often Python looks for garbage, how many processes `-n auto`
is, and which versions are said to be tested.
"""

import gc
import os

import keras
import numpy as np
import pytest
import tensorflow as tf  # all that is there before the first test is there to stay

gc.freeze()
gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are processors, because a test waits now and then, for a thread of
    TensorFlow or for a process that it has started.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) + 1
    return (os.cpu_count() or 1) + 1


def pytest_report_header():
    return f"keras {keras.__version__}, tensorflow {tf.__version__}, numpy {np.__version__}"
