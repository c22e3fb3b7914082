#include "backward_steps.h"

#include <algorithm>

#include "pool.h"

namespace ksr {
namespace {

constexpr int64_t kOuterPanels = 16;  // panels that the dot products take at once: their states should stay in the second cache

// Adds the dot products of `in` and the gates' gradients to the values' gradients of one plan.
void outer_products(const Plan& plan, const Steps& steps, int64_t count, const float* Steps::Panel::*in, float* values, int id, int size) {
  const Side& side = plan.backward();
  const auto mine = share(plan.live(), id, size);
  for (int64_t n = 0; n < count; n += kOuterPanels) {
    const float *ins[kOuterPanels], *outs[kOuterPanels];
    const int64_t panels = std::min(kOuterPanels, count - n);
    for (int64_t i = 0; i < panels; ++i) ins[i] = steps.panels[n + i].*in, outs[i] = steps.panels[n + i].d_gates;
    const Outer outer = {side.height, side.width, plan.block_rows(), plan.block_columns(), panels, ins, outs,
                         values + plan.begin_block() * side.height * side.width};
    plan.kernels().outer(&outer, mine.first, mine.second);
  }
}

}  // namespace

void input_gradients(const Plan& kernel, const Steps& steps, int64_t begin, int64_t end) {
  const int group = kernel.rows_of_weights(kGroupWeights);
  for (int r = 0; r < kernel.rows(); r += group)
    for (int64_t n = begin; n < end; ++n)
      kernel.kernels().panel_backward(&kernel.backward(), r, std::min(r + group, kernel.rows()), steps.panels[n].d_gates, steps.panels[n].dx);
}

void kernel_gradients(const Plans& plans, const Steps& steps, int64_t count, const RecurrentGradients& gradients, int id, int size) {
  outer_products(plans.kernel, steps, count, &Steps::Panel::x, gradients.d_kernel, id, size);
  outer_products(plans.recurrent, steps, count, &Steps::Panel::h, gradients.d_recurrent, id, size);
  if (plans.candidate) outer_products(*plans.candidate, steps, count, &Steps::Panel::reset, gradients.d_recurrent, id, size);
}

void add_bias(const Layout& layout, const float* sums, float* d_bias) {
  for (int row = 0; row < layout.rule.bias_rows; ++row)  // the second one is added to the recurrent parts
    for (int g = 0; g < layout.gates; ++g)
      for (int64_t u = 0; u < layout.units; ++u) *d_bias++ += sums[(row ? layout.rule.recurrent_slots[g] : g) * layout.features + u];
}

}  // namespace ksr
