"""The regularisers of the recurrent kernel that the navigation example compares, by name."""

from keras_sparse_rnn import manifolds, regularizers

MANIFOLDS = {
    "torus": manifolds.Torus(),
    "klein": manifolds.KleinBottle(),
    "circle": manifolds.Circle(),
    "sphere": manifolds.Sphere(),
    "torus6": manifolds.Torus(6),
    "permuted": manifolds.Torus(),
}
NAMES = (*MANIFOLDS, "l1", "none")


def regularizer(recipe):
    """The regulariser that a `Recipe` names, or None.

    `"permuted"` is the torus with the entries of its inhibition shuffled: the same histogram, no
    geometry. `"l1"` is an L1 penalty that pulls as hard at the weights, on average, as the torus
    does: its strength is that of the recipe times the mean inhibition of the torus.
    """
    if recipe.regularizer == "none":
        return None
    if recipe.regularizer == "l1":
        dear = moduli("torus", recipe).matrix(recipe.units).mean()
        return regularizers.MeanL1(float(recipe.strength * dear))
    return moduli(recipe.regularizer, recipe)


def moduli(name, recipe):
    """The `Moduli` of that name, its neurons placed as the `Recipe` says."""
    return regularizers.Moduli(
        MANIFOLDS[name],
        strength=recipe.strength,
        seed=recipe.seed,
        placement=recipe.placement,
        order="patches" if recipe.placement == "lattice" else None,
        permuted=name == "permuted",
    )
