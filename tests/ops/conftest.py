import pytest
from cpus import CPUS, missing, use

from keras_sparse_rnn import ops

LACKED = [name for name in CPUS if missing(name)]
BEST = next(name for name in CPUS if name not in LACKED)


def _set(request):
    use(request.param)
    yield request.param
    ops.set_cpu(None)


@pytest.fixture(params=CPUS)
def every_cpu(request):
    """Runs a test once on every instruction set of this kind of processor."""
    yield from _set(request)


@pytest.fixture(
    params=[
        name if name in (BEST, *LACKED) else pytest.param(name, marks=pytest.mark.slow)
        for name in CPUS
    ]
)
def cpu(request):
    """The same, in the quick suite on the best one that the processor has only."""
    yield from _set(request)


@pytest.fixture
def threads():
    """Lets a test set the number of threads."""
    yield ops.set_num_threads
    ops.set_num_threads(None)
