#include "layout.h"

#include <algorithm>
#include <tuple>

#include "cpu.h"
#include "pool.h"
#include "scratch.h"
#include "sizes.h"

namespace ksr {
namespace {

const int kSlots[] = {0, 1, 2, 3};  // the input's part of each gate

// Lines of 64 bytes, so many more that the count is 20 modulo 64: then the same feature of successive slabs falls into different cache sets.
int64_t spread(int64_t lines) { return lines + ((20 - lines) % 64 + 64) % 64; }

}  // namespace

Layout::Layout(const Recurrent& problem, const Kernels& kernels)
    : kernels(kernels),
      rule(rule_of(problem.cell)),
      cell(kernels.cells[static_cast<int>(problem.cell)]),
      gates(rule.gates),
      slots(rule.slots + rule.has_reset()),
      units(problem.kernel.units),
      inputs(problem.kernel.inputs),
      features(round_up(std::max({problem.kernel.padded_units(), problem.recurrent.padded_units(), problem.recurrent.padded_inputs()}), 16)),
      in_features(round_up(problem.kernel.padded_inputs(), 16)),
      panels(problem.batch / kLanes + (problem.batch % kLanes > 0)),
      slab(spread((slots + rule.states) * features) * kLanes),
      row_slab((slots + rule.states) * features),
      gradients(spread(slots * features) * kLanes) {
  // Neither pass works on more than so many steps of all panels at once.
  constexpr int64_t kMostSteps = 64;
  checked_product({panels, kMostSteps * (slab + gradients + 2 * in_features * kLanes), sizeof(float)});
}

Plans::Plans(const Recurrent& problem, const Layout& layout, bool backward)
    : kernel(layout.kernels, problem.kernel, 0, layout.gates, kSlots, static_cast<int>(layout.features), backward),
      recurrent(layout.kernels, problem.recurrent, 0, layout.rule.recurrent_gates, layout.rule.recurrent_slots, static_cast<int>(layout.features),
                backward) {
  const prepared::CellRule& rule = layout.rule;
  if (rule.has_reset())
    candidate.reset(new Plan(layout.kernels, problem.recurrent, rule.recurrent_gates, rule.gates, rule.recurrent_slots,
                             static_cast<int>(layout.features), backward));
}

std::vector<float> slot_bias(const Recurrent& problem, const Layout& layout) {
  std::vector<float> bias(layout.slots * layout.features, 0.0f);
  if (!problem.bias) return bias;
  for (int row = 0; row < layout.rule.bias_rows; ++row) {
    for (int g = 0; g < layout.gates; ++g) {
      const int slot = row ? layout.rule.recurrent_slots[g] : g;
      const bool first = slot >= layout.gates || !row;  // in this slot
      const float* from = problem.bias + (int64_t{row} * layout.gates + g) * layout.units;
      float* to = bias.data() + slot * layout.features;
      for (int64_t u = 0; u < layout.units; ++u) to[u] = first ? from[u] : to[u] + from[u];
    }
  }
  return bias;
}

std::vector<int64_t> first_steps(const Recurrent& problem) {
  std::vector<int64_t> first;
  if (!problem.mask) return first;
  first.assign(problem.batch, problem.time);
  for (int64_t b = 0; b < problem.batch; ++b) {
    for (int64_t t = 0; t < problem.time; ++t) {
      if (problem.mask[b * problem.time + source_step(problem, t)]) {
        first[b] = t;
        break;
      }
    }
  }
  return first;
}

const int32_t* step_lanes(const Recurrent& problem, int64_t panel, int64_t t, int32_t* lanes) {
  if (!problem.mask && (panel + 1) * kLanes <= problem.batch) return nullptr;
  const int64_t step = source_step(problem, t);
  for (int64_t i = 0; i < kLanes; ++i) {
    const int64_t b = panel * kLanes + i;
    lanes[i] = b < problem.batch && (!problem.mask || problem.mask[b * problem.time + step]) ? -1 : 0;
  }
  return lanes;
}

void x_panel(const Recurrent& problem, const Layout& layout, int64_t panel, int64_t t, float* out) {
  const float* rows[kLanes];
  panel_rows(problem.x + source_step(problem, t) * layout.inputs, panel, problem.batch, problem.time * layout.inputs, rows);
  layout.kernels.rows_to_panel(rows, layout.inputs, out);
  zero(out + layout.inputs * kLanes, (layout.in_features - layout.inputs) * kLanes);
}

int panel_groups(int64_t panels, int threads) {
  for (int groups = threads; groups > 1; --groups) {
    const int64_t most = (panels + groups - 1) / groups;
    if (threads % groups == 0 && 8 * most * groups <= 9 * panels) return groups;
  }
  return 1;
}

int panel_threads(const Recurrent& problem, const Layout& layout, const Plans& plans) {
  const double panels = static_cast<double>(layout.panels);
  const double step =
      static_cast<double>(plans.recurrent.weights() + (plans.candidate ? plans.candidate->weights() : 0) + 8 * layout.slots * layout.units);
  const double all = (step + static_cast<double>(plans.kernel.weights())) * panels * static_cast<double>(problem.time);
  // In vectors of 16 products a thread: some 15 microseconds in all, or, where threads meet after every step, 4 in a step.
  const auto at_most = [](int threads, double worth) { return worth >= threads ? threads : std::max(1, static_cast<int>(worth)); };
  const int threads = at_most(num_threads(), all / 50000);
  return panel_groups(layout.panels, threads) == threads ? threads : at_most(threads, step * panels / 15000);
}

GridPlace::GridPlace(int64_t panels, int id, Team& team) : team(team), id(id) {
  const int groups = panel_groups(panels, team.size());
  parts = team.size() / groups;
  part = id % parts;
  std::tie(panel, last_panel) = share(panels, id / parts, groups);
}

int row_threads(const Recurrent& problem, const Plans& plans) {
  const int64_t step = plans.recurrent.weights() + (plans.candidate ? plans.candidate->weights() : 0);
  // Worth it from some 3 microseconds a step and 100 in all, and so much more for each further thread.
  const double weights = static_cast<double>(step) * static_cast<double>(problem.batch);
  const double all = static_cast<double>((step + plans.kernel.weights()) * problem.batch) * static_cast<double>(problem.time);
  const double worth = std::min(weights / (32 * 1024), all / (2 * 1024 * 1024));
  return std::max(1, static_cast<int>(std::min<double>(worth, num_threads())));
}

}  // namespace ksr
