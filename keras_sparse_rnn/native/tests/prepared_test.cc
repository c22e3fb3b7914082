// Prepared cells against the reference in double precision, on one instruction set.
#include <cfenv>
#include <thread>

#include "prepared.h"

namespace {

void test_floats() {
  for (const ksr::Cell cell : kRecurrentCells) {
    for (int i = 0; i < kShapeCount; ++i) {
      for (const int32_t type : {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8}) {
        const double density = i % 4 == 0 ? 1.0 : i % 4 == 1 ? 0.0 : 0.3;
        const int inputs = static_cast<int>(pick(1, 70)), units = static_cast<int>(pick(1, 70));
        const int* other = kShapes[(i + 3) % kShapeCount];
        about = "cell " + std::to_string(static_cast<int>(cell)) + " shape " +
                std::to_string(kShapes[i][0]) + "x" + std::to_string(kShapes[i][1]) + " type " +
                std::to_string(type) + " inputs " + std::to_string(inputs) + " units " +
                std::to_string(units);
        Described d(cell, 7, inputs, units, kShapes[i], other, density, i % 2 == 0, type);
        const reference::Outputs wanted = reference::run(d.one.problem, inputs_of(d.one));
        Stream stream(d.description, d.one.h0.data(), d.c0());
        const Floats y = stream.run(d.one.x);
        compare(y, wanted.outputs, "outputs");
        compare(stream.read(false), wanted.h, "h");
        if (d.c0()) compare(stream.read(true), wanted.c, "c");
        // One step at a time is the same as all at once.
        stream.start(d.one.h0.data(), d.c0());
        for (int64_t t = 0; t < 7; ++t) {
          const Floats step =
              stream.run(Floats(d.one.x.begin() + t * inputs, d.one.x.begin() + (t + 1) * inputs));
          expect(!std::memcmp(step.data(), &y[t * units], units * sizeof(float)), "step by step",
                 step[0], y[t * units]);
        }
      }
    }
  }
}

// Numbers that are whole 127ths of `range` lose nothing when they are rounded to integers.
Floats integers_of(int64_t n, float range) {
  Floats values(n);
  for (float& v : values) v = static_cast<float>(pick(-127, 127)) * range / 127.0f;
  return values;
}

void test_integers() {
  for (const ksr::Cell cell : kRecurrentCells) {
    for (int i = 0; i < kShapeCount; ++i) {
      const int inputs = static_cast<int>(pick(1, 70)), units = static_cast<int>(pick(1, 70));
      about = "int8 cell " + std::to_string(static_cast<int>(cell)) + " shape " +
              std::to_string(kShapes[i][0]) + "x" + std::to_string(kShapes[i][1]) + " inputs " +
              std::to_string(inputs) + " units " + std::to_string(units);
      Described d(cell, 1, inputs, units, kShapes[i], kShapes[(i + 5) % kShapeCount],
                  i % 3 ? 0.4 : 1.0, i % 2 == 0, KSR_INT8);
      d.description.activations = KSR_INT8;
      d.description.input_range = i % 2 ? 2.5f : 0.0f;
      d.one.x = integers_of(inputs, 2.5f);
      d.one.x[0] = 2.5f;
      d.one.h0 = integers_of(units, 1.0f);
      d.one.h0[0] = -1.0f;
      d.one.problem.x = d.one.x.data();
      d.one.problem.h0 = d.one.h0.data();
      const reference::Outputs wanted = reference::run(d.one.problem, inputs_of(d.one));
      Stream stream(d.description, d.one.h0.data(), d.c0());
      const Floats y = stream.run(d.one.x);
      // r * h is rounded too: half a 127th, at most 70 times weights of at most 64 * 9 / 2048.
      const double bound = cell == ksr::Cell::kGruResetBefore ? 70 * 0.3 / 254 : 5e-4;
      for (int u = 0; u < units; ++u) {
        const double error = std::fabs(y[u] - wanted.outputs[u]);
        expect(error <= bound * std::max(1.0, std::fabs(wanted.outputs[u])), "int8 outputs", y[u],
               wanted.outputs[u]);
      }
    }
  }
}

// Float weights that the cell quantizes itself: each is off by half its scale at most, or a whole
// one where a pair gave way.
void test_quantized_weights() {
  for (int i = 0; i < kShapeCount; ++i) {
    about = "quantized weights, shape " + std::to_string(kShapes[i][0]) + "x" +
            std::to_string(kShapes[i][1]);
    Kernel kernel;
    Stored stored;
    make_kernel(37, 29, 1, kShapes[i], 0.6, &kernel);
    store_weights(KSR_FLOAT32, &kernel, &stored);
    ksr_description d = {};
    d.version = KSR_VERSION;
    d.cell = KSR_DENSE;
    d.activations = KSR_INT8;
    d.kernel = stored.matrix;
    Floats x = integers_of(37, 1.0f);
    x[5] = 1.0f;
    Stream stream(d);
    const Floats y = stream.run(x);
    const Doubles dense = reference::dense(kernel.packed, doubles(kernel.values));
    for (int u = 0; u < 29; ++u) {
      double wanted = 0, most = 0, sizes = 0;
      for (int k = 0; k < 37; ++k)
        wanted += dense[k * 29 + u] * x[k], most = std::max(most, std::fabs(dense[k * 29 + u])),
                                            sizes += std::fabs(x[k]);
      expect(std::fabs(y[u] - wanted) <= 2 * most / 129 * sizes + 1e-6, "int8 product", y[u],
             wanted);
    }
  }
}

// Weights that ksr_quantize has made are those that a cell makes of floats by itself.
void test_quantize() {
  for (const ksr::Cell cell : kRecurrentCells) {
    for (int i = 0; i < kShapeCount; ++i) {
      about = "ksr_quantize, cell " + std::to_string(static_cast<int>(cell)) + " shape " +
              std::to_string(kShapes[i][0]) + "x" + std::to_string(kShapes[i][1]);
      Described d(cell, 3, 43, 37, kShapes[i], kShapes[(i + 1) % kShapeCount], 0.4, true,
                  i % 2 ? KSR_FLOAT32 : KSR_BFLOAT16);
      d.description.activations = KSR_INT8;
      const Floats wanted = Stream(d.description).run(d.one.x);
      std::vector<int8_t> values[2];
      Floats scales[2];
      ksr_matrix* matrices[] = {&d.description.kernel, &d.description.recurrent};
      for (int k = 0; k < 2; ++k) {
        ksr_matrix& m = *matrices[k];
        ksr_error error = {};
        values[k].resize(m.live * m.block_rows * m.block_columns);
        scales[k].resize(m.gates * ((m.units + m.block_columns - 1) / m.block_columns) *
                         m.block_columns);
        expect_status(ksr_quantize(&m, values[k].data(), scales[k].data(), &error), KSR_OK, &error);
        m.type = KSR_INT8;
        m.values = values[k].data();
        m.scales = scales[k].data();
      }
      expect(Stream(d.description).run(d.one.x) == wanted, "outputs", 0, wanted[0]);
    }
  }
}

double apply(int32_t activation, double x) {
  switch (activation) {
    case KSR_RELU:
      return x < 0 ? 0 : x;
    case KSR_TANH:
      return std::tanh(x);
    case KSR_SIGMOID:
      return reference::sigmoid(x);
    case KSR_HARD_SIGMOID:
      return std::min(std::max(x / 6 + 0.5, 0.0), 1.0);
    case KSR_SILU:
      return x * reference::sigmoid(x);
    default:
      return x;
  }
}

// Exact: within 2 units in the last place. Fast: within 1e-4.
void test_functions() {
  Floats x;
  for (int i = -8000; i <= 8000; ++i) x.push_back(static_cast<float>(i) / 640.0f);
  for (float v = 1e-30f; v < 80.0f; v *= 1.37f) x.push_back(v), x.push_back(-v);
  for (const int32_t activation :
       {KSR_LINEAR, KSR_RELU, KSR_TANH, KSR_SIGMOID, KSR_HARD_SIGMOID, KSR_SILU}) {
    for (const int32_t activations : {KSR_FLOAT32, KSR_INT8}) {
      about = "activation " + std::to_string(activation) + " activations " +
              std::to_string(activations);
      Stream stream(bias_only(activation, activations, x));
      const Floats y = stream.run({0.5f});
      double most = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double wanted = apply(activation, x[i]), size = std::max(std::fabs(wanted), 1.2e-38);
        const double unit = std::ldexp(1.0, std::ilogb(size) - 23),
                     error = std::fabs(y[i] - wanted);
        const bool fast =
            activations == KSR_INT8 &&
            (activation == KSR_TANH || activation == KSR_SIGMOID || activation == KSR_SILU);
        const double bound = activation == KSR_HARD_SIGMOID ? 1.2e-7
                             : !fast ? (activation == KSR_SILU ? 3 : 2) * unit
                             : activation == KSR_SILU
                                 ? 1e-4 * std::max(1.0, std::fabs(double{x[i]}))
                                 : 1e-4;
        expect(error <= bound, "function", y[i], wanted);
        most = std::max(most, fast ? error : error / unit);
      }
      if (activation == KSR_TANH || activation == KSR_SIGMOID)
        std::printf("%s: at most %.3g %s\n", about.c_str(), most,
                    activations == KSR_INT8 ? "off" : "units in the last place off");
    }
  }
}

