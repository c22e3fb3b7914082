// KerasSparseRnnPreparedMatmul: the product with a kernel of one gate whose weights stay the same
// from call to call, for inference. Its gradient is that of KerasSparseRnnMatmul.

#include "../core/matmul.h"

#include "prepared_cache.h"

namespace ksr {
namespace {

struct Attributes {
  int32_t units;
  bool integers;
  float input_range;
};

void* create(TF_OpKernelConstruction* construction) {
  return new Attributes{int_attribute(construction, "units"),
                        bool_attribute(construction, "integers"),
                        float_attribute(construction, "input_range")};
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

enum Input { kX, kKernel, kScales = 3 };

void forward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    const Tensor x = context.input(kX, "x");
    x.expect(TF_FLOAT, {-1, -1});
    const int64_t rows = x.dim(0), inputs = x.dim(1), units = attributes.units;
    PreparedKey key = {KSR_DENSE, attributes.integers, attributes.input_range, inputs, units, {}};
    key.add_kernel(context, "kernel", inputs, kKernel, kScales);
    const Tensor y = context.output(0, {rows, units});
    if (!attributes.integers && rows >= kPanelSamples) {
      const Packed kernel = context.packed(kKernel, "kernel", inputs, units, 1, kScales);
      matmul_forward(kernel, rows, x.data<float>(), y.data<float>());
      return;
    }
    prepared_cell(std::move(key))->multiply(rows, x.data<float>(), y.data<float>());
  });
}

// The C API does not show int attributes to shape functions; Python sets the last dimension.
void shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

const bool registered = [] {
  register_op({"KerasSparseRnnPreparedMatmul",
               {"x: float", "kernel_values: W", "kernel_blocks: int32", "kernel_scales: float"},
               {"y: float"},
               {"units: int", "integers: bool", "input_range: float", kWeightsAttribute},
               shapes,
               create,
               forward,
               destroy});
  return true;
}();

}  // namespace
}  // namespace ksr
