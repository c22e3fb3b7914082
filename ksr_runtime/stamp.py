"""From which C++ sources a native library was built.

`setup.py` runs this file by itself, so it imports nothing of a package."""

import hashlib
import pathlib
import re

MARK = b"keras_sparse_rnn sources "


def hash_of_sources(folder):
    """The hash of the C++ sources in the folder `native`: a library built from others may have
    other ops, or the same ones with other signatures.
    """
    folder, whole = pathlib.Path(folder), hashlib.sha256()
    parts = "core", "core/prepared", "core/model", "tensorflow", "litert"
    for path in (path for part in parts for path in sorted(folder.glob(f"{part}/*"))):
        if path.suffix in (".cc", ".h", ".inc"):
            name = path.relative_to(folder).as_posix().encode()
            content = path.read_bytes()
            whole.update(b"%s %d\n%s" % (name, len(content), content))
    return whole.hexdigest()


def hash_in(library):
    """The hash that stands in a built library, which need not be loaded for it; None if there is
    none.
    """
    found = re.search(MARK + b"([0-9a-f]{64})", pathlib.Path(library).read_bytes())
    return found[1].decode() if found else None
