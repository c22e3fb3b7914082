// How tiles fill vectors and steps of a strip; what `Fit` in lanes.inc is to the kernels.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_STRIP_FORMAT_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_STRIP_FORMAT_H_

#include <algorithm>

#include "tiling.h"

namespace ksr {
namespace prepared {

// Of a weight as it is stored.
inline int weight_bytes(Arithmetic arithmetic) {
  return arithmetic == kFloatWeights ? 4 : arithmetic == kBfloatWeights ? 2 : 1;
}

struct Format {
  Format(Arithmetic arithmetic, TileShape tile, int lanes)
      : integers(arithmetic == kIntegers),
        scattered(integers && tile.height < kGroup),
        paired(arithmetic == kBfloatWeights && tile.height % 2 == 0),
        height(tile.height),
        width(tile.width),
        size(std::max<int64_t>(width, lanes)),
        joined(size / width),
        numbers(scattered ? kGroup : joined) {}

  // Of a column with so many tiles.
  int64_t steps(int64_t tiles) const { return scattered ? (tiles + kGroup - 1) / kGroup : tiles; }
  int64_t step_inputs() const { return scattered ? kGroup : height; }
  int64_t step_weights() const { return step_inputs() * size; }
  // Weights of a lane that lie side by side.
  int64_t group() const { return integers ? kGroup : paired ? 2 : 1; }
  // Where in its strip the weight of row `row` of the column's list of rows goes, and lane `lane`
  // of the strip.
  int64_t place(int64_t row, int64_t lane) const {
    return (row / group() * size + lane) * group() + row % group();
  }

  bool integers, scattered, paired;
  int64_t height, width, size, joined, numbers;
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_STRIP_FORMAT_H_
