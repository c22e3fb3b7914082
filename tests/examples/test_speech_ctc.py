import json
import pathlib
import shutil
import subprocess
import sys
import wave

import keras
import numpy as np
import pytest
import tensorflow as tf

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import speech_audio  # noqa: E402
import speech_ctc  # noqa: E402
import speech_data  # noqa: E402
import speech_features  # noqa: E402
import speech_measure  # noqa: E402
import speech_training  # noqa: E402

RATE = 16_000
needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed")


def write_wav(path, samples, rate=RATE, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((32767 * samples).astype("<i2").tobytes())


def tones(text, pitch, generator):
    """Each letter a tone of its own for 0.12 seconds, in a little noise."""
    time = np.arange(int(0.12 * RATE)) / RATE
    letters = [np.sin(2 * np.pi * pitch * (200 + 150 * (ord(letter) - ord("`"))) * time) for letter in text]
    return 0.5 * np.concatenate(letters) + 0.01 * generator.normal(size=len(text) * len(time)).clip(-3, 3)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Eleven speakers of different pitch who whistle words, in the layout of LibriSpeech. One of them is held out."""
    folder, generator = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    for speaker in range(11):
        chapter = folder / f"s{speaker:02}" / "7"
        texts = ["".join(generator.choice(list("abc"), generator.integers(3, 7))) for _ in range(9)]
        for number, text in enumerate(texts):
            write_wav(chapter / f"{speaker}-7-{number}.wav", tones(text, 0.9 + 0.02 * speaker, generator))
        (chapter / f"{speaker}-7.trans.txt").write_text("".join(f"{speaker}-7-{number} {text.upper()}\n" for number, text in enumerate(texts)))
    return folder


def printed(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_steps_of_all_kinds_are_timed(recordings, tmp_path):
    training, test = speech_audio.recorded(recordings)
    speech = speech_data.Speech(training, test, tmp_path, speech_ctc.console, "tones")
    recipe = speech_training.Recipe(cell="rnn", layers=1, units=16, steps=20, batch=4, learning_rate=1e-3)
    models = {"dense": speech_training.trained(recipe, speech, tmp_path, speech_ctc.console)}
    times = speech_measure.milliseconds_per_step(models, speech, rounds=2)
    assert set(times) == {"dense", "keras"} and min(times.values()) > 0


def test_whole_run_on_recordings(recordings, tmp_path, capsys, monkeypatch):
    """Quick models of every kind, the tables' figures, the pictures; a second run finds all of it done."""
    monkeypatch.setattr(speech_ctc, "milliseconds_per_step", lambda models, *_, **__: dict.fromkeys([*models, "keras"], 1.0))
    arguments = ["--quick", "--data", str(recordings), "--output", str(tmp_path)]
    assert speech_ctc.main(arguments) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"training-rnn.png", "utterance-rnn.png"}
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["speech"]["voices"] == [10, 1]
    (run,) = results["models"]["rnn"]
    dense, small, again, pruned, lasso, wide = run.values()
    assert dense["sparsity"] == again["sparsity"] == 0
    assert abs(small["parameters"] - pruned["parameters"]) < 200
    for one in (pruned, lasso, wide):
        assert one["sparsity"] == pytest.approx(0.9, abs=0.01)
    assert pruned["parameters"] < wide["parameters"] < dense["parameters"]
    assert all(one["cer"] > 0 for one in run.values())
    assert set(results["milliseconds_per_step"]["rnn"]) == {*run, "keras"}
    capsys.readouterr()
    assert speech_ctc.main(arguments) == 0
    assert printed(capsys).count("taken from") == 6
    assert json.loads((tmp_path / "results.json").read_text())["models"] == results["models"]


@needs_espeak
def test_spoken_test_shares_neither_voice_nor_sentence_with_the_training():
    training, test = speech_audio.spoken(60, 30, words=(1, 1))
    assert not {one.speaker for one in training} & {one.speaker for one in test}
    assert not {one.text for one in training} & {one.text for one in test}
    assert (training, test) == speech_audio.spoken(60, 30, words=(1, 1))
    samples, rate = test[3].read()
    np.testing.assert_array_equal(samples, test[3].read()[0])
    assert 0.2 < len(samples) / rate < 3
    assert 0 < np.abs(samples).max() < 4


