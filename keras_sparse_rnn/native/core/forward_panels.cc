// The forward pass in panel layout: sixteen samples at a time, any batch.

#include <algorithm>

#include "cpu.h"
#include "layout.h"
#include "pool.h"
#include "scratch.h"
#include "wide.h"

namespace ksr {
namespace {

// One step of one panel for the recurrent columns [begin, end) of every gate. A cell that resets before the product needs r * h of all units for
// its candidate, so it takes two calls, with all threads meeting in between.
struct Step {
  const Recurrent& problem;
  const Layout& layout;
  const Plans& plans;
  const Wide &recurrent, &candidate;
  int begin, end;  // columns

  void run(const float* before, float* now, const int32_t* lanes, int phase) const {
    if (phase == 1) {
      candidate.multiply(begin, end, now + layout.reset(), now);
      return apply(layout.cell.update, before, now, lanes);
    }
    recurrent.multiply(begin, end, before + layout.h(), now);
    apply(plans.candidate ? layout.cell.reset : layout.cell.update, before, now, lanes);
  }

  void apply(void (*cell)(const CellForward*), const float* before, float* now, const int32_t* lanes) const {
    const int width = plans.recurrent.width();
    const int64_t from = std::min<int64_t>(int64_t{begin} * width, layout.units) * kLanes;
    const int64_t to = std::min<int64_t>(int64_t{end} * width, layout.units) * kLanes;
    if (from == to) return;
    const int64_t h = layout.h() + from, c = layout.c() + from;
    const CellForward arguments = {now + from, layout.stride(), before + h, layout.has_c() ? before + c : nullptr,
                                   now + h,    layout.has_c() ? now + c : nullptr, lanes, to - from};
    cell(&arguments);
  }
};

// A thread's memory for widened weights: its columns of all kernels where so many panels meet them that it pays, else a few columns of the input's
// kernel at a time. It is each thread's own: what another processor has just written takes longer to fetch than to widen.
struct WideMemory {
  WideMemory(const Recurrent& problem, const Layout& layout, const Plans& plans, int threads) : group(plans.kernel.columns_of_weights(kGroupWeights)) {
    constexpr int64_t kWorth = 12, kMost = 16 * 1024 * 1024;  // panels, floats of all threads
    const int64_t tile = round_up(Wide::floats_of_any(plans.kernel, group), 16);
    kernel = round_up(Wide::floats(plans.kernel, 0, plans.kernel.columns()), 16);
    recurrent = round_up(Wide::floats(plans.recurrent, 0, plans.recurrent.columns()), 16);
    if (plans.candidate) candidate = round_up(Wide::floats(*plans.candidate, 0, plans.candidate->columns()), 16);
    const int64_t panels = layout.panels / panel_groups(layout.panels, threads);
    all = panels * problem.time >= kWorth && threads * (kernel + recurrent + candidate) <= kMost;
    floats = all ? kernel + recurrent + candidate : tile;
  }

