// The weights of a plan as float32, for products with many panels: to widen narrower ones takes as long as a tenth of a product with one panel.
#ifndef KERAS_SPARSE_RNN_CORE_WIDE_H_
#define KERAS_SPARSE_RNN_CORE_WIDE_H_

#include "packed.h"

namespace ksr {

// One thread's view of a plan, which it must not outlive. Weights that are not narrow are left where they are.
class Wide {
 public:
  explicit Wide(const Plan& plan);

  // Floats that the columns [begin, end) of a plan need, and that any `count` columns do.
  static int64_t floats(const Plan& plan, int begin, int end) { return plan.narrow() ? plan.weights_of(begin, end) : 0; }
  static int64_t floats_of_any(const Plan& plan, int count);
  // From now on the columns [begin, end) are read from `memory` [floats], which is written here.
  void widen(int begin, int end, float* memory);
  // As `Plan::multiply`. Columns must be among those of the last `widen`; before any, all are.
  void multiply(int begin, int end, const float* in, float* out) const;

 private:
  const Plan& plan_;
  int type_;
  std::vector<Forward> gates_;
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_WIDE_H_
