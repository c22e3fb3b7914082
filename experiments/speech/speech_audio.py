"""What is said, and by whom: sentences spoken by espeak-ng, or a folder of recordings with their
transcripts.

Both come as utterances, which are cheap descriptions: the sound is made or read when `read` is
called."""

import dataclasses
import functools
import pathlib
import shutil
import subprocess
import wave

import numpy as np

LOWEST_RATE = 16_000
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


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A recording and its transcript.

    Args:
        text: what is said, in lower case.
        speaker: whose voice it is.
        path: of a wav or flac file.
    """

    text: str
    speaker: str
    path: pathlib.Path

    def key(self):
        """Everything that the sound depends on, as JSON takes it."""
        state = self.path.stat()
        return {
            "path": str(self.path.resolve()),
            "bytes": state.st_size,
            "changed": state.st_mtime_ns,
        }

    def read(self):
        """`(samples, rate)`: float32 `[samples]`, channels averaged, and samples a second."""
        samples, rate = (
            _read_wav(self.path) if self.path.suffix == ".wav" else _read_flac(self.path)
        )
        if rate < LOWEST_RATE or not len(samples):
            raise ValueError(
                f"A recording must have at least {LOWEST_RATE} samples a second, and one sample. "
                f"Received: {self.path} with {rate} and {len(samples)}"
            )
        return samples, rate


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


def recorded(folder, tuning=False):
    """A folder of recordings in the layout of LibriSpeech, cut into training and test.

    Below `folder` lies SPEAKER/CHAPTER/*.trans.txt, each line the name of a recording beside it
    (without its ending, .wav or .flac) and what is said. A tenth of the speakers is held out, or,
    if there is only one, a tenth of the recordings. What is said in the test is not trained on.

    Args:
        folder: a path.
        tuning: whether the training part is cut once more in the same way, and the test is left
            out.

    Returns:
        `(training, test)`, two lists of `Recorded`.

    Raises:
        ValueError: the folder has no transcripts, a transcript has no recording, or there is too
            little to cut.
    """
    folder = pathlib.Path(folder)
    transcripts = sorted(folder.glob("*/*/*.trans.txt"))
    if not transcripts:
        raise ValueError(
            "`--data` must be a folder with transcripts, SPEAKER/CHAPTER/*.trans.txt. Received: "
            f"{folder}, which has none"
        )
    parts = _cut([one for path in transcripts for one in _transcribed(path)], folder)
    return _cut(parts[0], folder) if tuning else parts


def _cut(all_of_them, folder):
    speakers = sorted({one.speaker for one in all_of_them})
    if len(speakers) > 1:
        held_out = set(speakers[:: -(-len(speakers) // max(1, len(speakers) // 10))])
        test = [one for one in all_of_them if one.speaker in held_out]
        training = [one for one in all_of_them if one.speaker not in held_out]
    else:
        test = all_of_them[::10]
        training = [one for number, one in enumerate(all_of_them) if number % 10]
    said = {one.text for one in test}
    training = [one for one in training if one.text not in said]
    if not training:
        raise ValueError(
            "`--data` must have recordings to train on besides those of the test, with other "
            f"words. Received: {folder} with {len(all_of_them)} recordings of {len(speakers)} "
            "speakers"
        )
    return training, test


def _transcribed(transcript):
    """The `Recorded` of one file of transcripts."""
    try:
        lines = [
            line.split(maxsplit=1)
            for line in transcript.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
    except UnicodeDecodeError as error:
        raise ValueError(f"Transcripts must be UTF-8. Received: {transcript} ({error})") from None
    for name, *text in lines:
        paths = [transcript.parent / f"{name}{ending}" for ending in (".wav", ".flac")]
        path = next((path for path in paths if path.exists()), None)
        if path is None or not text:
            raise ValueError(
                "Each line of a transcript must be the name of a recording beside it, .wav or "
                f".flac, a space, and what is said. Received: {transcript} with {name!r}, which "
                f"has no {'words' if path else 'recording'}"
            )
        yield Recorded(" ".join(text[0].lower().split()), transcript.parts[-3], path)


def _read_wav(path):
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"A recording must be a wav file of integers. Received: {path} ({error})"
        ) from None
    if width != 2:
        raise ValueError(
            f"A wav file must have 16 bits a sample. Received: {path} with {8 * width}"
        )
    return np.frombuffer(frames, "<i2").reshape(-1, channels).mean(axis=1).astype(
        np.float32
    ) / 32768, rate


def _read_flac(path):
    try:
        import soundfile
    except ImportError:
        raise ValueError(
            "Reading flac files takes soundfile: pip install soundfile. Or give wav files. "
            f"Received: {path}"
        ) from None
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate


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
