#include "check.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "cells.h"

namespace ksr {
namespace prepared {

ksr_status fail(ksr_error* error, ksr_status status, const char* format, ...) {
  if (!error) return status;
  error->status = status;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  return status;
}

ksr_status check_memory(const void* memory, size_t size, size_t header, ksr_error* error) {
  if (!memory) return fail(error, KSR_NULL, "memory is null");
  if (reinterpret_cast<uintptr_t>(memory) % KSR_ALIGNMENT)
    return fail(error, KSR_BAD_MEMORY, "memory is %p: it must be aligned to %d bytes", memory,
                KSR_ALIGNMENT);
  if (size < header)
    return fail(error, KSR_BAD_FILE, "memory has %zu bytes: the header alone takes %zu", size,
                header);
  return KSR_OK;
}

namespace {

constexpr int64_t kMostBlocks = int64_t{1} << 31;  // numbers are int32

typedef long long Long;

bool is_finite(const void* values, int32_t type, int64_t i) {
  if (type == KSR_INT8) return true;
  if (type == KSR_FLOAT32) return std::isfinite(static_cast<const float*>(values)[i]);
  return (static_cast<const uint16_t*>(values)[i] & 0x7F80) != 0x7F80;
}

// The first one that is not finite; `count` if all are. Whole runs are asked without a branch.
int64_t first_infinite(const void* values, int32_t type, int64_t count) {
  constexpr int64_t kRun = 1024;
  int64_t i = 0;
  for (; type != KSR_INT8 && i + kRun <= count; i += kRun) {
    uint32_t found = 0;
    if (type == KSR_FLOAT32) {
      const char* from = static_cast<const char*>(values) + i * 4;
      for (int64_t n = 0; n < kRun; ++n) {
        uint32_t bits;
        std::memcpy(&bits, from + 4 * n, sizeof bits);
        found |= (bits & 0x7F800000) == 0x7F800000;
      }
    } else {
      const uint16_t* from = static_cast<const uint16_t*>(values) + i;
      for (int64_t n = 0; n < kRun; ++n) found |= (from[n] & 0x7F80) == 0x7F80;
    }
    if (found) break;
  }
  while (i < count && is_finite(values, type, i)) ++i;
  return i;
}

ksr_status check_numbers(const char* name, const float* numbers, int64_t count, ksr_error* error) {
  for (int64_t i = 0; i < count; ++i)
    if (!std::isfinite(numbers[i]))
      return fail(error, KSR_BAD_VALUE, "%s[%lld] is %g: it must be a finite number", name, Long{i},
                  numbers[i]);
  return KSR_OK;
}

ksr_status check_size(const char* name, const char* what, int64_t size, int64_t most,
                      ksr_error* error) {
  if (size >= 1 && size <= most) return KSR_OK;
  return fail(error, KSR_BAD_SIZE, "%s.%s is %lld: it must be from 1 to %lld", name, what,
              Long{size}, Long{most});
}

}  // namespace

namespace {

// What stands in the matrix itself.
ksr_status check_grid(const char* name, const ksr_matrix& m, int gates, bool integers,
                      ksr_error* error) {
  if (m.type < KSR_FLOAT32 || m.type > KSR_INT8)
    return fail(error, KSR_BAD_CHOICE,
                "%s.type is %d: it must be KSR_FLOAT32, KSR_BFLOAT16 or KSR_INT8", name, m.type);
  KSR_TRY(check_size(name, "inputs", m.inputs, integers ? kMostIntegerInputs : kMostInputs, error));
  KSR_TRY(check_size(name, "units", m.units, kMostInputs, error));
  KSR_TRY(check_size(name, "block_rows", m.block_rows, kMostInputs, error));
  KSR_TRY(check_size(name, "block_columns", m.block_columns, kMostInputs, error));
  if (m.gates != gates)
    return fail(error, KSR_BAD_SIZE, "%s.gates is %lld: this cell has %d", name, Long{m.gates},
                gates);
  // At most 2^2 * 2^24 * 2^24.
  const int64_t count = gates * block_columns(m) * block_rows(m);
  if (count > kMostBlocks)
    return fail(error, KSR_BAD_SIZE, "%s has %lld blocks: at most 2^31 can be numbered", name,
                Long{count});
  if (m.live < 0 || m.live > count)
    return fail(error, KSR_BAD_SIZE, "%s.live is %lld: it must be from 0 to %lld", name,
                Long{m.live}, Long{count});
  int64_t values, bytes;
  if (__builtin_mul_overflow(m.live, m.block_rows * m.block_columns, &values) ||
      __builtin_mul_overflow(values, int64_t{4}, &bytes))
    return fail(error, KSR_BAD_SIZE,
                "%s: %lld blocks of %lld x %lld weights are more than memory can be", name,
                Long{m.live}, Long{m.block_rows}, Long{m.block_columns});
  return KSR_OK;
}

// What it points to.
ksr_status check_contents(const char* name, const ksr_matrix& m, bool finite, ksr_error* error) {
  if (!m.live) return KSR_OK;
  if (!m.values || !m.blocks || (m.type == KSR_INT8 && !m.scales))
    return fail(error, KSR_NULL, "%s.%s is null: there are %lld live blocks", name,
                !m.values   ? "values"
                : !m.blocks ? "blocks"
                            : "scales",
                Long{m.live});
  const int64_t count = m.gates * block_columns(m) * block_rows(m);
  for (int64_t i = 0; i < m.live; ++i) {
    if (m.blocks[i] < 0 || m.blocks[i] >= count)
      return fail(error, KSR_BAD_BLOCKS, "%s.blocks[%lld] is %d: it must be from 0 to %lld", name,
                  Long{i}, m.blocks[i], Long{count - 1});
    if (i && m.blocks[i] <= m.blocks[i - 1])
      return fail(error, KSR_BAD_BLOCKS, "%s.blocks[%lld] is %d after %d: numbers must ascend",
                  name, Long{i}, m.blocks[i], m.blocks[i - 1]);
  }
  const int64_t weights = finite ? m.live * m.block_rows * m.block_columns : 0;
  const int64_t infinite = first_infinite(m.values, m.type, weights);
  if (infinite < weights)
    return fail(error, KSR_BAD_VALUE, "%s.values[%lld] is no finite number", name, Long{infinite});
  if (m.type != KSR_INT8 || !finite) return KSR_OK;
  char scales[40];
  std::snprintf(scales, sizeof scales, "%s.scales", name);
  return check_numbers(scales, m.scales, m.gates * block_columns(m) * m.block_columns, error);
}

}  // namespace

ksr_status check_matrix(const char* name, const ksr_matrix& m, int gates, bool integers,
                        bool finite, ksr_error* error) {
  KSR_TRY(check_grid(name, m, gates, integers, error));
  return check_contents(name, m, finite, error);
}

ksr_status check_input_range(float range, ksr_error* error) {
  if (!(range >= 0.0f && range <= 1e30f))
    return fail(error, KSR_BAD_VALUE,
                "input_range is %g: it must be the largest input in absolute value, or 0", range);
  if (range != 0.0f && range < 1e-30f)
    return fail(error, KSR_BAD_VALUE, "input_range is %g: it must be 1e-30 or more, or 0", range);
  return KSR_OK;
}

ksr_status check_itself(const ksr_description* d, ksr_error* error) {
  if (!d) return fail(error, KSR_NULL, "the description is null");
  if (d->version != KSR_VERSION)
    return fail(error, KSR_BAD_VERSION, "version is %u: this library is of version %d", d->version,
                KSR_VERSION);
  if (d->cell < 0 || d->cell >= kKinds)
    return fail(error, KSR_BAD_CHOICE, "cell is %d: it must be from 0 to %d", d->cell, kKinds - 1);
  if (d->activations != KSR_FLOAT32 && d->activations != KSR_INT8)
    return fail(error, KSR_BAD_CHOICE, "activations is %d: it must be KSR_FLOAT32 or KSR_INT8",
                d->activations);
  if (d->cell == KSR_DENSE && (d->activation < 0 || d->activation >= kActivations))
    return fail(error, KSR_BAD_CHOICE, "activation is %d: it must be from 0 to %d", d->activation,
                kActivations - 1);
  const bool integers = d->activations == KSR_INT8;
  if (integers) KSR_TRY(check_input_range(d->input_range, error));
  const CellRule& rule = kCells[d->cell];
  KSR_TRY(check_grid("kernel", d->kernel, rule.gates, integers, error));
  if (rule.states) {
    KSR_TRY(check_grid("recurrent", d->recurrent, rule.gates, integers, error));
    if (d->recurrent.inputs != d->kernel.units || d->recurrent.units != d->kernel.units)
      return fail(error, KSR_BAD_SIZE,
                  "recurrent is [%lld, %d * %lld]: a cell of %lld units has [units, gates * units]",
                  Long{d->recurrent.inputs}, rule.gates, Long{d->recurrent.units},
                  Long{d->kernel.units});
  }
  return KSR_OK;
}

ksr_status check(const ksr_description* d, bool finite, ksr_error* error) {
  KSR_TRY(check_itself(d, error));
  const CellRule& rule = kCells[d->cell];
  finite = finite || d->activations == KSR_INT8;
  KSR_TRY(check_contents("kernel", d->kernel, finite, error));
  if (rule.states) KSR_TRY(check_contents("recurrent", d->recurrent, finite, error));
  return d->bias && finite
             ? check_numbers("bias", d->bias, rule.bias_rows * rule.gates * d->kernel.units, error)
             : KSR_OK;
}

}  // namespace prepared
}  // namespace ksr

