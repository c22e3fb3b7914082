"""What is said, and by whom: sentences spoken by espeak-ng.

They come as utterances, which are cheap descriptions: the sound is made when `read` is called."""

import dataclasses
import functools
import shutil
import subprocess

import numpy as np

WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo "
    "lima mike november oscar papa quebec romeo sierra tango uniform victor whiskey x-ray yankee "
    "zulu yes no up down left right on off stop go open close start end north south east west "
    "north red green blue black white point and minus plus"
).replace("x-ray", "xray")
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
# Variants of a voice as espeak-ng names them. The voices of the test are not heard in training.
TRAINING_VOICES = (
    "m1 m2 m4 m6 m7 m8 f1 f3 f5 Alex Alicia Andrea Andy Gene Jacky Lee adam antonio belinda boris "
    "caleb david ed edward john linda max paul quincy rob steph"
).split()
TEST_VOICES = "m3 m5 f2 f4 Annie Diogo Hugo aunty klatt2 travis victor zac".split()


@dataclasses.dataclass(frozen=True)
class Spoken:
    """A sentence as espeak-ng says it, with noise.

    Args:
        text: the words.
        speaker: a variant of a voice, such as `"f2"`.
        accent: a voice, such as `"en-gb"`.
        speed: words a minute.
        pitch: 0 to 99.
        noise: signal-to-noise ratio in decibels.
        colour: of the noise, from 0 (white) to almost 1 (a deep rumble).
        gain: that the sound is multiplied by.
        program: the version of espeak-ng.
    """

    text: str
    speaker: str
    accent: str
    speed: int
    pitch: int
    noise: float
    colour: float
    gain: float
    program: str

    def key(self):
        """Everything that the sound depends on, as JSON takes it."""
        return dataclasses.asdict(self)

    def read(self):
        """`(samples, rate)`: float32 `[samples]` and samples a second."""
        command = [
            "espeak-ng",
            "--stdout",
            "-v",
            f"{self.accent}+{self.speaker}",
            "-s",
            str(self.speed),
            "-p",
            str(self.pitch),
            self.text,
        ]
        spoken = subprocess.run(command, check=True, capture_output=True).stdout
        # The header of a stream does not know the length: 44 bytes, of which four tell the rate.
        rate = int.from_bytes(spoken[24:28], "little")
        samples = np.frombuffer(spoken[44 : len(spoken) // 2 * 2], "<i2").astype(np.float32) / 32768
        generator = np.random.default_rng([*map(ord, self.text), self.speed, self.pitch])
        noise = _coloured(generator.normal(size=len(samples)), self.colour)
        loudness = np.sqrt(np.mean(samples**2)) / np.sqrt(np.mean(noise**2))
        return (self.gain * (samples + loudness * 10 ** (-self.noise / 20) * noise)).astype(
            np.float32
        ), rate


def spoken(training, test, aside=400, tuning=False, words=(2, 5), noise=(0.0, 20.0), seed=0):
    """Sentences of random words, said at random by many voices; the test's voices and sentences do
    not occur in training.

    Nor do those of the first `aside` sentences of these voices. By them the settings of the example
    are chosen, so that the test has not been looked at before.

    Args:
        training, test: how many sentences.
        aside: how many are set aside.
        tuning: whether those that are set aside are returned in place of the test.
        words: the fewest and the most words of a sentence.
        noise: the least and the largest signal-to-noise ratio in decibels.
        seed: an integer.

    Returns:
        `(training, test)`, two lists of `Spoken`.

    Raises:
        ValueError: espeak-ng is missing, or lacks one of the voices.
    """
    program = _program()
    generator = np.random.default_rng(seed)
    vocabulary = sorted(set(WORDS.split()))

    def sentences(count, voices, without):
        result = []
        while len(result) < count:
            text = " ".join(
                generator.choice(vocabulary, generator.integers(words[0], words[1] + 1))
            )
            speed, pitch = int(generator.integers(140, 281)), int(generator.integers(15, 86))
            ratio, colour, gain = (
                generator.uniform(*noise),
                generator.uniform(0, 0.95),
                10 ** generator.uniform(-1, 0),
            )
            voice, accent = str(generator.choice(voices)), str(generator.choice(ACCENTS))
            if text not in without:
                result.append(
                    Spoken(
                        text,
                        voice,
                        accent,
                        speed,
                        pitch,
                        round(ratio, 2),
                        round(colour, 3),
                        round(gain, 3),
                        program,
                    )
                )
        return result

    set_aside = sentences(aside, TEST_VOICES, ())
    known = {one.text for one in set_aside}
    learnt = sentences(training, TRAINING_VOICES, known)
    if tuning:
        return learnt, set_aside
    return learnt, sentences(test, TEST_VOICES, known | {one.text for one in learnt})


@functools.cache
def _program():
    """The version of espeak-ng; raises if it is missing or lacks a voice."""
    if shutil.which("espeak-ng") is None:
        raise ValueError(
            "Speech is made with the program espeak-ng, which is not installed: apt install "
            "espeak-ng (Debian, Ubuntu), brew install espeak-ng (macOS), dnf install espeak-ng "
            "(Fedora). Or give recordings of your own: --data FOLDER"
        )
    known = {voice for kind in ("variant", "en") for voice in _listed(kind)}
    missing = [
        voice for voice in (*ACCENTS, *TRAINING_VOICES, *TEST_VOICES) if voice.lower() not in known
    ]
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


def _coloured(noise, colour):
    """White noise after `y[t] = colour * y[t - 1] + x[t]`, by products in the frequency domain."""
    frequencies = np.fft.rfftfreq(len(noise)) * 2 * np.pi
    return np.fft.irfft(np.fft.rfft(noise) / (1 - colour * np.exp(-1j * frequencies)), len(noise))