def test_missing_espeak_is_named_with_what_to_install(monkeypatch, tmp_path, capsys):
    speech_audio._program.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert speech_ctc.main(["--quick", "--output", str(tmp_path / "out")]) == 2
    assert printed(capsys) == (
        "error: Speech is made with the program espeak-ng, which is not installed: apt install espeak-ng (Debian, Ubuntu), "
        "brew install espeak-ng (macOS), dnf install espeak-ng (Fedora). Or give recordings of your own: --data FOLDER"
    )
    assert not (tmp_path / "out").exists()


def test_held_out_speakers_and_their_words_are_not_trained_on(recordings):
    training, test = speech_audio.recorded(recordings)
    assert {one.speaker for one in test} == {"s00"}
    assert not {one.speaker for one in training} & {one.speaker for one in test}
    assert not {one.text for one in training} & {one.text for one in test}


def test_a_single_speaker_has_a_tenth_of_the_recordings_held_out(tmp_path):
    for number in range(20):
        write_wav(tmp_path / "me" / "1" / f"{number}.wav", np.zeros(900))
    (tmp_path / "me" / "1" / "me.trans.txt").write_text("".join(f"{number} word {number}\n" for number in range(20)))
    training, test = speech_audio.recorded(tmp_path)
    assert [one.text for one in test] == ["word 0", "word 10"]
    assert len(training) == 18


@pytest.mark.parametrize(
    "line, message",
    [
        ("x1 HELLO", "Received: {path} with 'x1', which has no recording"),
        ("x0", "Received: {path} with 'x0', which has no words"),
    ],
)
def test_transcripts_without_recordings_or_words_are_refused(line, message, tmp_path):
    path = tmp_path / "s" / "c" / "c.trans.txt"
    write_wav(path.parent / "x0.wav", np.zeros(900))
    path.write_text(line + "\n")
    with pytest.raises(ValueError) as error:
        speech_audio.recorded(tmp_path)
    assert str(error.value) == (
        "Each line of a transcript must be the name of a recording beside it, .wav or .flac, a space, and what is said. " + message.format(path=path)
    )


