#include <algorithm>
#include <cmath>

#include "pack.h"

namespace ksr {
namespace prepared {
namespace {

constexpr int kMost = 127, kMostOfPair = 129;

}  // namespace

float quantize_weights(const float* weights, int64_t count, int64_t stride, int8_t* integers) {
  double scale = 0;
  for (int64_t i = 0; i < count; ++i)
    scale = std::max(scale, std::fabs(double{weights[i * stride]}) / kMost);
  for (int64_t i = 0; i + 1 < count; i += 2)
    scale =
        std::max(scale, std::fabs(double{weights[i * stride]} + double{weights[(i + 1) * stride]}) /
                            kMostOfPair);
  const float stored = static_cast<float>(scale);
  const auto rounded = [&](int64_t i) {
    return stored > 0 ? std::min<long>(
                            kMost, std::max<long>(-kMost,
                                                  std::lrint(double{weights[i * stride]} / stored)))
                      : 0;
  };
  for (int64_t i = 0; i < count; ++i) integers[i] = static_cast<int8_t>(rounded(i));
  // Both of a pair may have been rounded up: the larger one gives way.
  for (int64_t i = 0; i + 1 < count; i += 2) {
    int8_t &a = integers[i], &b = integers[i + 1];
    while (std::abs(a + b) > kMostOfPair) {
      int8_t& larger = std::abs(a) >= std::abs(b) ? a : b;
      larger = static_cast<int8_t>(larger - (larger > 0 ? 1 : -1));
    }
  }
  return stored;
}

int64_t first_wide_pair(const float* weights, int64_t count, int64_t stride) {
  for (int64_t i = 0; i + 1 < count; i += 2)
    if (std::fabs(weights[i * stride] + weights[(i + 1) * stride]) > kMostOfPair) return i / 2;
  return -1;
}

}  // namespace prepared
}  // namespace ksr
