#include "glue.h"

#include <cstdio>
#include <new>

#include "../core/sizes.h"

namespace ksr {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + (shape[i] < 0 ? std::string("?") : std::to_string(shape[i]));
  return text + "]";
}

// Registration cannot fail other than by a defect of ours or two copies of the library; TensorFlow gives no way to report it from here.
void report(TF_Status* status, const char* op) {
  if (TF_GetCode(status) != TF_OK) std::fprintf(stderr, "keras_sparse_rnn: could not register %s\n", op);
}

}  // namespace

int64_t Tensor::elements() const {
  int64_t count = 1;
  for (int i = 0; i < TF_NumDims(tensor_); ++i) count *= dim(i);
  return count;
}

const Tensor& Tensor::expect(TF_DataType type, std::initializer_list<int64_t> shape) const {
  const std::vector<int64_t> wanted(shape);
  std::vector<int64_t> got(TF_NumDims(tensor_));
  for (size_t i = 0; i < got.size(); ++i) got[i] = dim(static_cast<int>(i));
  bool fits = TF_TensorType(tensor_) == type && got.size() == wanted.size();
  for (size_t i = 0; fits && i < got.size(); ++i) fits = wanted[i] < 0 || wanted[i] == got[i];
  if (!fits) {
    const char* name = type == TF_FLOAT ? "float32" : type == TF_INT32 ? "int32" : type == TF_BOOL ? "bool" : type == TF_INT8 ? "int8" : "bfloat16";
    throw InvalidArgument{"`" + name_ + "` must be " + name + " of shape " + shape_text(wanted) + ". Received: shape " + shape_text(got)};
  }
  return *this;
}

void check_blocks(const std::string& name, const Packed& packed) {
  const int64_t bad = first_bad_block(packed);
  if (bad < 0) return;
  const std::string blocks = name + "_blocks";
  throw InvalidArgument{"`" + blocks + "` must be ascending block numbers without repetition, from 0 to " + std::to_string(packed.count() - 1) +
                        ". Received: " + blocks + "[" + std::to_string(bad) + "] = " + std::to_string(packed.blocks[bad]) +
                        (bad ? " after " + std::to_string(packed.blocks[bad - 1]) : std::string())};
}

void expect_bias(const Tensor& bias, const prepared::CellRule& rule, int64_t units) {
  if (!bias.elements()) return;
  if (rule.bias_rows > 1) bias.expect(TF_FLOAT, {rule.bias_rows, rule.gates * units});
  else bias.expect(TF_FLOAT, {rule.gates * units});
}

void Context::check() {
  if (TF_GetCode(status_) != TF_OK) throw InvalidArgument{"keras_sparse_rnn: TensorFlow gave no tensor"};
}

Tensor Context::input(int index, const char* name) {
  TF_Tensor* tensor = nullptr;
  TF_GetInput(context_, index, &tensor, status_);
  check();
  return Tensor(tensor, name);
}

Tensor Context::output(int index, std::initializer_list<int64_t> shape, TF_DataType type) {
  static_assert(sizeof(float) == sizeof(int32_t), "both take four bytes");
  const int64_t bytes = checked_product({checked_product(shape), sizeof(float)});
  TF_Tensor* tensor = TF_AllocateOutput(context_, index, type, shape.begin(), static_cast<int>(shape.size()), bytes, status_);
  if (TF_GetCode(status_) != TF_OK || !tensor) throw std::bad_alloc();
  return Tensor(tensor, "output");
}

Packed Context::packed(int index, const char* name, int64_t inputs, int64_t units, int gates, int scales) {
  const std::string values_name = std::string(name) + "_values", blocks_name = std::string(name) + "_blocks";
  const Tensor values = input(index, values_name.c_str());
  const Tensor blocks = input(index + 1, blocks_name.c_str());
  const TF_DataType type = scales >= 0 ? values.type() : TF_FLOAT;
  values.expect(type, {-1, -1, -1});
  blocks.expect(TF_INT32, {values.dim(0)});
  const int64_t height = values.dim(1), width = values.dim(2);
  check_sizes(name, inputs, units, gates, height, width);
  Packed packed = {static_cast<int>(inputs), static_cast<int>(units), gates,        static_cast<int>(height), static_cast<int>(width),
                   values.data<void>(),      blocks.data<int32_t>(),  values.dim(0)};
  check_blocks(name, packed);
  if (type == TF_BFLOAT16) packed.weights = Weights::kBfloat16;
  if (type == TF_INT8) {
    packed.weights = Weights::kInt8;
    const Tensor of_outputs = input(scales, (std::string(name) + "_scales").c_str());
    packed.scales = of_outputs.expect(TF_FLOAT, {gates, packed.columns(), width}).data<float>();
  }
  return packed;
}

void Context::fail(TF_Code code, const std::string& message) {
  TF_SetStatus(status_, code, message.c_str());
  TF_OpKernelContext_Failure(context_, status_);
}

int32_t int_attribute(TF_OpKernelConstruction* construction, const char* name) {
  TF_Status* status = TF_NewStatus();
  int32_t value = 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, name, &value, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return value;
}

float float_attribute(TF_OpKernelConstruction* construction, const char* name) {
  TF_Status* status = TF_NewStatus();
  float value = 0;
  TF_OpKernelConstruction_GetAttrFloat(construction, name, &value, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return value;
}

bool bool_attribute(TF_OpKernelConstruction* construction, const char* name) {
  TF_Status* status = TF_NewStatus();
  unsigned char value = 0;
  TF_OpKernelConstruction_GetAttrBool(construction, name, &value, status);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return value != 0;
}

void register_op(const OpSpec& spec) {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder(spec.name);
  for (const char* attribute : spec.attributes) TF_OpDefinitionBuilderAddAttr(op, attribute);
  for (const char* input : spec.inputs) TF_OpDefinitionBuilderAddInput(op, input);
  for (const char* output : spec.outputs) TF_OpDefinitionBuilderAddOutput(op, output);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, spec.shapes);
  TF_RegisterOpDefinition(op, status);
  report(status, spec.name);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder(spec.name, "CPU", spec.create, spec.compute, spec.destroy);
  TF_RegisterKernelBuilder(spec.name, kernel, status);
  report(status, spec.name);
  TF_DeleteStatus(status);
}

void set_output_shape(TF_ShapeInferenceContext* context, int output, std::initializer_list<ShapePart> parts, TF_Status* status) {
  TF_ShapeHandle* shape = nullptr;
  for (const ShapePart& part : parts) {
    TF_ShapeHandle *input = TF_NewShapeHandle(), *ranked = TF_NewShapeHandle(), *dim = TF_NewShapeHandle();
    TF_ShapeInferenceContextGetInput(context, part.input, input, status);
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextWithRank(context, input, part.rank, ranked, status);
    if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSubshape(context, ranked, part.dim, part.dim + 1, dim, status);
    if (shape && TF_GetCode(status) == TF_OK) {
      TF_ShapeHandle* joined = TF_NewShapeHandle();
      TF_ShapeInferenceContextConcatenateShapes(context, shape, dim, joined, status);
      TF_DeleteShapeHandle(shape);
      TF_DeleteShapeHandle(dim);
      shape = joined;
    } else {
      if (shape) TF_DeleteShapeHandle(shape);
      shape = dim;
    }
    TF_DeleteShapeHandle(input);
    TF_DeleteShapeHandle(ranked);
    if (TF_GetCode(status) != TF_OK) break;
  }
  if (TF_GetCode(status) == TF_OK) TF_ShapeInferenceContextSetOutput(context, output, shape, status);
  TF_DeleteShapeHandle(shape);
}

}  // namespace ksr
