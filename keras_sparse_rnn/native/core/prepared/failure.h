// How a function that may fail says so: a status, and a text with the numbers in it.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_FAILURE_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_FAILURE_H_

#include <cstdlib>

#include "../ksr.h"

namespace ksr {
namespace prepared {

// Writes the text, as printf does, if `error` is not null. Returns the status.
ksr_status fail(ksr_error* error, ksr_status status, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

// Whether there is memory at `memory`, aligned, and with a header's bytes at least.
ksr_status check_memory(const void* memory, size_t size, size_t header, ksr_error* error);

#define KSR_TRY(expression) \
  if (const ksr_status status_ = (expression); status_ != KSR_OK) return status_

// An array that is freed with its owner. Null where there is no memory; the library neither throws
// nor needs C++'s own library when it is linked.
template <typename T>
class Array {
 public:
  explicit Array(int64_t count)
      : data_(static_cast<T*>(std::calloc(count > 0 ? count : 1, sizeof(T)))) {}
  ~Array() { std::free(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_;
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_FAILURE_H_
