// The backward pass, in panel layout. Time is walked from the end in chunks: first the gates' gradients of a chunk, step by step, then from them,
// with all steps of the chunk at once, the gradients of the input, the kernels' live blocks and the bias.

#include <algorithm>

#include "backward_steps.h"
#include "cpu.h"
#include "pool.h"
#include "scratch.h"
#include "sizes.h"

namespace ksr {
namespace {

constexpr int64_t kChunkPanels = 32;  // panels of a chunk, all steps together

// What all threads share.
struct Backward {
  Backward(const Recurrent& problem_, const Layout& layout_, const RecurrentGradients& gradients_)
      : problem(problem_),
        gradients(gradients_),
        layout(layout_),
        plans(problem_, layout, true),
        reserve(gradients_.reserve),
        first(first_steps(problem_)),
        chunk(std::min(std::max<int64_t>(1, problem_.time), std::max<int64_t>(1, kChunkPanels / layout.panels))),
        x_floats(layout.in_features * kLanes),
        scratch(layout.panels * (chunk * (layout.gradients + 2 * x_floats) + 4 * layout.stride()) + layout.slots * layout.stride()),
        d_gates(scratch.take(layout.panels * chunk * layout.gradients)),
        x(scratch.take(layout.panels * chunk * x_floats)),
        dx(scratch.take(layout.panels * chunk * x_floats)),
        d_h(scratch.take(layout.panels * layout.stride())),
        d_c(scratch.take(layout.panels * layout.stride())),
        d_reset(scratch.take(layout.panels * layout.stride())),
        d_output(scratch.take(layout.panels * layout.stride())),
        d_bias(scratch.take(layout.slots * layout.stride())),
        steps(layout.panels * chunk) {
    zero(d_gates, layout.panels * chunk * layout.gradients);  // the padding stays zero
    zero(d_bias, layout.slots * layout.stride());
  }

  const float* slab(int64_t p, int64_t t) const { return reserve + (p * (problem.time + 1) + t) * layout.slab; }
  float* d_gates_of(int64_t p, int64_t i) const { return d_gates + (p * chunk + i) * layout.gradients; }

