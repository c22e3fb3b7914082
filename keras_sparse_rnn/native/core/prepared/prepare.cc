// Preparing: the same walk twice, once to count and once to write.
#include <cstdio>
#include <cstring>

#include "cells.h"
#include "check.h"
#include "checksum.h"
#include "dispatch.h"
#include "float_mode.h"
#include "pack.h"
#include "prepare.h"

namespace ksr {
namespace prepared {
namespace {

// Products may fetch this much of zeros at the end of their inputs.
constexpr int64_t kZeros = 16;

}  // namespace

int64_t padded(int64_t n) { return (n + kMostLanes - 1) / kMostLanes * kMostLanes; }

// Zero is a place like any other for a state.
StatePlaces state_places(const Cell& cell, const CellRule& rule, int64_t together) {
  Space space(nullptr, 0);
  StatePlaces places = {};
  const int64_t inputs = cell.padded_inputs, units = cell.padded_units, size = sizeof(float);
  space.take(sizeof(State));
  places.x_stride = (inputs + kZeros) * (cell.integers ? 1 : size);
  places.sum_stride = cell.slots * units;
  places.h = space.take((units + kZeros) * size);
  places.c = space.take(rule.states == 2 ? units * size : 0);
  places.reset = space.take(cell.kind == KSR_GRU_RESET_BEFORE ? (units + kZeros) * size : 0);
  places.x = space.take(cell.integers ? 0 : together * places.x_stride);
  places.h_bytes = space.take(cell.integers ? units + kZeros : 0);
  places.x_bytes = space.take(cell.integers ? together * places.x_stride : 0);
  places.reset_bytes =
      space.take(cell.integers && cell.kind == KSR_GRU_RESET_BEFORE ? units + kZeros : 0);
  places.sums = space.take(together * places.sum_stride * size);
  places.size = space.used();
  return places;
}

namespace {

void write_bias(const ksr_description& d, const CellRule& rule, int64_t stride, float* bias) {
  const int64_t units = d.kernel.units;
  if (!d.bias) return;
  for (int g = 0; g < rule.gates; ++g)
    for (int64_t u = 0; u < units; ++u) {
      bias[g * stride + u] += d.bias[g * units + u];
      if (rule.bias_rows == 2)
        bias[rule.recurrent_slots[g] * stride + u] += d.bias[(rule.gates + g) * units + u];
    }
}

ksr_status choose(const ksr_description& d, const Processor** processor, ksr_error* error) {
  *processor = d.processor ? find_processor(d.processor)
                           : choose_processor(std::getenv("KERAS_SPARSE_RNN_CPU"));
  if (*processor) return KSR_OK;
  char names[120];
  list_processors(true, names, sizeof names);
  return fail(error, KSR_NO_PROCESSOR, "processor is \"%.60s\": it must be one of %s",
              d.processor, names);
}

// Into memory, or with null only counts.
ksr_status lay_out(const ksr_description* d, char* memory, Cell* cell, ksr_error* error) {
  KSR_TRY(check(d, error));
  const Processor* processor;
  KSR_TRY(choose(*d, &processor, error));
  const CellRule& rule = kCells[d->cell];
  const bool integers = d->activations == KSR_INT8;
  const int64_t inputs = padded(d->kernel.inputs), units = padded(d->kernel.units);
  std::memset(cell, 0, sizeof *cell);
  cell->magic = kCellMagic;
  cell->byte_order = kByteOrder;
  cell->layout = kLayout;
  std::memcpy(cell->processor, processor->name, kNameBytes);
  cell->kind = d->cell;
  cell->activation = d->cell == KSR_DENSE ? d->activation : 0;
  cell->integers = integers;
  cell->inputs = static_cast<int32_t>(d->kernel.inputs);
  cell->units = static_cast<int32_t>(d->kernel.units);
  cell->padded_inputs = static_cast<int32_t>(inputs);
  cell->padded_units = static_cast<int32_t>(units);
  cell->input_range = integers ? d->input_range : 0;
  cell->slots = rule.slots;
  cell->state = state_places(*cell, rule, processor->steps_together);
  Space space(memory, 0);
  space.take(sizeof(Cell));
  cell->bias = space.take(rule.slots * units * sizeof(float));
  if (memory) write_bias(*d, rule, units, space.at<float>(cell->bias));
  KSR_TRY(pack("kernel", {&d->kernel, 0, rule.gates, nullptr, units, inputs, integers},
               *processor, &space, &cell->kernel, &cell->stored, error));
  if (rule.states) {
    const Part recurrent = {
        &d->recurrent, 0, rule.recurrent_gates, rule.recurrent_slots, units, units, integers};
    KSR_TRY(
        pack("recurrent", recurrent, *processor, &space, &cell->recurrent, &cell->stored, error));
    if (rule.recurrent_gates < rule.gates) {
      const Part candidate = {
          &d->recurrent, rule.recurrent_gates, rule.gates, rule.recurrent_slots, units, units,
          integers};
      KSR_TRY(pack("recurrent", candidate, *processor, &space, &cell->candidate, &cell->stored,
                   error));
    }
  }
  cell->size = space.used();
  return KSR_OK;
}

}  // namespace
}  // namespace prepared
}  // namespace ksr

using namespace ksr::prepared;

extern "C" {

ksr_status ksr_cell_size(const ksr_description* description, size_t* size,
                         ksr_error* error) noexcept {
  if (!size) return fail(error, KSR_NULL, "size is null");
  Cell cell;
  KSR_TRY(lay_out(description, nullptr, &cell, error));
  *size = static_cast<size_t>(cell.size);
  return KSR_OK;
}

ksr_status ksr_cell_prepare(const ksr_description* description, void* memory, size_t size,
                            const ksr_cell** out, ksr_error* error) noexcept {
  if (!memory || !out) return fail(error, KSR_NULL, "%s is null", memory ? "cell" : "memory");
  *out = nullptr;
  if (reinterpret_cast<uintptr_t>(memory) % KSR_ALIGNMENT)
    return fail(error, KSR_BAD_MEMORY, "memory is %p: it must be aligned to %d bytes", memory,
                KSR_ALIGNMENT);
  Cell cell;
  KSR_TRY(lay_out(description, nullptr, &cell, error));
  if (size < static_cast<size_t>(cell.size))
    return fail(error, KSR_BAD_MEMORY, "memory has %zu bytes: the cell takes %lld", size,
                static_cast<long long>(cell.size));
  char* bytes = static_cast<char*>(memory);
  const FloatMode mode;
  KSR_TRY(lay_out(description, bytes, &cell, error));
  cell.tag = 0;
  std::memcpy(memory, &cell, sizeof cell);
  cell.tag = checksum(bytes + kTagged, bytes + cell.size);
  std::memcpy(memory, &cell, sizeof cell);
  *out = static_cast<const ksr_cell*>(memory);
  return KSR_OK;
}

ksr_status ksr_cell_describe(const ksr_cell* handle, ksr_cell_facts* facts) noexcept {
  const Cell* cell = reinterpret_cast<const Cell*>(handle);
  if (!facts) return KSR_NULL;
  if (!cell || cell->magic != kCellMagic) return KSR_BAD_CELL;
  *facts = {cell->inputs,
            cell->units,
            kCells[cell->kind].states,
            cell->stored,
            cell->size,
            cell->state.size,
            cell->integers ? KSR_INT8 : KSR_FLOAT32,
            {}};
  std::snprintf(facts->processor, sizeof facts->processor, "%.*s", kNameBytes, cell->processor);
  return KSR_OK;
}

}  // extern "C"