// With float32 activations, NaN in an input reaches the outputs that it has weights to.
void test_nan() {
  const float weights[] = {1.0f, 0.0f, 1.0f}, bias[] = {0.5f, 0.5f, 0.5f};
  const int32_t block = 0;
  for (const int32_t activation : {KSR_LINEAR, KSR_RELU, KSR_TANH, KSR_SIGMOID, KSR_SILU}) {
    about = "NaN, activation " + std::to_string(activation);
    ksr_description d = {};
    d.version = KSR_VERSION;
    d.cell = KSR_DENSE;
    d.activation = activation;
    d.kernel = {KSR_FLOAT32, 1, 3, 1, 1, 3, 1, weights, &block, nullptr};
    d.bias = bias;
    for (const float v : Stream(d).run({std::nanf("")})) expect(std::isnan(v), "NaN", v, 0);
  }
}

void test_softmax() {
  about = "softmax";
  const Floats x = random_floats(37);
  Doubles wanted;
  double sum = 0;
  for (const float v : x) wanted.push_back(std::exp(double{v})), sum += wanted.back();
  for (double& v : wanted) v /= sum;
  Stream stream(bias_only(KSR_SOFTMAX, KSR_FLOAT32, x));
  compare(stream.run({0.5f}), wanted, "softmax");
}

