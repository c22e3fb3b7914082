// Round to nearest and numbers below the normal range as zeros, for as long as one of these lives;
// then the caller's settings again.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_FLOAT_MODE_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_FLOAT_MODE_H_

#include <cstdint>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace ksr {
namespace prepared {

class FloatMode {
 public:
#if defined(__SSE2__)
  FloatMode() : before_(_mm_getcsr()) {
    _mm_setcsr(0x9FC0);
  }  // all exceptions masked, flush to zero, denormals are zeros
  ~FloatMode() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FloatMode() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(uint64_t{1} << 24));  // flush to zero
  }
  ~FloatMode() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#else
  FloatMode() {}
#endif
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_FLOAT_MODE_H_
