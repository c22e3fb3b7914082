// KerasSparseRnnSimpleRnn, KerasSparseRnnLstm, KerasSparseRnnGru and their gradients: one implementation, with one state or two.

#include "../core/recurrent.h"
#include "../core/scratch.h"

#include "glue.h"

namespace ksr {
namespace {

// What the ops of one Keras layer are: its cell, or the one of two that an attribute of theirs chooses.
struct Ops {
  const char *name, *gradient, *attribute;
  Cell cell, with_attribute;

  bool has_c() const { return rule_of(cell).states == 2; }
};

constexpr Ops kOps[] = {
    {"KerasSparseRnnSimpleRnn", "KerasSparseRnnSimpleRnnGrad", "relu", Cell::kSimpleRnnTanh, Cell::kSimpleRnnRelu},
    {"KerasSparseRnnLstm", "KerasSparseRnnLstmGrad", nullptr, Cell::kLstm, Cell::kLstm},
    {"KerasSparseRnnGru", "KerasSparseRnnGruGrad", "reset_after", Cell::kGruResetBefore, Cell::kGruResetAfter},
};

struct Attributes {
  Cell cell;
  bool go_backwards, keep;

  bool has_c() const { return rule_of(cell).states == 2; }
};

template <int kOp>
void* create(TF_OpKernelConstruction* construction) {
  const Ops& ops = kOps[kOp];
  const bool chosen = ops.attribute && bool_attribute(construction, ops.attribute);
  return new Attributes{chosen ? ops.with_attribute : ops.cell, bool_attribute(construction, "go_backwards"), bool_attribute(construction, "keep")};
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

// Reads the inputs that forward and backward share, checked. Their data stay valid while `held` lives. Returns the number of inputs.
// Forward has weights of any type, with the scales of both kernels behind the other inputs; backward has float32.
int read(Context& context, const Attributes& attributes, bool forward, Recurrent* problem, std::vector<Tensor>* held) {
  int index = 0;
  const auto next = [&](const char* name) -> const Tensor& {
    held->push_back(context.input(index++, name));
    return held->back();
  };
  held->reserve(8);
  const Tensor& x = next("x").expect(TF_FLOAT, {-1, -1, -1});
  const Tensor& h0 = next("h0").expect(TF_FLOAT, {x.dim(0), -1});
  const int64_t units = h0.dim(1);
  const float* c0 = attributes.has_c() ? next("c0").expect(TF_FLOAT, {x.dim(0), units}).data<float>() : nullptr;
  const prepared::CellRule& rule = rule_of(attributes.cell);
  const Packed kernel = context.packed(index, "kernel", x.dim(2), units, rule.gates, forward ? index + 6 : -1);
  const Packed recurrent = context.packed(index + 2, "recurrent_kernel", units, units, rule.gates, forward ? index + 7 : -1);
  index += 4;
  const Tensor& bias = next("bias");
  const Tensor& mask = next("mask");
  expect_bias(bias, rule, units);
  if (mask.elements()) mask.expect(TF_BOOL, {x.dim(0), x.dim(1)});
  *problem = {attributes.cell,
              x.dim(0),
              x.dim(1),
              attributes.go_backwards,
              kernel,
              recurrent,
              x.data<float>(),
              h0.data<float>(),
              c0,
              bias.elements() ? bias.data<float>() : nullptr,
              mask.elements() ? mask.data<uint8_t>() : nullptr};
  return index;
}

void forward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    Recurrent problem;
    std::vector<Tensor> held;
    read(context, attributes, true, &problem, &held);
    if (attributes.keep && problem.kernel.weights != Weights::kFloat32)
      throw InvalidArgument{"`keep` must be false: only float32 weights have gradients"};
    const int64_t units = problem.units();
    const bool has_c = attributes.has_c();
    const Tensor outputs = context.output(0, {problem.batch, problem.time, units}), h = context.output(1, {problem.batch, units});
    if (has_c) held.push_back(context.output(2, {problem.batch, units}));
    float* c = has_c ? held.back().data<float>() : nullptr;
    const Tensor reserve = context.output(has_c ? 3 : 2, {attributes.keep ? reserve_size(problem) : 0});
    if (attributes.keep) want_large_pages(reserve.data<float>(), reserve_size(problem) * sizeof(float));
    recurrent_forward(problem, {outputs.data<float>(), h.data<float>(), c, attributes.keep ? reserve.data<float>() : nullptr});
  });
}