// Streams of one cell on several threads, and the caller's float settings, change nothing.
void test_callers() {
  about = "callers";
  const int shape[] = {4, 8};
  Described d(ksr::Cell::kGruResetAfter, 20, 40, 48, shape, shape, 0.4, true, KSR_FLOAT32);
  for (const int32_t activations : {KSR_FLOAT32, KSR_INT8}) {
    d.description.activations = activations;
    Stream stream(d.description);
    const Floats alone = stream.run(d.one.x);
    std::vector<std::thread> threads;
    std::vector<Floats> outputs(4, Floats(alone.size()));
    for (Floats& y : outputs)
      threads.emplace_back([&] {
        const Memory memory = aligned(ksr_state_size(stream.cell()));
        ksr_state* state;
        expect_status(ksr_state_init(stream.cell(), memory.get(), ksr_state_size(stream.cell()),
                                     nullptr, nullptr, &state),
                      KSR_OK);
        expect_status(ksr_run(stream.cell(), state, d.one.x.data(), 20, y.data()), KSR_OK);
      });
    for (std::thread& thread : threads) thread.join();
    for (const Floats& y : outputs) expect(y == alone, "on a thread", y[0], alone[0]);
    std::fesetround(FE_UPWARD);
    stream.start();
    const Floats upward = stream.run(d.one.x);
    expect(std::fegetround() == FE_UPWARD, "the caller's rounding", std::fegetround(), FE_UPWARD);
    std::fesetround(FE_TONEAREST);
    expect(upward == alone, "rounding upward", upward[0], alone[0]);
  }
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  test_floats();
  test_integers();
  test_quantized_weights();
  test_quantize();
  test_functions();
  test_nan();
  test_softmax();
  test_callers();
  std::printf("%s: %s\n", std::getenv("KERAS_SPARSE_RNN_CPU"), failures ? "FAILED" : "all passed");
  return failures != 0;
}
