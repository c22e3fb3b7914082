"""scipy: the product with a block-sparse row matrix (BSR). It computes on one thread, whatever the
others use.
"""

import numpy as np
import scipy.sparse

from benchmarks.peers.base import Peer, Prepared


class ScipyPeer(Peer):
    def product(self, problem, data, case):
        kernel = np.ascontiguousarray(data.kernels(case.pattern)[0].T)
        rows, columns = case.pattern.block_shape
        kernel = scipy.sparse.bsr_array(kernel, blocksize=(columns, rows))
        x = np.ascontiguousarray(data.x.T)  # [inputs, batch]: what its product takes
        return Prepared(lambda: kernel @ x, lambda: {"outputs": (kernel @ x).T})
