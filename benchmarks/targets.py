"""The figures that this package is to reach on two threads, and what was measured."""

import dataclasses

from benchmarks.problems import Case, Pattern
from benchmarks.results import fastest_dense

GROUPS = ("targets", "steps", "memory")
FASTEST = "fastest dense peer"


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure to reach.

    Args:
        what: in words.
        key: of the problem.
        sparsity, block_shape, form: of our case.
        asked: a number, at least which the ratio must be, or at most which (`at_most`) the value.
        against: `FASTEST` or a series of `benchmarks.problems.SERIES`: the ratio is its time to
            ours. "time" and "memory" compare no times.
        at_most: see `asked`.
    """

    what: str
    key: str
    asked: float
    sparsity: float = 0.9
    block_shape: tuple = (16, 16)
    form: str = ""
    against: str = FASTEST
    at_most: bool = False

    @property
    def case(self):
        return Case("ours", Pattern(self.sparsity, self.block_shape), self.form)


B1, B1_2048, B1_4096 = (f"targets/forward/lstm/{units}/1/100" for units in (1024, 2048, 4096))
B32 = "targets/forward/lstm/1024/32/50"
STEP = "steps/step"
FIGURES = [
    Figure("LSTM forward, batch 1, T 100, H 1024, 90 %, 16x16", B1, 10),
    Figure("the same", B1, 40, against="Keras graph"),
    Figure(
        "a call after 50 ms of idleness, against one of ours back to back",
        B1,
        1 / 1.3,
        form="idle",
        against="ours",
    ),
    Figure("the same, H 2048", B1_2048, 18),
    Figure("the same, H 2048, bfloat16 weights", B1_2048, 25, form="bfloat16"),
    Figure("the same, H 1024, (1, 16)", B1, 7, block_shape=(1, 16)),
    Figure("the same, H 1024, (8, 8)", B1, 7, block_shape=(8, 8)),
    Figure("the same, H 1024, (4, 4)", B1, 4, block_shape=(4, 4)),
    Figure("GRU forward, batch 1, T 100, H 1024, 90 %, 16x16", "targets/forward/gru/1024/1/100", 8),
    Figure("SimpleRNN, the same", "targets/forward/simple_rnn/1024/1/100", 8),
    Figure("LSTM forward, batch 32, T 50, H 1024, 90 %, 16x16", B32, 7),
    Figure(
        "LSTM forward and backward, batch 32, T 50, H 1024, 90 %, 16x16",
        "targets/gradient/lstm/1024/32/50",
        6,
        against="torch",
    ),
    Figure(
        "LSTM forward and backward, batch 1, T 100, H 1024, 90 %, 16x16",
        "targets/gradient/lstm/1024/1/100",
        6,
    ),
    Figure("the same at 0 %", "targets/gradient/lstm/1024/1/100", 0.9, sparsity=0.0),
    Figure(
        "bfloat16 weights at batch 32, T 50, against float32",
        B32,
        1,
        form="bfloat16",
        against="ours",
    ),
    Figure("int8 weights, the same", B32, 1, form="int8", against="ours"),
    Figure(
        "a whole training step of an LSTM, batch 32, T 50, H 1024, 90 %, 16x16",
        "targets/train/lstm/1024/32/50",
        10,
        against="Keras graph",
    ),
    Figure("LSTM at 0 %, batch 1, T 100, H 1024", B1, 1 / 1.15, sparsity=0.0),
    Figure("LSTM at 0 %, batch 32, T 50, H 1024", B32, 1 / 1.15, sparsity=0.0),
    Figure("LSTM at 99 %, batch 1, T 100, H 4096", B1_4096, 60, sparsity=0.99),
    Figure(
        "a step of a stateful LSTM, H 512, 90 %, inside a function, microseconds",
        STEP + "s/lstm/512/1/100",
        60,
        against="time",
        at_most=True,
    ),
    Figure(
        "the same, one call from Python for each, microseconds",
        STEP + "/lstm/512/1/1",
        60,
        against="time",
        at_most=True,
    ),
    Figure(
        "weights, gradients and Adam slots at 90 %, H 1024, of the dense layer's",
        "memory/memory/lstm/1024/32/50",
        0.2,
        against="memory",
        at_most=True,
    ),
]


def measured(results):
    """What became of each figure.

    Returns:
        list of `(figure, value, ours, other)`: the ratio (or microseconds, or fraction of bytes),
            the record of our case and a text that names what it was
        compared with. `value` is None where something is missing.
    """
    known = {
        problem.key: (cases, problem.steps)
        for group in GROUPS
        for problem, cases in results.of_group(group)
    }
    return [(figure, *_value(figure, *known.get(figure.key, ({}, 1)))) for figure in FIGURES]


def reached(figure, value):
    return value <= figure.asked if figure.at_most else value >= figure.asked


def _value(figure, cases, steps):
    ours = cases.get(figure.case, {})
    if figure.against == "memory":
        dense = next(
            (
                record["counted"]
                for case, record in cases.items()
                if case.series == "Keras graph" and "counted" in record
            ),
            None,
        )
        return (ours["counted"] / dense if dense and "counted" in ours else None), ours, "Keras"
    if "median" not in ours:
        return None, ours, ""
    if figure.against == "time":
        return 1e6 * ours["median"] / steps, ours, ""
    if figure.against == FASTEST:
        series, median = fastest_dense(cases)
    else:
        series, median = (
            figure.against,
            next(
                (
                    r["median"]
                    for c, r in cases.items()
                    if c.series == figure.against and "median" in r
                ),
                None,
            ),
        )
    if median is None:
        return None, ours, ""
    return median / ours["median"], ours, f"{series} {1e3 * median:.4g} ms"
