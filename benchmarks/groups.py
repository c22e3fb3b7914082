"""The problems of each group.

The length of the sweep's sequences falls with the work of a step, so that a dense call takes a few
hundred milliseconds at most and the whole run about half an hour; what a call costs besides its
steps then weighs more for large layers, for every peer. The targets have the lengths that they
name."""

from benchmarks.problems import IDLE, Case, Pattern, Problem

SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
SHAPES = ((16, 16), (32, 32), (8, 8), (4, 4), (1, 16), (1, 8), (4, 1), (1, 1), (6, 10))
DENSE_PEERS = {
    "forward": ("keras", "keras_xla", "torch", "onnxruntime", "litert"),
    "gradient": ("keras", "keras_xla", "torch"),
    "train": ("keras", "keras_xla", "torch"),
    "step": ("keras", "keras_xla", "torch", "onnxruntime", "litert"),
    "steps": ("keras",),
    "loop": ("keras", "keras_xla", "torch", "onnxruntime"),
    "product": ("tensorflow", "torch"),
}
STEPS = {  # of the sweep: by units, for each batch size
    1: {256: 100, 512: 100, 1024: 100, 2048: 50, 4096: 20},
    4: {256: 100, 512: 100, 1024: 100, 2048: 50, 4096: 20},
    32: {256: 50, 512: 50, 1024: 50, 2048: 20, 4096: 5},
    128: {256: 25, 512: 25, 1024: 20, 2048: 8, 4096: 4},
}
MAIN = Pattern(0.9, (16, 16))
NARROW = ("bfloat16", "int8", "int8 x int8")
IDLING = tuple(Case(peer, Pattern(0.9, (16, 16)), IDLE) for peer in ("ours", "onnxruntime"))


def problem(
    group,
    mode,
    cell,
    units,
    batch,
    steps,
    patterns,
    *,
    forms=(),
    litert_sparse=False,
    more_cases=(),
    **options,
):
    """A problem with the dense peers of its mode, our layer with each pattern, and with the first
    sparse one also in narrower `forms`.
    """
    sparse = next((pattern for pattern in patterns if pattern.sparsity), patterns[0])
    cases = [Case(peer, Pattern() if peer == "litert" else sparse) for peer in DENSE_PEERS[mode]]
    if litert_sparse:
        cases.append(Case("litert", sparse, "sparse"))
    cases += [Case("ours", pattern) for pattern in patterns]
    cases += [Case("ours", sparse, form) for form in forms]
    cases += more_cases
    return Problem(group, mode, cell, units, batch, steps, tuple(cases), **options)


def targets():
    """The cases for which there are figures to reach: see `benchmarks.targets`."""
    more = {"rounds": 7, "seconds": 20.0}
    others = [Pattern(0.9, (1, 16)), Pattern(0.9, (8, 8)), Pattern(0.9, (4, 4)), Pattern(0.0)]
    return [
        problem(
            "targets",
            "forward",
            "lstm",
            1024,
            1,
            100,
            [MAIN, *others],
            forms=NARROW,
            litert_sparse=True,
            more_cases=IDLING,
            **more,
        ),
        problem("targets", "forward", "lstm", 2048, 1, 100, [MAIN], forms=NARROW, **more),
        problem("targets", "forward", "gru", 1024, 1, 100, [MAIN], forms=NARROW, **more),
        problem("targets", "forward", "simple_rnn", 1024, 1, 100, [MAIN], forms=NARROW, **more),
        problem(
            "targets",
            "forward",
            "lstm",
            1024,
            32,
            50,
            [MAIN, Pattern(0.0)],
            forms=NARROW,
            litert_sparse=True,
            **more,
        ),
        problem("targets", "gradient", "lstm", 1024, 32, 50, [MAIN], **more),
        problem("targets", "gradient", "lstm", 1024, 1, 100, [MAIN, Pattern(0.0)], **more),
        problem("targets", "train", "lstm", 1024, 32, 50, [MAIN], **more),
        problem("targets", "forward", "lstm", 4096, 1, 100, [Pattern(0.99)], **more),
    ]


def sweep():
    """Cells, sizes, batches, sparsities."""
    patterns = [Pattern(sparsity) for sparsity in SPARSITIES]
    problems = [
        problem("sweep", "forward", "lstm", units, batch, STEPS[batch][units], patterns)
        for units in STEPS[1]
        for batch in STEPS
        if batch != 4 or units in (256, 1024, 4096)
    ]
    for cell in ("gru", "simple_rnn"):
        problems += [
            problem("sweep", "forward", cell, units, batch, STEPS[batch][units], patterns)
            for units in (256, 1024)
            for batch in (1, 32)
        ]
    problems += [
        problem("sweep", "gradient", "lstm", units, 32, STEPS[32][units], patterns)
        for units in (256, 1024, 2048)
    ]
    problems += [
        problem("sweep", "gradient", "lstm", 1024, batch, STEPS[batch][1024], patterns)
        for batch in (1, 128)
    ]
    return problems + [
        problem("sweep", "gradient", cell, 1024, 32, 50, patterns) for cell in ("gru", "simple_rnn")
    ]


