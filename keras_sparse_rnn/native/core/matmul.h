// The product with a packed kernel, and its gradients.
#ifndef KERAS_SPARSE_RNN_CORE_MATMUL_H_
#define KERAS_SPARSE_RNN_CORE_MATMUL_H_

#include "packed.h"

namespace ksr {

// y [n, gates * units] = x [n, inputs] times the kernel. y is the caller's, written whole, and does not overlap x or the kernel.
// Block numbers must have passed `first_bad_block`; sizes that do not fit are refused with std::invalid_argument, in words.
void matmul_forward(const Packed& kernel, int64_t n, const float* x, float* y);

struct ProductGradients {
  const float* x;   // [n, inputs]
  const float* dy;  // [n, gates * units]
  float* dx;        // [n, inputs], written whole, as all below, and overlapping nothing
  float* d_values;  // [live, height, width], zero in the padding of partial blocks
};

void matmul_backward(const Packed& kernel, int64_t n, const ProductGradients& gradients);

// Sets the part of partial blocks that lies outside the kernel to zero in `values` [live, height, width].
void clear_padding(const Packed& kernel, float* values);

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_MATMUL_H_
