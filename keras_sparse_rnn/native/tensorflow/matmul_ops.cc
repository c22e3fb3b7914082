// KerasSparseRnnMatmul and its gradient.

#include "../core/matmul.h"

#include "glue.h"

namespace ksr {
namespace {

struct Attributes {
  int32_t units, gates;
};

void* create(TF_OpKernelConstruction* construction) {
  return new Attributes{int_attribute(construction, "units"), int_attribute(construction, "gates")};
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

void forward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    const Tensor x = context.input(0, "x");
    x.expect(TF_FLOAT, {-1, -1});
    const Packed kernel = context.packed(1, "kernel", x.dim(1), attributes.units, attributes.gates, 3);
    const Tensor y = context.output(0, {x.dim(0), int64_t{attributes.units} * attributes.gates});
    matmul_forward(kernel, x.dim(0), x.data<float>(), y.data<float>());
  });
}

void backward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    const Tensor x = context.input(0, "x"), dy = context.input(3, "dy");
    x.expect(TF_FLOAT, {-1, -1});
    const Packed kernel = context.packed(1, "kernel", x.dim(1), attributes.units, attributes.gates);
    dy.expect(TF_FLOAT, {x.dim(0), int64_t{attributes.units} * attributes.gates});
    const Tensor dx = context.output(0, {x.dim(0), x.dim(1)}), d_values = context.output(1, {kernel.live, kernel.height, kernel.width});
    matmul_backward(kernel, x.dim(0), {x.data<float>(), dy.data<float>(), dx.data<float>(), d_values.data<float>()});
  });
}

void forward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  // The C API does not show int attributes to shape functions; Python sets the last dimension.
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

void backward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  set_output_shape(context, 0, {{0, 2, 0}, {0, 2, 1}}, status);
  if (TF_GetCode(status) == TF_OK) set_output_shape(context, 1, {{1, 3, 0}, {1, 3, 1}, {1, 3, 2}}, status);
}

const bool registered = [] {
  register_op({"KerasSparseRnnMatmul",
               {"x: float", "kernel_values: W", "kernel_blocks: int32", "kernel_scales: float"},
               {"y: float"},
               {"units: int", "gates: int", kWeightsAttribute},
               forward_shapes,
               create,
               forward,
               destroy});
  register_op({"KerasSparseRnnMatmulGrad",
               {"x: float", "kernel_values: float", "kernel_blocks: int32", "dy: float"},
               {"dx: float", "d_kernel_values: float"},
               {"units: int", "gates: int"},
               backward_shapes,
               create,
               backward,
               destroy});
  return true;
}();

}  // namespace
}  // namespace ksr
