// Memory of one call: taken once, cut into 64-byte aligned pieces, given back at the end.
#ifndef KERAS_SPARSE_RNN_CORE_SCRATCH_H_
#define KERAS_SPARSE_RNN_CORE_SCRATCH_H_

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace ksr {

// memset and memcpy that allow null pointers for nothing.
inline void zero(float* to, int64_t floats) {
  if (floats > 0) std::memset(to, 0, floats * sizeof(float));
}
inline void copy(const float* from, int64_t floats, float* to) {
  if (floats > 0) std::memcpy(to, from, floats * sizeof(float));
}

constexpr int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Asks the system for large pages for memory that was just allocated and not yet written: a fresh page of 4 KB costs as much time as the arithmetic
// on what fits into it. The memory stays the caller's.
void want_large_pages(void* data, int64_t bytes);

// Blocks that calls gave back are kept for the next ones, a few of them and none above 64 MB: malloc would hand the pages of large ones back to the
// system at every call and fetch them again at the next.
class Scratch {
 public:
  // Room for `floats` floats in all, every piece rounded up to 16. Not initialised.
  explicit Scratch(int64_t floats);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // A piece of `floats` floats, owned by this object.
  float* take(int64_t floats) {
    left_ -= round_up(floats, 16);
    if (left_ < 0) std::abort();  // the constructor's sum is wrong: a defect, not bad input
    float* piece = next_;
    next_ += round_up(floats, 16);
    return piece;
  }

 private:
  struct Block;
  Block* block_;
  float* next_;
  int64_t left_;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_SCRATCH_H_
