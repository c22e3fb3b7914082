import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from examples.keyword_spotting import data, front_end, noises, recorded, spoken

FOLDER = pathlib.Path(front_end.__file__).parent
RATE = front_end.RATE
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed"
)


def sound(seconds=1.0, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=int(seconds * RATE))


def test_frames_of_a_stream_are_those_of_the_whole_recording_bit_by_bit():
    samples = sound(1.3)
    whole = front_end.FrontEnd()(samples)
    assert whole.shape == (52, front_end.MELS) and whole.dtype == np.float32
    stream = front_end.FrontEnd()
    parts = np.split(samples, [0, 1, 7, 399, 400, 401, 1201, 9000, 9001, 20_799])
    np.testing.assert_array_equal(np.concatenate([stream(part) for part in parts]), whole)
    stream.reset()
    np.testing.assert_array_equal(stream(samples), whole)


@pytest.mark.parametrize("frame", [0, 3, 17])
def test_a_frame_depends_on_its_window_and_on_nothing_later(frame):
    samples = sound()
    frames = front_end.FrontEnd()(samples)
    end = (frame + 1) * front_end.HOP
    later, earlier = samples.copy(), samples.copy()
    later[end:] += 1
    changed = front_end.FrontEnd()(later)
    np.testing.assert_array_equal(changed[: frame + 1], frames[: frame + 1])
    assert (changed[frame + 1] != frames[frame + 1]).any()
    earlier[: max(0, end - front_end.WINDOW)] += 1
    np.testing.assert_array_equal(front_end.FrontEnd()(earlier)[frame], frames[frame])


def test_a_tone_lies_in_its_band():
    frequencies = np.fft.rfftfreq(front_end.TRANSFORM, 1 / RATE)
    args = front_end.LOWEST, front_end.HIGHEST, RATE, front_end.TRANSFORM
    triangles = front_end.mel_triangles(front_end.MELS, *args)
    for frequency in (200, 1000, 5000):
        tone = 0.3 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
        expected = triangles[np.abs(frequencies - frequency).argmin()].argmax()
        assert abs(front_end.FrontEnd()(tone)[10].argmax() - expected) <= 1


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
def test_wav_files_of_any_rate_are_read(rate, tmp_path, write_clip):
    tone = lambda rate: 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)
    write_clip(tmp_path / "tone.wav", tone(rate), rate)
    samples = front_end.read_wav(tmp_path / "tone.wav")
    np.testing.assert_allclose(samples[500:-500], tone(RATE)[500:-500], atol=2e-3)


def test_what_is_no_wav_file_is_refused_in_words(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"no sound at all")
    with pytest.raises(ValueError) as error:
        front_end.read_wav(path)
    assert str(error.value) == (
        f"{path} must be a wav file. Received: file does not start with RIFF id"
    )


@pytest.mark.parametrize("kind", noises.KINDS)
def test_noise_is_of_mean_square_one_and_its_own(kind):
    babble = lambda generator: generator.normal(size=3000)
    make = lambda seed: noises.noise(kind, 8000, np.random.default_rng(seed), babble)
    assert np.mean(make(0) ** 2) == pytest.approx(1)
    np.testing.assert_array_equal(make(0), make(0))
    assert np.abs(make(0) - make(1)).max() > 0.1


def test_echoes_come_after_the_sound_and_are_as_loud_as_asked():
    click = np.zeros(RATE)
    click[1000] = 1
    heard = noises.in_room(click, 0.4, 6.0, np.random.default_rng(0))
    np.testing.assert_allclose(heard[:1000], 0, atol=1e-9)
    assert heard[1000] == pytest.approx(1)
    np.testing.assert_allclose(heard[1001:1030], 0, atol=1e-9)
    assert np.sum(heard[1001:] ** 2) == pytest.approx(10**-0.6)


@needs_espeak
def test_no_voice_of_validation_or_test_is_heard_in_training(monkeypatch):
    heard = {}
    for split in data.SPLITS:
        monkeypatch.setattr(
            spoken, "said", lambda text, voice, *_: heard[split].add(voice) or np.ones(3000)
        )
        heard[split] = set()
        clips = spoken.clips(split, 300)
        assert clips == spoken.clips(split, 300)
        for clip in clips:
            clip.sound()
        noise = {clip.noise for clip in clips}
        assert noise == set(noises.KINDS)  # babble, too
    variants = [{voice.split("+")[1] for voice in heard[split]} for split in data.SPLITS]
    assert all(len(each) >= 10 for each in variants)
    assert not variants[0] & (variants[1] | variants[2]) and not variants[1] & variants[2]


