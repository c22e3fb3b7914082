import pytest

from keras_sparse_rnn import ops


def available_cpus():
    """The instruction sets of this processor; none where the native library was not built."""
    found = []
    for name in ops.loader.CPUS if ops.loader.problem() is None else ():
        try:
            ops.set_cpu(name)
        except ValueError:
            continue
        found.append(name)
    if found:
        ops.set_cpu(None)
    return found


CPUS = available_cpus()


def _set(request):
    ops.set_cpu(request.param)
    yield request.param
    ops.set_cpu(None)


@pytest.fixture(params=CPUS)
def every_cpu(request):
    """Runs a test once on every instruction set that the processor has."""
    yield from _set(request)


@pytest.fixture(
    params=[*CPUS[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in CPUS[1:])]
)
def cpu(request):
    """The same, in the quick suite on the best one only."""
    yield from _set(request)


@pytest.fixture
def threads():
    """Lets a test set the number of threads."""
    yield ops.set_num_threads
    ops.set_num_threads(None)
