"""Where neurons live: points on a manifold, and how far apart they are.

`ksr.regularizers.Moduli` gives every neuron a place on one of these and makes weights between
certain distances cheap and the others dear.

- `Circle`, `Sphere`, `Sphere3`: unit vectors in 2, 3 and 4 dimensions; great-circle distance, times
  5 (times 10 on `Sphere3`).
- `Torus(dimensions)`: a square, cube, ... of side 10 whose opposite sides are one.
- `KleinBottle`: the same square with one pair of sides glued the other way round.
- `Euclidean(dimensions)`: Gaussian points of flat space, for embeddings that are trained.

The sizes are those of the authors of moduli regularisation (Mackey et al. 2024, arXiv 2406.06290):
an inhibitor of distances around 1 means the same on all of them.

Points are placed at random, as in the paper, or evenly and without chance (`lattice`). `order`
numbers points so that neighbours in number are neighbours in place: then the cheap weights of a
kernel lie together in blocks.

One's own manifold is a subclass of `Manifold` with `points` and `distance`; decorate it with
`keras.saving.register_keras_serializable` to save models that use it.

>>> torus = Torus()
>>> points = torus.lattice(64)
>>> points.shape
(64, 2)
>>> distances = torus.distances(points, points)
>>> distances.shape
(64, 64)
>>> round(float(distances.max()), 2)  # nowhere is farther than half way round both circles
7.03"""

from keras_sparse_rnn.manifolds.flat import Euclidean, KleinBottle, Torus
from keras_sparse_rnn.manifolds.manifold import Manifold
from keras_sparse_rnn.manifolds.spheres import Circle, Sphere, Sphere3

__all__ = ["Circle", "Euclidean", "KleinBottle", "Manifold", "Sphere", "Sphere3", "Torus"]
