// The operator, by registration and by the delegate, gives the bits of ksr_run, in every cell and
// type, with masks, in chunks, and where nobody reads some outputs. Once prepared it allocates
// nothing.
#include <algorithm>
#include <cstring>

#include "../../litert/cell_operator.h"
#include "faked.h"

namespace {

int allocations = 0;

}  // namespace

extern "C" {
void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
int __real_posix_memalign(void** p, size_t alignment, size_t size);
void* __wrap_malloc(size_t size) {
  ++allocations;
  return __real_malloc(size);
}
void* __wrap_calloc(size_t count, size_t size) {
  ++allocations;
  return __real_calloc(count, size);
}
int __wrap_posix_memalign(void** p, size_t alignment, size_t size) {
  ++allocations;
  return __real_posix_memalign(p, alignment, size);
}
}

namespace {

constexpr int kBatch = 2, kSteps = 5;

int states_of(const ksr_description& d) {
  return d.cell == KSR_DENSE ? 0 : d.cell == KSR_LSTM ? 2 : 1;
}

struct Problem {
  explicit Problem(const ksr_description& d)
      : inputs(static_cast<int>(d.kernel.inputs)),
        units(static_cast<int>(d.kernel.units)),
        states(states_of(d)),
        cell(file_of(d), units),
        x(random_floats(kBatch * kSteps * inputs)) {
    for (int i = 0; i < states; ++i) before.push_back(random_floats(kBatch * units));
    for (int i = 0; i < kBatch * kSteps; ++i) mask.push_back(static_cast<char>(pick(0, 2) > 0));
    for (int i = 0; i < 2; ++i) mask[i] = 0;
  }

  // What ksr_run makes of it, step by step; then the states.
  std::vector<Floats> expected(const ksr_description& d, bool masked) const {
    std::vector<Floats> results(1 + states, Floats(kBatch * units));
    results[0].clear();
    for (int b = 0; b < kBatch; ++b) {
      Stream stream(d, states ? before[0].data() + b * units : nullptr,
                    states > 1 ? before[1].data() + b * units : nullptr);
      Floats last(units, 0.0f);
      for (int t = b * kSteps; t < (b + 1) * kSteps; ++t) {
        const float* frame = x.data() + t * inputs;
        if (!masked || mask[t]) last = stream.run(Floats(frame, frame + inputs));
        results[0].insert(results[0].end(), last.begin(), last.end());
      }
      for (int i = 0; i < states; ++i) {
        const Floats state = stream.read(i == 1);
        std::copy(state.begin(), state.end(), results[1 + i].begin() + b * units);
      }
    }
    return results;
  }

  // Adds all tensors for `steps` steps from `first` on.
  void fill(FakedRuntime* runtime, bool masked, int first = 0, int steps = kSteps) const {
    std::vector<int> in = {runtime->add(kTfLiteFloat32, {kBatch, steps, inputs}),
                           runtime->add(kTfLiteUInt8, {cell.rows, units}, cell.bytes.data(), true)};
    for (int b = 0; b < kBatch; ++b)
      std::copy_n(x.data() + (b * kSteps + first) * inputs, steps * inputs,
                  runtime->floats(0) + b * steps * inputs);
    for (const Floats& state : before)
      in.push_back(runtime->add(kTfLiteFloat32, {kBatch, units}, state.data()));
    if (masked) in.push_back(runtime->add(kTfLiteBool, {kBatch, steps}, mask.data()));
    std::vector<int> out;
    for (int i = 0; i <= states; ++i) out.push_back(runtime->add(kTfLiteFloat32, {1}));
    runtime->connect(in, out);
  }

  int inputs, units, states;
  CellMatrix cell;
  Floats x;
  std::vector<Floats> before;
  std::vector<char> mask;
};

void expect_same(const char* what, const float* got, const Floats& wanted) {
  for (size_t i = 0; i < wanted.size(); ++i)
    if (std::memcmp(got + i, wanted.data() + i, sizeof *got))
      return expect(false, what, got[i], wanted[i]);
}

void run(FakedRuntime* runtime, const std::vector<Floats>& wanted) {
  expect(runtime->prepare() == kTfLiteOk, runtime->error.c_str(), 0, 1);
  const int before = allocations;
  expect(runtime->invoke() == kTfLiteOk, runtime->error.c_str(), 0, 1);
  expect(allocations == before, "allocations", allocations, before);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const int number = runtime->outputs->data[i];
    const auto& unread = runtime->unread;
    if (std::find(unread.begin(), unread.end(), number) == unread.end())
      expect_same(i ? "state" : "y", runtime->floats(number), wanted[i]);
  }
}