def test_folder_without_transcripts_is_refused(tmp_path, capsys):
    assert speech_ctc.main(["--data", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert printed(capsys) == (
        f"error: `--data` must be a folder with transcripts, SPEAKER/CHAPTER/*.trans.txt. Received: {tmp_path}, which has none"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--sparsity", "1.5"], "`--sparsity` must be a fraction in [0, 1), 0.9 for 90 %. Received: --sparsity=1.5"),
        (["--seeds", "0"], "`--seeds` must be at least 1. Received: 0"),
        (["--steps", "3"], "`--steps` must be at least 20. Received: 3"),
        (["--larger", "0.5"], "`--larger` must be at least 1. Received: 0.5"),
        (["--blocks", "0x16"], "`--blocks` must be (rows, columns), two integers of at least 1. Received: --blocks=(0, 16)"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_made(arguments, message, tmp_path, capsys):
    assert speech_ctc.main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert printed(capsys) == f"error: {message}"
    assert not (tmp_path / "out").exists()


def test_recordings_of_a_low_rate_are_refused(tmp_path):
    write_wav(tmp_path / "low.wav", np.zeros(900), rate=8000)
    with pytest.raises(ValueError) as error:
        speech_audio.Recorded("a", "s", tmp_path / "low.wav").read()
    assert str(error.value).startswith("A recording must have at least 16000 samples a second, and one sample. Received: ")


def test_channels_are_averaged(tmp_path):
    both = np.array([[0.5, -0.25], [0.25, 0.25], [0.0, 0.125]])
    write_wav(tmp_path / "stereo.wav", both, channels=2)
    samples, _ = speech_audio.Recorded("a", "s", tmp_path / "stereo.wav").read()
    np.testing.assert_allclose(samples, both.mean(axis=1), atol=1e-4)


def test_a_tone_stands_in_the_band_of_its_frequency():
    """And the gain of a recording changes nothing."""
    time = np.arange(RATE) / RATE
    sweep = np.concatenate([np.sin(2 * np.pi * frequency * time) for frequency in (300, 3000)]).astype(np.float32)
    found = speech_features.log_mel(sweep, RATE).reshape(-1, speech_features.MELS)
    frequencies = np.fft.rfftfreq(512, 1 / RATE)
    peaks = frequencies[speech_features.mel_filters(RATE, 512).argmax(axis=0)]
    assert abs(peaks[found[20].argmax()] - 300) < 60
    assert abs(peaks[found[-20].argmax()] - 3000) < 200
    np.testing.assert_allclose(speech_features.log_mel(0.01 * sweep, RATE), speech_features.log_mel(sweep, RATE), atol=0.01)


def test_features_are_computed_once_and_again_where_the_sound_has_changed(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(speech_features, "SHARD", 4)
    utterances = speech_audio.recorded(recordings)[1][:7]
    first = speech_features.features(utterances, tmp_path, speech_ctc.console)
    assert [len(one) > 0 for one in first] == [True] * 7
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 2
    monkeypatch.setattr(speech_features, "log_mel", lambda samples, rate: np.zeros((1, speech_data.FEATURES), np.float16))
    for one, other in zip(first, speech_features.features(utterances, tmp_path, speech_ctc.console)):
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
    np.testing.assert_array_equal(bands, speech_data.altered(frames, np.random.default_rng(seed)).reshape(9, 2, 40))
    np.testing.assert_array_equal(frames, kept)
    monkeypatch.setattr(speech_data, "WIDEST", 0)
    ramp = np.tile(np.arange(40.0), (1, 2))
    np.testing.assert_allclose(np.diff(speech_data.altered(ramp, np.random.default_rng(1))[0, :30], n=2), 0, atol=1e-5)
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


def test_padding_changes_nothing():
    """Neither the loss nor what is heard: shorter utterances are masked, in both directions."""
    keras.utils.set_random_seed(5)
    recipe = speech_training.Recipe(cell="gru", layers=2, units=5)
    model = speech_training.build(recipe, letters=4)
    generator = np.random.default_rng(2)
    utterances = [(generator.normal(size=(frames, speech_data.FEATURES)), np.array(codes)) for frames, codes in ((11, [1, 4, 4]), (7, [2, 3]))]
    frames, targets = speech_data.collate(utterances)
    alone_frames, alone_targets = speech_data.collate(utterances[1:])
    together, alone = model(frames), model(alone_frames)
    np.testing.assert_allclose(together[1, :7], alone[0], atol=1e-5)
    np.testing.assert_allclose(speech_training.ctc(targets, together)[1], speech_training.ctc(alone_targets, alone)[0], rtol=1e-5)


def test_ctc_is_the_sum_over_all_paths():
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(5, 3))
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    paths = np.stack(np.meshgrid(*[range(3)] * 5), -1).reshape(-1, 5)
    matching = [path for path in paths if list(speech_training.collapsed(path)) == [2, 1]]
    expected = -np.log(sum(np.exp(log_probabilities[range(5), path].sum()) for path in matching))
    loss = speech_training.ctc(np.array([[5, 2, 1, 0]]), tf.constant(log_probabilities[None], tf.float32))
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


@pytest.mark.parametrize("path, letters", [([0, 0], []), ([], []), ([3, 3, 0, 3, 1, 1], [3, 3, 1]), ([0, 2, 2, 0], [2])])
def test_equal_neighbours_count_once_and_blanks_not(path, letters):
    assert list(speech_training.collapsed(np.array(path, int))) == letters


@pytest.mark.parametrize("one, other, distance", [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("six", "sixty six", 6)])
def test_edit_distance(one, other, distance):
    assert speech_training.edit_distance(one, other) == speech_training.edit_distance(other, one) == distance


def test_character_error_rate_weighs_utterances_by_their_letters():
    assert speech_training.character_error_rate(["ab", ""], ["ab", "abcdef"]) == 6 / 8


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_weights_are_counted_right(cell):
    recipe = speech_training.Recipe(cell=cell, layers=2, units=7)
    model = speech_training.build(recipe, letters=5)
    assert speech_training.weights(recipe, 5) == model.count_params() == speech_training.parameters(model)


def test_letters_survive_the_round_trip(recordings, tmp_path):
    training, test = speech_audio.recorded(recordings)
    speech = speech_data.Speech(training[:9], test[:3], tmp_path, speech_ctc.console, "tones")
    assert speech.letters == ["a", "b", "c"]
    assert speech.decode(speech.encode("abca")) == "abca"
    frames, targets = next(iter(speech.batches(4, 3, seed=1)))
    assert frames.shape[0] == targets.shape[0] == 4
    assert int(targets[0, 0]) == int(np.any(frames[0] != 0, axis=-1).sum())


@needs_espeak
@pytest.mark.slow
def test_quick_run_from_the_command_line(tmp_path):
    run = subprocess.run([sys.executable, str(EXAMPLES / "speech_ctc.py"), "--quick", "--output", str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "results.json").exists()
