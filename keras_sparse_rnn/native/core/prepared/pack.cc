#include "pack.h"

#include <algorithm>
#include <cstring>

#include "check.h"
#include "strip_format.h"

namespace ksr {
namespace prepared {
namespace {

uint16_t upper_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

// Writes columns one after the other.
class Packer {
 public:
  Packer(const char* name, const Part& part, const Processor& processor, const Tiling& tiling)
      : name_(name),
        part_(part),
        byte_zero_(processor.byte_zero),
        tiling_(tiling),
        arithmetic_(part.arithmetic()),
        format_(arithmetic_, kTileShapes[tiling.tile()], processor.lanes),
        rows_(tiling.most_tiles()),
        weights_(tiling.most_tiles() * format_.height * format_.width),
        integers_(tiling.most_tiles() * format_.height) {}

  const Format& format() const { return format_; }
  bool has_memory() const { return rows_.get() && weights_.get() && integers_.get(); }

  // Column `i` of the order of multiplying, as column `j` of a strip whose arrays these are.
  ksr_status write(int64_t i, int64_t j, int32_t* numbers, char* values, float* scales,
                   int32_t* starts, ksr_error* error) {
    tiling_.read(i, rows_.get(), weights_.get());
    const int64_t tiles = tiling_.tiles(i), count = tiles * format_.height;
    for (int64_t t = 0; t < tiles; ++t)
      numbers[format_.scattered ? t : t * format_.joined + j] =
          static_cast<int32_t>(rows_[t] * format_.height);
    for (int64_t c = 0; c < format_.width; ++c) {
      const int64_t lane = j * format_.width + c;
      float* weights = weights_.get() + c;
      const int64_t unit = tiling_.number(i) * format_.width + c;
      scales[lane] = scale_of(tiling_.gate(i), unit);
      if (part_.integers)
        KSR_TRY(to_integers(i, unit, count, weights, &scales[lane], &starts[lane], error));
    }
    if (arithmetic_ == kFloatWeights)
      store(count, j, reinterpret_cast<float*>(values), [](float weight) { return weight; });
    else if (arithmetic_ == kBfloatWeights)
      store(count, j, reinterpret_cast<uint16_t*>(values), upper_half);
    else
      store(count, j, reinterpret_cast<int8_t*>(values),
            [](float weight) { return static_cast<int8_t>(weight); });
    return KSR_OK;
  }

 private:
  // The rows of the column that was read, as `narrow` makes them.
  template <typename Weight, typename Narrow>
  void store(int64_t count, int64_t j, Weight* values, Narrow narrow) const {
    const int64_t width = format_.width, apart = format_.group();
    for (int64_t r = 0; r < count; ++r) {
      const float* from = weights_.get() + r * width;
      Weight* to = values + format_.place(r, j * width);
      for (int64_t c = 0; c < width; ++c) to[c * apart] = narrow(from[c]);
    }
  }

  // 1 where weights need none, 0 beyond the units.
  float scale_of(int64_t gate, int64_t unit) const {
    const ksr_matrix& m = *part_.matrix;
    if (unit >= m.units) return 0.0f;
    return m.type == KSR_INT8 ? m.scales[gate * block_columns(m) * m.block_columns + unit] : 1.0f;
  }

  // The weights of one output, integers from here on.
  ksr_status to_integers(int64_t i, int64_t unit, int64_t count, float* weights, float* scale,
                         int32_t* start, ksr_error* error) {
    const int64_t stride = format_.width;
    if (part_.matrix->type == KSR_INT8) {
      const int64_t pair = first_wide_pair(weights, count, stride);
      if (pair >= 0) {
        const auto input = [&](int64_t r) {
          return static_cast<long long>(rows_[r / format_.height] * format_.height +
                                        r % format_.height);
        };
        return fail(error, KSR_BAD_VALUE,
                    "%s: the int8 weights of inputs %lld and %lld to unit %lld of gate %lld are %d "
                    "and %d: with int8 activations "
                    "their sum must be from -129 to 129",
                    name_, input(2 * pair), input(2 * pair + 1), static_cast<long long>(unit),
                    static_cast<long long>(tiling_.gate(i)),
                    static_cast<int>(weights[2 * pair * stride]),
                    static_cast<int>(weights[(2 * pair + 1) * stride]));
      }
    } else {
      *scale = quantize_weights(weights, count, stride, integers_.get());
      for (int64_t r = 0; r < count; ++r) weights[r * stride] = integers_[r];
    }
    int32_t sum = 0;
    for (int64_t r = 0; r < count; ++r) sum += static_cast<int32_t>(weights[r * stride]);
    *start = -byte_zero_ * sum;
    return KSR_OK;
  }

  const char* name_;
  const Part& part_;
  const int byte_zero_;
  const Tiling& tiling_;
  const Arithmetic arithmetic_;
  const Format format_;
  Array<int32_t> rows_;
  Array<float> weights_;
  Array<int8_t> integers_;
};

}  // namespace

int64_t Space::take(int64_t bytes) {
  const int64_t place = used_;
  used_ += (bytes + KSR_ALIGNMENT - 1) / KSR_ALIGNMENT * KSR_ALIGNMENT;
  if (memory_) std::memset(memory_ + place, 0, used_ - place);
  return place;
}

ksr_status pack(const char* name, const Part& part, const Processor& processor, Space* space,
                Product* product, int64_t* stored, ksr_error* error) {
  Tiling tiling(part);
  KSR_TRY(tiling.plan(error));
  Packer packer(name, part, processor, tiling);
  if (!packer.has_memory()) return fail(error, KSR_NO_MEMORY, "%s", ksr_status_text(KSR_NO_MEMORY));
  const Format& format = packer.format();
  const int64_t joined = format.joined;
  int64_t strips = 0, steps = 0;
  for (int64_t i = 0; i < tiling.columns() && tiling.tiles(i); i += joined)
    ++strips, steps += format.steps(tiling.tiles(i));
  *product = {tiling.tile(),
              part.arithmetic(),
              static_cast<int32_t>(strips),
              0,
              space->take(strips * sizeof(Strip)),
              space->take(steps * format.numbers * sizeof(int32_t)),
              space->take(steps * format.step_weights() * part.weight_bytes()),
              space->take(strips * format.size * sizeof(float)),
              space->take(part.integers ? strips * format.size * sizeof(int32_t) : 0)};
  *stored += steps * format.step_weights();
  if (space->counts_only()) return KSR_OK;
  int32_t* numbers = space->at<int32_t>(product->numbers);
  char* values = space->at<char>(product->values);
  for (int64_t s = 0; s < strips; ++s) {
    Strip& strip = space->at<Strip>(product->table)[s];
    strip.steps = static_cast<int32_t>(format.steps(tiling.tiles(s * joined)));
    for (int64_t n = 0; n < strip.steps * format.numbers; ++n)
      numbers[n] = static_cast<int32_t>(part.zero);
    for (int64_t j = 0; j < joined && s * joined + j < tiling.columns(); ++j) {
      const int64_t i = s * joined + j, gate = tiling.gate(i);
      strip.place[j] = static_cast<int32_t>((part.slots ? part.slots[gate] : gate) * part.stride +
                                            tiling.number(i) * format.width - part.unit_begin);
      KSR_TRY(packer.write(
          i, j, numbers, values, space->at<float>(product->scales) + s * format.size,
          space->at<int32_t>(product->starts) + (part.integers ? s * format.size : 0), error));
    }
    numbers += strip.steps * format.numbers;
    values += strip.steps * format.step_weights() * part.weight_bytes();
  }
  return KSR_OK;
}

}  // namespace prepared
}  // namespace ksr
