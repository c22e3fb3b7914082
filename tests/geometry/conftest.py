import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def fresh_keras():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(11)


@pytest.fixture
def x():
    """7 sequences of 4 steps of 3 inputs."""
    return np.random.default_rng(3).normal(size=(7, 4, 3)).astype("float32") + np.float32(0.5)


@pytest.fixture
def make_model():
    """make_model(*layers, steps=4): a Sequential model of 3 inputs that runs eagerly, so that
    nothing has to be traced, with random biases.
    """

    def make(*layers, steps=4, run_eagerly=True):
        model = keras.Sequential([keras.Input((steps, 3)), *layers])
        model.compile(run_eagerly=run_eagerly)
        generator = np.random.default_rng(5)
        for variable in model.trainable_variables:
            if "bias" in variable.path:
                variable.assign(generator.normal(size=variable.shape).astype("float32"))
        return model

    return make