def shapes():
    """Block shapes: those with kernels of their own, and one without."""
    patterns = [Pattern(0.9, shape) for shape in SHAPES]
    return [
        problem("shapes", "forward", "lstm", 1024, 1, 100, patterns),
        problem("shapes", "forward", "lstm", 1024, 32, 50, patterns),
        problem("shapes", "gradient", "lstm", 1024, 32, 50, patterns),
    ]


def steps():
    """One step at a time."""
    stateful = [
        problem("steps", mode, "lstm", 512, 1, length, [MAIN], rounds=5, seconds=5.0)
        for mode, length in (("step", 1), ("steps", 100))
    ]
    identity = Problem("steps", "identity", "matmul", 512, 1, 1, (Case("tensorflow"),), seconds=1.0)
    return [*stateful, identity]


def cells():
    """Cells that the code calls, each output the next input."""
    return [
        problem("cells", "loop", cell, units, batch, 24, [MAIN], rounds=5, seconds=5.0)
        for cell in ("lstm", "gru")
        for units in (64, 256, 512)
        for batch in (1, 32)
    ]


def products():
    """`x @ W`, beside the libraries that multiply block-sparse matrices."""
    problems = []
    for units in (1024, 4096):
        for batch in (1, 32, 128):
            cases = [Case(peer, MAIN) for peer in DENSE_PEERS["product"]]
            for sparsity in (0.5, 0.8, 0.9, 0.95, 0.99):
                pattern = Pattern(sparsity)
                cases += [
                    Case("torch", pattern, "bsr"),
                    Case("scipy", pattern, "bsr"),
                    Case("ours", pattern),
                ]
            problems.append(
                Problem("products", "product", "matmul", units, batch, 1, tuple(cases), seconds=6.0)
            )
    return problems


def memory():
    """Weights, gradients and Adam slots; peak of the process."""
    cases = (Case("keras", MAIN), Case("keras_xla", MAIN), Case("ours", MAIN))
    return [Problem("memory", "memory", "lstm", units, 32, 50, cases) for units in (1024, 2048)]


def quick():
    """Something tiny of every group, to see whether everything runs."""
    few = {"rounds": 2, "seconds": 0.5}
    main = Pattern(0.75, (8, 8))
    cases = [Case(peer, main) for peer in DENSE_PEERS["product"]]
    cases += [Case("torch", main, "bsr"), Case("scipy", main, "bsr"), Case("ours", main)]
    return [
        problem(
            "targets",
            "forward",
            "lstm",
            40,
            1,
            5,
            [main, Pattern(0.5, (6, 10))],
            forms=NARROW,
            litert_sparse=True,
            **few,
        ),
        problem("targets", "train", "lstm", 40, 2, 5, [main], **few),
        problem("sweep", "forward", "lstm", 40, 2, 5, [Pattern(0.0, (8, 8)), main], **few),
        problem("sweep", "forward", "gru", 40, 2, 5, [Pattern(0.0, (8, 8)), main], **few),
        problem("sweep", "forward", "simple_rnn", 40, 2, 5, [Pattern(0.0, (8, 8)), main], **few),
        problem("sweep", "gradient", "lstm", 40, 2, 5, [Pattern(0.0, (8, 8)), main], **few),
        problem("sweep", "gradient", "gru", 40, 2, 5, [main], **few),
        problem("sweep", "gradient", "simple_rnn", 40, 2, 5, [main], **few),
        problem("shapes", "forward", "lstm", 40, 1, 5, [main, Pattern(0.75, (4, 4))], **few),
        problem("steps", "step", "lstm", 40, 1, 1, [main], **few),
        problem("steps", "steps", "lstm", 40, 1, 10, [main], **few),
        Problem("steps", "identity", "matmul", 40, 1, 1, (Case("tensorflow"),), **few),
        problem("cells", "loop", "lstm", 40, 2, 3, [main], **few),
        problem("cells", "loop", "gru", 40, 1, 3, [main], **few),
        problem("cells", "loop", "simple_rnn", 40, 1, 3, [main], **few),
        Problem("products", "product", "matmul", 40, 2, 1, tuple(cases), **few),
        Problem("memory", "memory", "lstm", 40, 2, 5, (Case("keras", main), Case("ours", main))),
    ]


GROUPS = {
    "targets": targets,
    "steps": steps,
    "cells": cells,
    "memory": memory,
    "shapes": shapes,
    "products": products,
    "sweep": sweep,
}
