import shutil

import numpy as np
import pytest

from experiments.speech import (
    speech_audio,
    speech_ctc,
    speech_data,
    speech_features,
    speech_recordings,
)

RATE = 16_000
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed"
)


@needs_espeak
def test_spoken_test_shares_neither_voice_nor_sentence_with_the_training():
    training, test = speech_audio.spoken(40, 10, aside=20, words=(1, 1))
    assert not {one.speaker for one in training} & {one.speaker for one in test}
    assert not {one.text for one in training} & {one.text for one in test}
    assert (training, test) == speech_audio.spoken(40, 10, aside=20, words=(1, 1))
    # What is set aside is what the test would begin with otherwise.
    _, aside = speech_audio.spoken(0, 20, aside=0, words=(1, 1))
    assert not {one.text for one in aside} & {one.text for one in training + test}
    samples, rate = test[3].read()
    np.testing.assert_array_equal(samples, test[3].read()[0])
    assert 0.2 < len(samples) / rate < 3
    assert 0 < np.abs(samples).max() < 4


def test_held_out_speakers_and_their_words_are_not_trained_on(recordings):
    training, test = speech_recordings.recorded(recordings)
    assert {one.speaker for one in test} == {"s00"}
    assert not {one.speaker for one in training} & {one.speaker for one in test}
    assert not {one.text for one in training} & {one.text for one in test}


def test_a_single_speaker_has_a_tenth_of_the_recordings_held_out(tmp_path, write_wav):
    for number in range(20):
        write_wav(tmp_path / "me" / "1" / f"{number}.wav", np.zeros(900))
    (tmp_path / "me" / "1" / "me.trans.txt").write_text(
        "".join(f"{number} word {number}\n" for number in range(20))
    )
    training, test = speech_recordings.recorded(tmp_path)
    assert [one.text for one in test] == ["word 0", "word 10"]
    assert len(training) == 18


@pytest.mark.parametrize(
    "line, message",
    [
        ("x1 HELLO", "Received: {path} with 'x1', which has no recording"),
        ("x0", "Received: {path} with 'x0', which has no words"),
    ],
)
def test_transcripts_without_recordings_or_words_are_refused(line, message, tmp_path, write_wav):
    path = tmp_path / "s" / "c" / "c.trans.txt"
    write_wav(path.parent / "x0.wav", np.zeros(900))
    path.write_text(line + "\n")
    with pytest.raises(ValueError) as error:
        speech_recordings.recorded(tmp_path)
    assert str(error.value) == (
        "Each line of a transcript must be the name of a recording beside it, .wav or .flac, a "
        "space, and what is said. " + message.format(path=path)
    )


def test_recordings_of_a_low_rate_are_refused(tmp_path, write_wav):
    write_wav(tmp_path / "low.wav", np.zeros(900), rate=8000)
    with pytest.raises(ValueError) as error:
        speech_recordings.Recorded("a", "s", tmp_path / "low.wav").read()
    assert str(error.value).startswith(
        "A recording must have at least 16000 samples a second, and one sample. Received: "
    )


def test_channels_are_averaged(tmp_path, write_wav):
    both = np.array([[0.5, -0.25], [0.25, 0.25], [0.0, 0.125]])
    write_wav(tmp_path / "stereo.wav", both, channels=2)
    samples, _ = speech_recordings.Recorded("a", "s", tmp_path / "stereo.wav").read()
    np.testing.assert_allclose(samples, both.mean(axis=1), atol=1e-4)


