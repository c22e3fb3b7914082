"""What all peers are compared with: the Keras layer on masked weights, and NumPy's product. Never
timed.
"""

import types

from benchmarks.peers.keras_peer import KerasPeer

OWN = ("gradient", "loop")  # modes whose outputs are not those of a whole sequence


class Reference(KerasPeer):
    """Computes the right outputs of a problem for one pattern after the other. The compiled
    function stays, only its weights change.
    """

    def __init__(self, threads):
        super().__init__(threads)
        self.drop()

    def drop(self):
        super().drop()
        self.problem = self.made = self.prepared = None
        self.case = types.SimpleNamespace(pattern=None)

    def expected(self, problem, data, pattern):
        """A dict of arrays, as `Prepared.outputs` of every peer gives them."""
        if problem.mode == "identity":
            return {"outputs": data.x}
        if problem.mode == "product":
            return {"outputs": data.x @ data.kernels(pattern)[0]}
        self.case.pattern = pattern
        if self.problem != problem:
            compute = getattr(self, problem.mode if problem.mode in OWN else "forward")
            self.problem, self.prepared = problem, compute(problem, data, self.case)
        for variable, value in zip(
            self.made.trainable_variables, [*data.kernels(pattern), data.bias]
        ):
            variable.assign(value)
        found = self.prepared.outputs()
        if problem.mode == "train":
            return {"loss": ((found["outputs"] - data.cotangent) ** 2).mean().reshape(1)}
        return found

    def layer(self, problem, data, case, **options):
        self.made = super().layer(problem, data, case, **options)
        return self.made
