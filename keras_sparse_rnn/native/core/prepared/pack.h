// Writes the product of a part of a matrix into a cell.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_PACK_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_PACK_H_

#include "failure.h"
#include "image.h"
#include "tiling.h"

namespace ksr {
namespace prepared {

// Where the next array of a cell goes. Without memory it only counts.
class Space {
 public:
  Space(char* memory, int64_t used) : memory_(memory), used_(used) {}
  // The place of `bytes` zeros, aligned.
  int64_t take(int64_t bytes);
  template <typename T>
  T* at(int64_t place) const {
    return reinterpret_cast<T*>(memory_ + place);
  }
  bool counts_only() const { return !memory_; }
  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_;
};

// `name`: of the matrix, for messages. Adds the weights that a step will multiply to *stored.
ksr_status pack(const char* name, const Part& part, const Processor& processor, Space* space,
                Product* product, int64_t* stored, ksr_error* error);

// The weights of one output [count], `stride` apart, as integers, so that neither one nor two that
// are summed in 16 bits are too large for any processor: |w| <= 127 and |w[2k] + w[2k + 1]| <= 129,
// since 254 * 129 < 2^15. Returns what 1 stands for.
float quantize_weights(const float* weights, int64_t count, int64_t stride, int8_t* integers);

// The first k with w[2k] + w[2k + 1] beyond that bound; -1 if there is none.
int64_t first_wide_pair(const float* weights, int64_t count, int64_t stride);

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_PACK_H_
