// Which samples run in which layout: whole panels of sixteen first, then what is left, in rows where that is little enough.

#include "recurrent.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "cpu.h"
#include "float_mode.h"
#include "layout.h"
#include "matmul.h"
#include "scratch.h"
#include "sizes.h"

namespace ksr {
namespace {

std::atomic<int> few_samples{0};

// How many samples of a batch run in panels; the others are its last.
int64_t in_panels(const Recurrent& problem, const Kernels& kernels) {
  const int asked = few_samples.load(std::memory_order_relaxed);
  const int64_t few = asked > 0 ? asked : kernels.few_samples, rest = problem.batch % kLanes;
  if (problem.batch < few) return 0;
  return rest < (asked > 0 ? asked : kernels.few_left) ? problem.batch - rest : problem.batch;
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

// A batch, cut in two: what runs in panels and what in rows.
struct Parts {
  Parts(const Recurrent& problem, const Kernels& kernels)
      : count(in_panels(problem, kernels)),
        panels(samples(problem, 0, count)),
        rows(samples(problem, count, problem.batch - count)),
        of_panels(panels, kernels),
        of_rows(rows, kernels) {}

  // Floats of the reserve: first that of the samples in panels.
  int64_t reserve() const {
    const int64_t rows_reserve = checked_product({of_rows.row_slab, rows.batch, rows.time + 1});
    for (const int64_t floats : {panels_reserve(), rows_reserve}) checked_product({floats, 4 * sizeof(float)});
    return panels_reserve() + rows_reserve;
  }
  int64_t panels_reserve() const { return checked_product({of_panels.slab, of_panels.panels, panels.time + 1}); }

  const int64_t count;  // of samples in panels
  const Recurrent panels, rows;
  const Layout of_panels, of_rows;
};

void forward(const Recurrent& problem, const Parts& parts, const RecurrentOut& out) {
  if (parts.panels.batch) forward_panels(parts.panels, parts.of_panels, out);
  if (!parts.rows.batch) return;
  RecurrentOut others = samples(out, problem, parts.count);
  if (others.reserve) others.reserve += parts.panels_reserve();
  forward_rows(parts.rows, parts.of_rows, others);
}

}  // namespace

void set_few_samples(int samples) { few_samples.store(samples, std::memory_order_relaxed); }

int64_t reserve_size(const Recurrent& problem) {
  check_sizes(problem);
  return Parts(problem, kernels()).reserve();
}

void recurrent_forward(const Recurrent& problem, const RecurrentOut& out) {
  check_sizes(problem);
  const FloatMode mode;
  forward(problem, Parts(problem, kernels()), out);
}

void recurrent_backward(const Recurrent& problem, const RecurrentGradients& gradients) {
  check_sizes(problem);
  const FloatMode mode;
  const Parts parts(problem, kernels());
  zero(gradients.d_kernel, problem.kernel.live * problem.kernel.height * problem.kernel.width);
  zero(gradients.d_recurrent, problem.recurrent.live * problem.recurrent.height * problem.recurrent.width);
  const prepared::CellRule& rule = rule_of(problem.cell);
  if (gradients.d_bias) zero(gradients.d_bias, rule.bias_rows * rule.gates * int64_t{problem.units()});
  if (problem.batch == 0) return;

  RecurrentGradients all = gradients;
  std::unique_ptr<Scratch> recomputed;
  if (!all.reserve) {
    const int64_t floats = parts.reserve();  // of this call's instruction set, whatever is chosen meanwhile
    recomputed.reset(new Scratch(floats));
    float* fresh = recomputed->take(floats);
    forward(problem, parts, {nullptr, nullptr, nullptr, fresh});
    all.reserve = fresh;
  }
  if (parts.panels.batch) backward_panels(parts.panels, parts.of_panels, all);
  if (parts.rows.batch) {
    RecurrentGradients others = samples(all, problem, parts.count);
    others.reserve += parts.panels_reserve();
    backward_rows(parts.rows, parts.of_rows, others);
  }
  clear_padding(problem.kernel, gradients.d_kernel);
  clear_padding(problem.recurrent, gradients.d_recurrent);
}

}  // namespace ksr