void backward(void* op, TF_OpKernelContext* tf_context) {
  const Attributes& attributes = *static_cast<Attributes*>(op);
  guarded(tf_context, [&](Context& context) {
    Recurrent problem;
    std::vector<Tensor> held;
    int index = read(context, attributes, false, &problem, &held);
    const int64_t batch = problem.batch, units = problem.units();
    const bool has_c = attributes.has_c();
    const Tensor reserve = context.input(index++, "reserve");
    if (reserve.elements()) reserve.expect(TF_FLOAT, {reserve_size(problem)});
    const Tensor d_outputs = context.input(index++, "d_outputs"), d_h = context.input(index++, "d_h");
    d_outputs.expect(TF_FLOAT, {batch, problem.time, units});
    d_h.expect(TF_FLOAT, {batch, units});
    RecurrentGradients gradients = {};
    gradients.reserve = reserve.elements() ? reserve.data<float>() : nullptr;
    gradients.d_outputs = d_outputs.data<float>();
    gradients.d_h = d_h.data<float>();
    if (has_c) {
      held.push_back(context.input(index++, "d_c"));
      gradients.d_c = held.back().expect(TF_FLOAT, {batch, units}).data<float>();
    }
    int output = 0;
    const Tensor dx = context.output(output++, {batch, problem.time, problem.kernel.inputs});
    const Tensor d_h0 = context.output(output++, {batch, units});
    if (has_c) {
      held.push_back(context.output(output++, {batch, units}));
      gradients.d_c0 = held.back().data<float>();
    }
    const Packed &kernel = problem.kernel, &recurrent = problem.recurrent;
    const Tensor d_kernel = context.output(output++, {kernel.live, kernel.height, kernel.width});
    const Tensor d_recurrent = context.output(output++, {recurrent.live, recurrent.height, recurrent.width});
    const prepared::CellRule& rule = rule_of(problem.cell);
    const int64_t biases = problem.bias ? rule.gates * units : 0;
    const Tensor d_bias = problem.bias && rule.bias_rows > 1 ? context.output(output, {rule.bias_rows, biases}) : context.output(output, {biases});
    gradients.dx = dx.data<float>();
    gradients.d_h0 = d_h0.data<float>();
    gradients.d_kernel = d_kernel.data<float>();
    gradients.d_recurrent = d_recurrent.data<float>();
    gradients.d_bias = problem.bias ? d_bias.data<float>() : nullptr;
    recurrent_backward(problem, gradients);
  });
}

// Outputs [batch, time, units], the states [batch, units], and a reserve of unknown size.
template <int kOp>
void forward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
  if (TF_GetCode(status) == TF_OK) set_output_shape(context, 0, {{0, 3, 0}, {0, 3, 1}, {1, 2, 1}}, status);
  for (int state = 1; state <= rule_of(kOps[kOp].cell).states && TF_GetCode(status) == TF_OK; ++state)
    set_output_shape(context, state, {{0, 3, 0}, {1, 2, 1}}, status);
}

// Each gradient has the shape of its input; that of the bias keeps its rank, which the cell decides, open.
template <int kOp>
void backward_shapes(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
  if (TF_GetCode(status) == TF_OK) set_output_shape(context, 0, {{0, 3, 0}, {0, 3, 1}, {0, 3, 2}}, status);
  const int states = rule_of(kOps[kOp].cell).states;
  for (int state = 1; state <= states && TF_GetCode(status) == TF_OK; ++state)
    set_output_shape(context, state, {{state, 2, 0}, {state, 2, 1}}, status);
  for (int kernel = 0; kernel < 2 && TF_GetCode(status) == TF_OK; ++kernel) {
    const int input = 1 + states + 2 * kernel;
    set_output_shape(context, 1 + states + kernel, {{input, 3, 0}, {input, 3, 1}, {input, 3, 2}}, status);
  }
}

template <int kOp>
void register_ops() {
  const Ops& ops = kOps[kOp];
  std::vector<const char*> inputs = {"x: float", "h0: float"};
  if (ops.has_c()) inputs.push_back("c0: float");
  const size_t kernels = inputs.size();
  for (const char* input : {"kernel_values: W", "kernel_blocks: int32", "recurrent_values: W", "recurrent_blocks: int32", "bias: float", "mask: bool"})
    inputs.push_back(input);
  std::vector<const char*> outputs = {"outputs: float", "h: float"}, d_outputs = {"dx: float", "d_h0: float"};
  if (ops.has_c()) outputs.push_back("c: float"), d_outputs.push_back("d_c0: float");
  outputs.push_back("reserve: float");
  for (const char* output : {"d_kernel_values: float", "d_recurrent_values: float", "d_bias: float"}) d_outputs.push_back(output);
  std::vector<const char*> attributes = {"go_backwards: bool", "keep: bool"};
  const std::string own = ops.attribute ? std::string(ops.attribute) + ": bool" : std::string();
  if (ops.attribute) attributes.push_back(own.c_str());
  std::vector<const char*> forward_inputs = inputs, forward_attributes = attributes;
  for (const char* input : {"kernel_scales: float", "recurrent_scales: float"}) forward_inputs.push_back(input);
  forward_attributes.push_back(kWeightsAttribute);
  register_op({ops.name, forward_inputs, outputs, forward_attributes, forward_shapes<kOp>, create<kOp>, forward, destroy});
  inputs[kernels] = "kernel_values: float";
  inputs[kernels + 2] = "recurrent_values: float";
  for (const char* input : {"reserve: float", "d_outputs: float", "d_h: float"}) inputs.push_back(input);
  if (ops.has_c()) inputs.push_back("d_c: float");
  register_op({ops.gradient, inputs, d_outputs, attributes, backward_shapes<kOp>, create<kOp>, backward, destroy});
}

const bool registered = [] {
  register_ops<0>();
  register_ops<1>();
  register_ops<2>();
  return true;
}();

}  // namespace
}  // namespace ksr