void try_front_doors(const ksr_description& d) {
  const Problem problem(d);
  for (const bool masked : {false, true}) {
    if (masked && !problem.states) continue;
    const std::vector<Floats> wanted = problem.expected(d, masked);
    for (int door = 0; door < 4; ++door) {
      FakedRuntime runtime;
      problem.fill(&runtime, masked);
      const int y = runtime.outputs->data[0];
      if (door == 0) runtime.register_operator();
      else if (door == 1) runtime.apply_delegate();
      else if (door == 2 && problem.states) runtime.apply_delegate({y + 1, y + 2});
      else if (problem.states) runtime.apply_delegate({y});
      else continue;
      run(&runtime, wanted);
      const int before = allocations;
      run(&runtime, wanted);  // sizes are set again, and the cell is not prepared again
      expect(allocations - before <= 2 * (1 + problem.states) + 4, "allocations of a new size",
             allocations - before, 0);
    }
  }
}

// States go out as they come in, so that chunks are the whole.
void try_chunks(const ksr_description& d) {
  Problem problem(d);
  const std::vector<Floats> wanted = problem.expected(d, false);
  for (int first = 0; first < kSteps; first += 2) {
    const int steps = std::min(2, kSteps - first);
    FakedRuntime runtime;
    problem.fill(&runtime, false, first, steps);
    runtime.apply_delegate();
    expect(runtime.prepare() == kTfLiteOk && runtime.invoke() == kTfLiteOk, runtime.error.c_str(),
           0, 1);
    const int y = runtime.outputs->data[0];
    for (int b = 0; b < kBatch; ++b) {
      const float* whole = wanted[0].data() + (b * kSteps + first) * problem.units;
      expect_same("chunk", runtime.floats(y) + b * steps * problem.units,
                  Floats(whole, whole + steps * problem.units));
    }
    for (int i = 0; i < problem.states; ++i)
      std::copy_n(runtime.floats(y + 1 + i), kBatch * problem.units, problem.before[i].data());
  }
}

void try_dense() {
  Floats values(8 * 12), bias(12);
  for (float& value : values) value = static_cast<float>(pick(-100, 100)) / 100.0f;
  const int32_t blocks[] = {0, 4};
  for (const int32_t activations : {KSR_FLOAT32, KSR_INT8})
    for (int32_t activation = KSR_LINEAR; activation <= KSR_SOFTMAX; ++activation) {
      about = "Dense " + std::to_string(activation);
      ksr_description d = bias_only(activation, activations, bias);
      d.kernel = {KSR_FLOAT32, 8, 12, 1, 4, 4, 2, values.data(), blocks, nullptr};
      try_front_doors(d);
    }
}

// So large that the bytes of x, counted in 64 bits, are 0 again: no tensor has as little memory as
// that says.
void try_sizes_that_overflow() {
  using namespace ksr;
  about = "sizes";
  const int32_t x[] = {1 << 16, 1 << 16, 1 << 16, 1 << 14}, cell[] = {1, 12};
  const OperatorTensor inputs[] = {{Numbers::kFloat32, 4, x, nullptr, 0},
                                   {Numbers::kUint8, 2, cell, nullptr, 12}};
  Sizes outputs[1];
  ksr_error error = {};
  expect(!CellOperator::output_sizes(inputs, 2, 1, outputs, false, &error), "overflow", 0, 1);
  expect(!std::strcmp(error.text, "x has more numbers than memory can have"), error.text, 0, 1);
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  for_every_kind(1, [](Described& d, int i) {
    try_front_doors(d.description);
    // The state of a SimpleRNN with relu is scaled by its largest number, step by step.
    const bool relu = d.description.cell == KSR_SIMPLE_RNN_RELU;
    if (i < 2 && !(relu && d.description.activations == KSR_INT8)) try_chunks(d.description);
  });
  try_dense();
  try_sizes_that_overflow();
  return failures != 0;
}
