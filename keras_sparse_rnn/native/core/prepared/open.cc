// Cells that were prepared before and saved: everything that a step relies on is checked, so that
// whatever the bytes are, a step reads nothing beyond the cell and writes nothing beyond its state.
#include <cstring>

#include "check.h"
#include "checksum.h"
#include "dispatch.h"
#include "prepare.h"
#include "strip_format.h"

namespace ksr {
namespace prepared {
namespace {

typedef long long Long;

constexpr uint32_t reversed(uint32_t x) {
  return x >> 24 | (x >> 8 & 0xFF00) | (x << 8 & 0xFF0000) | x << 24;
}
constexpr uint64_t reversed(uint64_t x) {
  return uint64_t{reversed(static_cast<uint32_t>(x))} << 32 |
         reversed(static_cast<uint32_t>(x >> 32));
}

// Whether this is a cell at all, whole, unchanged and laid out by the rules of this library.
ksr_status check_frame(const Cell& cell, size_t size, ksr_error* error) {
  const bool own = cell.magic == kCellMagic;
  if (cell.magic == reversed(kCellMagic) || (own && cell.byte_order != kByteOrder))
    return fail(error, KSR_BAD_VERSION,
                "byte_order is 0x%08x: it must be 0x%08x, that of little-endian numbers",
                cell.byte_order, kByteOrder);
  if (!own)
    return fail(error, KSR_BAD_CELL, "the cell begins with 0x%016llx: it must begin with 0x%016llx",
                static_cast<unsigned long long>(cell.magic),
                static_cast<unsigned long long>(kCellMagic));
  if (cell.layout != kLayout)
    return fail(error, KSR_BAD_VERSION,
                "the cell is laid out by rules 0x%08x: this library has 0x%08x", cell.layout,
                kLayout);
  if (cell.size < static_cast<int64_t>(sizeof cell) || cell.size % KSR_ALIGNMENT)
    return fail(error, KSR_BAD_CELL, "size is %lld: it must be a multiple of %d, and %zu or more",
                Long{cell.size}, KSR_ALIGNMENT, sizeof cell);
  if (static_cast<uint64_t>(cell.size) > size)
    return fail(error, KSR_BAD_CELL, "memory has %zu bytes of the cell's %lld: it was cut short",
                size, Long{cell.size});
  const char* bytes = reinterpret_cast<const char*>(&cell);
  const uint64_t sum = checksum(bytes + kTagged, bytes + cell.size);
  if (cell.tag != sum)
    return fail(error, KSR_BAD_CHECKSUM, "checksum is 0x%016llx: the bytes give 0x%016llx",
                static_cast<unsigned long long>(cell.tag), static_cast<unsigned long long>(sum));
  return KSR_OK;
}

ksr_status check_processor(const Cell& cell, const Processor** processor, ksr_error* error) {
  char name[kNameBytes + 1] = {};
  std::memcpy(name, cell.processor, kNameBytes);
  *processor = find_processor(name);
  if (*processor && std::memcmp((*processor)->name, cell.processor, kNameBytes))
    return fail(error, KSR_BAD_CELL, "processor is \"%s\": there must be zeros behind it", name);
  if (*processor && has_processor(name)) return KSR_OK;
  char names[120];
  list_processors(!*processor, names, sizeof names);
  return fail(error, KSR_NO_PROCESSOR, "the cell was prepared for \"%s\": this %s has %s", name,
              *processor ? "machine" : "library", names);
}

ksr_status check_range(const char* name, int64_t value, int64_t low, int64_t high,
                       ksr_error* error) {
  if (value >= low && value <= high) return KSR_OK;
  return fail(error, KSR_BAD_CELL, "%s is %lld: it must be from %lld to %lld", name, Long{value},
              Long{low}, Long{high});
}

ksr_status check_is(const char* name, int64_t value, int64_t wanted, ksr_error* error) {
  if (value == wanted) return KSR_OK;
  return fail(error, KSR_BAD_CELL, "%s is %lld: it must be %lld", name, Long{value}, Long{wanted});
}

ksr_status check_numbers(const Cell& cell, const Processor& processor, ksr_error* error) {
  KSR_TRY(check_range("kind", cell.kind, 0, kKinds - 1, error));
  KSR_TRY(check_range("activation", cell.activation, 0,
                      cell.kind == KSR_DENSE ? kActivations - 1 : 0, error));
  KSR_TRY(check_range("integers", cell.integers, 0, 1, error));
  KSR_TRY(check_range("inputs", cell.inputs, 1, cell.integers ? kMostIntegerInputs : kMostInputs,
                      error));
  KSR_TRY(check_range("units", cell.units, 1, kMostInputs, error));
  const CellRule& rule = kCells[cell.kind];
  if (rule.states && cell.integers)
    KSR_TRY(check_range("units", cell.units, 1, kMostIntegerInputs, error));
  KSR_TRY(check_is("padded_inputs", cell.padded_inputs, padded(cell.inputs), error));
  KSR_TRY(check_is("padded_units", cell.padded_units, padded(cell.units), error));
  KSR_TRY(check_is("first_unit", cell.first_unit, 0, error));
  KSR_TRY(check_is("state_units", cell.state_units, cell.units, error));
  KSR_TRY(check_is("padded_state", cell.padded_state, cell.padded_units, error));
  KSR_TRY(check_is("slots", cell.slots, rule.slots, error));
  KSR_TRY(check_input_range(cell.input_range, error));
  const StatePlaces places = state_places(cell, rule, processor.steps_together);
  if (std::memcmp(&places, &cell.state, sizeof places))
    return fail(error, KSR_BAD_CELL, "the state is of %lld bytes: it must be of %lld",
                Long{cell.state.size}, Long{places.size});
  return KSR_OK;
}

ksr_status check_array(const Cell& cell, const char* name, const char* array, int64_t place,
                       int64_t count, int64_t bytes, ksr_error* error) {
  if (place >= static_cast<int64_t>(sizeof cell) && place <= cell.size &&
      place % KSR_ALIGNMENT == 0 && count <= (cell.size - place) / bytes)
    return KSR_OK;
  return fail(error, KSR_BAD_CELL,
              "%s%s has %lld times %lld bytes from byte %lld on: the cell has %lld bytes", name,
              array, Long{count}, Long{bytes}, Long{place}, Long{cell.size});
}

template <typename T>
const T* array_at(const Cell& cell, int64_t place) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(&cell) + place);
}

// A product with `inputs` inputs, padding included. Adds its weights to *stored.
ksr_status check_product(const Cell& cell, const Processor& processor, const char* name,
                         const Product& product, int64_t inputs, int64_t* stored,
                         ksr_error* error) {
  const auto wrong = [&](const char* what, int64_t i, int64_t value, int64_t low, int64_t high) {
    return fail(error, KSR_BAD_CELL, "%s.%s[%lld] is %lld: it must be from %lld to %lld", name,
                what, Long{i}, Long{value}, Long{low}, Long{high});
  };
  if (product.tile < 0 || product.tile >= kTiles)
    return wrong("tile", 0, product.tile, 0, kTiles - 1);
  const int least = cell.integers ? kIntegers : kFloatWeights,
            most = cell.integers ? kIntegers : kByteWeights;
  if (product.arithmetic < least || product.arithmetic > most)
    return wrong("arithmetic", 0, product.arithmetic, least, most);
  if (product.strips < 0) return wrong("strips", 0, product.strips, 0, INT32_MAX);
  const Arithmetic arithmetic = static_cast<Arithmetic>(product.arithmetic);
  const Format format(arithmetic, kTileShapes[product.tile], processor.lanes);

  KSR_TRY(check_array(cell, name, ".table", product.table, product.strips, sizeof(Strip), error));
  const Strip* strips = array_at<Strip>(cell, product.table);
  const int64_t most_steps = inputs / format.step_inputs(),
                last_place = int64_t{cell.slots} * cell.padded_units - format.width;
  int64_t steps = 0;
  for (int64_t s = 0; s < product.strips; ++s) {
    if (strips[s].steps < 1 || strips[s].steps > most_steps)
      return wrong("steps", s, strips[s].steps, 1, most_steps);
    for (int64_t j = 0; j < format.joined; ++j)
      if (strips[s].place[j] < 0 || strips[s].place[j] > last_place)
        return wrong("place", s, strips[s].place[j], 0, last_place);
    steps += strips[s].steps;
  }
  const int64_t sums = product.strips * format.size, weights = format.step_weights();
  KSR_TRY(check_array(cell, name, ".numbers", product.numbers, steps * format.numbers,
                      sizeof(int32_t), error));
  KSR_TRY(check_array(cell, name, ".values", product.values, steps * weights,
                      weight_bytes(arithmetic), error));
  KSR_TRY(check_array(cell, name, ".scales", product.scales, sums, sizeof(float), error));
  KSR_TRY(check_array(cell, name, ".starts", product.starts, cell.integers ? sums : 0,
                      sizeof(int32_t), error));
  // Behind the inputs there are as many zeros as any tile reads.
  const int32_t* numbers = array_at<int32_t>(cell, product.numbers);
  for (int64_t i = 0; i < steps * format.numbers; ++i)
    if (numbers[i] < 0 || numbers[i] > inputs) return wrong("numbers", i, numbers[i], 0, inputs);
  // So that sums stay within 32 bits.
  const int32_t* starts = array_at<int32_t>(cell, product.starts);
  const int64_t most_start = int64_t{processor.byte_zero} * 128 * inputs;
  for (int64_t i = 0; cell.integers && i < sums; ++i)
    if (starts[i] < -most_start || starts[i] > most_start)
      return wrong("starts", i, starts[i], -most_start, most_start);
  *stored += steps * weights;
  return KSR_OK;
}

// A product that a cell of this kind does not have: whoever asks what a cell runs looks at it, too.
ksr_status check_no_product(const char* name, const Product& product, ksr_error* error) {
  const Product none = {};
  if (!std::memcmp(&product, &none, sizeof none)) return KSR_OK;
  return fail(error, KSR_BAD_CELL, "%s has numbers where there must be zeros", name);
}

ksr_status check_cell(const Cell& cell, size_t size, ksr_error* error) {
  const Processor* processor;
  KSR_TRY(check_frame(cell, size, error));
  KSR_TRY(check_processor(cell, &processor, error));
  KSR_TRY(check_numbers(cell, *processor, error));
  const CellRule& rule = kCells[cell.kind];
  KSR_TRY(check_array(cell, "bias", "", cell.bias, int64_t{cell.slots} * cell.padded_units,
                      sizeof(float), error));
  int64_t stored = 0;
  KSR_TRY(check_product(cell, *processor, "kernel", cell.kernel, cell.padded_inputs, &stored,
                        error));
  KSR_TRY(rule.states ? check_product(cell, *processor, "recurrent", cell.recurrent,
                                      cell.padded_units, &stored, error)
                      : check_no_product("recurrent", cell.recurrent, error));
  KSR_TRY(rule.has_reset() ? check_product(cell, *processor, "candidate", cell.candidate,
                                           cell.padded_units, &stored, error)
                           : check_no_product("candidate", cell.candidate, error));
  return check_is("stored", cell.stored, stored, error);
}

}  // namespace
}  // namespace prepared
}  // namespace ksr

using namespace ksr::prepared;

extern "C" ksr_status ksr_cell_open(const void* memory, size_t size, const ksr_cell** out,
                                    ksr_error* error) noexcept {
  if (!out) return fail(error, KSR_NULL, "cell is null");
  *out = nullptr;
  KSR_TRY(check_memory(memory, size, 0, error));
  if (size < sizeof(Cell))
    return fail(error, KSR_BAD_CELL, "memory has %zu bytes: the cell's numbers alone take %zu",
                size, sizeof(Cell));
  KSR_TRY(check_cell(*static_cast<const Cell*>(memory), size, error));
  *out = static_cast<const ksr_cell*>(memory);
  return KSR_OK;
}
