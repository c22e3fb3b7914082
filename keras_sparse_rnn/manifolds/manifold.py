"""What all manifolds share, and what a manifold of one's own begins with."""

import numpy as np

STRIP = (
    2**21
    # entries of a matrix of distances that are computed at a time: some 16 MB for each intermediate
    # result
)
LARGEST_BLOCK = 32  # of which `order` keeps boundaries


class Manifold:
    """A set of places with a distance. Subclasses need `points` and `distance`; the rest has
    defaults.

        @keras.saving.register_keras_serializable(package="mine")
        class Line(ksr.manifolds.Manifold):
            def points(self, count, seed):
                return np.random.default_rng(seed).uniform(0, 10, (count, 1))

            def distance(self, a, b):
                return tf.abs(a - tf.transpose(b))

    `get_config` returns the arguments of the constructor, as with any Keras object.

    Attributes:
        side: for pictures, of one that is drawn unrolled: coordinates of `chart` run from 0 to
            this.
    """

    side: float | None = None

    def points(self, count, seed):
        """`count` points at random: a float array `[count, coordinates]`, the same for the same
        `seed`.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method points(count, seed)")

    def distance(self, a, b):
        """The distance of every point of `a` to every point of `b`.

        Written with TensorFlow (or `keras.ops`), of finite gradient also where points coincide, it
        serves trained embeddings too; for others NumPy does.

        Args:
            a, b: points, float arrays or tensors `[count, coordinates]` of one dtype.

        Returns:
            Array or tensor `[points of a, points of b]`, of their dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method distance(a, b)")

    def lattice(self, count):
        """`count` evenly spread points, the same every time: float array `[count, coordinates]`.

        By default, from 16 times as many random ones the one is taken, again and again, that is
        farthest from all taken before.
        """
        candidates = np.asarray(self.points(16 * count, 0))
        chosen = [0]
        nearest = np.full(len(candidates), np.inf)
        while len(chosen) < count:
            nearest = np.minimum(nearest, self.distances(candidates, candidates[chosen[-1:]])[:, 0])
            chosen.append(int(nearest.argmax()))
        return candidates[chosen]

    def order(self, points):
        """A permutation of `points` in which neighbours in number are neighbours in place, int
        array `[count]`.

        Every run of 16 that begins at a multiple of 16 is a compact patch, and so are runs of 32,
        8, 4 and 2. The points are cut in halves, at the middle of the coordinate in which they
        extend farthest, and so are the halves; sizes are multiples of the power of two in question.
        It uses coordinates alone, so it suits every manifold on which points of like coordinates
        are near each other. (On these manifolds it made better blocks than spectral bisection of
        the distances did.)
        """
        order = []
        parts = [np.arange(len(points))]
        while parts:
            part = parts.pop()
            if len(part) <= 2:
                order.extend(part)
                continue
            extent = np.ptp(points[part], axis=0)
            axis = int(
                np.argmax(extent >= extent.max() * (1 - 1e-9))
            )  # rounding does not choose between equal ones
            part = part[np.argsort(points[part, axis].round(9), kind="stable")]
            unit = min(LARGEST_BLOCK, 2 ** ((len(part) - 1).bit_length() - 1))
            middle = max(1, round(len(part) / 2 / unit)) * unit
            parts += [part[middle:], part[:middle]]
        return np.array(order)

    def place(self, count, placement, seed):
        """`points` or `lattice`, as `placement` says: `"random"` or `"lattice"`."""
        return np.asarray(
            self.points(count, seed) if placement == "random" else self.lattice(count)
        )

    def distances(self, a, b):
        """`distance` as a NumPy array, computed in strips that fit the cache."""
        rows = max(1, STRIP // len(b))
        return np.concatenate(
            [
                np.asarray(self.distance(a[first : first + rows], b))
                for first in range(0, len(a), rows)
            ]
        )

    def chart(self, points):
        """For pictures: two or three coordinates of each point, float array `[count, 2 or 3]` (or
        1). By default the first ones.
        """
        return points[:, :3]

    def image(self, a, b):
        """For pictures: where `b` lies seen from `a`, row by row, both and the result in
        coordinates of `chart`.

        On a manifold that is drawn unrolled, it is the image of `b` nearest to `a`, which may lie
        beyond the edge.
        """
        return b

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), repr(self.get_config())))

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def check_dimensions(dimensions):
    """Returns `dimensions`, or raises a `ValueError`."""
    if not isinstance(dimensions, int) or isinstance(dimensions, bool) or dimensions < 1:
        raise ValueError(
            f"`dimensions` must be an integer of at least 1. Received: dimensions={dimensions!r}"
        )
    return dimensions
