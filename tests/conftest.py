"""What all tests have in common: how often Python looks for garbage, how many processes `-n auto`
is, which cases of a test are quick, and which versions are said to be tested.
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of a test that is marked `quick_cases(n)` the quick suite has n cases (one without a number),
    spread evenly over all of them; the others are slow.
    """
    families = {}
    for item in items:
        if item.get_closest_marker("quick_cases"):
            families.setdefault((item.path, item.originalname), []).append(item)
    for cases in families.values():
        count = cases[0].get_closest_marker("quick_cases").args or (1,)
        quick = set(np.linspace(0, len(cases) - 1, *count).round().astype(int))
        for number, item in enumerate(cases):
            if number not in quick:
                item.add_marker(pytest.mark.slow)


def pytest_report_header():
    return f"keras {keras.__version__}, tensorflow {tf.__version__}, numpy {np.__version__}"
