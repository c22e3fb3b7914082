"""The folder that `export_c` writes: the model's interface, its weights, the core's sources."""

import pathlib
import re

import numpy as np

from keras_sparse_rnn.export.c import templates
from keras_sparse_rnn.version import version

CORE = pathlib.Path(__file__).parents[2] / "native" / "core"
# Beside the two folders below.
COPIED = ("float_mode.h", "ksr.h", "ksr_model.h", "vector.inc", "weights.inc")
FOLDERS = ("prepared", "model")
KEYWORDS = set(
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t "
    "char32_t class co_await co_return co_yield compl concept const const_cast consteval constexpr "
    "constinit continue decltype default delete do double dynamic_cast else enum explicit export "
    "extern false float for friend goto if inline int long mutable namespace new noexcept not "
    "not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires "
    "restrict return short signed sizeof static static_assert static_cast struct switch template "
    "this thread_local throw true try typedef typeid typename typeof union unsigned using virtual "
    "void volatile wchar_t while xor xor_eq".split()
)
# What the written files call something themselves, and macros of compilers and of C's headers.
TAKEN = set(
    "bufsiz build end eof feof fflush fprintf frame from got i386 inputs ksr linux main memory "
    "model null outputs print_numbers printf read_numbers scanf size_t stderr stdin stdout unix "
    "wanted".split()
)
# Headers of C, which `name.h` would stand in front of, and targets that CMake has itself.
FILES = set(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math memory pthread "
    "setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string "
    "strings tgmath threads time uchar unistd wchar wctype all clean depend edit_cache help "
    "install list_install_components package preinstall rebuild_cache test".split()
)
OWN = 320  # bytes of `struct model`, aligned
FUNCTIONS = re.compile(r"^KSR_API [^;(]*?(ksr_\w+)\(", re.MULTILINE)
SETS = re.compile(r'^KSR_INSTRUCTION_SET\((\w+), (\w+), "(.*?)"', re.MULTILINE)


def instruction_sets():
    """`(name, machine, flags)` of each, best first."""
    return SETS.findall((CORE / "prepared" / "instruction_sets.inc").read_text())


def identifiers(names, taken=()):
    """`names` as C identifiers, different from each other and from what is `taken`, also in
    capitals.
    """
    found = []
    for name in names:
        name = re.sub(r"\W", "_", str(name), flags=re.ASCII)
        name = f"_{name}" if not re.match("[A-Za-z]", name) else name
        name = name if name[0] != "_" else f"n{name}"
        candidates = (name, *(f"{name}_{n}" for n in range(1, 2 + len(names) + len(taken))))
        used = {each.lower() for each in (*found, *taken)} | KEYWORDS | TAKEN
        found.append(next(each for each in candidates if each.lower() not in used))
    return found


def names(name):
    """What may be in a folder that was exported, and built there."""
    ours = {f"{name}.h", f"{name}.c", f"{name}_weights.h", f"{name}.ksr", "ksr", "build", name}
    return ours | {"main.c", "build.sh", "CMakeLists.txt"}


