"""What all tests have in common: how often Python looks for garbage, and which versions are said
to be tested.
"""

import gc

import keras
import numpy as np
import tensorflow as tf  # all that is there before the first test is there to stay

gc.freeze()
gc.set_threshold(50_000, 20, 50)


def pytest_report_header():
    return f"keras {keras.__version__}, tensorflow {tf.__version__}, numpy {np.__version__}"
