// KerasSparseRnnPrepared: whole sequences through a recurrent cell whose weights stay the same from
// call to call, for inference.

#include "../core/recurrent.h"

#include "prepared_cache.h"

namespace ksr {
namespace {

// Where prepared cells are as fast as kernels that plan in each call, or faster, with float
// activations, on AVX-512 and two threads.
// - One sample, or four, which are multiplied together: others are multiplied one by one.
// - Weights that second caches hold: inputs of four steps are multiplied together, there of sixteen,
//   so larger weights are read more often.
constexpr int64_t kTogether = 4;
constexpr int64_t kMostBytes = 4 << 20;

bool is_faster(int64_t batch, const PreparedKey& key) {
  int64_t bytes = 0;
  for (const int values : {0, 3})
    bytes += key.weights[values].elements() * (key.weights[values].type() == TF_FLOAT ? 4
                                               : key.weights[values].type() == TF_BFLOAT16
                                                   ? 2
                                                   : 1);
  return (batch == 1 || batch == kTogether) && bytes <= kMostBytes;
}

struct Attributes {
  int32_t cell;  // ksr_cell_kind
  bool integers, go_backwards;
  float input_range;
};

void* create(TF_OpKernelConstruction* construction) {
  return new Attributes{int_attribute(construction, "cell"),
                        bool_attribute(construction, "integers"),
                        bool_attribute(construction, "go_backwards"),
                        float_attribute(construction, "input_range")};
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

Cell cell_of(int32_t kind) {
  if (kind < 0 || kind >= KSR_DENSE)
    throw InvalidArgument{"`cell` must be from 0 to 4. Received: " + std::to_string(kind)};
  return static_cast<Cell>(kind);
}

enum Input { kX, kH0, kC0, kKernel, kRecurrent = 5, kBias = 7, kMask, kScales };

void forward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    const Cell cell = cell_of(attributes.cell);
    const prepared::CellRule& rule = rule_of(cell);
    const bool has_c = rule.states == 2;
    const int gates = rule.gates;
    const Tensor x = context.input(kX, "x"), h0 = context.input(kH0, "h0"),
                 c0 = context.input(kC0, "c0"), mask = context.input(kMask, "mask");
    x.expect(TF_FLOAT, {-1, -1, -1});
    h0.expect(TF_FLOAT, {x.dim(0), -1});
    const int64_t batch = x.dim(0), time = x.dim(1), units = h0.dim(1);
    if (has_c) c0.expect(TF_FLOAT, {batch, units});
    if (mask.elements()) mask.expect(TF_BOOL, {batch, time});

    PreparedKey key = {attributes.cell, attributes.integers, attributes.input_range,
                       x.dim(2),        units,               {}};
    key.add_kernel(context, "kernel", x.dim(2), kKernel, kScales);
    key.add_kernel(context, "recurrent_kernel", units, kRecurrent, kScales + 1);
    key.weights.push_back(context.input(kBias, "bias"));
    const Tensor& bias = key.weights.back();
    expect_bias(bias, rule, units);

    const Tensor outputs = context.output(0, {batch, time, units}),
                 h = context.output(1, {batch, units}),
                 c = context.output(2, {has_c ? batch : 0, units});
    const float* c_before = has_c ? c0.data<float>() : nullptr;
    float* c_after = has_c ? c.data<float>() : nullptr;
    const uint8_t* counts = mask.elements() ? mask.data<uint8_t>() : nullptr;
    if (!attributes.integers && !is_faster(batch, key)) {
      const Packed kernel = context.packed(kKernel, "kernel", x.dim(2), units, gates, kScales);
      const Packed recurrent =
          context.packed(kRecurrent, "recurrent_kernel", units, units, gates, kScales + 1);
      recurrent_forward({cell, batch, time, attributes.go_backwards, kernel, recurrent,
                         x.data<float>(), h0.data<float>(), c_before,
                         bias.elements() ? bias.data<float>() : nullptr, counts},
                        {outputs.data<float>(), h.data<float>(), c_after, nullptr});
      return;
    }
    prepared_cell(std::move(key))
        ->run({batch, time, attributes.go_backwards, x.data<float>(), h0.data<float>(), c_before,
               counts, outputs.data<float>(), h.data<float>(), c_after});
  });
}

// Outputs [batch, time, units] and the states [batch, units]; c is empty where there is none. Which
// cell it is is not shown here, but c0 is empty then, too.
void shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
  if (TF_GetCode(status) == TF_OK)
    set_output_shape(context, 0, {{kX, 3, 0}, {kX, 3, 1}, {kH0, 2, 1}}, status);
  if (TF_GetCode(status) == TF_OK) set_output_shape(context, 1, {{kX, 3, 0}, {kH0, 2, 1}}, status);
  if (TF_GetCode(status) == TF_OK) set_output_shape(context, 2, {{kC0, 2, 0}, {kH0, 2, 1}}, status);
}

const bool registered = [] {
  register_op({"KerasSparseRnnPrepared",
               {"x: float", "h0: float", "c0: float", "kernel_values: W", "kernel_blocks: int32",
                "recurrent_values: W", "recurrent_blocks: int32", "bias: float", "mask: bool",
                "kernel_scales: float", "recurrent_scales: float"},
               {"outputs: float", "h: float", "c: float"},
               {"cell: int", "integers: bool", "go_backwards: bool", "input_range: float",
                kWeightsAttribute},
               shapes,
               create,
               forward,
               destroy});
  return true;
}();

}  // namespace
}  // namespace ksr
