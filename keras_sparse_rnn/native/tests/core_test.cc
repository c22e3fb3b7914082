// Random problems of every cell and block shape: outputs against the reference in double precision, gradients of every input against its central
// differences; the same bits from any number of threads; two callers at once; a child after a fork.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "../core/cpu.h"
#include "../core/pool.h"
#include "problems.h"
#include "skip.h"

namespace {

void test_cells() {
  for (const ksr::Cell cell : kRecurrentCells) {
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
    const int inputs = static_cast<int>(pick(1, 40)), units = static_cast<int>(pick(1, 40)), gates = static_cast<int>(pick(1, 5));
    Kernel kernel;
    make_kernel(inputs, units, gates, kShapes[i % kShapeCount], 0.5, &kernel);
    check_product(kernel, rows[i % 6]);
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

Case large(int64_t batch, ksr::Cell cell = ksr::Cell::kLstm, int64_t time = 12) {
  return Case(cell, batch, time, 100, 200, kShapes[2], kShapes[3], 0.9, true, true, false);
}

void test_threads(Case one) {
  ksr::set_num_threads(1);
  one.run(false);
  const auto alone = one.results();
  for (int threads : {2, 3, 4, 6, 8, 12}) {
    ksr::set_num_threads(threads);
    one.run(false);
    expect(one.results() == alone, "results with other numbers of threads", threads, 1);
  }
}

void test_threads() {
  for (int64_t batch : {2, 16, 33, 64, 96}) test_threads(large(batch));
  // Long enough for a second chunk of projected steps, in which threads write where the others have read.
  for (ksr::Cell cell : {ksr::Cell::kLstm, ksr::Cell::kGruResetAfter, ksr::Cell::kGruResetBefore}) test_threads(large(3, cell, 50));
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

// A call takes one instruction set for all that it does, whatever is chosen meanwhile.
void test_choice() {
  ksr::set_num_threads(1);
  const std::string name = ksr::kernels().name;
  std::vector<std::function<Floats()>> calls;
  const auto make = [](int64_t batch) { return Case(ksr::Cell::kLstm, batch, 4, 40, 50, kShapes[2], kShapes[3], 0.9, true, true, false); };
  Case few = make(3), many = make(17);
  for (Case* one : {&few, &many}) {
    calls.push_back([=] {
      ksr::recurrent_forward(one->problem, {one->outputs.data(), one->h.data(), one->c.data(), nullptr});
      return one->outputs;
    });
    calls.push_back([=] {
      ksr::recurrent_backward(one->problem, {nullptr, one->d_outputs.data(), one->d_h.data(), one->d_c.data(), one->dx.data(), one->d_h0.data(),
                                             one->d_c0.data(), one->d_kernel.data(), one->d_recurrent.data(), one->d_bias.data()});
      return one->d_recurrent;
    });
  }
  for (const auto& call : calls) {
    const Floats own = call();
    ksr::choose_cpu("plain");
    const Floats plain = call();
    std::atomic<bool> ended{false};
    std::thread other([&] {
      while (!ended) {
        ksr::choose_cpu(name.c_str());
        ksr::choose_cpu("plain");
      }
    });
    for (int i = 0; i < 10; ++i) {
      const Floats got = call();
      expect(same_bits({got}, {own}) || same_bits({got}, {plain}), "results of a call while another instruction set is chosen", i, i);
    }
    ended = true;
    other.join();
    ksr::choose_cpu(name.c_str());
  }
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
  if (cpu_is_missing()) return kSkipped;
  test_functions();
  test_block_numbers();
  test_matmul();
  test_cells();
  test_threads();
  test_choice();
  // ThreadSanitizer does not follow a fork that starts threads.
  if (count < 2 || std::strcmp(arguments[1], "--no-fork")) test_fork();
  std::printf("%s: %s\n", ksr::kernels().name, failures ? "FAILED" : "all passed");
  return failures != 0;
}
