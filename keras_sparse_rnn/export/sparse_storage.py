"""How the weights of one FULLY_CONNECTED are stored so that their zeros take no space, and which of
the ways is best for a given pattern.

LiteRT keeps the weights of a FULLY_CONNECTED as `[outputs, inputs]`, the transpose of a Keras
kernel, and its float kernel runs one sparse form: rows of 1x4 blocks, four neighbouring *inputs* of
one output (`(4, 1)` in Keras's terms). Whatever else is sparse in the file is turned into dense
weights when the file is loaded (DENSIFY), and then computes as much as if it had no zeros. So a
kernel is stored as the best of

- `"blocks"`: 1x4 blocks as they lie. Fits every pattern whose blocks have a multiple of 4 rows,
  aligned to 4;
- `"gathered"`: outputs that read the same inputs, as the 16 of a `(1, 16)` block do, form a group;
  one GATHER lays the live inputs of each group side by side, and on these the 1x4 blocks are full;
- `"densified"`: compressed rows (single weights) or 1x4 blocks, whichever is smaller, behind a
  DENSIFY: a small file, dense speed and memory;
- `"dense"`.

The first two are taken while they compute little enough to be faster than dense, see
`FASTEST_DENSITY`."""

import dataclasses

import numpy as np

FAST = ("blocks", "gathered")  # the kinds that LiteRT computes without the zeros

BLOCK = 4  # inputs in a block of LiteRT's sparse FULLY_CONNECTED

# The sparse kernel multiplies about a fifth as many weights in a second as the dense one, which has
# whole vectors to work on, so blocks that cover more of the kernel than this are faster densified.
FASTEST_DENSITY = 0.25

# What a GATHER of one input costs, in weights of the sparse kernel.
GATHER_COST = 11.0

# Indices and the DENSIFY are not worth a gain smaller than this.
SMALLEST_GAIN = 0.9


@dataclasses.dataclass(frozen=True)
class Storage:
    """The stored form of one weight matrix `[outputs, inputs]`.

    Attributes:
        kind: `"blocks"`, `"gathered"`, `"densified"` or `"dense"`.
        values: float32 or int8, the stored weights: `[live, block]` when compressed, `[outputs,
            inputs]` when dense.
        segments: int, `[outputs + 1]`: row `n` has the blocks `segments[n]` to `segments[n + 1] -
            1`. None when dense.
        indices: int, `[live]`: which block of its row each one is. None when dense.
        shape: of the matrix that `values`, `segments` and `indices` stand for: the inputs are those
            after the GATHER.
        gather: int32, which inputs the GATHER takes; None without one.
    """

    kind: str
    values: np.ndarray
    shape: tuple
    segments: np.ndarray | None = None
    indices: np.ndarray | None = None
    gather: np.ndarray | None = None

    @property
    def block(self):
        """How many inputs one index stands for."""
        return self.values.shape[1] if self.indices is not None else None

    @property
    def bytes(self):
        """How much of the file it takes."""
        arrays = [self.values, self.gather]
        if self.indices is not None:
            arrays += [compact(self.segments), compact(self.indices)]
        return sum(array.nbytes for array in arrays if array is not None)


def compact(array):
    """`array` in the smallest of the integer types that a sparse tensor's indices can have."""
    largest = int(array.max()) if array.size else 0
    return array.astype(np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.int32)


def choose(weights):
    """The best `Storage` of `weights` `[outputs, inputs]`, float32."""
    dense = Storage("dense", weights, weights.shape)
    if weights.size < 64 or np.count_nonzero(weights) > SMALLEST_GAIN * weights.size:
        return dense
    fast = [blocks_of(weights), gather(weights)]
    fast = [
        form for form in fast if form is not None and work(form) <= FASTEST_DENSITY * weights.size
    ]
    best = min(fast, key=lambda form: (work(form), form.bytes), default=None)
    if best is None:
        whole = [compress(weights, block) for block in (1, BLOCK) if weights.shape[1] % block == 0]
        best = dataclasses.replace(min(whole, key=lambda form: form.bytes), kind="densified")
    return best if best.bytes < SMALLEST_GAIN * dense.bytes else dense


def work(storage):
    """What one product costs, in weights of the sparse kernel."""
    return storage.values.size + (
        0 if storage.gather is None else GATHER_COST * storage.gather.size
    )


def compress(weights, block):
    """`weights` `[outputs, inputs]` as the blocks of `block` inputs that have a weight that is not
    zero.
    """
    outputs, inputs = weights.shape
    cut = weights.reshape(outputs, inputs // block, block)
    live = (cut != 0).any(axis=2)
    if not live.any():
        live[0, 0] = (
            # one block of zeros: the runtime takes a tensor without data for one that is still to
            # be computed
            True
        )
    segments = np.concatenate([[0], np.cumsum(live.sum(axis=1))])
    return Storage(
        "blocks", np.ascontiguousarray(cut[live]), weights.shape, segments, np.nonzero(live)[1]
    )


def blocks_of(weights, block=BLOCK):
    """`weights` as blocks of `block` inputs as they lie; if it does not divide the inputs, on a
    GATHER of all of them and as many more as are missing.
    """
    missing = -weights.shape[1] % block
    if not missing:
        return compress(weights, block)
    inputs = np.concatenate([np.arange(weights.shape[1]), np.zeros(missing)]).astype(np.int32)
    return dataclasses.replace(
        compress(np.pad(weights, ((0, 0), (0, missing))), block), kind="gathered", gather=inputs
    )


def gather(weights, block=BLOCK, live=None):
    """`weights` as blocks of `block` on gathered inputs, or None where no two neighbouring outputs
    read the same inputs. `live` says which are read, if not all that are not zero.
    """
    outputs = weights.shape[0]
    live = weights != 0 if live is None else live.copy()
    if not live.any():
        live[0, 0] = True  # as in `compress`
    starts = np.flatnonzero(np.concatenate([[True], (live[1:] != live[:-1]).any(axis=1)]))
    if len(starts) > outputs // 2:
        return None
    values, segments, indices, gathered = [], [0], [], []
    for start, stop in zip(starts, np.append(starts[1:], outputs)):
        inputs = np.flatnonzero(live[start])
        blocks = -(-len(inputs) // block)
        padded = np.zeros((stop - start, blocks * block), weights.dtype)
        padded[:, : len(inputs)] = weights[start:stop, inputs]
        values.append(padded.reshape(-1, block))
        indices.append(np.tile(np.arange(blocks) + len(gathered) // block, stop - start))
        segments.extend(segments[-1] + blocks * np.arange(1, stop - start + 1))
        gathered.extend(inputs)
        gathered.extend([0] * (blocks * block - len(inputs)))  # zero weights: any input will do
    return Storage(
        "gathered",
        np.concatenate(values),
        (outputs, len(gathered)),
        np.asarray(segments),
        np.concatenate(indices),
        np.asarray(gathered, np.int32),
    )
