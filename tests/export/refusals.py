"""What is said of a file that the interpreter does not open."""

import pytest

from keras_sparse_rnn import export


def message(path):
    """What is said of the content of a file that is refused."""
    with pytest.raises(ValueError) as error:
        export.Interpreter(path)
    start = (
        f"`path` must be a file that `export_litert` wrote. Received: path={str(path)!r} of "
        f"{path.stat().st_size} bytes, which "
    )
    text = str(error.value)
    assert text.startswith(start)
    return text.removeprefix(start)
