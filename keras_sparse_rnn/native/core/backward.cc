// The backward pass, in panel layout. Time is walked from the end in chunks: first the gates' gradients of a chunk, step by step, then from them,
// with all steps of the chunk at once, the gradients of the input, the kernels' live blocks and the bias.

#include <algorithm>

#include "cpu.h"
#include "layout.h"
#include "matmul.h"
#include "pool.h"
#include "scratch.h"

namespace ksr {
namespace {

constexpr int64_t kChunkPanels = 32;  // panels of a chunk, all steps together
constexpr int64_t kOuterPanels = 16;  // panels that the dot products take at once: their states should stay in the second cache

// What all threads share.
struct Backward {
  Backward(const Recurrent& problem_, const RecurrentGradients& gradients_, const float* reserve_)
      : problem(problem_),
        gradients(gradients_),
        layout(problem_),
        plans(problem_, layout, true),
        reserve(reserve_),
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
        ins(layout.panels * chunk),
        outs(layout.panels * chunk) {
    zero(d_gates, layout.panels * chunk * layout.gradients);  // the padding stays zero
    zero(d_bias, layout.slots * layout.stride());
  }

  const float* slab(int64_t p, int64_t t) const { return reserve + (p * (problem.time + 1) + t) * layout.slab; }
  float* d_gates_of(int64_t p, int64_t i) const { return d_gates + (p * chunk + i) * layout.gradients; }

