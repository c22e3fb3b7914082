// Random problems of every cell and block shape: outputs against the reference in double precision, gradients of every input against its central
// differences; the same bits from any number of threads; two callers at once; a child after a fork.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "../core/cpu.h"
#include "../core/matmul.h"
#include "../core/pool.h"
#include "reference.h"

namespace {

using Floats = std::vector<float>;
using reference::Doubles;
int failures = 0;
void expect(bool right, const char* what, double got, double wanted) {
  if (right) return;
  std::printf("FAILED %s: got %.9g, wanted %.9g\n", what, got, wanted);
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
Doubles doubles(const Floats& values) { return Doubles(values.begin(), values.end()); }

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
  for (float& v : k->values) v *= 2.0f / std::sqrt(1.0f + static_cast<float>(inputs * density));
  k->packed.values = k->values.data();
  k->packed.blocks = k->blocks.data();
  ksr::clear_padding(k->packed, k->values.data());
}

// A problem with all of its memory.
struct Case {
  Case(ksr::Cell cell, int64_t batch, int64_t time, int inputs, int units, const int* shape, const int* recurrent_shape, double density, bool bias,
       bool mask, bool go_backwards) {
    const int gates = ksr::cell_gates(cell);
    make_kernel(inputs, units, gates, shape, density, &kernel);
    make_kernel(units, units, gates, recurrent_shape, density, &recurrent);
    x = random_floats(batch * time * inputs);
    h0 = random_floats(batch * units);
    if (cell == ksr::Cell::kLstm) c0 = random_floats(batch * units);
    if (bias) biases = random_floats((cell == ksr::Cell::kGruResetAfter ? 6 : gates) * units);
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

  void run(bool keep) {
    Floats memory(keep ? ksr::reserve_size(problem) : 0);
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

void compare(const Floats& got, const Doubles& wanted, const char* what) {
  for (size_t i = 0; i < got.size(); ++i) expect(std::fabs(got[i] - wanted[i]) <= 4e-6 * std::max(1.0, std::fabs(wanted[i])), what, got[i], wanted[i]);
}

void check_against_reference(Case& one, bool keep) {
  one.run(keep);
  reference::Inputs in = {doubles(one.x), doubles(one.h0), doubles(one.c0), doubles(one.kernel.values), doubles(one.recurrent.values), doubles(one.biases)};
  const reference::Outputs wanted = reference::run(one.problem, in);
  compare(one.outputs, wanted.outputs, "outputs");
  compare(one.h, wanted.h, "h");
  compare(one.c, wanted.c, "c");
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

void test_cells() {
  using ksr::Cell;
  for (Cell cell : {Cell::kSimpleRnnTanh, Cell::kSimpleRnnRelu, Cell::kLstm, Cell::kGruResetAfter, Cell::kGruResetBefore}) {
    for (int i = 0; i < 3 * kShapeCount; ++i) {
      const int64_t batches[] = {1, 3, 7, 8, 17, 33};
      const double densities[] = {0, 0.3, 1};
      Case one(cell, batches[pick(0, 5)], pick(1, 9), static_cast<int>(pick(1, 37)), static_cast<int>(pick(1, 37)), kShapes[i % kShapeCount],
               kShapes[pick(0, kShapeCount - 1)], densities[pick(0, 2)], pick(0, 1), pick(0, 1), pick(0, 1));
      check_against_reference(one, i % 2);
    }
    for (int64_t empty : {0, 1}) {
      Case one(cell, empty ? 0 : 3, empty ? 3 : 0, 5, 6, kShapes[0], kShapes[1], 0.5, true, false, false);
      check_against_reference(one, true);
    }
  }
}

void test_matmul() {
  for (int i = 0; i < 4 * kShapeCount; ++i) {
    const int64_t rows[] = {0, 1, 5, 8, 33, 700};
    const int64_t n = rows[i % 6];
    const int inputs = static_cast<int>(pick(1, 40)), units = static_cast<int>(pick(1, 40)), gates = static_cast<int>(pick(1, 5));
    Kernel kernel;
    make_kernel(inputs, units, gates, kShapes[i % kShapeCount], 0.5, &kernel);
    const int outputs = gates * units;
    const Floats x = random_floats(n * inputs), dy = random_floats(n * outputs);
    Floats y(n * outputs), dx(n * inputs), d_values(kernel.values.size());
    ksr::matmul_forward(kernel.packed, n, x.data(), y.data());
    ksr::matmul_backward(kernel.packed, n, x.data(), dy.data(), dx.data(), d_values.data());
    const Doubles dense = reference::dense(kernel.packed, doubles(kernel.values));
    Doubles wanted_y(n * outputs, 0.0), wanted_dx(n * inputs, 0.0);
    for (int64_t r = 0; r < n; ++r)
      for (int a = 0; a < inputs; ++a)
        for (int b = 0; b < outputs; ++b) {
          wanted_y[r * outputs + b] += double{x[r * inputs + a]} * dense[int64_t{a} * outputs + b];
          wanted_dx[r * inputs + a] += double{dy[r * outputs + b]} * dense[int64_t{a} * outputs + b];
        }
    compare(y, wanted_y, "product");
    compare(dx, wanted_dx, "product dx");
    // The product is linear in the values, so their gradient's component along them is the product's along dy.
    double got = 0, wanted = 0, scale = 1e-3;
    for (size_t v = 0; v < d_values.size(); ++v) got += double{d_values[v]} * kernel.values[v], scale += std::fabs(d_values[v] * kernel.values[v]);
    for (size_t v = 0; v < wanted_y.size(); ++v) wanted += wanted_y[v] * dy[v];
    expect(std::fabs(got - wanted) <= 1e-5 * scale, "product d_values", got, wanted);
  }
}

double ulps(float got, double wanted) {
  const float near = static_cast<float>(wanted), next = std::nextafter(near, near < 0 ? -2.0f : 2.0f);
  return std::fabs(got - wanted) / std::max(std::fabs(double{next} - near), 1.2e-38);
}

void test_functions() {
  Floats x;
  for (float v = -100; v < 100; v += 0.003f) x.push_back(v);
  for (float v = 1e-38f; v < 1; v *= 1.7f) x.insert(x.end(), {v, -v});
  const float inf = std::numeric_limits<float>::infinity();
  x.insert(x.end(), {inf, -inf, 0.0f, -0.0f, 3e38f, -3e38f, std::nanf("")});
  while (x.size() % 16) x.push_back(0.0f);
  Floats s(x.size()), t(x.size());
  ksr::kernels().sigmoid(x.data(), x.size(), s.data());
  ksr::kernels().tanh(x.data(), x.size(), t.data());
  double worst_s = 0, worst_t = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      expect(std::isnan(s[i]) && std::isnan(t[i]), "function of NaN", s[i], t[i]);
      continue;
    }
    if (x[i] > -87) worst_s = std::max(worst_s, ulps(s[i], reference::sigmoid(x[i])));  // below, the result is no normal number
    else expect(s[i] >= 0 && s[i] < 2e-38, "sigmoid of a large negative number", s[i], 0);
    worst_t = std::max(worst_t, ulps(t[i], std::tanh(double{x[i]})));
  }
  std::printf("%s: sigmoid within %.2f units of the last place, tanh within %.2f\n", ksr::kernels().name, worst_s, worst_t);
  expect(worst_s <= 4, "sigmoid", worst_s, 4);
  expect(worst_t <= 4, "tanh", worst_t, 4);
}

void test_block_numbers() {
  ksr::Packed packed = {8, 8, 2, 4, 4, nullptr, nullptr, 3};
  const struct {
    int32_t blocks[3];
    int64_t bad;
  } cases[] = {{{0, 1, 7}, -1}, {{0, 1, 8}, 2}, {{-1, 1, 2}, 0}, {{0, 2, 2}, 2}, {{3, 2, 4}, 1}};
  for (const auto& one : cases) {
    packed.blocks = one.blocks;
    expect(ksr::first_bad_block(packed) == one.bad, "bad block", static_cast<double>(ksr::first_bad_block(packed)), static_cast<double>(one.bad));
  }
}

Case large(int64_t batch) { return Case(ksr::Cell::kLstm, batch, 12, 100, 200, kShapes[2], kShapes[3], 0.9, true, true, false); }

void test_threads() {
  for (int64_t batch : {2, 16, 33}) {
    Case one = large(batch);
    ksr::set_num_threads(1);
    one.run(false);
    const auto alone = one.results();
    for (int threads : {2, 3, 4}) {
      ksr::set_num_threads(threads);
      one.run(false);
      expect(one.results() == alone, "results with other numbers of threads", threads, 1);
    }
  }
  ksr::set_num_threads(2);
  Case first = large(16), second = large(33);
  first.run(true);
  second.run(true);
  const auto first_alone = first.results(), second_alone = second.results();
  std::thread other([&] {
    for (int i = 0; i < 3; ++i) second.run(true);
  });
  for (int i = 0; i < 3; ++i) first.run(true);
  other.join();
  expect(first.results() == first_alone && second.results() == second_alone, "two callers at once", 0, 1);
}

// The child has none of the pool's threads, and must not wait for them.
void test_fork() {
  ksr::set_num_threads(2);
  Case one = large(16);
  one.run(true);
  const auto before = one.results();
  const pid_t child = fork();
  if (child == 0) {
    one.run(true);
    _exit(one.results() == before ? 0 : 1);
  }
  int status = 1;
  expect(waitpid(child, &status, 0) == child && status == 0, "results after a fork", status, 0);
}

}  // namespace

int main(int count, char** arguments) {
  test_functions();
  test_block_numbers();
  test_matmul();
  test_cells();
  test_threads();
  // ThreadSanitizer does not follow a fork that starts threads.
  if (count < 2 || std::strcmp(arguments[1], "--no-fork")) test_fork();
  std::printf("%s: %s\n", ksr::kernels().name, failures ? "FAILED" : "all passed");
  return failures != 0;
}