  const Recurrent& problem;
  const RecurrentGradients& gradients;
  const Layout& layout;
  const Plans plans;
  const float* reserve;
  const std::vector<int64_t> first;
  const int64_t chunk, x_floats;
  Scratch scratch;
  float *d_gates;  // [panels, chunk, gradients]
  float *x, *dx;   // [panels, chunk, in_features, 16]
  float *d_h, *d_c, *d_reset, *d_output;  // [panels, features, 16]
  float* d_bias;                          // [slots, features, 16]
  Steps steps;
};

// The units [from, to) of one step: adds the output's gradient to d_h, then goes through the cell.
void cell_backward(const Backward& b, int64_t p, int64_t t, int64_t i, int64_t from, int64_t to, int phase) {
  if (from == to) return;
  const Layout& layout = b.layout;
  const Kernels& k = layout.kernels;
  alignas(64) int32_t lanes[kLanes];
  const int64_t offset = from * kLanes, state = p * layout.stride() + offset;
  const float *now = b.slab(p, t + 1), *before = b.slab(p, t);
  if (phase == 0) {
    const float* rows[kLanes];
    panel_rows(b.gradients.d_outputs + t * layout.units + from, p, b.problem.batch, b.problem.time * layout.units, rows);
    for (int64_t lane = 0; !b.first.empty() && lane < kLanes; ++lane)
      if (rows[lane] && t < b.first[p * kLanes + lane]) rows[lane] = nullptr;
    k.rows_to_panel(rows, to - from, b.d_output + state);
    k.add(b.d_output + state, (to - from) * kLanes, b.d_h + state);
  }
  const CellBackward arguments = {now + offset,
                                  b.d_gates_of(p, i) + offset,
                                  layout.stride(),
                                  before + layout.h() + offset,
                                  layout.has_c() ? before + layout.c() + offset : nullptr,
                                  layout.has_c() ? now + layout.c() + offset : nullptr,
                                  b.d_h + state,
                                  b.d_c + state,
                                  b.d_reset + state,
                                  step_lanes(b.problem, p, t, lanes),
                                  (to - from) * kLanes};
  phase ? layout.cell.reset_backward(&arguments) : layout.cell.update_backward(&arguments);
}

// Runs a thread's part of the steps [begin, begin + steps) backwards, leaving the gates' gradients.
void steps_backward(const Backward& b, int64_t begin, int64_t steps, const GridPlace& place) {
  const Layout& layout = b.layout;
  const int part = place.part, parts = place.parts;
  const int64_t panel = place.panel, last = place.last_panel;
  const auto [from, to] = share(layout.units, part, parts);
  const std::vector<int> cuts = b.plans.recurrent.cut_rows(parts, 1);
  std::vector<int> candidate_cuts;
  if (b.plans.candidate) candidate_cuts = b.plans.candidate->cut_rows(parts, 1);
  const auto rows = [&](const Plan& plan, const std::vector<int>& of, int64_t p, int64_t i, float* out) {
    plan.kernels().panel_backward(&plan.backward(), of[part], of[part + 1], b.d_gates_of(p, i), out + p * layout.stride());
  };
  for (int64_t t = begin + steps - 1; t >= begin; --t) {
    const int64_t i = t - begin;
    for (int64_t p = panel; p < last; ++p) {
      cell_backward(b, p, t, i, from, to, 0);
      if (b.plans.candidate) zero(b.d_reset + p * layout.stride() + from * kLanes, (to - from) * kLanes);
    }
    place.meet();
    if (b.plans.candidate) {
      for (int64_t p = panel; p < last; ++p) rows(*b.plans.candidate, candidate_cuts, p, i, b.d_reset);
      place.meet();
      for (int64_t p = panel; p < last; ++p) cell_backward(b, p, t, i, from, to, 1);
      place.meet();
    }
    for (int64_t p = panel; p < last; ++p) rows(b.plans.recurrent, cuts, p, i, b.d_h);
    place.meet();
  }
}

// Everything that follows from the gates' gradients of a chunk. All threads have met before, and meet at the end.
void chunk_backward(Backward& b, int64_t begin, int64_t steps, int id, Team& team) {
  const Layout& layout = b.layout;
  const int64_t items = layout.panels * steps;
  const auto [item, last_item] = share(items, id, team.size());
  const auto gradient = [&](int64_t n) { return b.d_gates_of(n / steps, n % steps); };
  for (int64_t n = item; n < last_item; ++n) {
    const float *before = b.slab(n / steps, begin + n % steps), *now = before + layout.slab;
    b.steps.panels[n] = {b.x + n * b.x_floats, before + layout.h(), b.plans.candidate ? now + layout.reset() : nullptr, gradient(n),
                         b.dx + n * b.x_floats};
    x_panel(b.problem, layout, n / steps, begin + n % steps, b.x + n * b.x_floats);
    zero(b.dx + n * b.x_floats, b.x_floats);
  }
  input_gradients(b.plans.kernel, b.steps, item, last_item);
  for (int64_t n = item; n < last_item; ++n) {
    float* rows[kLanes];
    const int64_t step = source_step(b.problem, begin + n % steps);
    panel_rows(b.gradients.dx + step * layout.inputs, n / steps, b.problem.batch, b.problem.time * layout.inputs, rows);
    layout.kernels.panel_to_rows(b.dx + n * b.x_floats, layout.inputs, rows);
  }
  const auto [line, last_line] = share(layout.slots * layout.features, id, team.size());
  for (int64_t n = 0; n < items; ++n) layout.kernels.add(gradient(n) + line * kLanes, (last_line - line) * kLanes, b.d_bias + line * kLanes);
  team.barrier(id);
  kernel_gradients(b.plans, b.steps, items, b.gradients, id, team.size());
  team.barrier(id);
}

}  // namespace

void backward_panels(const Recurrent& problem, const Layout& layout, const RecurrentGradients& gradients) {
  Backward b(problem, layout, gradients);
  for (int64_t p = 0; p < layout.panels; ++p) {
    const float* rows[kLanes];
    panel_rows(gradients.d_h, p, problem.batch, layout.units, rows);
    layout.kernels.rows_to_panel(rows, layout.units, b.d_h + p * layout.stride());
    if (!layout.has_c()) continue;
    panel_rows(gradients.d_c, p, problem.batch, layout.units, rows);
    layout.kernels.rows_to_panel(rows, layout.units, b.d_c + p * layout.stride());
  }
  const int threads = panel_threads(problem, layout, b.plans);
  parallel(threads, panel_groups(layout.panels, threads) < threads, [&](int id, Team& team) {
    const GridPlace place(layout.panels, id, team);
    for (int64_t end = problem.time; end > 0; end -= std::min(end, b.chunk)) {
      const int64_t steps = std::min(end, b.chunk);
      steps_backward(b, end - steps, steps, place);
      team.barrier(id);
      chunk_backward(b, end - steps, steps, id, team);
    }
  });
  for (int64_t p = 0; p < layout.panels; ++p) {
    float* rows[kLanes];
    panel_rows(gradients.d_h0, p, problem.batch, layout.units, rows);
    layout.kernels.panel_to_rows(b.d_h + p * layout.stride(), layout.units, rows);
    if (!layout.has_c()) continue;
    panel_rows(gradients.d_c0, p, problem.batch, layout.units, rows);
    layout.kernels.panel_to_rows(b.d_c + p * layout.stride(), layout.units, rows);
  }
  if (!gradients.d_bias) return;
  std::vector<float> sums(layout.slots * layout.features, 0.0f);
  for (size_t f = 0; f < sums.size(); ++f)
    for (int lane = 0; lane < kLanes; ++lane) sums[f] += b.d_bias[f * kLanes + lane];
  add_bias(layout, sums.data(), gradients.d_bias);
}

}  // namespace ksr
