#include <algorithm>
#include <cmath>
#include <cstring>

#include "../float_mode.h"
#include "check.h"
#include "pack.h"
#include "tiling.h"

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

using namespace ksr::prepared;

extern "C" ksr_status ksr_quantize(const ksr_matrix* matrix, int8_t* values, float* scales,
                                   ksr_error* error) noexcept {
  if (!matrix || !values || !scales)
    return fail(error, KSR_NULL, "%s is null", !matrix ? "matrix" : !values ? "values" : "scales");
  const ksr_matrix& m = *matrix;
  if (m.type == KSR_INT8)
    return fail(error, KSR_BAD_CHOICE, "matrix.type is KSR_INT8: there is nothing to quantize");
  if (m.gates < 1 || m.gates > kMostSlots)
    return fail(error, KSR_BAD_SIZE, "matrix.gates is %lld: it must be from 1 to %d",
                static_cast<long long>(m.gates), kMostSlots);
  KSR_TRY(check_matrix("matrix", m, static_cast<int>(m.gates), true, true, error));
  const ksr::FloatMode mode;
  const int gates = static_cast<int>(m.gates);
  Tiling tiling({matrix, 0, gates, 0, m.units, nullptr, 0, 0, true});
  KSR_TRY(tiling.plan(error));
  const int64_t most = tiling.most_tiles() * tiling.height(), width = tiling.width();
  const Array<int32_t> rows(tiling.most_tiles());
  const Array<float> weights(most * width);
  const Array<int8_t> integers(most);
  if (!rows.get() || !weights.get() || !integers.get())
    return fail(error, KSR_NO_MEMORY, "%s", ksr_status_text(KSR_NO_MEMORY));
  const int64_t outputs = block_columns(m) * m.block_columns;  // of a gate
  std::memset(values, 0, m.live * m.block_rows * m.block_columns);
  std::memset(scales, 0, m.gates * outputs * sizeof(float));
  for (int64_t i = 0; i < tiling.columns(); ++i) {
    tiling.read(i, rows.get(), weights.get());
    const int64_t count = tiling.tiles(i) * tiling.height(), first = tiling.number(i) * width;
    for (int64_t c = 0; c < width && first + c < m.units; ++c) {
      float* column = weights.get() + c;
      scales[tiling.gate(i) * outputs + first + c] =
          quantize_weights(column, count, width, integers.get());
      for (int64_t r = 0; r < count; ++r) column[r * width] = integers[r];
    }
    tiling.write(i, weights.get(), values);
  }
  return KSR_OK;
}
