"""What is said, and by whom: a folder of recordings with their transcripts.

They come as utterances, which are cheap descriptions: the sound is read when `read` is called."""

import dataclasses
import pathlib
import wave

import numpy as np

LOWEST_RATE = 16_000


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