  const Recurrent& problem;
  const RecurrentGradients& gradients;
  const Layout layout;
  const Plans plans;
  const float* reserve;
  const std::vector<int64_t> first;
  const int64_t chunk, x_floats;
  Scratch scratch;
  float *d_gates;  // [panels, chunk, gradients]
  float *x, *dx;   // [panels, chunk, in_features, 16]
  float *d_h, *d_c, *d_reset, *d_output;  // [panels, features, 16]
  float* d_bias;                          // [slots, features, 16]
  std::vector<const float*> ins, outs;    // what `Outer` reads
};

// The units [from, to) of one step: adds the output's gradient to d_h, then goes through the cell.
void cell_backward(const Backward& b, int64_t p, int64_t t, int64_t i, int64_t from, int64_t to, int phase) {
  if (from == to) return;
  const Layout& layout = b.layout;
  const Kernels& k = kernels();
  alignas(64) int32_t lanes[kLanes];
  const int64_t offset = from * kLanes, state = p * layout.stride() + offset;
  const float *now = b.slab(p, t + 1), *before = b.slab(p, t);
  const bool lstm = b.problem.cell == Cell::kLstm;
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
                                  lstm ? before + layout.c() + offset : nullptr,
                                  lstm ? now + layout.c() + offset : nullptr,
                                  b.d_h + state,
                                  b.d_c + state,
                                  b.d_reset + state,
                                  step_lanes(b.problem, p, t, lanes),
                                  (to - from) * kLanes};
  switch (b.problem.cell) {
    case Cell::kSimpleRnnTanh: return k.simple_rnn_tanh_backward(&arguments);
    case Cell::kSimpleRnnRelu: return k.simple_rnn_relu_backward(&arguments);
    case Cell::kLstm: return k.lstm_backward(&arguments);
    case Cell::kGruResetAfter: return k.gru_backward(&arguments);
    case Cell::kGruResetBefore: return phase ? k.gru_reset_backward(&arguments) : k.gru_update_backward(&arguments);
  }
}

// Runs `team`'s part `id` of the steps [begin, begin + steps) backwards, leaving the gates' gradients.
void steps_backward(const Backward& b, int64_t begin, int64_t steps, int id, Team& team, bool by_panels) {
  const Layout& layout = b.layout;
  const bool meet = team.size() > 1 && !by_panels;
  const int part = meet ? id : 0, parts = meet ? team.size() : 1;
  const auto [panel, last] = meet ? share(layout.panels, 0, 1) : share(layout.panels, id, team.size());
  const auto [from, to] = share(layout.units, part, parts);
  const std::vector<int> cuts = b.plans.recurrent.cut_rows(parts);
  std::vector<int> candidate_cuts;
  if (b.plans.candidate) candidate_cuts = b.plans.candidate->cut_rows(parts);
  const auto rows = [&](const Plan& plan, const std::vector<int>& of, int64_t p, int64_t i, float* out) {
    plan.kernels().panel_backward(&plan.backward(), of[part], of[part + 1], b.d_gates_of(p, i), out + p * layout.stride());
  };
  for (int64_t t = begin + steps - 1; t >= begin; --t) {
    const int64_t i = t - begin;
    for (int64_t p = panel; p < last; ++p) {
      cell_backward(b, p, t, i, from, to, 0);
      if (b.plans.candidate) zero(b.d_reset + p * layout.stride() + from * kLanes, (to - from) * kLanes);
    }
    if (meet) team.barrier(id);
    if (b.plans.candidate) {
      for (int64_t p = panel; p < last; ++p) rows(*b.plans.candidate, candidate_cuts, p, i, b.d_reset);
      if (meet) team.barrier(id);
      for (int64_t p = panel; p < last; ++p) cell_backward(b, p, t, i, from, to, 1);
      if (meet) team.barrier(id);
    }
    for (int64_t p = panel; p < last; ++p) rows(b.plans.recurrent, cuts, p, i, b.d_h);
    if (meet) team.barrier(id);
  }
}

// Adds the dot products of `in` and the gates' gradients of `count` panels to the values' gradients of one plan, this thread's live blocks.
void outer_products(const Backward& b, const Plan& plan, int64_t count, float* values, int id, int size) {
  const Side& side = plan.backward();
  const auto mine = share(plan.live(), id, size);
  for (int64_t n = 0; n < count; n += kOuterPanels) {
    const Outer outer = {side.height, side.width, plan.block_rows(), plan.block_columns(), std::min(kOuterPanels, count - n),
                         &b.ins[n],   &b.outs[n], values + plan.begin_block() * side.height * side.width};
    plan.kernels().outer(&outer, mine.first, mine.second);
  }
}

// Everything that follows from the gates' gradients of a chunk. All threads have met before, and meet at the end.
void chunk_backward(Backward& b, int64_t begin, int64_t steps, int id, Team& team) {
  const Layout& layout = b.layout;
  const int64_t items = layout.panels * steps;
  const auto [item, last_item] = share(items, id, team.size());
  const auto gradient = [&](int64_t n) { return b.d_gates_of(n / steps, n % steps); };
  for (int64_t n = item; n < last_item; ++n) {
    x_panel(b.problem, layout, n / steps, begin + n % steps, b.x + n * b.x_floats);
    zero(b.dx + n * b.x_floats, b.x_floats);
  }
  const Plan& kernel = b.plans.kernel;
  const int group = static_cast<int>(std::max<int64_t>(1, 4096 * kernel.rows() / std::max<int64_t>(1, kernel.weights())));
  for (int r = 0; r < kernel.rows(); r += group)
    for (int64_t n = item; n < last_item; ++n)
      kernel.kernels().panel_backward(&kernel.backward(), r, std::min(r + group, kernel.rows()), gradient(n), b.dx + n * b.x_floats);
  for (int64_t n = item; n < last_item; ++n) {
    float* rows[kLanes];
    const int64_t step = source_step(b.problem, begin + n % steps);
    panel_rows(b.gradients.dx + step * layout.inputs, n / steps, b.problem.batch, b.problem.time * layout.inputs, rows);
    kernels().panel_to_rows(b.dx + n * b.x_floats, layout.inputs, rows);
  }
  const auto [line, last_line] = share(layout.slots * layout.features, id, team.size());
  for (int64_t n = 0; n < items; ++n) kernels().add(gradient(n) + line * kLanes, (last_line - line) * kLanes, b.d_bias + line * kLanes);

  const auto pointers = [&](auto in) {  // each in turn, by thread 0, between two meetings
    team.barrier(id);
    for (int64_t n = 0; id == 0 && n < items; ++n) {
      b.ins[n] = in(n);
      b.outs[n] = gradient(n);
    }
    team.barrier(id);
  };
  pointers([&](int64_t n) { return b.x + n * b.x_floats; });
  outer_products(b, kernel, items, b.gradients.d_kernel, id, team.size());
  pointers([&](int64_t n) { return b.slab(n / steps, begin + n % steps) + layout.h(); });
  outer_products(b, b.plans.recurrent, items, b.gradients.d_recurrent, id, team.size());
  if (b.plans.candidate) {
    pointers([&](int64_t n) { return b.slab(n / steps, begin + n % steps + 1) + 3 * layout.stride(); });
    outer_products(b, *b.plans.candidate, items, b.gradients.d_recurrent, id, team.size());
  }
  team.barrier(id);
}

void write_bias(const Backward& b, float* out) {
  const int64_t units = b.layout.units;
  const auto total = [&](int64_t slot, int64_t u) {
    const float* lanes = b.d_bias + (slot * b.layout.features + u) * kLanes;
    float sum = 0.0f;
    for (int i = 0; i < kLanes; ++i) sum += lanes[i];
    return sum;
  };
  for (int g = 0; g < b.layout.gates; ++g)
    for (int64_t u = 0; u < units; ++u) out[g * units + u] = total(g, u);
  if (b.problem.cell != Cell::kGruResetAfter) return;
  for (int g = 0; g < 3; ++g)  // the second bias is added to the recurrent part, which is slot 3 for the candidate
    for (int64_t u = 0; u < units; ++u) out[(3 + g) * units + u] = total(g == 2 ? 3 : g, u);
}

}  // namespace

