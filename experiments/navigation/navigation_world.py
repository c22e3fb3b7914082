"""A square box, the walks of an animal through it, and the place cells that say where it is."""

import dataclasses
import functools

import keras
import numpy as np

TEST_WALKS = 500
TEST_SEED = 10**6


@dataclasses.dataclass(frozen=True)
class World:
    """The box and how one walks in it. Positions are metres from its centre.

    Args:
        side: of the box, metres.
        interval: between two steps, seconds.
        steps: of one walk.
        speed: metres a second; the speed is Rayleigh-distributed with this scale, so its mean is
            1.25 times that.
        change: seconds after which the speed has forgotten what it was.
        turning: the heading's random walk, radians after one second (standard deviation).
        cells: how many place cells.
        field: radius of a place field (standard deviation of its excitation), metres.
        surround: variance of the inhibition over that of the excitation.
    """

    side: float = 1.1
    interval: float = 0.05
    steps: int = 20
    speed: float = 0.82
    change: float = 0.2
    turning: float = 1.63
    cells: int = 128
    field: float = 0.12
    surround: float = 2.0


@dataclasses.dataclass(frozen=True)
class Walks:
    """Walks through a box.

    Attributes:
        start: float32 `[walks, 2]`, metres.
        velocity: float32 `[walks, steps, 2]`, metres a second; all that the network is told after
            the start.
        position: float32 `[walks, steps, 2]`, metres, after each of the steps.
    """

    start: np.ndarray
    velocity: np.ndarray
    position: np.ndarray


def walks(world, count, seed):
    """Smooth random walks, all at once, that are reflected by the walls.

    Args:
        world: `World`.
        count: how many.
        seed: whatever `numpy.random.default_rng` takes.

    Returns:
        `Walks`.
    """
    generator = np.random.default_rng(seed)
    half = world.side / 2
    position = generator.uniform(-half, half, (count, 2))
    heading = generator.uniform(-np.pi, np.pi, count)
    gust = generator.normal(size=(count, 2))
    kept = np.exp(-world.interval / world.change)
    velocities, positions = (np.empty((count, world.steps, 2), np.float32) for _ in range(2))
    start = position.astype(np.float32)
    for step in range(world.steps):
        heading = heading + world.turning * np.sqrt(world.interval) * generator.normal(size=count)
        gust = kept * gust + np.sqrt(1 - kept**2) * generator.normal(size=gust.shape)
        length = world.speed * world.interval * np.hypot(*gust.T)
        reached = position + length[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        beyond = np.abs(reached) > half
        reached = np.where(beyond, np.sign(reached) * world.side - reached, reached)
        heading = np.where(beyond[:, 0], np.pi - heading, heading)
        heading = np.where(beyond[:, 1], -heading, heading)
        velocities[:, step] = (reached - position) / world.interval
        positions[:, step] = position = reached
    return Walks(start, velocities, positions)


@functools.lru_cache(maxsize=2)
def test_walks(world):
    """The walks of all tests in this world."""
    return walks(world, TEST_WALKS, TEST_SEED)


@functools.lru_cache(maxsize=1)
def training_walks(world, count, seed):
    """`count` walks that no test has."""
    return walks(world, count, [seed, 1])


@keras.saving.register_keras_serializable(package="navigation")
class PlaceCells(keras.layers.Layer):
    """The activity of place cells: float32 positions `[..., 2]` in metres to activities `[...,
    cells]` that sum to one.

    A cell is excited near its centre and inhibited in a ring around (difference of Gaussians): the
    softmax over the cells of `-d^2 / (2 field^2)` less that of `-d^2 / (2 surround field^2)`, with
    d the distance of the centre. The least of all cells then becomes zero, and their sum one.

    Args:
        world: `World`.
        seed: of the centres, uniform in the box.
    """

    def __init__(self, world, seed, **kwargs):
        super().__init__(**kwargs)
        self.world, self.seed = world, seed
        half = world.side / 2
        self.centres = (
            np.random.default_rng([seed, 0])
            .uniform(-half, half, (world.cells, 2))
            .astype(np.float32)
        )

    def call(self, positions):
        centres = keras.ops.convert_to_tensor(self.centres)
        # |x - c|^2 less |x|^2, which is the same for all cells and leaves a softmax as it is.
        near = 2 * keras.ops.matmul(positions, keras.ops.transpose(centres)) - keras.ops.sum(
            centres**2, axis=-1
        )
        near = near / (2 * self.world.field**2)
        activity = keras.ops.softmax(near) - keras.ops.softmax(near / self.world.surround)
        activity = activity - keras.ops.min(activity, axis=-1, keepdims=True)
        return activity / keras.ops.sum(activity, axis=-1, keepdims=True)

    def decode(self, scores, best=3):
        """Where the animal is by these cells: the mean of the centres of the most active ones.

        Args:
            scores: `[..., cells]`, activities or anything that grows with them.
            best: how many cells.

        Returns:
            Array `[..., 2]`, metres.
        """
        most = np.argpartition(np.asarray(scores), -best, axis=-1)[..., -best:]
        return self.centres[most].mean(axis=-2)

    def get_config(self):
        return {**super().get_config(), "world": dataclasses.asdict(self.world), "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "world": World(**config["world"])})

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.world.cells)


def centimetres(decoded, position):
    """The mean distance of two arrays of positions `[..., 2]` in metres, in centimetres."""
    return float(100 * np.hypot(*np.moveaxis(decoded - position, -1, 0)).mean())
