"""Random problems for the ops, drawn by hypothesis: the same every time. To search on, raise
`max_examples` and set `derandomize=False`.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from problems import SHAPES, Problem
from test_native_cells import VARIANTS


def examples(count):
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


sizes = st.one_of(st.integers(1, 9), st.integers(10, 40))
shapes = st.one_of(st.sampled_from(SHAPES), st.tuples(st.integers(1, 20), st.integers(1, 20)))
densities = st.sampled_from([0.0, 0.1, 0.5, 1.0])


@st.composite
def problems(
    draw,
    densities=densities,
    batches=st.sampled_from([0, 1, 2, 3, 5, 7, 8, 16, 17, 33]),
    times=st.integers(0, 6),
):
    cell, options = draw(st.sampled_from(VARIANTS))
    return Problem(
        cell,
        draw(batches),
        draw(times),
        draw(sizes),
        draw(sizes),
        draw(shapes),
        draw(shapes),
        draw(densities),
        bias=draw(st.booleans()),
        mask=draw(st.booleans()),
        go_backwards=draw(st.booleans()),
        training=draw(st.booleans()),
        options=options,
        seed=draw(st.integers(0, 2**32 - 1)),
    )
