"""Spots words in a wav file or in what a microphone hears, frame by frame, a bar for each word.

    python -m examples.keyword_spotting.spot hello.wav
    arecord -q -t raw -f S16_LE -r 16000 | python -m examples.keyword_spotting.spot -
    python -m examples.keyword_spotting.spot hello.wav --model model.tflite

It runs `model.ksr` in `ksr_runtime`, with NumPy and rich and without TensorFlow; a `.tflite` file
of `export_litert(streaming=True)` it runs in LiteRT. A word counts when its probability, averaged
over 0.2 s, passes the threshold. In a terminal a file goes by at the speed at which it was spoken;
otherwise a line is printed for each word."""

import argparse
import collections
import contextlib
import pathlib
import sys
import time

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

import ksr_runtime

from .front_end import HOP, RATE, FrontEnd, read_wav

MODEL = pathlib.Path(__file__).with_name("model.ksr")
SMOOTHED = 8  # frames
QUIET = 0.5  # seconds after a word in which it does not count again
OTHERS = ("unknown", "silence")


class Spotter:
    """Words in a stream of samples.

    Args:
        path: of a `model.ksr`, or of a `.tflite` file for streams.
        threshold: the mean probability from which on a word counts.

    Attributes:
        labels: what the file says its outputs are.
        probabilities: of the labels, averaged over the last 0.2 s: float `[labels]`.
        seconds: how much has been heard.
    """

    def __init__(self, path, threshold=0.7):
        if str(path).endswith(".tflite"):
            import keras_sparse_rnn as ksr

            self._stream = ksr.export.Stream(path, num_threads=1)
            metadata = self._stream.metadata
        else:
            model = ksr_runtime.Model(path)
            self._stream, metadata = model.stream(), model.notes
        if "labels" not in metadata:
            raise ValueError(f"{path} must have been exported with labels in its metadata")
        self.labels = metadata["labels"]
        self._threshold, self._front_end = threshold, FrontEnd()
        self._last = collections.deque(maxlen=SMOOTHED)
        self._frames, self._heard = 0, {}
        self.probabilities = np.zeros(len(self.labels))

    @property
    def seconds(self):
        return self._frames * HOP / RATE

    def __call__(self, samples):
        """Hears more samples, float `[any number]` between -1 and 1.

        Returns:
            List of `(seconds, word, probability)`: the words that count now.
        """
        found = []
        for frame in self._front_end(samples):
            logits = np.asarray(self._stream(frame[None, None]), np.float64).reshape(-1)
            powers = np.exp(logits - logits.max())
            self._last.append(powers / powers.sum())
            self._frames += 1
            self.probabilities = sum(self._last) / SMOOTHED
            best = int(self.probabilities.argmax())
            word, probability = self.labels[best], float(self.probabilities[best])
            if word in OTHERS or probability < self._threshold:
                continue
            if self.seconds - self._heard.get(word, -QUIET) >= QUIET:
                found.append((self.seconds, word, probability))
            self._heard[word] = self.seconds  # it does not count again while it lasts
        return found


def bars(spotter, found, width=30):
    """What the terminal shows: a bar for each label, and the words so far."""
    lines = [Text(f"{spotter.seconds:7.2f} s")]
    for label, probability in zip(spotter.labels, spotter.probabilities):
        filled = round(width * probability)
        style = "dim" if label in OTHERS else "green" if probability > 0.5 else "cyan"
        bar = "█" * filled + "·" * (width - filled)
        lines.append(Text(f"{label:>8} {bar} {100 * probability:3.0f} %", style))
    words = [f"{word} ({seconds:.1f} s)" for seconds, word, _ in found[-6:]]
    return Group(*lines, Text("        " + "  ".join(words), "bold"))


def chunks(path, paced):
    """The sound of a wav file, or of the standard input where `path` is "-", a frame at a time."""
    if path == "-":
        head = sys.stdin.buffer.read(4)
        if head == b"RIFF":  # the header of a wav file, of 44 bytes
            sys.stdin.buffer.read(40)
            head = b""
        while True:
            content = head + sys.stdin.buffer.read(2 * HOP - len(head))
            head = b""
            if len(content) < 2:
                return
            samples = np.frombuffer(content[: len(content) // 2 * 2], "<i2")
            yield samples.astype(np.float32) / 32768
    samples, begin = read_wav(path), time.monotonic()
    for first in range(0, len(samples), HOP):
        if paced:
            time.sleep(max(0.0, begin + first / RATE - time.monotonic()))
        yield samples[first : first + HOP]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sound", help="a wav file, or - for raw 16-bit samples at 16,000 a second")
    parser.add_argument("--model", default=MODEL, help="a model.ksr, or a .tflite for streams")
    parser.add_argument("--threshold", type=float, default=0.7, help="of the mean probability")
    parser.add_argument("--fast", action="store_true", help="do not wait for a file to be spoken")
    options = parser.parse_args(arguments)
    try:
        spotter, console, found = Spotter(options.model, options.threshold), Console(), []
        shown = console.is_terminal
        screen = Live(console=console, refresh_per_second=20) if shown else contextlib.nullcontext()
        with screen, contextlib.suppress(KeyboardInterrupt):
            for samples in chunks(options.sound, shown and not options.fast):
                new = spotter(samples)
                found += new
                if shown:
                    screen.update(bars(spotter, found))
                else:
                    for seconds, word, probability in new:
                        print(f"{seconds:7.2f} s  {word}  {probability:.2f}", flush=True)
    except (OSError, ValueError) as error:
        sys.exit(f"spot: {error}")


if __name__ == "__main__":
    main()
