#include "wide.h"

#include <algorithm>

namespace ksr {

Wide::Wide(const Plan& plan) : plan_(plan), type_(plan.type_), gates_(plan.gates_, plan.forward_) {}

int64_t Wide::floats_of_any(const Plan& plan, int count) {
  int64_t most = 0;
  for (int c = 0; c < plan.columns(); ++c) most = std::max(most, floats(plan, c, std::min(c + count, plan.columns())));
  return most;
}

void Wide::widen(int begin, int end, float* memory) {
  if (!plan_.narrow()) return;
  type_ = 0;
  for (int g = 0; g < plan_.gates_; ++g) {
    const int first = g * plan_.columns_ + begin, last = g * plan_.columns_ + end;
    const int64_t size = int64_t{plan_.forward_.height} * plan_.forward_.width, skipped = plan_.first_[first] * size;
    // Where block 0 would be: an address as an integer, for no such place may exist.
    float* origin = reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(memory) - static_cast<uintptr_t>(skipped) * sizeof(float));
    plan_.table_->widen[plan_.type_](&plan_.forward_, first, last, origin);
    gates_[g].values = origin;
    gates_[g].scales = nullptr;
    memory += plan_.first_[last] * size - skipped;
  }
}

void Wide::multiply(int begin, int end, const float* in, float* out) const {
  for (int g = 0; g < plan_.gates_; ++g)
    plan_.kernels_->panel_forward[type_](&gates_[g], g * plan_.columns_ + begin, g * plan_.columns_ + end, in,
                                         plan_.origin(out, g, {plan_.slot_features_, 0}, kLanes));
}

}  // namespace ksr