@needs_espeak
def test_a_clip_has_its_word_at_its_place_and_always_the_same_sound():
    clips = [one for one in spoken.clips("test", 60) if one.text and not one.decay]
    clip = max(clips, key=lambda one: one.ratio)
    samples = clip.sound()
    np.testing.assert_array_equal(samples, clip.sound())
    assert samples.shape == (RATE,) and samples.dtype == np.float32
    end = round(clip.end * RATE)
    loudness = lambda part: np.sqrt(np.mean(part**2))
    assert loudness(samples[end - 3000 : end]) > 1.5 * loudness(samples[end + 100 :])


def test_features_are_made_once_and_whole_files_only(commands, tmp_path, monkeypatch):
    frames, labels = data.load("test", tmp_path, commands)
    assert frames.shape == (len(labels), data.FRAMES, front_end.MELS)
    (file,) = tmp_path.iterdir()
    monkeypatch.setattr(recorded.Recorded, "sound", lambda self: 1 / 0)
    again, same = data.load("test", tmp_path, commands)
    np.testing.assert_array_equal(again, frames)
    np.testing.assert_array_equal(same, labels)
    file.unlink()
    with pytest.raises(ZeroDivisionError):
        data.load("test", tmp_path, commands)
    assert not [*tmp_path.iterdir()]


def test_the_lists_of_speech_commands_part_the_speakers(commands):
    splits = {split: recorded.clips(commands, split) for split in data.SPLITS}
    speakers = {
        split: {clip.speaker for clip in clips if clip.label != spoken.SILENCE}
        for split, clips in splits.items()
    }
    assert speakers["training"] <= {"s0", "s1", "s2", "s3"}
    assert speakers["validation"] == {"s4"} and speakers["test"] == {"s5"}
    for split, each in (("training", 8), ("test", 2)):
        labels = [clip.label for clip in splits[split]]
        assert all(labels.count(word) == each for word in spoken.WORDS)
        assert labels.count(spoken.UNKNOWN) == 2 * each
        assert labels.count(spoken.SILENCE) == each
    assert splits["test"] == recorded.clips(commands, "test")
    short = next(clip for clip in splits["training"] if clip.path.endswith("s0_nohash_0.wav"))
    assert len(short.sound()) == RATE and not short.sound()[9000:].any()


def test_a_folder_of_another_layout_is_refused_in_words(commands, tmp_path):
    folder = tmp_path / "commands"
    shutil.copytree(commands, folder)
    shutil.rmtree(folder / "yes")
    (folder / "testing_list.txt").unlink()
    with pytest.raises(ValueError) as error:
        recorded.clips(folder, "training")
    assert str(error.value) == (
        "--data: must be a folder in the layout of Speech Commands, with a folder for each of yes, "
        "no, up, down, left, right, on, off, stop, go and the lists validation_list.txt, "
        f"testing_list.txt. Received: {folder}, which lacks testing_list.txt, yes"
    )


def test_a_clip_is_told_by_the_mean_of_its_last_probabilities():
    logits = np.zeros((1, 2 * data.FRAMES, 3))
    logits[0, : data.FRAMES - data.DECIDED, 1] = 50  # too early to count
    logits[0, data.FRAMES - 2, 1] = 50  # sure, but once
    logits[0, data.FRAMES - data.DECIDED : data.FRAMES, 2] += 2
    logits[0, -1, 0] = 1
    np.testing.assert_array_equal(data.decisions(logits), [[2, 0]])


def test_streams_are_clips_one_after_the_other():
    frames = np.arange(45 * data.FRAMES, dtype=np.float32).reshape(45, data.FRAMES, 1)
    frames = np.repeat(frames, front_end.MELS, axis=2)
    x, y = data.streams(frames, np.arange(45))
    assert x.shape == (2, 20 * data.FRAMES, front_end.MELS)
    np.testing.assert_array_equal(x[..., 0].reshape(-1), np.arange(40 * data.FRAMES))
    np.testing.assert_array_equal(y.reshape(-1), np.arange(40))


def run(*arguments, cwd, **options):
    """Runs a module of the example from another folder."""
    path = [*sys.path, str(FOLDER.parents[1])]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        **options,
    )


def test_the_terminal_program_runs_without_tensorflow(tmp_path):
    code = (
        "import sys, examples.keyword_spotting.spot; "
        "print({'tensorflow', 'keras'} & {*sys.modules})"
    )
    assert run("-c", code, cwd=tmp_path, check=True).stdout.decode().strip() == "set()"


def test_the_table_of_the_readme_is_that_of_the_results():
    from examples.keyword_spotting import chart

    results = json.loads((FOLDER / "results" / "keyword_spotting.json").read_text())
    readme = (FOLDER / "README.md").read_text()
    assert f"{chart.BEGIN}\n{chart.table(results)}\n{chart.END}" in readme
