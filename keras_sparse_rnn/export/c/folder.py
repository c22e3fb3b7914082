"""The folder that `export_c` writes: the model's interface, its weights, the core's sources."""

import pathlib
import re
import shutil

import numpy as np

from keras_sparse_rnn.export.c import templates
from keras_sparse_rnn.version import version

CORE = pathlib.Path(__file__).parents[2] / "native" / "core"
# Beside the two folders below.
COPIED = ("float_mode.h", "ksr.h", "ksr_model.h", "vector.inc", "weights.inc")
FOLDERS = ("prepared", "model")
KEYWORDS = set(
    "alignas alignof and asm auto bool break case catch char class const constexpr continue "
    "decltype default delete do double else enum explicit export extern false float for friend "
    "goto if inline int long mutable namespace new noexcept not nullptr operator or private "
    "protected public register restrict return short signed sizeof static struct switch template "
    "this throw true try typedef typename union unsigned using virtual void volatile while "
    "xor".split()
)
# What the written files call something themselves.
TAKEN = set(
    "build end feof fflush fprintf frame from got inputs ksr main memory model outputs "
    "print_numbers printf read_numbers scanf size_t stderr stdin stdout wanted".split()
)
OWN = 320  # bytes of `struct model`, aligned
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
    inputs = identifiers([port.name for port in model.inputs])
    outputs = identifiers([port.name for port in model.outputs], inputs)
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
    _copy_core(folder / "ksr")
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


def _copy_core(target):
    """The part of the core that runs models."""
    target.mkdir()
    for name in COPIED:
        shutil.copyfile(CORE / name, target / name)
    for name in FOLDERS:
        (target / name).mkdir()
        for path in sorted((CORE / name).iterdir()):
            if path.suffix in (".cc", ".h", ".inc"):
                shutil.copyfile(path, target / name / path.name)
