// Weights of every type in every block shape: products against double precision on the very weights that the bytes stand for, and whole sequences
// against the same sequence with those weights as float32.

#include "../core/cpu.h"
#include "problems.h"
#include "skip.h"

namespace {

void expect_near(float got, double wanted, double tolerance, const char* what) {
  expect(std::fabs(got - wanted) <= tolerance, what, got, wanted);
}

// Shapes beside those of the other tests: the last two are larger than what is widened at once.
const int kOtherShapes[][2] = {{16, 1}, {23, 1}, {40, 40}, {2, 1100}};
constexpr int kAllShapes = kShapeCount + sizeof kOtherShapes / sizeof kOtherShapes[0];
const int* shape_of(int i) { return i < kShapeCount ? kShapes[i] : kOtherShapes[i - kShapeCount]; }

// A kernel of quantised weights, and the same weights as float32. What lies outside the kernel is zero.
struct Quantised {
  Quantised(int inputs, int units, int gates, const int* shape, double density, ksr::Weights type) {
    quantised = {inputs, units, gates, shape[0], shape[1], nullptr, nullptr, 0, type};
    for (int64_t i = 0; i < quantised.count(); ++i)
      if (uniform() < 2 * density - 1) blocks.push_back(static_cast<int32_t>(i));
    quantised.blocks = blocks.data();
    quantised.live = static_cast<int64_t>(blocks.size());
    const int64_t size = int64_t{shape[0]} * shape[1];
    floats = random_floats(quantised.live * size);
    for (float& v : floats) v *= 1.0f / std::sqrt(1.0f + static_cast<float>(inputs * density));
    ksr::clear_padding(quantised, floats.data());
    scales = random_floats(int64_t{gates} * quantised.columns() * shape[1]);
    for (float& scale : scales) scale /= 127;
    shorts.resize(floats.size());
    bytes.resize(floats.size());
    for (size_t i = 0; i < floats.size(); ++i) {
      if (type == ksr::Weights::kBfloat16) {
        uint32_t bits;
        std::memcpy(&bits, &floats[i], sizeof bits);
        shorts[i] = static_cast<ksr::Bfloat16>(bits >> 16);
        bits = uint32_t{shorts[i]} << 16;
        std::memcpy(&floats[i], &bits, sizeof bits);
      } else if (type == ksr::Weights::kInt8) {
        const int64_t output = blocks[i / size] / quantised.rows();
        bytes[i] = floats[i] == 0 ? int8_t{0} : static_cast<int8_t>(pick(-127, 127));
        floats[i] = bytes[i] * scales[output * shape[1] + i % shape[1]];
      }
    }
    quantised.scales = type == ksr::Weights::kInt8 ? scales.data() : nullptr;
    const void* const values[] = {floats.data(), shorts.data(), bytes.data()};
    quantised.values = values[static_cast<int>(type)];
    plain = {inputs, units, gates, shape[0], shape[1], floats.data(), blocks.data(), quantised.live};
  }

  std::vector<int32_t> blocks;
  Floats floats, scales;
  std::vector<ksr::Bfloat16> shorts;
  std::vector<int8_t> bytes;
  ksr::Packed quantised, plain;
};

void test_product(const int* shape, ksr::Weights type, int64_t n) {
  const int inputs = static_cast<int>(pick(1, 50)), units = static_cast<int>(shape[1] > 1000 ? 1300 : pick(1, 60));
  const int gates = static_cast<int>(pick(1, 4)), outputs = gates * units;
  const Quantised kernel(inputs, units, gates, shape, 0.5, type);
  const Floats x = random_floats(n * inputs);
  Floats y(n * outputs);
  ksr::matmul_forward(kernel.quantised, n, x.data(), y.data());
  const Doubles dense = reference::dense(kernel.plain, Doubles(kernel.floats.begin(), kernel.floats.end()));
  for (int64_t r = 0; r < n; ++r) {
    for (int b = 0; b < outputs; ++b) {
      double wanted = 0, size = 1e-6;
      for (int a = 0; a < inputs; ++a) {
        const double term = double{x[r * inputs + a]} * dense[int64_t{a} * outputs + b];
        wanted += term;
        size += std::fabs(term);
      }
      expect_near(y[r * outputs + b], wanted, 1e-6 * size, "product");
    }
  }
}

void test_sequence(ksr::Cell cell, const int* shape, const int* recurrent_shape, ksr::Weights type, int64_t batch, int64_t time) {
  const int inputs = static_cast<int>(pick(1, 40)), units = static_cast<int>(pick(1, 40)), gates = ksr::rule_of(cell).gates;
  const Quantised kernel(inputs, units, gates, shape, 0.5, type), recurrent(units, units, gates, recurrent_shape, 0.5, type);
  const Floats x = random_floats(batch * time * inputs), h0 = random_floats(batch * units), c0 = random_floats(batch * units);
  Floats outputs[2], h[2], c[2];
  for (int plain = 0; plain < 2; ++plain) {
    const ksr::Recurrent problem = {cell, batch, time, false, plain ? kernel.plain : kernel.quantised, plain ? recurrent.plain : recurrent.quantised,
                                    x.data(), h0.data(), c0.data(), nullptr, nullptr};
    outputs[plain].resize(batch * time * units);
    h[plain].resize(batch * units);
    c[plain].resize(batch * units);
    ksr::recurrent_forward(problem, {outputs[plain].data(), h[plain].data(), c[plain].data(), nullptr});
  }
  for (size_t i = 0; i < outputs[0].size(); ++i)
    expect_near(outputs[0][i], outputs[1][i], 1.5e-5 * std::max(1.0f, std::fabs(outputs[1][i])), "sequence");
}

}  // namespace

int main() {
  if (cpu_is_missing()) return kSkipped;
  for (ksr::Weights type : {ksr::Weights::kFloat32, ksr::Weights::kBfloat16, ksr::Weights::kInt8}) {
    for (int i = 0; i < kAllShapes; ++i) {
      for (int64_t n : {1, 2, 3, 4, 6, 7, 8, 33, 530}) test_product(shape_of(i), type, n);
      for (const ksr::Cell cell : kRecurrentCells)
        for (int64_t batch : {1, 3, 17, 33}) test_sequence(cell, shape_of(i), shape_of((i + 3) % kAllShapes), type, batch, batch == 33 ? 12 : 5);
    }
  }
  std::printf("%s: %s\n", ksr::kernels().name, failures ? "FAILED" : "all passed");
  return failures != 0;
}
