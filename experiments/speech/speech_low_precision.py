"""What training at few bits saves of a speech recogniser that is pruned to 90 % in 16 x 16: bits x
method.

    python -m experiments.speech.speech_low_precision --quick
        a minute, to see it work; its error rates mean nothing
    python -m experiments.speech.speech_low_precision --seeds 3
        the GRU of speech_ctc, its recurrent layers at 8 and 4 bits

All methods start from the same trained float32 model and train for as many steps more, a thirtieth
of its own, with the same speech in the same order; so does float32 itself, the control. "Rounded"
is that control, rounded and not trained. A step with rounded states takes ten times as long as one
in float32. Every finished model has a file of figures in --output and is not trained again, so a
run that was stopped goes on where it was."""

import dataclasses
import functools
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
from rich.markup import escape

import keras_sparse_rnn as ksr
from experiments.common.few_bits import ARGUMENTS, FLOAT, ROUNDED, FewBits, in_cells, pieces_of
from experiments.common.few_bits_table import table
from experiments.common.files import figures_of, keep, keep_figures, record_of, write_json
from experiments.speech.speech_held_out import load, parser, sized, versions
from experiments.speech.speech_recipes import recipes
from experiments.speech.speech_tables import console
from experiments.speech.speech_training import fit, keep_memory, spread

BITS = (8, 8), (4, 8)  # of weights, of activations
METHODS = [method for method in ARGUMENTS if "affine" not in method]  # which no cell computes
LEARNING_RATE = 7.5e-4


def start_of(piece, options, held_out):
    """The `Recipe` of the pruned model that a `FewBits` starts from."""
    *_, found = recipes(options, "gru", piece.seed, len(held_out.speech.letters)).values()
    return found


def figures(piece, options, held_out):
    """The figures of a `FewBits`, a dict as JSON takes it, from its file or by training:
    `errors` of both parts, the same `in_cells`, `diverged`, `seconds`.
    """
    start = start_of(piece, options, held_out)
    # More of the training that it has had: the same rows of a batch, an order of its own.
    recipe = dataclasses.replace(
        start,
        steps=max(20, start.steps // 30),
        learning_rate=LEARNING_RATE,
        sparsity=0.0,
        lasso=0.0,
        start=start.name(),
        label=piece.name(),
        seed=1000 + piece.seed,
    )
    asked = {
        **dataclasses.asdict(piece),
        **dataclasses.asdict(recipe),
        "speech": held_out.speech.digest,
    }
    path = held_out.folder / f"{piece.name()}.json"
    control = held_out.folder / f"{piece.control().name()}.keras"
    known = record_of(control, asked) if piece.method == FLOAT else figures_of(path, asked)
    if known is not None:
        return known
    console.print(piece.name())
    model = (
        keras.models.load_model(control, compile=False)
        if piece.method == ROUNDED
        else held_out.trained(start).model()
    )
    model, known = _trained(piece, recipe, model, held_out)
    if piece.method == FLOAT:
        keep(control, model.save, asked, known)
    else:
        keep_figures(path, asked, known)
    return known


def _trained(piece, recipe, model, held_out):
    """Trains a plain Keras model at few bits. Returns a plain one if it is float32, and figures."""
    keras.utils.set_random_seed(recipe.seed)
    low = piece.low_precision()
    model = ksr.substitute(model, recipe.block_shape, storage="masked", low_precision=low)
    begin = time.perf_counter()
    if piece.method != ROUNDED:
        fit(model, recipe, held_out.speech, console)
    known = {"seconds": time.perf_counter() - begin, "errors": held_out.errors(model)}
    if piece.in_cells():
        known["in_cells"] = held_out.errors(in_cells(model))
    # Who says nothing at all has every letter wrong.
    known["diverged"] = not known["errors"]["test"] < 1.0
    return (ksr.to_dense(model) if low is None else model), known


def main(arguments=None):
    """Trains, measures, prints and writes; returns the exit status."""
    tf.get_logger().setLevel("ERROR")  # every model is traced anew, and is meant to
    keep_memory()
    options = sized(parser(__doc__, "speech_low_precision").parse_args(arguments))
    bits = BITS[1:2] if options.quick else BITS
    make = functools.partial(FewBits, quick=options.quick)
    try:
        held_out = load(options, console)
        found = {
            piece: figures(piece, options, held_out)
            for piece in pieces_of([options.sparsity], bits, METHODS, options.seeds, make)
        }
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    console.print(table(found, f"Character error rates; seeds: {options.seeds}", "errors", spread))
    results = {
        "speech": held_out.described,
        "versions": versions(),
        "runs": [{**dataclasses.asdict(piece), **known} for piece, known in found.items()],
    }
    path = options.output / "low_precision.json"
    write_json(path, results)
    console.print(f"Figures: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
