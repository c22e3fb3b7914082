// Round to nearest and numbers below the normal range as zeros, for as long as one of these lives;
// then the caller's settings again. So no result depends on who called.
#ifndef KERAS_SPARSE_RNN_CORE_FLOAT_MODE_H_
#define KERAS_SPARSE_RNN_CORE_FLOAT_MODE_H_

#include <cstdint>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace ksr {

// This thread's settings, as the processor has them.
#if defined(__SSE2__)
constexpr uint64_t kFlushing = 0x9FC0;  // all exceptions masked, flush to zero, denormals are zeros
inline uint64_t float_settings() { return _mm_getcsr(); }
inline void set_float_settings(uint64_t settings) { _mm_setcsr(static_cast<unsigned>(settings)); }
#elif defined(__aarch64__)
constexpr uint64_t kFlushing = uint64_t{1} << 24;  // flush to zero
inline uint64_t float_settings() {
  uint64_t settings;
  asm volatile("mrs %0, fpcr" : "=r"(settings));
  return settings;
}
inline void set_float_settings(uint64_t settings) {
  asm volatile("msr fpcr, %0" : : "r"(settings) : "memory");
}
#elif defined(__arm__) && defined(__ARM_FP)
constexpr uint64_t kFlushing = uint64_t{1} << 24;  // flush to zero
inline uint64_t float_settings() {
  uint32_t settings;
  asm volatile("vmrs %0, fpscr" : "=r"(settings));
  return settings;
}
inline void set_float_settings(uint64_t settings) {
  asm volatile("vmsr fpscr, %0" : : "r"(static_cast<uint32_t>(settings)) : "memory");
}
#else  // whose settings stay the caller's
constexpr uint64_t kFlushing = 0;
inline uint64_t float_settings() { return 0; }
inline void set_float_settings(uint64_t) {}
#endif

class FloatMode {
 public:
  FloatMode() : before_(float_settings()) { set_float_settings(kFlushing); }
  ~FloatMode() { set_float_settings(before_); }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  const uint64_t before_;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_FLOAT_MODE_H_
