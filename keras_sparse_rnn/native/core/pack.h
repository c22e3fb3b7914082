// From a dense kernel to its live blocks, and back.
//
// A block lives if any weight in it is not zero; NaN is not zero, -0.0 is. A kernel that is all zero or a multiple of the identity is what an
// initializer gives, not a pattern: all its blocks live.
#ifndef KERAS_SPARSE_RNN_CORE_PACK_H_
#define KERAS_SPARSE_RNN_CORE_PACK_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace ksr {

// How a dense kernel [inputs, gates * units], row-major, is cut into blocks [height, width], gate by gate. All sizes are at least 1.
struct Grid {
  int inputs, units, gates, height, width;

  int rows() const { return (inputs + height - 1) / height; }
  int columns() const { return (units + width - 1) / width; }
  int all_columns() const { return gates * columns(); }  // of all gates, side by side
  int64_t stride() const { return int64_t{gates} * units; }
};

// Looks which blocks of a kernel live; then, when there is room for them, packs them. The kernel is the caller's, is only read, and must be the
// same until the last call.
class LivePacker {
 public:
  LivePacker(const Grid& grid, const float* kernel);

  int64_t live() const { return live_; }
  // values [live, height, width], zero where a partial block sticks out of the kernel, and blocks [live], their ascending numbers
  // (gate * columns + column) * rows + row. Both are the caller's, written whole, and overlap nothing.
  void pack(float* values, int32_t* blocks) const;

 private:
  bool is_initial() const;

  const Grid grid_;
  const float* kernel_;
  const int parts_;                   // of the rows, each counted and packed by one thread
  std::unique_ptr<uint8_t[]> alive_;  // [rows, all_columns]
  std::vector<int64_t> starts_;       // [parts, all_columns], where the blocks of a column that lie in a part go
  int64_t live_ = 0;
};

// kernel [inputs, gates * units] = the live blocks at their places and zero elsewhere: the inverse of packing, and its gradient. `kernel` is written
// whole, once; it overlaps nothing. What `values` has outside the kernel is not looked at. `blocks` must have passed `first_bad_block`.
void unpack(const Grid& grid, const float* values, const int32_t* blocks, int64_t live, float* kernel);

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PACK_H_
