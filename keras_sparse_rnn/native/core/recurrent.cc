// Which samples run in which layout: whole panels of sixteen first, then what is left, in rows where that is little enough.

#include "recurrent.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>

#include "cpu.h"
#include "layout.h"
#include "matmul.h"
#include "scratch.h"

namespace ksr {
namespace {

std::atomic<int> few_samples{0};

// How many samples of a batch run in panels; the others are its last.
int64_t in_panels(const Recurrent& problem) {
  const int asked = few_samples.load(std::memory_order_relaxed);
  const int64_t few = asked > 0 ? asked : kernels().few_samples, rest = problem.batch % kLanes;
  if (problem.batch < few) return 0;
  return rest < (asked > 0 ? asked : kernels().few_left) ? problem.batch - rest : problem.batch;
}

// The samples from `first` on, `count` of them.
Recurrent samples(Recurrent problem, int64_t first, int64_t count) {
  const int64_t steps = first * problem.time, units = first * problem.units();
  problem.batch = count;
  problem.x += steps * problem.kernel.inputs;
  problem.h0 += units;
  if (problem.c0) problem.c0 += units;
  if (problem.mask) problem.mask += steps;
  return problem;
}

RecurrentOut samples(RecurrentOut out, const Recurrent& problem, int64_t first) {
  const int64_t units = first * problem.units();
  if (!out.h) return out;
  out.outputs += units * problem.time;
  out.h += units;
  if (out.c) out.c += units;
  return out;
}

RecurrentGradients samples(RecurrentGradients gradients, const Recurrent& problem, int64_t first) {
  const int64_t units = first * problem.units();
  gradients.d_outputs += units * problem.time;
  gradients.d_h += units;
  gradients.dx += first * problem.time * problem.kernel.inputs;
  gradients.d_h0 += units;
  if (gradients.d_c) gradients.d_c += units;
  if (gradients.d_c0) gradients.d_c0 += units;
  return gradients;
}

int64_t product(int64_t a, int64_t b) {
  int64_t floats, bytes;
  if (__builtin_mul_overflow(a, b, &floats) || __builtin_mul_overflow(floats, int64_t{4 * sizeof(float)}, &bytes)) throw std::bad_alloc();
  return floats;
}

// Floats of the reserve of the samples in panels; those of the others follow.
int64_t panels_reserve(const Recurrent& problem, const Layout& layout) {
  return product(product(layout.slab, (in_panels(problem) + kLanes - 1) / kLanes), problem.time + 1);
}

}  // namespace

void set_few_samples(int samples) { few_samples.store(samples, std::memory_order_relaxed); }

int64_t reserve_size(const Recurrent& problem) {
  const Layout layout(problem);
  return panels_reserve(problem, layout) + product(product(layout.row_slab, problem.batch - in_panels(problem)), problem.time + 1);
}

void recurrent_forward(const Recurrent& problem, const RecurrentOut& out) {
  const int64_t panels = in_panels(problem), rest = problem.batch - panels;
  if (panels) forward_panels(samples(problem, 0, panels), out);
  if (!rest) return;
  RecurrentOut others = samples(out, problem, panels);
  if (others.reserve) others.reserve += panels_reserve(problem, Layout(problem));
  forward_rows(samples(problem, panels, rest), others);
}

void recurrent_backward(const Recurrent& problem, const RecurrentGradients& gradients) {
  zero(gradients.d_kernel, problem.kernel.live * problem.kernel.height * problem.kernel.width);
  zero(gradients.d_recurrent, problem.recurrent.live * problem.recurrent.height * problem.recurrent.width);
  const int biases = problem.cell == Cell::kGruResetAfter ? 6 : cell_gates(problem.cell);
  if (gradients.d_bias) zero(gradients.d_bias, biases * int64_t{problem.units()});
  if (problem.batch == 0) return;

  RecurrentGradients all = gradients;
  std::unique_ptr<Scratch> recomputed;
  if (!all.reserve) {
    recomputed.reset(new Scratch(reserve_size(problem)));
    float* fresh = recomputed->take(reserve_size(problem));
    recurrent_forward(problem, {nullptr, nullptr, nullptr, fresh});
    all.reserve = fresh;
  }
  const int64_t panels = in_panels(problem), rest = problem.batch - panels;
  if (panels) backward_panels(samples(problem, 0, panels), all);
  if (rest) {
    RecurrentGradients others = samples(all, problem, panels);
    others.reserve += panels_reserve(problem, Layout(problem));
    backward_rows(samples(problem, panels, rest), others);
  }
  clear_padding(problem.kernel, gradients.d_kernel);
  clear_padding(problem.recurrent, gradients.d_recurrent);
}

}  // namespace ksr
