import threading

import numpy as np
import pytest

import ksr_runtime

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 12, 6)).astype("float32")


@pytest.fixture
def model(files):
    return ksr_runtime.Model(files["chain"])


def test_chunks_of_any_length_give_the_bits_of_the_whole(model):
    whole = model.run(X[:1])
    stream = model.stream()
    for _ in range(2):
        parts = [stream(X[:1, begin:end]) for begin, end in ((0, 1), (1, 2), (2, 7), (7, 12))]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
        stream.reset()


def test_a_batch_of_sequences_is_one_stream(model):
    stream = model.stream(3)
    parts = [stream(X[:, begin : begin + 4]) for begin in (0, 4, 8)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), model.run(X))
    with pytest.raises(ValueError) as error:
        stream(X[:2])
    assert str(error.value) == (
        "the batch must be 3, one for each sequence of the stream. Received: 2"
    )


def test_streams_whose_frames_come_together_run_in_one_call(model):
    streams = [model.stream() for _ in range(3)]
    whole = model.run(X)
    streams[1](X[1:2, :1])  # it is a frame ahead
    for step in range(11):
        frames = np.stack([X[0, step], X[1, step + 1], X[2, step]])[:, None]
        results = model.step(streams, frames)
        for number in range(3):
            at = step + (number == 1)
            np.testing.assert_array_equal(results[number, 0], whole[number, at])


def test_streams_of_other_models_and_streams_twice_are_refused(model, files):
    other = ksr_runtime.Model(files["chain"]).stream()
    with pytest.raises(ValueError, match="^`streams` must be streams of this model, of one seq"):
        model.step([model.stream(), other], X[:2, :1])
    one = model.stream()
    with pytest.raises(ValueError) as error:
        model.step([one, one], X[:2, :1])
    assert (
        str(error.value) == "`streams` must be one stream or more, each once. Received: 2 streams"
    )


def test_many_threads_share_a_model(model):
    wanted, failed = model.run(X), []

    def work(number):
        stream = model.stream()
        for _ in range(20):
            stream.reset()
            parts = [stream(X[number : number + 1, t : t + 1]) for t in range(12)]
            if not np.array_equal(np.concatenate(parts, axis=1)[0], wanted[number]):
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number % 3,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_stream_in_use_is_refused_to_another_thread(model):
    streams = [model.stream() for _ in range(3)]
    use = (
        lambda: streams[1](X[:1]),
        streams[1].reset,
        lambda: model.step(streams, X),
    )
    with streams[1]._locks[0]:
        for act in use:
            with pytest.raises(RuntimeError) as error:
                act()
            assert str(error.value) == (
                "the stream is in use in another thread: give each thread a stream of its own"
            )
    for act in use:
        act()


def test_a_token_that_is_none_leaves_the_stream_as_it_was(files):
    model = ksr_runtime.Model(files["two"])
    tokens, x = RNG.integers(0, 7, (1, 5)), X[:1, :5, :3]
    stream = model.stream()
    whole = stream({"tokens": tokens, "x": x})
    stream.reset()
    with pytest.raises(ValueError, match="^tokens must be whole numbers from 0"):
        stream({"tokens": tokens - 1, "x": x})
    for one, other in zip(stream([tokens, x]).values(), whole.values()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batch", [0, True, 1.0])
def test_a_batch_that_is_none_is_refused(model, batch):
    with pytest.raises(ValueError) as error:
        model.stream(batch)
    assert str(error.value) == (
        f"`batch` must be an integer of at least 1. Received: batch={batch!r}"
    )
