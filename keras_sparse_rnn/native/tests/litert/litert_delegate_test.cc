// The delegate takes our nodes and no others, and refuses in words what is not as it expects: a
// runtime that lacks functions, an operator of another version.
#include <algorithm>

#include "faked.h"

namespace {

struct Small {
  Small() {
    const int shape[] = {4, 4};
    Described d(ksr::Cell::kGruResetAfter, 1, 5, 6, shape, shape, 0.5, true, KSR_FLOAT32);
    const CellMatrix cell(file_of(d.description), 6);
    runtime.add(kTfLiteFloat32, {1, 2, 5});
    runtime.add(kTfLiteUInt8, {cell.rows, 6}, cell.bytes.data(), true);
    runtime.add(kTfLiteFloat32, {1, 6});
    for (int i = 0; i < 2; ++i) runtime.add(kTfLiteFloat32, {1});
    runtime.connect({0, 1, 2}, {3, 4});
    std::memset(runtime.floats(0), 0, runtime.tensors[0].bytes);
    std::memset(runtime.floats(2), 0, runtime.tensors[2].bytes);
  }
  FakedRuntime runtime;
};

void expect_error(const FakedRuntime& runtime, const std::string& wanted) {
  expect(runtime.error == wanted, runtime.error.c_str(), 0, 1);
}

const char kCannot[] = "The delegate of keras_sparse_rnn cannot run in this runtime: ";
const char kUse[] = ". Use a version of the runtime that docs/litert.md names";

// `change(runtime)` makes the delegate refuse with `what`.
template <typename Change>
void try_strange(const std::string& what, Change change) {
  Small small;
  about = what;
  change(&small.runtime);
  expect(small.runtime.apply_delegate() == kTfLiteError, "status", 0, 1);
  expect_error(small.runtime, kCannot + what + kUse);
  expect(!small.runtime.node.user_data, "a node that was taken", 1, 0);
}

void test_runtimes() {
  const char lacks[] = "it lacks functions that a delegate calls";
  const char hides[] = "it does not show the nodes of its graph";
  try_strange(lacks, [](FakedRuntime* r) { r->context.GetExecutionPlan = nullptr; });
  try_strange(lacks, [](FakedRuntime* r) { r->context.GetNodeAndRegistration = nullptr; });
  try_strange(lacks, [](FakedRuntime* r) { r->context.ResizeTensor = nullptr; });
  try_strange(lacks, [](FakedRuntime* r) {
    r->context.ReplaceNodeSubsetsWithDelegateKernels = nullptr;
  });
  try_strange(hides, [](FakedRuntime* r) { r->plan->size = -1; });
  try_strange(hides, [](FakedRuntime* r) { r->plan->size = 1 << 30; });
  try_strange(hides, [](FakedRuntime* r) {
    r->context.GetExecutionPlan = [](TfLiteContext*, TfLiteIntArray**) { return 1; };
  });
  try_strange(hides, [](FakedRuntime* r) {
    r->context.GetNodeAndRegistration = [](TfLiteContext*, int, TfLiteNode**,
                                           TfLiteRegistration**) { return 1; };
  });
}

void test_versions() {
  about = "versions";
  Small small;
  small.runtime.node_registration.version = 2;
  expect(small.runtime.apply_delegate() == kTfLiteError, "status", 0, 1);
  expect_error(small.runtime,
               "The file has the operator KsrCell of version 2, and this library of "
               "keras_sparse_rnn has version 1: use the one that wrote the file, or a newer one");
}

void test_others() {
  about = "operators of others";
  for (const char* name : {"Other", static_cast<const char*>(nullptr)}) {
    Small small;
    small.runtime.node_registration.custom_name = name;
    expect(small.runtime.apply_delegate() == kTfLiteOk, "status", 1, 0);
    expect(!small.runtime.node.user_data, "a node that was taken", 1, 0);
  }
  Small small;
  small.runtime.node_registration.builtin_code = 0;
  expect(small.runtime.apply_delegate() == kTfLiteOk, "status", 1, 0);
  expect(!small.runtime.node.user_data, "a node that was taken", 1, 0);
}

// What does not fit, by the words that it is refused with.
template <typename Change>
void try_wrong(const std::string& what, Change change) {
  Small small;
  about = what;
  change(&small.runtime);
  expect(small.runtime.apply_delegate() == kTfLiteOk, "status", 1, 0);
  expect(small.runtime.prepare() == kTfLiteError, "status", 0, 1);
  expect_error(small.runtime, "KsrCell: " + what);
}

void test_tensors() {
  try_wrong("the cell must be a constant of the file",
            [](FakedRuntime* r) { r->tensors[1].allocation_type = 2; });
  try_wrong("x must be of float32", [](FakedRuntime* r) { r->tensors[0].type = 2; });
  try_wrong("x must have 3 axes; it has 2", [](FakedRuntime* r) { r->tensors[0].dims->size = 2; });
  try_wrong("h must have the sizes 1 x 6, by x and the cell; it has 2 axes, 1 x 7",
            [](FakedRuntime* r) { r->tensors[2].dims->data[1] = 7; });
  try_wrong("the cell has 5 inputs and 6 units; x has 4 inputs, and the matrix that the cell lies "
            "in has 6 columns",
            [](FakedRuntime* r) { r->tensors[0].dims->data[2] = 4; });
  try_wrong("the cell is cut short", [](FakedRuntime* r) { r->tensors[1].bytes = 100; });
  try_wrong("outputs must be of float32", [](FakedRuntime* r) { r->tensors[4].type = 9; });
  try_wrong("an input must be a tensor of 0 to 8 axes",
            [](FakedRuntime* r) { r->inputs->data[2] = 99; });
  try_wrong("an output must be a tensor of 0 to 8 axes",
            [](FakedRuntime* r) { r->outputs->data[1] = -1; });
  try_wrong("the cell has 1 states; there are 0", [](FakedRuntime* r) {
    r->outputs->size = 1;
    r->inputs->size = 2;
  });
  try_wrong("a node must have 2 to 5 inputs and 1 to 3 outputs",
            [](FakedRuntime* r) { r->inputs->size = 1; });
}

void test_invoke() {
  about = "invoke";
  Small small;
  small.runtime.apply_delegate();
  expect(small.runtime.prepare() == kTfLiteOk && small.runtime.invoke() == kTfLiteOk,
         small.runtime.error.c_str(), 0, 1);
  const Saved moved = small.runtime.memories[1].copy(small.runtime.memories[1].size());
  void* before = small.runtime.tensors[1].data;
  small.runtime.tensors[1].data = moved.data();
  expect(small.runtime.invoke() == kTfLiteError, "status", 0, 1);
  expect_error(small.runtime, "KsrCell: the cell was moved after it was prepared");
  small.runtime.error.clear();
  small.runtime.tensors[1].data = before;
  small.runtime.tensors[3].data = nullptr;
  expect(small.runtime.invoke() == kTfLiteError, "status", 0, 1);
  expect_error(small.runtime, "KsrCell: an output has no memory");
}

std::string reported;

void test_options() {
  about = "options";
  const char* words[] = {"threads"};
  const auto report = [](const char* text) { reported = text; };
  expect(!tflite_plugin_create_delegate(words, words, 1, report), "a delegate", 1, 0);
  expect(reported == "The delegate of keras_sparse_rnn has no options", reported.c_str(), 0, 1);
  expect(!tflite_plugin_create_delegate(words, words, 1, nullptr), "a delegate", 1, 0);
  tflite_plugin_destroy_delegate(nullptr);
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  test_runtimes();
  test_versions();
  test_others();
  test_tensors();
  test_invoke();
  test_options();
  return failures != 0;
}