extern "C" {

uint32_t ksr_version(void) noexcept { return KSR_VERSION; }

const char* ksr_status_text(int32_t status) noexcept {
  switch (status) {
    case KSR_OK:
      return "no error";
    case KSR_NULL:
      return "a pointer is null that must not be";
    case KSR_BAD_VERSION:
      return "of another version of ksr.h, of the file or of the library, or of another byte order";
    case KSR_BAD_CHOICE:
      return "a cell, activation or type of weights that does not exist";
    case KSR_BAD_SIZE:
      return "a size is too small, too large, or does not fit another";
    case KSR_BAD_BLOCKS:
      return "block numbers are out of range or out of order";
    case KSR_BAD_VALUE:
      return "a number is not finite or out of its bounds";
    case KSR_BAD_MEMORY:
      return "memory is too small or not aligned to 64 bytes";
    case KSR_BAD_STATE:
      return "no state, or a state of another cell";
    case KSR_BAD_CELL:
      return "no prepared cell";
    case KSR_NO_PROCESSOR:
      return "the processor lacks the instruction set that was asked for";
    case KSR_NO_MEMORY:
      return "no memory to prepare with";
    case KSR_BAD_FILE:
      return "no file of a cell, or one that is cut short or damaged";
    case KSR_BAD_CHECKSUM:
      return "the checksum is not that of the bytes";
    case KSR_NO_KERNEL:
      return "this library was built for another model, and lacks a kernel that this one runs";
  }
  return "unknown status";
}

}  // extern "C"
