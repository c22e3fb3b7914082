import keras
import numpy as np
import pytest

from experiments.text import char_evolution
from experiments.text.char_text import Text


def live_weights(model):
    cell = model.get_layer("lstm").cell
    return [v.shape.num_elements() for v in (cell.kernel_values, cell.recurrent_kernel_values)]


def test_sparse_models_have_as_many_live_weights_whatever_the_start():
    keras.utils.set_random_seed(1)
    uniform = char_evolution.sparse_model(20, 320, 0.9, 0.2, erdos_renyi=False)
    shared = char_evolution.sparse_model(20, 320, 0.9, 0.2)
    assert sum(live_weights(uniform)) == pytest.approx(sum(live_weights(shared)), rel=0.02)
    assert live_weights(shared)[0] > 1.5 * live_weights(uniform)[0]
    large = char_evolution.sparse_model(20, 320, 0.9, 0.2, erdos_renyi=False, scale=3.0)
    values = [m.get_layer("lstm").cell.recurrent_kernel_values for m in (uniform, large)]
    spreads = [np.std(one.numpy()) for one in values]
    assert spreads[1] == pytest.approx(3 * spreads[0], rel=0.1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gates have lost all blocks")
@pytest.mark.parametrize("row", ["dense, then pruned", "gradient", "random", "fixed"])
def test_a_row_is_trained_and_measured(row, tmp_path):
    words = np.random.default_rng(0).choice(["sun", "moon", "rises", "and", "sets"], (300, 12))
    story = tmp_path / "story.txt"
    story.write_text("\n\n".join(" ".join(line) for line in words))
    options = char_evolution.parse(["--units", "64", "--steps", "48"])
    found = char_evolution.measured(row, Text(story), options, seed=1)
    assert 0 < found["validation"] < 6 and 0 < found["test"] < 6
    assert found["bytes"] > found["bytes_beyond_loading"] >= 0
