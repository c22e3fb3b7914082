"""What a model and its twin must not share, and an optimizer that serves more than one model."""

import keras
import numpy as np
import pytest
from keras import layers
from pruning import data, prune, targets

from keras_sparse_rnn.constraints import ProximalGroupLasso
from keras_sparse_rnn.regularizers import GroupLasso
from keras_sparse_rnn.substitution import substitute, to_dense


def small(**options):
    return prune(
        keras.Sequential([keras.Input((4, 6)), layers.SimpleRNN(8, **options), layers.Dense(2)])
    )


@pytest.mark.parametrize("other_first", [True, False])
def test_an_optimizer_that_also_serves_another_model_is_carried_over(other_first):
    model, other = small(), keras.Sequential([keras.Input((3,)), layers.Dense(5)])
    both = (other, model) if other_first else (model, other)
    optimizer = keras.optimizers.Adam(0.0)
    optimizer.build([variable for one in both for variable in one.trainable_variables])
    model.compile(optimizer, "mse", run_eagerly=True)
    x = data(model)
    model.train_on_batch(x, targets(model, x))
    sparse = substitute(model, (4, 4))
    assert int(sparse.optimizer.iterations) == int(optimizer.iterations) == 1
    first = len(other.trainable_variables) if other_first else 0
    olds = optimizer._momentums[first : first + len(model.trainable_variables)]
    assert len(sparse.optimizer._momentums) == len(olds) == 5
    for old, new, variable in zip(olds, sparse.optimizer._momentums, sparse.trainable_variables):
        assert new.shape == variable.shape and new.numpy().any()
        if old.shape == new.shape:
            np.testing.assert_array_equal(old.numpy(), new.numpy())
    sparse.train_on_batch(x, targets(model, x))


def test_each_twin_has_constraints_and_regularizers_of_its_own():
    lasso, proximal = GroupLasso(0.1, (4, 4)), ProximalGroupLasso(0.1, (4, 4))
    model = small(kernel_regularizer=lasso, recurrent_constraint=proximal)
    lasso.strength.assign(0.5)
    proximal.strength.assign(0.7)
    proximal.follow(keras.optimizers.SGD(0.1))
    masked = substitute(model, (4, 4), storage="masked")
    for one in (masked, substitute(model, (4, 4)), to_dense(masked)):
        cell = one.layers[0].cell
        for mine, theirs in (
            (cell.kernel_regularizer, lasso),
            (cell.recurrent_constraint, proximal),
        ):
            assert type(mine) is type(theirs) and mine is not theirs
            assert float(mine.strength) == float(theirs.strength)
        assert cell.recurrent_constraint._optimizer is None
    masked.layers[0].cell.kernel_regularizer.strength.assign(0.0)
    assert float(lasso.strength) == 0.5


def test_arguments_without_a_state_are_still_the_objects_that_they_were():
    class Own(keras.constraints.Constraint):
        def __call__(self, weights):
            return weights

    own = Own()
    model = small(kernel_constraint=own)
    assert substitute(model, (4, 4), storage="masked").layers[0].cell.kernel_constraint is own
