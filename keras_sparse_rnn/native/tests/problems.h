// Random problems with all of their memory, and how the core's results are held against the reference. Included once by each test.
#ifndef KERAS_SPARSE_RNN_TESTS_PROBLEMS_H_
#define KERAS_SPARSE_RNN_TESTS_PROBLEMS_H_

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "../core/matmul.h"
#include "reference.h"

namespace {

using Floats = std::vector<float>;
using reference::Doubles;
int failures = 0;
std::string about;  // which problem it is, for messages
void expect(bool right, const char* what, double got, double wanted) {
  if (right) return;
  std::printf("FAILED %s: got %.9g, wanted %.9g %s\n", what, got, wanted, about.c_str());
  if (++failures > 20) std::exit(1);
}

std::mt19937 generator(7);
double uniform() { return generator() / 2147483648.0 - 1.0; }
int64_t pick(int64_t low, int64_t high) { return low + generator() % (high - low + 1); }

Floats random_floats(int64_t n) {
  Floats values(n);
  std::generate(values.begin(), values.end(), [] { return static_cast<float>(uniform()); });
  return values;
}
inline bool same_bits(const std::vector<Floats>& one, const std::vector<Floats>& other) {
  if (one.size() != other.size()) return false;
  for (size_t i = 0; i < one.size(); ++i) {
    const size_t bytes = one[i].size() * sizeof(float);
    if (one[i].size() != other[i].size() || (bytes && std::memcmp(one[i].data(), other[i].data(), bytes)))
      return false;
  }
  return true;
}
Doubles doubles(const Floats& values) { return Doubles(values.begin(), values.end()); }

const ksr::Cell kRecurrentCells[] = {ksr::Cell::kSimpleRnnTanh, ksr::Cell::kSimpleRnnRelu,
                                     ksr::Cell::kLstm, ksr::Cell::kGruResetAfter,
                                     ksr::Cell::kGruResetBefore};

struct Kernel {
  std::vector<int32_t> blocks;
  Floats values;
  ksr::Packed packed;
};

const int kShapes[][2] = {
#define KSR_SHAPE(height, width) {height, width},
#include "../core/shapes.inc"
    {3, 5}, {7, 2}, {40, 3}, {2, 50}};
constexpr int kShapeCount = sizeof kShapes / sizeof kShapes[0];

void make_kernel(int inputs, int units, int gates, const int* shape, double density, Kernel* k) {
  k->packed = {inputs, units, gates, shape[0], shape[1], nullptr, nullptr, 0};
  for (int64_t i = 0; i < k->packed.count(); ++i)
    if (uniform() < 2 * density - 1) k->blocks.push_back(static_cast<int32_t>(i));
  k->packed.live = static_cast<int64_t>(k->blocks.size());
  k->values = random_floats(k->packed.live * shape[0] * shape[1]);
  for (float& v : k->values) v *= 1.5f / std::sqrt(1.0f + static_cast<float>(inputs * std::max(0.5, density)));
  k->packed.values = k->values.data();
  k->packed.blocks = k->blocks.data();
  ksr::clear_padding(k->packed, k->values.data());
}

// A problem with all of its memory.
struct Case {
  Case(ksr::Cell cell, int64_t batch, int64_t time, int inputs, int units, const int* shape, const int* recurrent_shape, double density, bool bias,
       bool mask, bool go_backwards) {
    const ksr::prepared::CellRule& rule = ksr::rule_of(cell);
    const int gates = rule.gates;
    make_kernel(inputs, units, gates, shape, density, &kernel);
    make_kernel(units, units, gates, recurrent_shape, density, &recurrent);
    x = random_floats(batch * time * inputs);
    h0 = random_floats(batch * units);
    if (rule.states == 2) c0 = random_floats(batch * units);
    if (bias) biases = random_floats(rule.bias_rows * gates * units);
    for (int64_t i = 0; mask && i < batch * time; ++i) masks.push_back(pick(0, 9) < 6);
    problem = {cell,      batch,     time,      go_backwards,     kernel.packed, recurrent.packed,
               x.data(), h0.data(), c0.data(), bias ? biases.data() : nullptr, mask ? masks.data() : nullptr};
    outputs.resize(batch * time * units);
    h.resize(batch * units);
    c.resize(c0.size());
    d_outputs = random_floats(outputs.size());
    d_h = random_floats(h.size());
    d_c = random_floats(c.size());
    dx.resize(x.size());
    d_h0.resize(h0.size());
    d_c0.resize(c0.size());
    d_kernel.resize(kernel.values.size());
    d_recurrent.resize(recurrent.values.size());
    d_bias.resize(biases.size());
  }

  // Everything that is written is written whole: NaN would stay where it is not.
  void run(bool keep) {
    for (Floats* out : {&outputs, &h, &c, &dx, &d_h0, &d_c0, &d_kernel, &d_recurrent, &d_bias}) std::fill(out->begin(), out->end(), std::nanf(""));
    Floats memory(keep ? ksr::reserve_size(problem) : 0, std::nanf(""));
    ksr::recurrent_forward(problem, {outputs.data(), h.data(), c.data(), keep ? memory.data() : nullptr});
    ksr::recurrent_backward(problem, {keep ? memory.data() : nullptr, d_outputs.data(), d_h.data(), d_c.data(), dx.data(), d_h0.data(), d_c0.data(),
                                      d_kernel.data(), d_recurrent.data(), biases.empty() ? nullptr : d_bias.data()});
  }

  std::vector<Floats> results() const { return {outputs, h, c, dx, d_h0, d_c0, d_kernel, d_recurrent, d_bias}; }

