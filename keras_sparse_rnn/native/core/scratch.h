// Memory of one call: taken once, cut into 64-byte aligned pieces, given back at the end.
#ifndef KERAS_SPARSE_RNN_CORE_SCRATCH_H_
#define KERAS_SPARSE_RNN_CORE_SCRATCH_H_

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace ksr {

// memset and memcpy that allow null pointers for nothing.
inline void zero(float* to, int64_t floats) {
  if (floats > 0) std::memset(to, 0, floats * sizeof(float));
}
inline void copy(const float* from, int64_t floats, float* to) {
  if (floats > 0) std::memcpy(to, from, floats * sizeof(float));
}

constexpr int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

class Scratch {
 public:
  // Room for `floats` floats in all, every piece rounded up to 16. Not initialised.
  explicit Scratch(int64_t floats) : left_(floats) {
    data_ = static_cast<float*>(std::aligned_alloc(64, round_up(floats, 16) * sizeof(float) + 64));
    if (!data_) throw std::bad_alloc();
    next_ = data_;
  }
  ~Scratch() { std::free(data_); }
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
  float *data_, *next_;
  int64_t left_;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_SCRATCH_H_
