// Files and prepared cells as bytes, for the tests that save, read and damage them. Included once
// by each test.
#ifndef KERAS_SPARSE_RNN_TESTS_SAVED_H_
#define KERAS_SPARSE_RNN_TESTS_SAVED_H_

#include "prepared.h"

namespace {

// Bytes in aligned memory that ends where they end, so that AddressSanitizer sees the end.
class Saved {
 public:
  Saved(const void* from, size_t size) : size_(size) {
    void* memory = nullptr;
    if (posix_memalign(&memory, KSR_ALIGNMENT, size ? size : 1)) std::exit(1);
    memory_.reset(memory);
    if (from) std::memcpy(memory, from, size);
  }
  char* data() const { return static_cast<char*>(memory_.get()); }
  size_t size() const { return size_; }
  Saved copy(size_t size) const { return Saved(data(), size); }

  template <typename T>
  void put(int64_t place, T value) const {
    std::memcpy(data() + place, &value, sizeof value);
  }
  template <typename T>
  T get(int64_t place) const {
    T value;
    std::memcpy(&value, data() + place, sizeof value);
    return value;
  }

  // As docs/format.md has it, from byte `from` to byte `to`.
  uint64_t sum(size_t from, size_t to) const {
    uint64_t sums[9];
    for (uint64_t& sum : sums) sum = 0xCBF29CE484222325u;
    const auto add = [](uint64_t* sum, uint64_t word) {
      *sum = (*sum ^ word) * 0x100000001B3u;
      *sum ^= *sum >> 32;
    };
    for (int n = 0; from + 8 <= to; from += 8, ++n) add(&sums[n % 8], get<uint64_t>(from));
    for (int n = 0; n < 8; ++n) add(&sums[8], sums[n]);
    return sums[8];
  }
  // What the checksum of a file, or of a cell, should be.
  void sum_file() const { put(16, sum(24, size_)); }
  void sum_cell() const { put(8, sum(16, size_)); }

 private:
  Memory memory_;
  size_t size_;
};

inline Saved file_of(const ksr_description& d) {
  size_t size = 0;
  ksr_error error = {};
  expect_status(ksr_file_size(&d, &size, &error), KSR_OK, &error);
  Saved file(nullptr, size);
  std::memset(file.data(), 0xA5, size);
  expect_status(ksr_file_write(&d, file.data(), size, &error), KSR_OK, &error);
  return file;
}

inline Saved cell_of(const ksr_description& d) {
  size_t size = 0;
  const ksr_cell* cell;
  ksr_error error = {};
  expect_status(ksr_cell_size(&d, &size, &error), KSR_OK, &error);
  Saved saved(nullptr, size);
  std::memset(saved.data(), 0xA5, size);
  expect_status(ksr_cell_prepare(&d, saved.data(), size, &cell, &error), KSR_OK, &error);
  return saved;
}

// Calls act(described, i) for recurrent cells of `steps` steps with every kind of weights and
// activations, and blocks of shape i.
template <typename Act>
void for_every_kind(int64_t steps, Act act) {
  for (const ksr::Cell cell : kRecurrentCells)
    for (const int32_t type : {KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8})
      for (const int32_t activations : {KSR_FLOAT32, KSR_INT8})
        for (int i = 0; i < kShapeCount; ++i) {
          about = "cell " + std::to_string(static_cast<int>(cell)) + " type " +
                  std::to_string(type) + " activations " + std::to_string(activations) +
                  " shape " + std::to_string(kShapes[i][0]) + "x" + std::to_string(kShapes[i][1]);
          Described d(cell, steps, 1 + 7 * i, 43, kShapes[i], kShapes[(i + 2) % kShapeCount],
                      i % 4 ? 0.4 : 0.0, i % 2, type);
          d.description.activations = activations;
          act(d, i);
        }
}

}  // namespace

#endif  // KERAS_SPARSE_RNN_TESTS_SAVED_H_
