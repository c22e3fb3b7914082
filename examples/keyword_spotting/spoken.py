"""Which words are said by whom, in which noise: clips of a second, spoken by espeak-ng.

A clip is a cheap description; its sound is made by `sound`. No voice of the validation and none of
the test is heard in training, neither in front nor as babble."""

import dataclasses
import functools

import numpy as np

from . import noises
from .espeak import ACCENTS, program, say
from .front_end import RATE, resampled

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "unknown", "silence"
LABELS = (*WORDS, UNKNOWN, SILENCE)
# Many of them sound like one of the ten.
OTHERS = (
    "yet guess less chess low snow nor note so cup app us cub town done dawn noun lift laugh theft "
    "ride light white rate own in an one john of cough office loft step top shop stock goat gold "
    "toe dough got house bird cat dog happy tree wow zero two three four five six seven eight nine "
    "bed right-hand upper nobody gone onto downtown stopwatch leftover"
).split()
# Variants of a voice as espeak-ng names them.
VOICES = {
    "training": (
        "m1 m2 m4 m6 m7 m8 f1 f3 f5 Alex Alicia Andrea Andy Gene Jacky Lee adam antonio belinda "
        "boris caleb david ed edward john linda max paul quincy rob steph benjamin gustave Denis "
        "marcelo michel miguel pablo pedro shelby Mario Gene2 steph2 edward2"
    ).split(),
    "validation": "m3 f2 Annie Hugo klatt2 travis grandpa Marco norbert anika".split(),
    "test": "m5 f4 Diogo aunty victor zac iven sandro robert grandma kaukovalta Michael".split(),
}
COUNTS = {"training": 8_000, "validation": 1_600, "test": 2_400}
SEEDS = {"training": 1, "validation": 2, "test": 3}
TAKES = 2  # of what is said, each in a noise and a room of its own
NOISE = (3.0, 23.0)  # decibels of the word over the noise
CHATTER = "the people over there have been talking about many other things since this morning"
MARGIN = 0.02  # of the loudest: what is quieter at the ends is no part of the word


@dataclasses.dataclass(frozen=True)
class Spoken:
    """A second of sound, with a word in it or none.

    Args:
        label: one of `LABELS`.
        text: what is said; empty in silence.
        split: a key of `VOICES`.
        variant: of the voice, such as `"f2"`.
        accent: a voice, such as `"en-gb"`.
        speed: words a minute.
        pitch: 0 to 99.
        noise: a kind of noise.
        ratio: decibels that the word is louder than the noise.
        decay: of the room, seconds; 0: no room.
        direct: decibels that the word is louder than its echoes.
        level: of the whole clip, root of the mean square of the word.
        end: seconds after the beginning where the word ends.
        seed: of the noise and the room.
    """

    label: str
    text: str
    split: str
    variant: str
    accent: str
    speed: int
    pitch: int
    noise: str
    ratio: float
    decay: float
    direct: float
    level: float
    end: float
    seed: int

    def sound(self):
        """float32 `[RATE]`."""
        generator = np.random.default_rng([SEEDS[self.split], self.seed])
        samples = np.zeros(RATE)
        if self.text:
            word = said(self.text, f"{self.accent}+{self.variant}", self.speed, self.pitch)
            end = round(self.end * RATE)
            word = word[-end:]
            samples[end - len(word) : end] = word / np.sqrt(np.mean(word**2))
        if self.decay:
            samples = noises.in_room(samples, self.decay, self.direct, generator)
        babble = functools.partial(_chatter, self.split)
        around = noises.noise(self.noise, RATE, generator, babble)
        samples += 10 ** (-self.ratio / 20) * around
        return (self.level * samples).astype(np.float32)

    def key(self):
        """Everything that the sound depends on, as JSON takes it."""
        return dataclasses.astuple(self)


def clips(split, count=None):
    """The clips of a split, `COUNTS` of them or fewer; always the same ones.

    Raises:
        ValueError: espeak-ng is missing, or lacks a voice.
    """
    program(tuple(voice for voices in VOICES.values() for voice in voices))
    generator = np.random.default_rng(SEEDS[split])
    draw = lambda low, high, digits=3: round(float(generator.uniform(low, high)), digits)
    result = []
    count = COUNTS[split] if count is None else count
    while len(result) < count:
        label = str(generator.choice([*LABELS, UNKNOWN]))  # that one twice as often
        text = {UNKNOWN: str(generator.choice(OTHERS)), SILENCE: ""}.get(label, label)
        voice = {
            "variant": str(generator.choice(VOICES[split])),
            "accent": str(generator.choice(ACCENTS)),
            "speed": int(generator.integers(140, 261)),
            "pitch": int(generator.integers(10, 91)),
        }
        for _ in range(min(TAKES, count - len(result))):
            surroundings = {
                "noise": str(generator.choice(noises.KINDS)),
                "ratio": draw(*NOISE, 2),
                "decay": draw(0.15, 0.7) if generator.random() < 0.6 else 0.0,
                "direct": draw(0, 12),
                "level": round(10 ** draw(-2.3, -0.8), 5),
                "end": draw(0.75, 0.9),
            }
            result.append(Spoken(label, text, split, **voice, **surroundings, seed=len(result)))
    return result


@functools.lru_cache(maxsize=256)
def said(text, voice, speed, pitch):
    """What espeak-ng says, at 16,000 samples a second, without the silence at its ends."""
    samples = resampled(*say(text, voice, speed, pitch))
    loud = np.flatnonzero(np.abs(samples) > MARGIN * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def _chatter(split, generator):
    """One of 32 voices that talk on."""
    number = generator.integers(32)
    voices = VOICES[split]
    voice = f"{ACCENTS[number % len(ACCENTS)]}+{voices[number * 7 % len(voices)]}"
    return said(CHATTER, voice, 160 + 3 * int(number), 20 + 2 * int(number))
