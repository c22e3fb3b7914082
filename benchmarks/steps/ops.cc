// Microseconds per step through the kernels that the TensorFlow ops call, without TensorFlow, one
// thread:
//   ops CELL UNITS INPUTS BLOCK_ROWS BLOCK_COLUMNS WEIGHTS DENSITY STEPS
// prints the median and the least of several hundred repetitions.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "pool.h"
#include "recurrent.h"

namespace {

constexpr int kRepetitions = 200;

double uniform() { return std::rand() / static_cast<double>(RAND_MAX); }

// A kernel that keeps so many of its blocks, at random, with bytes at random that are small numbers
// in every type.
struct Kernel {
  Kernel(int inputs, int units, int gates, int rows, int columns, ksr::Weights weights,
         double density) {
    packed = {inputs, units, gates, rows, columns, nullptr, nullptr, 0, weights};
    const auto wanted = static_cast<int64_t>(density * static_cast<double>(packed.count()) + 0.5);
    for (int64_t i = 0; i < packed.count(); ++i)
      if (uniform() * static_cast<double>(packed.count() - i) <
          static_cast<double>(wanted - packed.live)) {
        blocks.push_back(static_cast<int32_t>(i));
        ++packed.live;
      }
    const int64_t count = packed.live * rows * columns;
    values.resize(count + 1, 0.01f);
    if (weights == ksr::Weights::kInt8)
      for (int64_t i = 0; i < count; ++i)
        reinterpret_cast<int8_t*>(values.data())[i] = static_cast<int8_t>(std::rand() % 127 - 63);
    scales.resize(int64_t{gates} * packed.columns() * columns, 1e-3f);
    packed.values = values.data();
    packed.blocks = blocks.data();
    packed.scales = scales.data();
  }
  std::vector<float> values, scales;
  std::vector<int32_t> blocks;
  ksr::Packed packed;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 9) return std::fprintf(stderr, "see the head of ops.cc\n"), 2;
  const char* name = arguments[1];
  const ksr::Cell cell = !std::strcmp(name, "lstm")               ? ksr::Cell::kLstm
                         : !std::strcmp(name, "gru")              ? ksr::Cell::kGruResetAfter
                         : !std::strcmp(name, "gru_reset_before") ? ksr::Cell::kGruResetBefore
                         : !std::strcmp(name, "rnn")              ? ksr::Cell::kSimpleRnnTanh
                                                                  : ksr::Cell::kSimpleRnnRelu;
  const int units = std::atoi(arguments[2]), inputs = std::atoi(arguments[3]),
            rows = std::atoi(arguments[4]), columns = std::atoi(arguments[5]);
  const ksr::Weights weights = !std::strcmp(arguments[6], "int8")       ? ksr::Weights::kInt8
                               : !std::strcmp(arguments[6], "bfloat16") ? ksr::Weights::kBfloat16
                                                                        : ksr::Weights::kFloat32;
  const double density = std::atof(arguments[7]);
  const int64_t steps = std::atoll(arguments[8]);
  const int gates = ksr::rule_of(cell).gates;
  ksr::set_num_threads(1);
  std::srand(7);
  const Kernel kernel(inputs, units, gates, rows, columns, weights, density),
      recurrent(units, units, gates, rows, columns, weights, density);
  std::vector<float> x(steps * inputs), y(steps * units), h0(units), c0(units), h(units), c(units),
      bias(2 * gates * units);
  for (float& v : x) v = static_cast<float>(2 * uniform() - 1);
  const ksr::Recurrent problem = {
      cell,     1,         steps,     false,       kernel.packed, recurrent.packed,
      x.data(), h0.data(), c0.data(), bias.data(), nullptr};
  const int calls = static_cast<int>(std::max<int64_t>(1, 20 / steps));
  std::vector<double> times;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    for (int k = 0; k < calls; ++k)
      ksr::recurrent_forward(problem, {y.data(), h.data(), c.data(), nullptr});
    const std::chrono::duration<double, std::micro> spent =
        std::chrono::steady_clock::now() - begin;
    times.push_back(spent.count() / static_cast<double>(calls * steps));
  }
  std::sort(times.begin(), times.end());
  std::printf("%.4f %.4f\n", times[kRepetitions / 2], times[0]);
}
