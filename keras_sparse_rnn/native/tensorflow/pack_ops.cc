// KerasSparseRnnPack and its gradient.

#include "../core/pack.h"
#include "../core/sizes.h"

#include "glue.h"

namespace ksr {
namespace {

struct Attributes {
  int32_t inputs, units, gates, height, width;  // inputs: of the gradient only, which has no other way to know
};

void* create(TF_OpKernelConstruction* construction) {
  return new Attributes{0, int_attribute(construction, "units"), int_attribute(construction, "gates"),
                        int_attribute(construction, "block_rows"), int_attribute(construction, "block_columns")};
}

void* create_gradient(TF_OpKernelConstruction* construction) {
  return new Attributes{int_attribute(construction, "inputs"), int_attribute(construction, "units"), int_attribute(construction, "gates"), 0, 0};
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

void forward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    const Tensor kernel = context.input(0, "kernel");
    kernel.expect(TF_FLOAT, {-1, int64_t{attributes.units} * attributes.gates});
    check_sizes("kernel", kernel.dim(0), attributes.units, attributes.gates, attributes.height, attributes.width);
    const Grid grid = {static_cast<int>(kernel.dim(0)), attributes.units, attributes.gates, attributes.height, attributes.width};
    const LivePacker packer(grid, kernel.data<float>());
    const Tensor values = context.output(0, {packer.live(), grid.height, grid.width});
    const Tensor blocks = context.output(1, {packer.live()}, TF_INT32);
    packer.pack(values.data<float>(), blocks.data<int32_t>());
  });
}

void backward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    const Tensor d_values = context.input(0, "d_values"), blocks = context.input(1, "d_blocks");
    const Packed packed = context.packed(0, "d", attributes.inputs, attributes.units, attributes.gates);
    const Grid grid = {packed.inputs, packed.units, packed.gates, packed.height, packed.width};
    const Tensor d_kernel = context.output(0, {grid.inputs, grid.stride()});
    unpack(grid, d_values.data<float>(), blocks.data<int32_t>(), packed.live, d_kernel.data<float>());
  });
}

// How many blocks live is known when the op runs, and attributes are not shown here: Python sets what is known of the shapes.
void unknown_shapes(TF_ShapeInferenceContext* context, TF_Status* status) { TF_ShapeInferenceContextSetUnknownShape(context, status); }

const bool registered = [] {
  register_op({"KerasSparseRnnPack",
               {"kernel: float"},
               {"values: float", "blocks: int32"},
               {"units: int", "gates: int", "block_rows: int", "block_columns: int"},
               unknown_shapes,
               create,
               forward,
               destroy});
  register_op({"KerasSparseRnnPackGrad",
               {"d_values: float", "blocks: int32"},
               {"d_kernel: float"},
               {"inputs: int", "units: int", "gates: int"},
               unknown_shapes,
               create_gradient,
               backward,
               destroy});
  return true;
}();

}  // namespace
}  // namespace ksr
