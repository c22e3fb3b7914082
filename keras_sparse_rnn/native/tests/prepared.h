// Cells for the tests of ksr.h, with all of their memory. Included once by each test.
#ifndef KERAS_SPARSE_RNN_TESTS_PREPARED_H_
#define KERAS_SPARSE_RNN_TESTS_PREPARED_H_

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../core/ksr.h"
#include "problems.h"
#include "skip.h"

namespace {

// Aligned memory, full of rubbish.
struct Freed {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, Freed>;
inline Memory aligned(size_t size) {
  Memory memory(std::aligned_alloc(KSR_ALIGNMENT,
                                   (size + KSR_ALIGNMENT - 1) / KSR_ALIGNMENT * KSR_ALIGNMENT));
  std::memset(memory.get(), 0xA5, size);
  return memory;
}

inline void expect_status(ksr_status got, ksr_status wanted, const ksr_error* error = nullptr) {
  expect(got == wanted, error && got != KSR_OK ? error->text : "status", got, wanted);
}

// A prepared cell and one stream of it.
class Stream {
 public:
  explicit Stream(const ksr_description& description, const float* h = nullptr,
                  const float* c = nullptr) {
    ksr_error error = {};
    size_t size = 0;
    expect_status(ksr_cell_size(&description, &size, &error), KSR_OK, &error);
    if (!size) std::exit(1);
    cell_memory_ = aligned(size);
    expect_status(ksr_cell_prepare(&description, cell_memory_.get(), size, &cell_, &error), KSR_OK,
                  &error);
    begin(h, c);
    expect(static_cast<size_t>(facts_.size) == size, "size of the cell", facts_.size, size);
  }

  // Of a cell that lies elsewhere.
  explicit Stream(const ksr_cell* cell, const float* h = nullptr, const float* c = nullptr)
      : cell_(cell) {
    begin(h, c);
  }

  void start(const float* h = nullptr, const float* c = nullptr) {
    expect_status(ksr_state_init(cell_, state_memory_.get(), ksr_state_size(cell_), h, c, &state_),
                  KSR_OK);
  }

  Floats run(const Floats& x) {
    const int64_t steps = static_cast<int64_t>(x.size()) / facts_.inputs;
    Floats y(steps * facts_.units, std::nanf(""));
    expect_status(ksr_run(cell_, state_, x.data(), steps, y.data()), KSR_OK);
    return y;
  }

  Floats read(bool c) const {
    Floats values(facts_.units, std::nanf(""));
    expect_status(
        ksr_state_read(cell_, state_, c ? nullptr : values.data(), c ? values.data() : nullptr),
        KSR_OK);
    return values;
  }

  const ksr_cell* cell() const { return cell_; }
  ksr_state* state() const { return state_; }
  const ksr_cell_facts& facts() const { return facts_; }

 private:
  void begin(const float* h, const float* c) {
    expect_status(ksr_cell_describe(cell_, &facts_), KSR_OK);
    state_memory_ = aligned(ksr_state_size(cell_));
    start(h, c);
  }

  Memory cell_memory_, state_memory_;
  const ksr_cell* cell_ = nullptr;
  ksr_state* state_ = nullptr;
  ksr_cell_facts facts_;
};

// Weights of any type of a kernel that make_kernel made, whose floats become what the type holds of
// them.
struct Stored {
  std::vector<uint16_t> halves;
  std::vector<int8_t> bytes;
  Floats scales;
  ksr_matrix matrix;
};

inline void store_weights(int32_t type, Kernel* kernel, Stored* stored) {
  const ksr::Packed& p = kernel->packed;
  stored->matrix = {type,
                    p.inputs,
                    p.units,
                    p.gates,
                    p.height,
                    p.width,
                    p.live,
                    kernel->values.data(),
                    kernel->blocks.data(),
                    nullptr};
  if (type == KSR_BFLOAT16) {
    for (float& v : kernel->values) {
      uint32_t bits;
      std::memcpy(&bits, &v, sizeof bits);
      bits &= 0xFFFF0000u;
      std::memcpy(&v, &bits, sizeof bits);
      stored->halves.push_back(static_cast<uint16_t>(bits >> 16));
    }
    stored->matrix.values = stored->halves.data();
  }
  if (type == KSR_INT8) {
    for (int64_t i = 0; i < int64_t{p.gates} * p.columns() * p.width; ++i)
      stored->scales.push_back(static_cast<float>(pick(1, 9)) / 2048.0f);
    for (size_t i = 0; i < kernel->values.size(); ++i) {
      const int64_t column = kernel->blocks[i / (p.height * p.width)] / p.rows() * p.width +
                             static_cast<int64_t>(i) % p.width;
      const bool padding = kernel->values[i] == 0.0f;
      stored->bytes.push_back(static_cast<int8_t>(padding ? 0 : pick(-64, 64)));
      kernel->values[i] = stored->bytes.back() * stored->scales[column];
    }
    stored->matrix.values = stored->bytes.data();
    stored->matrix.scales = stored->scales.data();
  }
}

// A recurrent cell's description, and the problem that the reference solves.
struct Described {
  Described(ksr::Cell cell, int64_t steps, int inputs, int units, const int* shape,
            const int* recurrent_shape, double density, bool bias, int32_t type)
      : one(cell, 1, steps, inputs, units, shape, recurrent_shape, density, bias, false, false) {
    store_weights(type, &one.kernel, &kernel);
    store_weights(type, &one.recurrent, &recurrent);
    description.version = KSR_VERSION;
    description.cell = static_cast<int32_t>(cell);
    description.kernel = kernel.matrix;
    description.recurrent = recurrent.matrix;
    description.bias = bias ? one.biases.data() : nullptr;
  }

  const float* c0() const { return one.c0.empty() ? nullptr : one.c0.data(); }

  Case one;
  Stored kernel, recurrent;
  ksr_description description = {};
};

// A Dense cell that answers its bias, activated.
inline ksr_description bias_only(int32_t activation, int32_t activations, const Floats& bias) {
  ksr_description d = {};
  d.version = KSR_VERSION;
  d.cell = KSR_DENSE;
  d.activation = activation;
  d.activations = activations;
  d.kernel = {KSR_FLOAT32, 1,      static_cast<int64_t>(bias.size()), 1, 4, 4, 0, nullptr,
              nullptr,     nullptr};
  d.bias = bias.data();
  return d;
}

}  // namespace

#endif  // KERAS_SPARSE_RNN_TESTS_PREPARED_H_
