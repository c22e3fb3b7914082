"""What all tests have in common: how often Python looks for garbage."""

import gc

import tensorflow as tf  # noqa: F401  all that is there before the first test is there to stay

gc.freeze()
gc.set_threshold(50_000, 20, 50)
