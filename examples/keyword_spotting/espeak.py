"""What the program espeak-ng says, in which voices."""

import functools
import shutil
import subprocess

import numpy as np

ACCENTS = (
    "en-gb",
    "en-us",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-rp",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)


def say(text, voice, speed, pitch):
    """`(samples, rate)` of a text, float32 `[samples]` between -1 and 1 and samples a second.

    Args:
        text: what is said.
        voice: an accent and a variant, such as `"en-gb+f2"`.
        speed: words a minute.
        pitch: 0 to 99.
    """
    command = ["espeak-ng", "--stdout", "-v", voice, "-s", str(speed), "-p", str(pitch), text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    # The header of a stream does not know the length: 44 bytes, of which four tell the rate.
    rate = int.from_bytes(spoken[24:28], "little")
    samples = np.frombuffer(spoken[44 : len(spoken) // 2 * 2], "<i2")
    return samples.astype(np.float32) / 32768, rate


@functools.cache
def program(variants):
    """The version of espeak-ng.

    Args:
        variants: a tuple of variants of voices that it must have, beside `ACCENTS`.

    Raises:
        ValueError: it is missing or lacks a voice.
    """
    if shutil.which("espeak-ng") is None:
        raise ValueError(
            "Speech is made with the program espeak-ng, which is not installed: apt install "
            "espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS), dnf install espeak-ng "
            "(Fedora). Or give recordings of your own: --data FOLDER"
        )
    known = {voice for kind in ("variant", "en") for voice in _listed(kind)}
    missing = [voice for voice in (*ACCENTS, *variants) if voice.lower() not in known]
    if missing:
        raise ValueError(
            "espeak-ng must have the voices that are asked for: it would take others in "
            f"silence. It lacks {', '.join(missing)}"
        )
    return (
        subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True)
        .stdout.split("Data at")[0]
        .strip()
    )


def _listed(kind):
    """The names that `-v` takes: the last part of each voice's file, and its language, in lower
    case.
    """
    lines = subprocess.run(
        ["espeak-ng", f"--voices={kind}"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[1:]
    for line in lines:
        _, language, _, _, file, *_ = line.split()
        yield language.lower()
        yield file.rsplit("/", 1)[-1].lower()
