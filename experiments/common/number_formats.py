"""A pruned model in numbers of fewer bits, as it is deployed, and what each of them costs."""

import statistics

from rich.table import Table

import keras_sparse_rnn as ksr

FLOAT, INTEGER = "float32", "int8 weights"
PER_STEP = "int8 weights and activations, range per step"
CALIBRATED = "int8 weights and activations, calibrated range"
FORMATS = {
    FLOAT: {},
    "bfloat16 weights": {"weights": "bfloat16"},
    INTEGER: {"weights": "int8"},
    PER_STEP: {"weights": "int8", "activations": "int8"},
    CALIBRATED: {"weights": "int8", "activations": "int8"},
}
PARTS = ("validation", "test")


def errors_in_all(model, block_shape, calibration, errors):
    """The errors of a pruned model in each of `FORMATS`, all computed by the native kernels.

    Args:
        model: a built Keras model.
        block_shape: `(rows, columns)` that it was pruned in.
        calibration: inputs of the model, as `ksr.substitute` takes them.
        errors: function of a model, which gives a dict of `PARTS` to errors.

    Returns:
        dict of formats to what `errors` gives.
    """
    found = {}
    for name, numbers in FORMATS.items():
        data = calibration if name == CALIBRATED else None
        packed = ksr.substitute(model, block_shape, kernel="native", calibration=data, **numbers)
        found[name] = errors(packed)
    return found


def cost_table(title, runs, shown):
    """Errors of all formats, and what they are more than those of others.

    Costs are found for each seed by itself, in per cent, on both parts.

    Args:
        title: of the table.
        runs: list of what `errors_in_all` gives, one for each seed.
        shown: function of a list of errors, what the table shows.

    Returns:
        `rich.table.Table`.
    """
    result = Table(title=title)
    result.add_column("")
    for heading in PARTS:
        result.add_column(heading, justify="right")
    for other in (FLOAT, INTEGER):
        for part in PARTS:
            result.add_column(f"{part}, against {other}", justify="right")
    for name in FORMATS:
        cells = [shown([run[name][part] for run in runs]) for part in PARTS]
        for other in (FLOAT, INTEGER):
            compared = list(FORMATS).index(name) > list(FORMATS).index(other)
            cells += [
                cost([(run[name][part], run[other][part]) for run in runs]) if compared else ""
                for part in PARTS
            ]
        result.add_row(name, *cells)
    return result


def cost(pairs):
    """How much larger errors are than others, in per cent: mean and, of several seeds, standard
    deviation.

    Args:
        pairs: of each seed the error and the one that it is compared with.
    """
    # A model of a quick run may make no error at all.
    costs = [100 * (error / max(other, 1e-9) - 1) for error, other in pairs]
    deviation = f" ± {statistics.stdev(costs):.2f}" if len(costs) > 1 else ""
    return f"{statistics.mean(costs):+.2f}{deviation} %"
