// A packed kernel, and the lists by which the kernels walk it.
#ifndef KERAS_SPARSE_RNN_CORE_PACKED_H_
#define KERAS_SPARSE_RNN_CORE_PACKED_H_

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace ksr {

// A kernel [inputs, gates * units] of which the live blocks are kept. A block's number is (gate * columns + column) * rows + row.
struct Packed {
  int inputs, units, gates;
  int height, width;      // block shape
  const void* values;     // [live, height, width], the caller's; zero where a partial block sticks out of the kernel
  const int32_t* blocks;  // [live], the caller's, ascending
  int64_t live;
  Weights weights = Weights::kFloat32;  // the type of `values`
  const float* scales = nullptr;        // int8 only: [gates, columns, width], the caller's; a weight is its value times the scale of its column

  int rows() const { return (inputs + height - 1) / height; }
  int columns() const { return (units + width - 1) / width; }
  int64_t count() const { return int64_t{gates} * columns() * rows(); }
  // Features that whole blocks cover, as many as the kernel has or more.
  int padded_inputs() const { return rows() * height; }
  int padded_units() const { return columns() * width; }
};

// The place of the first block number that is out of range or not above the one before it; -1 if all are right. Everything below relies on it.
int64_t first_bad_block(const Packed& packed);

// Live weights that stay in the first cache while panels pass them.
constexpr int64_t kGroupWeights = 4096;

// Where products write: feature f of slot s, times the lanes of a panel, at s * stride + f - first.
struct Place {
  int64_t stride, first;
};

// The gates [gate_begin, gate_end) of a kernel, ready to run. Gate g writes the features from slots[g] * slot_features on, unless
// a product is told another place.
class Plan {
 public:
  // `slots` must live as long as the plan.
  Plan(const Kernels& kernels, const Packed& packed, int gate_begin, int gate_end, const int* slots, int slot_features, bool transposed_too);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const ShapeKernels& kernels() const { return *kernels_; }
  const Forward& forward() const { return forward_; }  // outputs: (gate - gate_begin) * columns + column
  const Side& backward() const { return backward_; }   // outputs: rows; only with `transposed_too`, which takes float32 weights
  int gates() const { return gates_; }
  int columns() const { return columns_; }
  int rows() const { return rows_; }
  int height() const { return forward_.height; }
  int width() const { return forward_.width; }
  int64_t live() const { return live_; }
  int64_t weights() const { return live_ * forward_.width * forward_.height; }
  // Live blocks of this plan are [begin_block, begin_block + live) of the packed kernel.
  int64_t begin_block() const { return begin_block_; }
  // Live weights of the columns [begin, end) of all gates.
  int64_t weights_of(int begin, int end) const;
  bool narrow() const { return type_ != 0; }
  // For `Outer`: first feature of each live block's inputs and outputs, [live].
  const int32_t* block_rows() const { return block_rows_.data(); }
  const int32_t* block_columns() const { return block_columns_.data(); }

  // How many columns of a gate, or rows, have about `weights` live weights: at least 1, at most all.
  int columns_of_weights(int64_t weights) const;
  int rows_of_weights(int64_t weights) const;

  // Cuts the columns (of all gates together), or the rows, into `parts` of about equal work; part i is [cuts[i], cuts[i + 1]).
  // Cuts are where a multiple of `features` features begins, as far as blocks allow that.
  std::vector<int> cut_columns(int parts, int features) const;
  std::vector<int> cut_rows(int parts, int features) const;

  // out += kernel^T in for columns [begin, end) of every gate, panels.
  void multiply(int begin, int end, const float* in, float* out) const { multiply(begin, end, in, out, {slot_features_, 0}); }
  void multiply(int begin, int end, const float* in, float* out, Place place) const;
  void multiply_rows(int begin, int end, int samples, const float* in, int64_t in_stride, float* out, int64_t out_stride) const {
    multiply_rows(begin, end, samples, in, in_stride, out, out_stride, {slot_features_, 0});
  }
  void multiply_rows(int begin, int end, int samples, const float* in, int64_t in_stride, float* out, int64_t out_stride, Place place) const;

 private:
  friend class Wide;

  const Kernels* table_;
  const ShapeKernels* kernels_;
  int type_, gates_, columns_, rows_;
  int64_t slot_features_, live_, begin_block_;
  const int* slots_;  // of these gates

  float* origin(float* out, int gate, Place place, int lanes) const;
  Forward forward_;
  Side backward_;
  std::vector<Entry> row_entries_;
  std::vector<int32_t> first_, row_first_, feature_, row_feature_, block_rows_, block_columns_;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PACKED_H_
