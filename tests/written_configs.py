"""What configs hold that are written by hand, and what a user has registered."""

import keras

from keras_sparse_rnn.schedules import Constant

HALF = keras.saving.serialize_keras_object(Constant(0.5, 1))


def ours(name, config, **more):
    """What Keras writes for an object of ours."""
    registered = f"keras_sparse_rnn>{name}"
    return {
        "module": None,
        "class_name": name,
        "registered_name": registered,
        "config": config,
        **more,
    }


@keras.saving.register_keras_serializable(package="tests_of_configs")
class Mine(keras.layers.LSTM):
    """A layer of a user's."""


@keras.saving.register_keras_serializable(package="tests_of_configs")
def beyond_three(distance):
    """An inhibitor of a user's."""
    return distance - distance.min()
