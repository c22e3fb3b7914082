// What both layouts of the backward pass share: the gradients that follow from the gates' gradients of many steps at once, in panels. Private to
// backward*.cc.
#ifndef KERAS_SPARSE_RNN_CORE_BACKWARD_STEPS_H_
#define KERAS_SPARSE_RNN_CORE_BACKWARD_STEPS_H_

#include <vector>

#include "layout.h"

namespace ksr {

// Steps of samples, sixteen a panel.
struct Steps {
  explicit Steps(int64_t most) : panels(most) {}

  struct Panel {
    const float* x;        // [in_features, 16]
    const float* h;        // the states before the step, [features, 16]
    const float* reset;    // GRU with the reset gate before the product: r * h, [features, 16]
    const float* d_gates;  // [slots, features, 16]
    float* dx;             // [in_features, 16], added to
  };
  std::vector<Panel> panels;
};

// The gradients of the inputs of the panels [begin, end).
void input_gradients(const Plan& kernel, const Steps& steps, int64_t begin, int64_t end);

// Adds the gradients of the live blocks of both kernels over the panels [0, count): those that are thread `id`'s, of `size`.
void kernel_gradients(const Plans& plans, const Steps& steps, int64_t count, const RecurrentGradients& gradients, int id, int size);

// Adds the gradient of the bias, from its sums, [slots * features].
void add_bias(const Layout& layout, const float* sums, float* d_bias);

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_BACKWARD_STEPS_H_
