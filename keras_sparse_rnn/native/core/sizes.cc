#include "sizes.h"

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

namespace ksr {
namespace {

// Then the bytes of a panel of 16 samples are far below what an int holds, too.
constexpr int64_t kLargest = std::numeric_limits<int32_t>::max() / 64;
constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

std::string quoted(const char* name) { return "`" + std::string(name) + "`"; }

std::string shape_of(const Packed& p) {
  return "[" + std::to_string(p.inputs) + ", " + std::to_string(p.gates) + " * " +
         std::to_string(p.units) + "]";
}

}  // namespace

void check_sizes(const char* name, int64_t inputs, int64_t units, int64_t gates, int64_t height,
                 int64_t width) {
  bool fits = true;
  for (const int64_t size : {inputs, units, gates, height, width})
    fits = fits && size >= 1 && size <= kLargest;
  if (fits) {  // and so do products of two of them an int64
    const int64_t rows = (inputs + height - 1) / height, columns = (units + width - 1) / width;
    const int64_t padded = (columns * width + 15) / 16 * 16;
    fits = height * width <= kLargest && rows * height <= kLargest && gates * padded <= kLargest &&
           gates * columns * rows <= kMostBlocks;
  }
  if (fits) return;
  refuse(quoted(name) + " must have sizes of at least 1, and at most " + std::to_string(kLargest) +
         " inputs, units of all gates and weights of a block, with the padding of partial blocks, "
         "in at most " +
         std::to_string(kMostBlocks) + " blocks. Received: " + std::to_string(inputs) +
         " inputs, " + std::to_string(gates) + " gates of " + std::to_string(units) +
         " units, blocks of " + std::to_string(height) + " x " + std::to_string(width));
}

void check_sizes(const char* name, const Packed& packed) {
  check_sizes(name, packed.inputs, packed.units, packed.gates, packed.height, packed.width);
  if (packed.live < 0 || packed.live > packed.count())
    refuse(quoted(name) + " must have from 0 to " + std::to_string(packed.count()) +
           " live blocks. Received: " + std::to_string(packed.live));
}

void check_sizes(const Recurrent& problem) {
  check_sizes("kernel", problem.kernel);
  check_sizes("recurrent_kernel", problem.recurrent);
  const int gates = rule_of(problem.cell).gates, units = problem.units();
  if (problem.kernel.gates != gates)
    refuse("`kernel` must have " + std::to_string(gates) +
           " gates. Received: " + std::to_string(problem.kernel.gates));
  const Packed& recurrent = problem.recurrent;
  if (recurrent.gates != gates || recurrent.inputs != units || recurrent.units != units)
    refuse("`recurrent_kernel` must be [units, gates * units] of the " + std::to_string(units) +
           " units and " + std::to_string(gates) +
           " gates of `kernel`. Received: " + shape_of(recurrent));
  if (problem.batch < 0 || problem.time < 0)
    refuse("`batch` and `time` must not be negative. Received: " + std::to_string(problem.batch) +
           " and " + std::to_string(problem.time));
  checked_product({std::max<int64_t>(1, problem.batch), std::max<int64_t>(1, problem.time),
                   std::max(problem.kernel.inputs, units), sizeof(float)});
}

int64_t checked_product(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (const int64_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product)) throw std::bad_alloc();
  return product;
}

}  // namespace ksr
