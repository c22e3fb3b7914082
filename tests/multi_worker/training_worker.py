"""Trainings for test_multi_worker.py, each in a process of several that TF_CONFIG tells of each
other, or in one process alone.

    python training_worker.py FOLDER CASE...

What a case finds is written to FOLDER/CASE-WORKER.json."""

import json
import os
import pathlib
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_sparse_rnn as ksr

SAMPLES, BATCH = 40, 8
STEPS = 100
FOLDER = pathlib.Path(sys.argv[1]) if __name__ == "__main__" else None


def data(seed=0, samples=SAMPLES):
    x = np.random.default_rng(seed).normal(size=(samples, 3, 5)).astype("float32")
    return x, np.tanh(x.sum((1, 2)))[:, None]


def batches():
    """A dataset of whole batches, which TensorFlow deals out among the workers."""
    return tf.data.Dataset.from_tensor_slices(data()).batch(BATCH)


def build(layer=keras.layers.SimpleRNN, learning_rate=0.01):
    keras.utils.set_random_seed(1)
    rnn = layer(8, name="rnn")
    model = keras.Sequential([keras.Input((3, 5)), rnn, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(learning_rate), "mse", metrics=["mae"])
    return model


class Logs(keras.callbacks.Callback):
    """Keeps what each step logs, and calls `at(step)`, if there is one, after each update."""

    def __init__(self, at=None):
        super().__init__()
        self.found, self.at = [], at

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(dict(logs))
        if self.at is not None:
            self.at(int(self.model.optimizer.iterations.numpy()))


def fit(model, callbacks, steps=STEPS):
    """Trains, and returns what the test compares."""
    logs = Logs()
    epochs = steps * BATCH // SAMPLES
    history = model.fit(
        batches(), epochs=epochs, verbose=0, shuffle=False, callbacks=[*callbacks, logs]
    )
    return {
        "losses": [step["loss"] for step in logs.found],
        "sparsities": [step["sparsity"] for step in logs.found],
        "history": history.history,
        "masks": masks(callbacks),
        "weights": weights(model),
    }


def masks(callbacks):
    return {
        name: live.tolist()
        for one in callbacks
        if isinstance(one, ksr.callbacks.BlockPruning)
        for name, live in one.masks.items()
    }


def weights(model):
    return [np.asarray(one.numpy()).tolist() for one in model.weights]


def block_pruning(**options):
    schedule = ksr.schedules.PolynomialDecay(0.0, 0.8, 2, 10)
    return ksr.callbacks.BlockPruning(schedule, (2, 2), frequency=2, **options)


def keras_alone(strategy):
    """`fit` of a plain Keras model: what it raises before `enable` is called, and what is
    replaced.
    """
    with strategy.scope():
        model = build()
    try:
        model.fit(batches(), verbose=0)
        error = None
    except Exception as raised:
        error = str(raised)
    return {"error": error, "enabled": ksr.multi_worker.enable()}


def pruning(strategy):
    """`BlockPruning` of a Keras LSTM."""
    with strategy.scope():
        model = build(keras.layers.LSTM)
    found = fit(model, [block_pruning()])
    found["evaluated"] = model.evaluate(batches(), verbose=0, return_dict=True)
    found["predicted"] = model.predict(data()[0], verbose=0).tolist()
    return found


def recipe(strategy):
    """The recipe with its group lasso, on a model of masked layers."""
    trained = ksr.recipes.PruneTrained(STEPS, 0.01, 0.8, (2, 2), scope="gate", lasso=1e-3)
    with strategy.scope():
        model = build(keras.layers.LSTM, trained.learning_rate)
        model = ksr.substitute(model, (2, 2), storage="masked")
    return fit(model, trained.callbacks)


def look_at_data(strategy):
    """Criteria and regrowth that look at data: each worker at its own, one process alone at that of
    both.
    """
    found = {}
    for name, options in {
        "taylor": lambda both: {"criterion": ksr.criteria.Taylor(both)},
        "geometric": lambda both: {
            "criterion": ksr.criteria.Geometric(np.concatenate([x for x, _ in both]), batch_size=8)
        },
        "regrowth": lambda both: {"regrowth": ksr.callbacks.Regrowth(data=both, batches=8)},
    }.items():
        with strategy.scope():
            model = build()
        own = [ksr.multi_worker.is_chief(strategy), not ksr.multi_worker.is_chief(strategy)]
        if ksr.multi_worker.worker_count(strategy) == 1:
            own = [True, True]
        # Of different sizes: the chief has three batches, the other worker one.
        parts = [data(7, 8), data(8, 8), data(9, 8)] * own[0] + [data(10, 8)] * own[1]
        found[name] = fit(model, [block_pruning(**options(parts))], steps=20)
    return found


def different_weights(strategy):
    """A worker that has loaded other weights than the chief."""
    with strategy.scope():
        model = build()
    if not ksr.multi_worker.is_chief(strategy):
        model.set_weights([2 * one for one in model.get_weights()])
    try:
        fit(model, [block_pruning()], steps=5)
    except RuntimeError as error:
        return {"error": str(error)}
    return {"error": None}


def handed_out(strategy):
    """A backup that only the chief can see."""
    folder = FOLDER / f"seen-by-{strategy.cluster_resolver.task_id}"

    def train(epochs, seed):
        with strategy.scope():
            model = build()
        model.set_weights([seed + one for one in model.get_weights()])
        backup = ksr.multi_worker.BackupAndRestore(folder, delete_checkpoint=False)
        logs = Logs()
        model.fit(batches(), epochs=epochs, verbose=0, callbacks=[backup, logs])
        return {"steps": len(logs.found), "weights": weights(model)}

    worker = strategy.cluster_resolver.task_id
    first = train(2, 0)
    return {"first": first, "second": train(3, worker), "files": sorted(os.listdir(FOLDER))}


def saved_by_chief(strategy):
    """The chief alone saves, in the middle of an epoch."""
    with strategy.scope():
        model = build()
    path = FOLDER / "chief.keras"

    def save(step):
        if step == 7 and ksr.multi_worker.is_chief(strategy):
            model.save(path)
            path.with_suffix(".json").write_text(json.dumps(weights(model)))

    model.fit(batches(), epochs=2, verbose=0, callbacks=[block_pruning(), Logs(save)])
    return {"weights": weights(model)}


def killed(strategy):
    """Worker 1 is killed in the middle of an epoch, if there is a folder "kill"."""
    with strategy.scope():
        model = build()
    pruning = block_pruning()

    def die(step):
        if step == 8 and (FOLDER / "kill").exists() and strategy.cluster_resolver.task_id == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    backup = ksr.multi_worker.BackupAndRestore(FOLDER / "backup")
    logs = Logs(die)
    model.fit(batches(), epochs=4, verbose=0, callbacks=[backup, pruning, logs])
    return {"steps": len(logs.found), "masks": masks([pruning]), "weights": weights(model)}


def main(cases):
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for case in cases:
        if case != "keras_alone":
            ksr.multi_worker.enable()
        found = globals()[case](strategy)
        name = f"{case}-{strategy.cluster_resolver.task_id}.json"
        (FOLDER / name).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[2:])