def write(folder, name, title, content, model, memory, stream):
    """Writes all files.

    Args:
        folder: an empty folder.
        name: what the functions and files are called.
        title: the name of the Keras model, for comments.
        content: the bytes of the model's file.
        model: the `ksr_runtime.Model` of it.
        memory: bytes of the prepared model and a stream, on the processor that needs most.
        stream: bytes of a stream alone, likewise.
    """
    upper = name.upper()
    functions = re.findall(r"\* ?(@NAME@\w+)\(|int (@NAME@\w+)\(", templates.HEADER)
    taken = [name, *("".join(one).replace("@NAME@", name) for one in functions)]
    inputs = identifiers([port.name for port in model.inputs], taken)
    outputs = identifiers([port.name for port in model.outputs], [*taken, *inputs])
    widths = [
        f"#define {upper}_{own.upper()}_WIDTH {port.width}"
        + (f" /* a whole number from 0 to {port.tokens - 1} */" if port.tokens else "")
        for own, port in zip(inputs + outputs, model.inputs + model.outputs)
    ]
    width = {own: f"{upper}_{own.upper()}_WIDTH" for own in inputs + outputs}
    parameters = [f"const float {own}[{width[own]}]" for own in inputs]
    parameters += [f"float {own}[{width[own]}]" for own in outputs]
    frame = ", then ".join(f"{port.width} of {own}" for own, port in zip(inputs, model.inputs))
    values = {
        "name": name,
        "upper": upper,
        "title": _comment(title),
        "version": version(),
        "bytes": memory + OWN,
        "stream_bytes": stream + OWN,
        "widths": "\n".join(widths),
        "parameters": ", ".join(parameters),
        "inputs": ", ".join(inputs),
        "outputs": ", ".join(outputs),
        "frame": frame,
        "buffers": "\n".join(f"  static float {own}[{width[own]}];" for own in inputs + outputs),
        "reads": "\n".join(
            f"    got += read_numbers({own}, {width[own]}), wanted += {width[own]};"
            for own in inputs
        ),
        "arguments": ", ".join(inputs + outputs),
        "prints": "\n".join(
            f"    print_numbers({own}, {width[own]}, {end!r});".replace('"', "'")
            for own, end in zip(outputs, [" "] * (len(outputs) - 1) + ["\\n"])
        ).replace("\\\\n", "\\n"),
        "sets": _cases(),
        "kernels": "\n".join(
            f"kernels({' '.join(filter(None, one))})" for one in instruction_sets()
        ),
        "tiles": ", ".join(map(str, model.needs.tiles)),
        "cells": ", ".join(map(str, model.needs.cells)),
        "activations": ", ".join(map(str, model.needs.activations)),
    }
    for path, template in {
        f"{name}.h": templates.HEADER,
        f"{name}.c": templates.SOURCE,
        "main.c": templates.PROGRAM,
        "build.sh": templates.BUILD,
        "CMakeLists.txt": templates.CMAKE,
    }.items():
        (folder / path).write_text(templates.filled(template, **values), encoding="utf-8")
    (folder / f"{name}.ksr").write_bytes(content)
    _write_weights(folder / f"{name}_weights.h", name, content)
    _copy_core(folder / "ksr", name)
    needs = templates.filled(templates.NEEDS, **values)
    (folder / "ksr" / "prepared" / "needs.h").write_text(needs, encoding="utf-8")


def _comment(title):
    """A name as it may stand in a comment and in a string."""
    return re.sub(r"[^\w .-]", "_", title)


def _cases():
    """The instruction sets of each kind of machine, as cases of a shell script."""
    patterns = {"x86_64": "x86_64*|amd64*", "aarch64": "aarch64*|arm64*"}
    lines = []
    for machine, pattern in patterns.items():
        calls = [
            f"kernels {name} {flags}" for name, kind, flags in instruction_sets() if kind == machine
        ]
        lines.append("\n".join([f"{pattern})", *(f"  {call}" for call in calls), "  ;;"]))
    return "\n".join(lines)


def _write_weights(path, name, content):
    """The file as an array of C: words of eight bytes, which compilers read fastest."""
    words = np.frombuffer(content, "<u8").tolist()
    with open(path, "w", encoding="ascii") as file:
        file.write(
            f"/* The bytes of {name}.ksr, for machines with little-endian numbers. */\n"
            f"#ifndef {name.upper()}_WEIGHTS_H_\n#define {name.upper()}_WEIGHTS_H_\n\n"
            "#include <stdint.h>\n\n"
            f"static _Alignas(64) const uint64_t {name}_weights[{len(words)}] = {{\n"
        )
        for begin in range(0, len(words), 4):
            line = ", ".join(f"0x{word:x}u" for word in words[begin : begin + 4])
            file.write(f"    {line},\n")
        file.write(f"}};\n\n#endif /* {name.upper()}_WEIGHTS_H_ */\n")


def _copy_core(target, name):
    """The part of the core that runs models, with all that a linker sees called as the model is: a
    program may have several models, each with kernels of its own.
    """
    target.mkdir()
    paths = [CORE / one for one in COPIED]
    for part in FOLDERS:
        (target / part).mkdir()
        paths += [
            path for path in sorted((CORE / part).iterdir()) if path.suffix in (".cc", ".h", ".inc")
        ]
    functions = set()
    for path in paths:
        text = path.read_text(encoding="utf-8")
        functions.update(FUNCTIONS.findall(text))
        if path.suffix == ".cc":
            text = f'#include "../names.h"\n#define ksr {name}_ksr  // the namespace\n{text}'
        elif FUNCTIONS.search(text):
            text = text.replace("\n#include", '\n#include "names.h"\n#include', 1)
        (target / path.relative_to(CORE)).write_text(text, encoding="utf-8")
    lines = [f"#define {one} {name}_{one}\n" for one in sorted(functions)]
    (target / "names.h").write_text(
        f"/* The functions of the library have names of the model's own: a program that includes\n"
        f" * the headers of one model can have others linked to it. */\n{''.join(lines)}",
        encoding="utf-8",
    )
