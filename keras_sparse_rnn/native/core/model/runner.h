// A model and one of its streams: what each kind of step does.
#ifndef KERAS_SPARSE_RNN_CORE_MODEL_RUNNER_H_
#define KERAS_SPARSE_RNN_CORE_MODEL_RUNNER_H_

#include <cmath>
#include <cstring>

#include "../prepared/dispatch.h"
#include "../prepared/stepper.h"
#include "layout.h"

namespace ksr {
namespace model {

constexpr uint64_t kStreamMagic = 0x6D727473'2D72736B;  // "ksr-strm"
constexpr int64_t kFloat = sizeof(float);

inline float from_bfloat16(uint16_t half) {
  const uint32_t bits = uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A model and one of its streams.
class Runner {
 public:
  Runner(const View& model, char* stream)
      : model_(model), stream_(stream), layout_(model),
        kernels_(*prepared::kernels_of(model.header.processor)) {}

  ksr_status init() const {
    ksr_status status = KSR_OK;
    const int64_t size = for_parts(model_, [&](bool is_register, int32_t number, int64_t place) {
      places(is_register)[number].begin = place;
    });
    std::memset(stream_ + layout_.scratch, 0, size - layout_.scratch);
    for (int32_t i = 0; i < model_.header.steps; ++i) {
      const Step& s = model_.steps[i];
      if (s.kind == kCell) {
        const ksr_cell* cell = model_.cell(s);
        ksr_state* state;
        status = ksr_state_init(cell, kept(i), ksr_state_size(cell), nullptr, nullptr, &state);
      }
      if (s.kind == kActivation && !kernels_.activate[s.activation][0]) status = KSR_NO_KERNEL;
      if (status != KSR_OK) return status;
    }
    Stream* stream = reinterpret_cast<Stream*>(stream_);
    *stream = {kStreamMagic, model_.header.checksum, layout_.scratch};
    return KSR_OK;
  }

  // Whether the tokens of all frames are tokens.
  ksr_status check_tokens(const float* const* inputs, int64_t frames) const {
    for (int32_t i = 0; i < model_.header.steps; ++i) {
      const Step& s = model_.steps[i];
      if (s.kind != kEmbedding) continue;
      for (int32_t p = 0; p < model_.header.inputs; ++p) {
        if (model_.inputs[p].place != s.in) continue;
        for (int64_t t = 0; t < frames; ++t) {
          const float token = inputs[p][t];
          if (!(token >= 0.0f && token < static_cast<float>(s.rows))
              || token != static_cast<float>(static_cast<int32_t>(token)))
            return KSR_BAD_VALUE;
        }
      }
    }
    return KSR_OK;
  }

  // `frames` frames, from frame `first` of the inputs and outputs on.
  ksr_status run(const float* const* inputs, int64_t frames, float* const* outputs,
                 int64_t first) const {
    for (int64_t done = 0; done < frames;) {
      const int64_t count = frames - done < kTogether ? frames - done : kTogether;
      take(inputs, first + done, count);
      for (int32_t i = 0; i < model_.header.steps; ++i) {
        const ksr_status status = step(i, count);
        if (status != KSR_OK) return status;
      }
      give(outputs, first + done, count);
      done += count;
    }
    return KSR_OK;
  }

  // `frames` frames of each of `kTogether` streams, whose cells share each weight.
  static ksr_status run_together(const Runner* all, const float* const* inputs, int64_t frames,
                                 float* const* outputs, int64_t first) {
    const View& model = all->model_;
    for (int64_t t = 0; t < frames; ++t) {
      for (int n = 0; n < kTogether; ++n) all[n].take(inputs, first + n * frames + t, 1);
      for (int32_t i = 0; i < model.header.steps; ++i) {
        if (model.steps[i].kind == kCell) {
          step_together(all, i);
          continue;
        }
        for (int n = 0; n < kTogether; ++n) {
          const ksr_status status = all[n].step(i, 1);
          if (status != KSR_OK) return status;
        }
      }
      for (int n = 0; n < kTogether; ++n) all[n].give(outputs, first + n * frames + t, 1);
    }
    return KSR_OK;
  }

 private:
  Place* places(bool is_register) const {
    return reinterpret_cast<Place*>(stream_ + (is_register ? layout_.registers : layout_.kept));
  }
  float* numbers(int32_t r) const {
    return reinterpret_cast<float*>(stream_ + places(true)[r].begin);
  }
  char* kept(int32_t step) const { return stream_ + places(false)[step].begin; }

  // Frames into the registers of the inputs, and out of those of the outputs.
  void take(const float* const* inputs, int64_t first, int64_t count) const {
    for (int32_t i = 0; i < model_.header.inputs; ++i) {
      const int64_t width = model_.widths[model_.inputs[i].place];
      std::memcpy(numbers(model_.inputs[i].place), inputs[i] + first * width,
                  count * width * kFloat);
    }
  }
  void give(float* const* outputs, int64_t first, int64_t count) const {
    for (int32_t i = 0; i < model_.header.outputs; ++i) {
      const int64_t width = model_.widths[model_.outputs[i].place];
      if (outputs[i])
        std::memcpy(outputs[i] + first * width, numbers(model_.outputs[i].place),
                    count * width * kFloat);
    }
  }

  // A frame of the cell `number` of all streams, as many at once as the processor takes.
  static void step_together(const Runner* all, int32_t number) {
    static_assert(kTogether == 4, "so many are written out");
    const Step& s = all->model_.steps[number];
    const prepared::Stepper steppers[] = {all[0].stepper(number), all[1].stepper(number),
                                          all[2].stepper(number), all[3].stepper(number)};
    const float* x[kTogether];
    float* y[kTogether];
    for (int n = 0; n < kTogether; ++n) x[n] = all[n].numbers(s.in), y[n] = all[n].numbers(s.out);
    for (int n = 0; n < kTogether; n += steppers->together())
      prepared::Stepper::step(steppers + n, x + n, y + n);
  }
  prepared::Stepper stepper(int32_t number) const {
    return {model_.at<prepared::Cell>(model_.steps[number].data.place),
            reinterpret_cast<prepared::State*>(kept(number))};
  }

  ksr_status step(int32_t number, int64_t count) const {
    const Step& s = model_.steps[number];
    const float* in = numbers(s.in);
    float* out = numbers(s.out);
    const int64_t width = model_.widths[s.in], wide = model_.widths[s.out];
    switch (s.kind) {
      case kCell:
        return ksr_run(model_.cell(s), reinterpret_cast<ksr_state*>(kept(number)), in, count, out);
      case kEmbedding:
        for (int64_t t = 0; t < count; ++t) look_up(s, in[t], out + t * wide, wide);
        break;
      case kWindow:
        for (int64_t t = 0; t < count; ++t)
          slide(s, kept(number), in + t * width, width, out + t * wide);
        break;
      case kAffine: {
        const float* scale = model_.at<float>(s.data.place);
        for (int64_t t = 0; t < count; ++t)
          for (int64_t i = 0; i < width; ++i)
            out[t * width + i] = in[t * width + i] * scale[i] + scale[width + i];
        break;
      }
      case kActivation:
        for (int64_t t = 0; t < count; ++t)
          activate(s.activation, in + t * width, width, out + t * width);
        break;
      case kAdd:
        for (int64_t i = 0; i < count * width; ++i) out[i] = in[i] + numbers(s.other)[i];
        break;
      case kMultiply:
        for (int64_t i = 0; i < count * width; ++i) out[i] = in[i] * numbers(s.other)[i];
        break;
      case kClip: {
        const float* ends = model_.at<float>(s.data.place);
        for (int64_t i = 0; i < count * width; ++i)
          out[i] = in[i] < ends[0] ? ends[0] : in[i] > ends[1] ? ends[1] : in[i];
        break;
      }
      case kLayerNorm:
      case kRmsNorm:
        for (int64_t t = 0; t < count; ++t) normalize(s, in + t * width, width, out + t * width);
        break;
      default:  // kCopy
        for (int64_t t = 0; t < count; ++t)
          std::memcpy(out + t * wide + s.place, in + t * width, width * kFloat);
    }
    return KSR_OK;
  }

  // Summed in eight parts, so that the sum does not depend on how long a vector is.
  static float mean(const float* in, int64_t count) {
    float parts[8] = {};
    const int64_t whole = count / 8 * 8;
    for (int64_t i = 0; i < whole; i += 8)
      for (int k = 0; k < 8; ++k) parts[k] += in[i + k];
    for (int64_t i = whole; i < count; ++i) parts[i - whole] += in[i];
    for (int half = 4; half; half /= 2)
      for (int k = 0; k < half; ++k) parts[k] += parts[k + half];
    return parts[0] / static_cast<float>(count);
  }

  void normalize(const Step& s, const float* in, int64_t width, float* out) const {
    const float* scale = model_.at<float>(s.data.place);
    const float* offset = s.kind == kLayerNorm ? scale + width : nullptr;
    const float epsilon = scale[offset ? 2 * width : width], centre = offset ? mean(in, width) : 0;
    for (int64_t i = 0; i < width; ++i) out[i] = (in[i] - centre) * (in[i] - centre);
    const float factor = 1.0f / std::sqrt(mean(out, width) + epsilon);
    for (int64_t i = 0; i < width; ++i)
      out[i] = (in[i] - centre) * factor * scale[i] + (offset ? offset[i] : 0.0f);
  }

  void look_up(const Step& s, float token, float* out, int64_t width) const {
    // A step of a file that somebody made up may write to an input's register.
    const int64_t row = token >= 0.0f && token < static_cast<float>(s.rows)
                            ? static_cast<int64_t>(token)
                            : 0;
    const int64_t begin = row * width;
    if (s.type == KSR_FLOAT32) {
      std::memcpy(out, model_.at<float>(s.data.place) + begin, width * kFloat);
    } else if (s.type == KSR_BFLOAT16) {
      const uint16_t* halves = model_.at<uint16_t>(s.data.place) + begin;
      for (int64_t i = 0; i < width; ++i) out[i] = from_bfloat16(halves[i]);
    } else {
      const int8_t* bytes = model_.at<int8_t>(s.data.place) + begin;
      const float scale = model_.at<float>(s.scales.place)[row];
      for (int64_t i = 0; i < width; ++i) out[i] = bytes[i] * scale;
    }
  }

  static void slide(const Step& s, char* kept, const float* in, int64_t width, float* out) {
    History* history = reinterpret_cast<History*>(kept);
    float* frames = reinterpret_cast<float*>(kept + rounded(sizeof(History)));
    const int64_t count = frames_kept(s);
    for (int64_t j = 0; j + 1 < s.window; ++j) {
      const int64_t frame = (history->next + j * s.dilation) % count;
      std::memcpy(out + j * width, frames + frame * width, width * kFloat);
    }
    std::memcpy(out + (int64_t{s.window} - 1) * width, in, width * kFloat);
    if (!count) return;
    std::memcpy(frames + history->next * width, in, width * kFloat);
    history->next = (history->next + 1) % count;
  }

  // Kernels write whole vectors.
  void activate(int32_t activation, const float* in, int64_t width, float* out) const {
    float* scratch = reinterpret_cast<float*>(stream_ + layout_.scratch);
    std::memcpy(scratch, in, width * kFloat);
    const prepared::Activate a = {scratch, prepared::padded(width), width};
    kernels_.activate[activation][0](&a);
    std::memcpy(out, scratch, width * kFloat);
  }

  const View model_;
  char* const stream_;
  const Layout layout_;
  const prepared::Kernels& kernels_;
};

}  // namespace model
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_MODEL_RUNNER_H_