void recurrent_backward(const Recurrent& problem, const RecurrentGradients& gradients) {
  const bool lstm = problem.cell == Cell::kLstm;
  zero(gradients.d_kernel, problem.kernel.live * problem.kernel.height * problem.kernel.width);
  zero(gradients.d_recurrent, problem.recurrent.live * problem.recurrent.height * problem.recurrent.width);
  const int biases = problem.cell == Cell::kGruResetAfter ? 6 : cell_gates(problem.cell);
  if (gradients.d_bias) zero(gradients.d_bias, biases * int64_t{problem.units()});
  if (problem.batch == 0) return;

  std::unique_ptr<Scratch> recomputed;
  const float* reserve = gradients.reserve;
  if (!reserve) {
    recomputed.reset(new Scratch(reserve_size(problem)));
    float* fresh = recomputed->take(reserve_size(problem));
    forward_panels(problem, {nullptr, nullptr, nullptr, fresh});
    reserve = fresh;
  }
  Backward b(problem, gradients, reserve);
  const Layout& layout = b.layout;
  for (int64_t p = 0; p < layout.panels; ++p) {
    const float* rows[kLanes];
    panel_rows(gradients.d_h, p, problem.batch, layout.units, rows);
    kernels().rows_to_panel(rows, layout.units, b.d_h + p * layout.stride());
    if (!lstm) continue;
    panel_rows(gradients.d_c, p, problem.batch, layout.units, rows);
    kernels().rows_to_panel(rows, layout.units, b.d_c + p * layout.stride());
  }
  const Sharing sharing = ksr::sharing(problem, layout, b.plans);
  parallel(sharing.threads, !sharing.by_panels, [&](int id, Team& team) {
    for (int64_t end = problem.time; end > 0; end -= std::min(end, b.chunk)) {
      const int64_t steps = std::min(end, b.chunk);
      steps_backward(b, end - steps, steps, id, team, sharing.by_panels);
      team.barrier(id);
      chunk_backward(b, end - steps, steps, id, team);
    }
  });
  for (int64_t p = 0; p < layout.panels; ++p) {
    float* rows[kLanes];
    panel_rows(gradients.d_h0, p, problem.batch, layout.units, rows);
    kernels().panel_to_rows(b.d_h + p * layout.stride(), layout.units, rows);
    if (!lstm) continue;
    panel_rows(gradients.d_c0, p, problem.batch, layout.units, rows);
    kernels().panel_to_rows(b.d_c + p * layout.stride(), layout.units, rows);
  }
  if (gradients.d_bias) write_bias(b, gradients.d_bias);
  clear_padding(problem.kernel, gradients.d_kernel);
  clear_padding(problem.recurrent, gradients.d_recurrent);
}

}  // namespace ksr
