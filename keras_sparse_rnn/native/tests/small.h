// The description that tests damage. Included once by each test.
#ifndef KERAS_SPARSE_RNN_TESTS_SMALL_H_
#define KERAS_SPARSE_RNN_TESTS_SMALL_H_

#include "../core/ksr.h"

namespace {

// A GRU of 3 inputs and 5 units in blocks of 2 x 4: 2 gates' columns of 2 rows each, kernel; 3
// rows, recurrent.
struct Small {
  Small() {
    d.version = KSR_VERSION;
    d.cell = KSR_GRU;
    d.activations = KSR_FLOAT32;
    d.kernel = {KSR_FLOAT32, 3, 5, 3, 2, 4, 3, values, blocks, scales};
    d.recurrent = {KSR_INT8, 5, 5, 3, 2, 4, 3, bytes, blocks, scales};
    d.bias = bias;
    for (float& scale : scales) scale = 0.01f;
  }
  float values[24] = {}, scales[24], bias[30] = {};
  int8_t bytes[24] = {};
  int32_t blocks[3] = {0, 5, 11};
  ksr_description d = {};
};

}  // namespace

#endif  // KERAS_SPARSE_RNN_TESTS_SMALL_H_
