"""What is said, and by whom: sentences spoken by espeak-ng.

They come as utterances, which are cheap descriptions: the sound is made when `read` is called."""

import dataclasses

import numpy as np

from examples.keyword_spotting.espeak import ACCENTS, program, say

WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo "
    "lima mike november oscar papa quebec romeo sierra tango uniform victor whiskey x-ray yankee "
    "zulu yes no up down left right on off stop go open close start end north south east west "
    "north red green blue black white point and minus plus"
).replace("x-ray", "xray")
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
        samples, rate = say(self.text, f"{self.accent}+{self.speaker}", self.speed, self.pitch)
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
    version = program((*TRAINING_VOICES, *TEST_VOICES))
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
                        version,
                    )
                )
        return result

    set_aside = sentences(aside, TEST_VOICES, ())
    known = {one.text for one in set_aside}
    learnt = sentences(training, TRAINING_VOICES, known)
    if tuning:
        return learnt, set_aside
    return learnt, sentences(test, TEST_VOICES, known | {one.text for one in learnt})


def _coloured(noise, colour):
    """White noise after `y[t] = colour * y[t - 1] + x[t]`, by products in the frequency domain."""
    frequencies = np.fft.rfftfreq(len(noise)) * 2 * np.pi
    return np.fft.irfft(np.fft.rfft(noise) / (1 - colour * np.exp(-1j * frequencies)), len(noise))
