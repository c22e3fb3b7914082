"""N of every M inputs: the choice, and the layout that sparse tensor cores take."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sparse_rnn.patterns import NofM

PATTERNS = [(2, 4), (1, 4), (4, 8), (1, 2), (3, 5)]
FEW = settings(max_examples=60, deadline=None)


@st.composite
def pruned(draw):
    """A pattern and a kernel that has it; some of its groups have fewer weights than it lets
    live.
    """
    pattern = NofM(*draw(st.sampled_from(PATTERNS)))
    columns, groups = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    kernel = generator.normal(size=(groups * pattern.m, columns))
    kernel = kernel.astype(draw(st.sampled_from(["float32", "float16", "float64"])))
    kernel[generator.random(kernel.shape) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = 0
    live = pattern.kept(np.abs(kernel.T)[None], np.ones((1, *kernel.T.shape), bool))[0].T
    return pattern, np.where(live, kernel, 0).astype(kernel.dtype)


@FEW
@given(st.sampled_from(PATTERNS), st.integers(0, 99))
def test_the_largest_of_every_group_are_kept(sizes, seed):
    pattern = NofM(*sizes)
    scores = np.random.default_rng(seed).random((3, 5, 4 * pattern.m))
    kept = pattern.kept(scores, np.ones(scores.shape, bool))
    groups, kept_groups = (a.reshape(3, 5, 4, pattern.m) for a in (scores, kept))
    assert (kept_groups.sum(axis=3) == pattern.n).all()
    least = np.where(kept_groups, groups, 2).min(axis=3)
    assert (np.where(kept_groups, -1, groups).max(axis=3) < least).all()
    assert 1 - kept.mean() == pytest.approx(pattern.sparsity)


def test_what_is_dead_is_not_kept_where_enough_lives():
    scores = np.array([[[9.0, 1, 8, 2]]])
    live = np.array([[[False, True, True, True]]])
    assert NofM(2, 4).kept(scores, live).tolist() == [[[False, False, True, True]]]


def test_of_equal_scores_the_later_are_kept():
    kept = NofM(2, 4).kept(np.ones((1, 1, 4)), np.ones((1, 1, 4), bool))
    assert kept.tolist() == [[[False, False, True, True]]]


@FEW
@given(pruned())
def test_what_is_packed_is_unpacked_to_the_bit(problem):
    pattern, kernel = problem
    values, metadata = pattern.pack(kernel)
    again = pattern.unpack(values, metadata)
    assert again.dtype == kernel.dtype and again.flags.c_contiguous
    np.testing.assert_array_equal(again, kernel)


@FEW
@given(pruned())
def test_the_sizes_are_those_of_the_layout(problem):
    pattern, kernel = problem
    values, metadata = pattern.pack(kernel)
    count = kernel.shape[0] * pattern.n // pattern.m
    assert values.shape == (kernel.shape[1], count) and values.dtype == kernel.dtype
    assert metadata.shape == (kernel.shape[1], -(-count * pattern.bits // 8))
    assert metadata.dtype == np.uint8


@FEW
@given(pruned(), st.integers(0, 9))
def test_a_product_with_the_packed_form_is_that_with_the_kernel(problem, seed):
    """As the hardware does it: each live value with the input that its place names."""
    pattern, kernel = problem
    x = np.random.default_rng(seed).normal(size=kernel.shape[0])
    values, metadata = pattern.pack(kernel)
    bits = np.unpackbits(metadata, axis=1, bitorder="little")[:, : values.shape[1] * pattern.bits]
    places = bits.reshape(*values.shape, pattern.bits) @ (1 << np.arange(pattern.bits))
    inputs = np.arange(values.shape[1]) // pattern.n * pattern.m + places
    products = (values.astype("float64") * x[inputs]).sum(axis=1)
    np.testing.assert_allclose(products, x @ kernel.astype("float64"), atol=1e-9)


# Which two of four live, and the four bits of metadata: the table in PyTorch's
# torch/sparse/_semi_structured_conversions.py, which writes what CUTLASS reads.
TABLE = {
    (0, 1): 0b0100,
    (0, 2): 0b1000,
    (1, 2): 0b1001,
    (0, 3): 0b1100,
    (1, 3): 0b1101,
    (2, 3): 0b1110,
}


# Where fewer live, the last zeros fill the group up.
FILLED = {(0,): 0b1100, (1,): 0b1101, (2,): 0b1110, (3,): 0b1110, (): 0b1110}


@pytest.mark.parametrize(("places", "code"), {**TABLE, **FILLED}.items())
def test_metadata_of_a_group_is_the_one_of_sparse_tensor_cores(places, code):
    kernel = np.zeros((4, 1), "float32")
    kernel[list(places), 0] = (5, 7)[: len(places)]
    values, metadata = NofM(2, 4).pack(kernel)
    first, second = code & 0b11, code >> 2
    assert values.tolist() == [[kernel[first, 0], kernel[second, 0]]]
    assert metadata.tolist() == [[code]]


def test_words_of_metadata_begin_with_the_first_group():
    """Four groups are a word of 16 bits, eight one of 32."""
    pairs = [(0, 1), (2, 3), (0, 3), (1, 2), (1, 3), (0, 2), (0, 1), (2, 3)]
    kernel = np.zeros((32, 1), "float16")
    for group, pair in enumerate(pairs):
        kernel[[4 * group + place for place in pair]] = 1
    _, metadata = NofM(2, 4).pack(kernel)
    words = [
        TABLE[d] << 12 | TABLE[c] << 8 | TABLE[b] << 4 | TABLE[a]
        for a, b, c, d in (pairs[:4], pairs[4:])
    ]
    assert metadata.view("<u2").tolist() == [words]
    assert metadata.view("<u4").tolist() == [[words[1] << 16 | words[0]]]


def test_half_the_weights_and_two_bits_for_each_that_lives():
    kernel = np.zeros((512, 512), "float16")
    kernel[::2] = 1
    values, metadata = NofM(2, 4).pack(kernel)
    assert values.nbytes == kernel.nbytes / 2 and metadata.nbytes == kernel.nbytes / 16


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((4, 4), "`n` must be less than `m`: of every m inputs n live. Received: n=4, m=4"),
        ((5, 4), "`n` must be less than `m`: of every m inputs n live. Received: n=5, m=4"),
        ((0, 4), "`n` must be an integer of at least 1. Received: n=0"),
        ((2.0, 4), "`n` must be an integer of at least 1. Received: n=2.0"),
        ((True, 4), "`n` must be an integer of at least 1. Received: n=True"),
        ((2, "4"), "`m` must be an integer of at least 1. Received: m='4'"),
    ],
)
def test_bad_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError) as error:
        NofM(*sizes)
    assert str(error.value) == message


def test_kernels_without_the_pattern_are_not_packed():
    kernel = np.zeros((8, 2))
    kernel[4:7, 1] = 1
    with pytest.raises(ValueError) as error:
        NofM(2, 4).pack(kernel)
    assert str(error.value) == (
        "`kernel` must have at most 2 weights that are not zero in every 4 inputs. Received: 3 in "
        "the inputs 4 to 7 of column 1, and 1 such groups in all. Prune it first, with "
        "ksr.prune(model, pattern=ksr.patterns.NofM(2, 4))"
    )
    with pytest.raises(ValueError) as error:
        NofM(2, 4).pack(np.zeros((6, 2)))
    assert str(error.value) == (
        "`kernel` must have two axes (inputs, columns), the first a multiple of 4. Received: "
        "kernel of shape (6, 2)"
    )


def test_a_packed_form_that_is_damaged_is_refused():
    pattern = NofM(2, 4)
    values, metadata = pattern.pack(np.eye(8, 3))
    with pytest.raises(ValueError) as error:
        pattern.unpack(values, metadata[:, :0])
    assert str(error.value) == (
        "`values` must have the shape (columns, groups * 2) and `metadata` 2 bits for each of "
        "them, in bytes (columns, bytes). Received: values of shape (3, 4) and metadata of shape "
        "(3, 0)"
    )
    metadata[1, 0] = 0b1110_0101
    with pytest.raises(ValueError) as error:
        pattern.unpack(values, metadata)
    assert str(error.value) == (
        "`metadata` must be ascending places from 0 to 3 in each group. Received: [1, 1] in group "
        "0 of column 1"
    )
