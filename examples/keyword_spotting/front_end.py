"""From samples to log-mel frames, as they arrive: NumPy alone, nothing ahead of time.

Frame `t` is computed from the 40 ms of sound that end 25 ms times `t + 1` after the beginning, so
40 frames a second. Nothing is normalised over the recording, for a microphone has no end."""

import wave

import numpy as np

RATE = 16_000  # samples a second
HOP, WINDOW, TRANSFORM = 400, 640, 1024  # samples
MELS = 40
LOWEST, HIGHEST = 60.0, 7600.0  # hertz
FLOOR, CENTRE, WIDTH = 1e-4, -1.0, 4.0  # of the logarithm: what makes it about -2 to 2

# What the features depend on besides the sound: with other figures, other files.
SETTINGS = [RATE, HOP, WINDOW, TRANSFORM, MELS, LOWEST, HIGHEST, FLOOR, CENTRE, WIDTH]


def mel_triangles(bands, lowest, highest, rate, size):
    """Triangles of equal width on the mel scale, over the frequencies of a transform of `size`
    samples: float `[size // 2 + 1, bands]`.
    """
    ends = (2595 * np.log10(1 + frequency / 700) for frequency in (lowest, highest))
    corners = 700 * (10 ** (np.linspace(*ends, bands + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(size, 1 / rate)[:, None]
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (
        (frequencies - left) / (middle - left),
        (right - frequencies) / (right - middle),
    )
    return np.maximum(0, np.minimum(rising, falling))


class FrontEnd:
    """Log-mel frames of one stream of samples.

    >>> front_end = FrontEnd()
    >>> front_end(np.zeros(1000, np.float32)).shape  # 200 samples wait for the next chunk
    (2, 40)
    >>> front_end(np.zeros(200, np.float32)).shape
    (1, 40)
    """

    def __init__(self):
        self._triangles = mel_triangles(MELS, LOWEST, HIGHEST, RATE, TRANSFORM)
        self._window = np.hanning(WINDOW)
        self.reset()

    def reset(self):
        """Begins a new stream: there was silence before."""
        self._samples = np.zeros(WINDOW - HOP)

    def __call__(self, samples):
        """The frames that are complete with these samples.

        Args:
            samples: float `[any number]` at 16,000 a second, between -1 and 1.

        Returns:
            float32 `[frames, MELS]`, one frame for each `HOP` samples since the last.
        """
        self._samples = np.concatenate([self._samples, samples])
        frames = max(0, (len(self._samples) - WINDOW) // HOP + 1)
        if not frames:
            return np.zeros((0, MELS), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._samples, WINDOW)[::HOP]
        self._samples = self._samples[frames * HOP :]
        power = np.abs(np.fft.rfft(windows * self._window, TRANSFORM)) ** 2
        # Without BLAS, whose threads cost more than so small a product, and whose last digits
        # depend on how many frames come together.
        power = np.einsum("tf,fm->tm", power, self._triangles)
        return ((np.log(power + FLOOR) - CENTRE) / WIDTH).astype(np.float32)


def read_wav(path):
    """The samples of a wav file at 16,000 a second, one channel: float32 `[samples]`.

    Raises:
        ValueError: it is not a wav file of 16-bit samples.
    """
    try:
        with wave.open(str(path)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} must be a wav file. Received: {error}") from None
    if width != 2:
        raise ValueError(f"{path} must have samples of 16 bits. Received: {8 * width} bits")
    samples = np.frombuffer(content[: len(content) // (2 * channels) * 2 * channels], "<i2")
    return resampled(samples.reshape(-1, channels).mean(axis=1) / 32768, rate)


def resampled(samples, rate):
    """Sound of another rate at 16,000 samples a second, by its frequencies; float32 `[samples]`."""
    if rate == RATE or not len(samples):
        return np.asarray(samples, np.float32)
    length = max(1, round(len(samples) * RATE / rate))
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(samples))).astype(np.float32)