def test_a_tone_stands_in_the_band_of_its_frequency():
    """And the gain of a recording changes nothing."""
    time = np.arange(RATE) / RATE
    sweep = np.concatenate(
        [np.sin(2 * np.pi * frequency * time) for frequency in (300, 3000)]
    ).astype(np.float32)
    found = speech_features.log_mel(sweep, RATE).reshape(-1, speech_features.MELS)
    frequencies = np.fft.rfftfreq(512, 1 / RATE)
    peaks = frequencies[speech_features.mel_filters(RATE, 512).argmax(axis=0)]
    assert abs(peaks[found[20].argmax()] - 300) < 60
    assert abs(peaks[found[-20].argmax()] - 3000) < 200
    np.testing.assert_allclose(
        speech_features.log_mel(0.01 * sweep, RATE), speech_features.log_mel(sweep, RATE), atol=0.01
    )


def test_features_are_computed_once_and_again_where_the_sound_has_changed(
    recordings, tmp_path, monkeypatch
):
    monkeypatch.setattr(speech_features, "SHARD", 4)
    utterances = speech_recordings.recorded(recordings)[1][:7]
    first = speech_features.features(utterances, tmp_path, speech_ctc.console)
    assert [len(one) > 0 for one in first] == [True] * 7
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 2
    monkeypatch.setattr(
        speech_features,
        "log_mel",
        lambda samples, rate: np.zeros((1, speech_data.FEATURES), np.float16),
    )
    for one, other in zip(
        first, speech_features.features(utterances, tmp_path, speech_ctc.console)
    ):
        np.testing.assert_array_equal(one, other)
    kept[0].unlink()
    changed = speech_features.features(utterances, tmp_path, speech_ctc.console)
    assert sum(not one.any() for one in changed) in (3, 4)
    assert sorted(tmp_path.iterdir()) == kept


def test_altered_utterances_are_stretched_in_bands_and_silenced_in_few(monkeypatch):
    frames = np.random.default_rng(0).normal(1, 0.1, (9, speech_data.FEATURES)).astype(np.float16)
    kept = frames.copy()
    for seed in range(50):
        bands = speech_data.altered(frames, np.random.default_rng(seed)).reshape(9, 2, 40)
        silent = ~bands.any(axis=(0, 1))
        assert (silent == ~bands.all(axis=(0, 1))).all()
        assert silent.sum() <= 16
        assert 0.5 < bands[..., ~silent].min() and bands.max() < 1.5
    np.testing.assert_array_equal(
        bands, speech_data.altered(frames, np.random.default_rng(seed)).reshape(9, 2, 40)
    )
    np.testing.assert_array_equal(frames, kept)
    monkeypatch.setattr(speech_data, "WIDEST", 0)
    ramp = np.tile(np.arange(40.0), (1, 2))
    np.testing.assert_allclose(
        np.diff(speech_data.altered(ramp, np.random.default_rng(1))[0, :30], n=2), 0, atol=1e-5
    )
    monkeypatch.setattr(speech_data, "STRETCH", 0)
    np.testing.assert_allclose(speech_data.altered(frames, np.random.default_rng(1)), frames)


def test_batches_are_of_like_length_and_use_all_utterances():
    lengths = np.random.default_rng(1).integers(10, 200, 331)
    order = speech_data.batch_order(lengths, size=7, steps=47, seed=3)
    assert len(set(np.concatenate(order))) == 47 * 7
    spread = np.mean([np.ptp(lengths[batch]) for batch in order])
    assert spread < np.ptp(lengths) / 5
    np.testing.assert_array_equal(order, speech_data.batch_order(lengths, 7, 47, 3))
    assert not np.array_equal(order, speech_data.batch_order(lengths, 7, 47, 4))


def test_letters_survive_the_round_trip(recordings, tmp_path):
    training, test = speech_recordings.recorded(recordings)
    speech = speech_data.Speech(training[:9], test[:3], tmp_path, speech_ctc.console, "tones")
    assert speech.letters == ["a", "b", "c"]
    assert speech.decode(speech.encode("abca")) == "abca"
    frames, targets = next(iter(speech.batches(4, 3, seed=1)))
    assert frames.shape[0] == targets.shape[0] == 4
    assert int(targets[0, 0]) == int(np.any(frames[0] != 0, axis=-1).sum())
