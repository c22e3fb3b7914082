import keras
import pytest
from pruned_models import randomised


@pytest.fixture
def language_model():
    """Builds Embedding, recurrent layer, Dense."""

    def build(layer, vocabulary=11, features=8, steps=13, **embedding):
        keras.utils.set_random_seed(0)
        return randomised(
            keras.Sequential(
                [
                    keras.Input((steps,), dtype="int32", name="tokens"),
                    keras.layers.Embedding(vocabulary, features, **embedding),
                    layer,
                    keras.layers.Dense(5, name="logits"),
                ],
                name="language_model",
            )
        )

    return build
