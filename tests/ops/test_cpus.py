import cpus
import pytest

from keras_sparse_rnn import ops

pytestmark = pytest.mark.skipif(
    ops.loader.problem() is not None, reason="the native library was not built"
)


def test_an_instruction_set_that_the_machine_lacks_is_skipped_in_words():
    other = "neon" if "avx2" in cpus.CPUS else "avx2"
    before = ops.cpu()
    with pytest.raises(pytest.skip.Exception, match=f"^{other} is not on this machine$"):
        cpus.use(other)
    assert ops.cpu() == before


def test_a_test_runs_on_the_instruction_set_that_it_names(every_cpu):
    assert ops.cpu() == every_cpu