  const int group;  // columns
  int64_t kernel, recurrent, candidate = 0, floats;
  bool all;
};

void write_outputs(const Recurrent& problem, const Layout& layout, const std::vector<int64_t>& first, int64_t panel, int64_t t,
                   const float* slab, float* outputs) {
  float* rows[kLanes];
  panel_rows(outputs + t * layout.units, panel, problem.batch, problem.time * layout.units, rows);
  if (!first.empty()) {
    for (int64_t i = 0; i < kLanes; ++i) {
      if (!rows[i] || t >= first[panel * kLanes + i]) continue;
      zero(rows[i], layout.units);
      rows[i] = nullptr;
    }
  }
  layout.kernels.panel_to_rows(slab + layout.h(), layout.units, rows);
}

}  // namespace

void forward_panels(const Recurrent& problem, const Layout& layout, const RecurrentOut& out) {
  if (problem.batch == 0) return;
  const Plans plans(problem, layout, false);
  const int threads = panel_threads(problem, layout, plans);
  const std::vector<float> bias = slot_bias(problem, layout);
  const std::vector<int64_t> first = first_steps(problem);
  // Steps whose input is projected in one go: enough panels to share a pass over the weights, few enough to stay in the cache.
  const int64_t chunk = std::min(std::max<int64_t>(1, problem.time), std::max<int64_t>(2, 16 / layout.panels));
  const int64_t kept = out.reserve ? problem.time + 1 : chunk + 1;  // slabs of a panel
  const int64_t x_floats = layout.in_features * kLanes;
  const WideMemory wide(problem, layout, plans, threads);
  Scratch scratch(layout.panels * (chunk * x_floats + (out.reserve ? 0 : kept * layout.slab)) + threads * wide.floats);
  float* x = scratch.take(layout.panels * chunk * x_floats);
  float* slabs = out.reserve ? out.reserve : scratch.take(layout.panels * kept * layout.slab);
  float* wide_memory = scratch.take(threads * wide.floats);

  parallel(threads, panel_groups(layout.panels, threads) < threads, [&](int id, Team& team) {
    const GridPlace place(layout.panels, id, team);
    const int part = place.part, parts = place.parts;
    const int64_t panel = place.panel, last_panel = place.last_panel;
    const std::vector<int> cuts = plans.recurrent.cut_columns(parts, 1), kernel_cuts = plans.kernel.cut_columns(parts, 1);
    float* widened = wide_memory + id * wide.floats;
    Wide kernel(plans.kernel), recurrent(plans.recurrent), candidate(plans.candidate ? *plans.candidate : plans.recurrent);
    if (wide.all) {
      kernel.widen(kernel_cuts[part], kernel_cuts[part + 1], widened);
      recurrent.widen(cuts[part], cuts[part + 1], widened + wide.kernel);
      if (plans.candidate) candidate.widen(cuts[part], cuts[part + 1], widened + wide.kernel + wide.recurrent);
    }
    const Step step = {problem, layout, plans, recurrent, candidate, cuts[part], cuts[part + 1]};
    const auto slab = [&](int64_t p, int64_t t) { return slabs + (p * kept + t) * layout.slab; };
    const int64_t h_padding = (layout.features - layout.units) * kLanes, h_end = layout.h() + layout.units * kLanes;

    for (int64_t p = panel; p < last_panel; ++p) {
      if (part != p % parts) continue;
      const float* rows[kLanes];
      panel_rows(problem.h0, p, problem.batch, layout.units, rows);
      layout.kernels.rows_to_panel(rows, layout.units, slab(p, 0) + layout.h());
      zero(slab(p, 0) + h_end, h_padding);
      if (!layout.has_c()) continue;
      panel_rows(problem.c0, p, problem.batch, layout.units, rows);
      layout.kernels.rows_to_panel(rows, layout.units, slab(p, 0) + layout.c());
    }

    int64_t base = 0;  // the step that slab 0 is the start of
    for (int64_t begin = 0; begin < problem.time; begin += chunk) {
      const int64_t steps = std::min(chunk, problem.time - begin);
      if (!out.reserve) base = begin;
      // Items are the steps of all panels of this thread, shared out by time where threads share the panels.
      const auto mine = share(steps, part, parts);
      for (int64_t p = panel; p < last_panel; ++p) {
        for (int64_t t = begin + mine.first; t < begin + mine.second; ++t) {
          x_panel(problem, layout, p, t, x + (p * chunk + t - begin) * x_floats);
          float* now = slab(p, t + 1 - base);
          layout.kernels.fill_panel(bias.data(), layout.slots * layout.features, now);
          zero(now + h_end, h_padding);
        }
      }
      place.meet();
      for (int c = kernel_cuts[part]; c < kernel_cuts[part + 1]; c += wide.group) {
        const int last = std::min(c + wide.group, kernel_cuts[part + 1]);
        if (!wide.all) kernel.widen(c, last, widened);
        for (int64_t p = panel; p < last_panel; ++p)
          for (int64_t t = begin; t < begin + steps; ++t) kernel.multiply(c, last, x + (p * chunk + t - begin) * x_floats, slab(p, t + 1 - base));
      }
      place.meet();
      for (int64_t t = begin; t < begin + steps; ++t) {
        for (int phase = 0; phase < (plans.candidate ? 2 : 1); ++phase) {
          for (int64_t p = panel; p < last_panel; ++p) {
            alignas(64) int32_t lanes[kLanes];
            step.run(slab(p, t - base), slab(p, t + 1 - base), step_lanes(problem, p, t, lanes), phase);
          }
          place.meet();
        }
      }
      for (int64_t p = panel; p < last_panel; ++p) {
        for (int64_t t = begin + mine.first; out.h && t < begin + mine.second; ++t)
          write_outputs(problem, layout, first, p, t, slab(p, t + 1 - base), out.outputs);
        if (out.reserve || begin + steps == problem.time || part != p % parts) continue;
        copy(slab(p, steps) + layout.h(), layout.rule.states * layout.stride(), slab(p, 0) + layout.h());
      }
      place.meet();
    }

    for (int64_t p = panel; out.h && p < last_panel; ++p) {
      if (part != p % parts) continue;
      const float* end = slab(p, problem.time - base);
      float* rows[kLanes];
      panel_rows(out.h, p, problem.batch, layout.units, rows);
      layout.kernels.panel_to_rows(end + layout.h(), layout.units, rows);
      if (!layout.has_c()) continue;
      panel_rows(out.c, p, problem.batch, layout.units, rows);
      layout.kernels.panel_to_rows(end + layout.c(), layout.units, rows);
    }
  });
}

}  // namespace ksr