  Kernel kernel, recurrent;
  Floats x, h0, c0, biases, outputs, h, c, d_outputs, d_h, d_c, dx, d_h0, d_c0, d_kernel, d_recurrent, d_bias;
  std::vector<uint8_t> masks;
  ksr::Recurrent problem;
};

double dot(const Doubles& a, const Floats& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// NaN and infinity must be where they are wanted.
void compare(const Floats& got, const Doubles& wanted, const char* what) {
  for (size_t i = 0; i < got.size(); ++i) {
    const bool same = std::isfinite(wanted[i]) ? std::fabs(got[i] - wanted[i]) <= 4e-6 * std::max(1.0, std::fabs(wanted[i]))
                                               : got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i]));
    expect(same, what, got[i], wanted[i]);
  }
}

reference::Inputs inputs_of(const Case& one) {
  return {doubles(one.x), doubles(one.h0), doubles(one.c0), doubles(one.kernel.values), doubles(one.recurrent.values), doubles(one.biases)};
}

inline void compare_outputs(const Case& one) {
  const reference::Outputs wanted = reference::run(one.problem, inputs_of(one));
  compare(one.outputs, wanted.outputs, "outputs");
  compare(one.h, wanted.h, "h");
  compare(one.c, wanted.c, "c");
}

inline void check_against_reference(Case& one, bool keep) {
  one.run(keep);
  compare_outputs(one);
  reference::Inputs in = inputs_of(one);
  // Along a random direction of each input: the gradient's component against the difference of the loss.
  const auto loss = [&] {
    const reference::Outputs out = reference::run(one.problem, in);
    return dot(out.outputs, one.d_outputs) + dot(out.h, one.d_h) + dot(out.c, one.d_c);
  };
  struct Pair {
    const char* name;
    Doubles* input;
    const Floats* gradient;
  };
  for (const Pair& pair : {Pair{"dx", &in.x, &one.dx}, Pair{"d_h0", &in.h0, &one.d_h0}, Pair{"d_c0", &in.c0, &one.d_c0},
                           Pair{"d_kernel", &in.kernel, &one.d_kernel}, Pair{"d_recurrent", &in.recurrent, &one.d_recurrent},
                           Pair{"d_bias", &in.bias, &one.d_bias}}) {
    const Doubles before = *pair.input;
    double component = 0, scale = 1e-3;
    Doubles direction(before.size());
    for (size_t i = 0; i < before.size(); ++i) {
      direction[i] = uniform();
      component += direction[i] * (*pair.gradient)[i];
      scale += std::fabs(direction[i] * (*pair.gradient)[i]);
    }
    const double step = one.problem.cell == ksr::Cell::kSimpleRnnRelu ? 1e-9 : 1e-5;  // relu has kinks to stay away from
    for (size_t i = 0; i < before.size(); ++i) (*pair.input)[i] = before[i] + step * direction[i];
    const double above = loss();
    for (size_t i = 0; i < before.size(); ++i) (*pair.input)[i] = before[i] - step * direction[i];
    const double difference = (above - loss()) / (2 * step);
    *pair.input = before;
    expect(std::fabs(component - difference) <= 1e-5 * scale, pair.name, component, difference);
  }
}

// The product of random rows with a kernel and its gradients.
inline void check_product(const Kernel& kernel, int64_t n) {
  const int inputs = kernel.packed.inputs, outputs = kernel.packed.gates * kernel.packed.units;
  const Floats x = random_floats(n * inputs), dy = random_floats(n * outputs);
  Floats y(n * outputs, std::nanf("")), dx(n * inputs, std::nanf("")), d_values(kernel.values.size(), std::nanf(""));
  ksr::matmul_forward(kernel.packed, n, x.data(), y.data());
  ksr::matmul_backward(kernel.packed, n, {x.data(), dy.data(), dx.data(), d_values.data()});
  const Doubles dense = reference::dense(kernel.packed, doubles(kernel.values));
  const Doubles exact = doubles(x);
  Doubles wanted_y(n * outputs, 0.0), wanted_dx(n * inputs, 0.0);
  for (int64_t r = 0; r < n; ++r) {
    reference::product(exact.data() + r * inputs, dense, inputs, outputs, 1, 0, 1, &wanted_y[r * outputs]);
    for (int a = 0; a < inputs; ++a)
      for (int b = 0; b < outputs; ++b)
        if (dense[int64_t{a} * outputs + b] != 0) wanted_dx[r * inputs + a] += double{dy[r * outputs + b]} * dense[int64_t{a} * outputs + b];
  }
  compare(y, wanted_y, "product");
  compare(dx, wanted_dx, "product dx");
  // The product is linear in the values: their gradient, which does not depend on them, along random ones is the product's along dy.
  Floats others = random_floats(d_values.size());
  ksr::clear_padding(kernel.packed, others.data());
  const Doubles other = reference::dense(kernel.packed, doubles(others));
  double got = 0, wanted = 0, scale = 1e-3;
  for (size_t v = 0; v < d_values.size(); ++v) got += double{d_values[v]} * others[v], scale += std::fabs(d_values[v] * others[v]);
  for (int64_t r = 0; r < n; ++r)
    for (int a = 0; a < inputs; ++a)
      for (int b = 0; b < outputs; ++b) wanted += double{x[r * inputs + a]} * other[int64_t{a} * outputs + b] * dy[r * outputs + b];
  expect(std::fabs(got - wanted) <= 1e-5 * scale, "product d_values", got, wanted);
}

}  // namespace

#endif  // KERAS_SPARSE_RNN_TESTS_PROBLEMS_H_
