// int8 activations: every instruction set that this machine has gives the same bits, those that
// every machine has given so far.
#include "prepared.h"

namespace {

// NaN is NaN: processors give it different signs.
uint64_t checksum(const Floats& values, uint64_t sum) {
  for (const float v : values) {
    uint32_t bits = 0x7FC00000u;
    if (!std::isnan(v)) std::memcpy(&bits, &v, sizeof bits);
    sum = (sum ^ bits) * 1099511628211u;
  }
  return sum;
}

// All cells in many shapes through 12 steps, the last of them with inputs far out of range,
// infinite and NaN.
uint64_t outputs_on(const char* processor, int32_t type) {
  generator.seed(11);
  uint64_t sum = 14695981039346656037u;
  for (const ksr::Cell cell : kRecurrentCells) {
    for (int i = 0; i < kShapeCount; ++i) {
      const int in = static_cast<int>(pick(1, 90)), units = static_cast<int>(pick(1, 90));
      Described d(cell, 12, in, units, kShapes[i], kShapes[(i + 2) % kShapeCount], 0.5, true, type);
      d.description.activations = KSR_INT8;
      d.description.input_range = i % 2 ? 0.8f : 0.0f;
      d.description.processor = processor;
      const int64_t inputs = d.description.kernel.inputs;
      for (int64_t k = 0; k < inputs; ++k) d.one.x[10 * inputs + k] *= 1e4f;
      d.one.x[11 * inputs] = std::nanf("");
      d.one.x.back() = INFINITY;
      Stream stream(d.description, d.one.h0.data(), d.c0());
      sum = checksum(stream.run(d.one.x), sum);
      sum = checksum(stream.read(false), sum);
    }
  }
  for (const int32_t activation :
       {KSR_RELU, KSR_TANH, KSR_SIGMOID, KSR_HARD_SIGMOID, KSR_SILU, KSR_SOFTMAX}) {
    const Floats x = random_floats(99);
    ksr_description d = bias_only(activation, KSR_INT8, x);
    d.processor = processor;
    sum = checksum(Stream(d).run({1.0f}), sum);
  }
  return sum;
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  const char* processor = std::getenv("KERAS_SPARSE_RNN_CPU");
  const struct {
    int32_t type;
    uint64_t sum;
  } kWanted[] = {{KSR_FLOAT32, 0xCA51839A2B06EBB4u},
                 {KSR_BFLOAT16, 0xCA9C812D049DEDB4u},
                 {KSR_INT8, 0x494D6F8BDCA2F0A5u}};
  for (const auto& wanted : kWanted) {
    const uint64_t sum = outputs_on(processor, wanted.type);
    std::printf("%s, weights of type %d: 0x%016llX\n", processor, wanted.type,
                static_cast<unsigned long long>(sum));
    expect(sum == wanted.sum, "checksum", static_cast<double>(sum),
           static_cast<double>(wanted.sum));
  }
  return failures != 0;
}
