// Preparing: the same walk twice, once to count and once to write.
#include <cstdio>
#include <cstring>

#include "../float_mode.h"
#include "cells.h"
#include "check.h"
#include "checksum.h"
#include "dispatch.h"
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
  const int64_t inputs = cell.padded_inputs, units = cell.padded_state, size = sizeof(float);
  space.take(sizeof(State));
  places.x_stride = (inputs + kZeros) * (cell.integers ? 1 : size);
  places.sum_stride = int64_t{cell.slots} * cell.padded_units;
  places.h = space.take((units + kZeros) * size);
  places.c = space.take(rule.states == 2 ? units * size : 0);
  places.reset = space.take(rule.has_reset() ? (units + kZeros) * size : 0);
  places.x = space.take(cell.integers ? 0 : together * places.x_stride);
  places.h_bytes = space.take(cell.integers ? units + kZeros : 0);
  places.x_bytes = space.take(cell.integers ? together * places.x_stride : 0);
  places.reset_bytes = space.take(cell.integers && rule.has_reset() ? units + kZeros : 0);
  places.sums = space.take(together * places.sum_stride * size);
  places.size = space.used();
  return places;
}

namespace {

void write_bias(const ksr_description& d, const CellRule& rule, Units own, int64_t stride,
                float* bias) {
  const int64_t units = d.kernel.units;
  if (!d.bias) return;
  for (int g = 0; g < rule.gates; ++g)
    for (int64_t u = own.begin; u < own.end; ++u) {
      float* to = bias + u - own.begin;
      to[g * stride] += d.bias[g * units + u];
      if (rule.bias_rows == 2)
        to[rule.recurrent_slots[g] * stride] += d.bias[(rule.gates + g) * units + u];
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
ksr_status lay_out(const ksr_description* d, Units own, char* memory, Cell* cell,
                   ksr_error* error) {
  const Processor* processor;
  KSR_TRY(choose(*d, &processor, error));
  const CellRule& rule = kCells[d->cell];
  const bool integers = d->activations == KSR_INT8;
  const int64_t inputs = padded(d->kernel.inputs), state = padded(d->kernel.units);
  const int64_t units = padded(own.end - own.begin);
  std::memset(cell, 0, sizeof *cell);
  cell->magic = kCellMagic;
  cell->byte_order = kByteOrder;
  cell->layout = kLayout;
  std::memcpy(cell->processor, processor->name, kNameBytes);
  cell->kind = d->cell;
  cell->activation = d->cell == KSR_DENSE ? d->activation : 0;
  cell->integers = integers;
  cell->inputs = static_cast<int32_t>(d->kernel.inputs);
  cell->units = static_cast<int32_t>(own.end - own.begin);
  cell->padded_inputs = static_cast<int32_t>(inputs);
  cell->padded_units = static_cast<int32_t>(units);
  cell->first_unit = static_cast<int32_t>(own.begin);
  cell->state_units = static_cast<int32_t>(d->kernel.units);
  cell->padded_state = static_cast<int32_t>(state);
  cell->input_range = integers ? d->input_range : 0;
  cell->slots = rule.slots;
  cell->state = state_places(*cell, rule, processor->steps_together);
  Space space(memory, 0);
  space.take(sizeof(Cell));
  cell->bias = space.take(rule.slots * units * sizeof(float));
  if (memory) write_bias(*d, rule, own, units, space.at<float>(cell->bias));
  Part part = {&d->kernel, 0, rule.gates, own.begin, own.end, nullptr, units, inputs, integers};
  KSR_TRY(pack("kernel", part, *processor, &space, &cell->kernel, &cell->stored, error));
  if (rule.states) {
    part.matrix = &d->recurrent;
    part.slots = rule.recurrent_slots;
    part.zero = state;
    part.gate_end = rule.recurrent_gates;
    KSR_TRY(pack("recurrent", part, *processor, &space, &cell->recurrent, &cell->stored, error));
    if (rule.has_reset()) {
      part.gate_begin = rule.recurrent_gates;
      part.gate_end = rule.gates;
      KSR_TRY(pack("recurrent", part, *processor, &space, &cell->candidate, &cell->stored, error));
    }
  }
  cell->size = space.used();
  return KSR_OK;
}

}  // namespace

ksr_status part_size(const ksr_description& description, Units own, size_t* size,
                     ksr_error* error) {
  Cell cell;
  KSR_TRY(lay_out(&description, own, nullptr, &cell, error));
  *size = static_cast<size_t>(cell.size);
  return KSR_OK;
}

ksr_status prepare_part(const ksr_description& description, Units own, void* memory, size_t size,
                        const ksr_cell** out, ksr_error* error) {
  size_t wanted;
  KSR_TRY(part_size(description, own, &wanted, error));
  if (size < wanted)
    return fail(error, KSR_BAD_MEMORY, "memory has %zu bytes: the cell takes %zu", size, wanted);
  Cell cell;
  char* bytes = static_cast<char*>(memory);
  const FloatMode mode;
  KSR_TRY(lay_out(&description, own, bytes, &cell, error));
  cell.tag = 0;
  std::memcpy(memory, &cell, sizeof cell);
  cell.tag = checksum(bytes + kTagged, bytes + cell.size);
  std::memcpy(memory, &cell, sizeof cell);
  *out = static_cast<const ksr_cell*>(memory);
  return KSR_OK;
}

}  // namespace prepared
}  // namespace ksr

using namespace ksr::prepared;

extern "C" {

ksr_status ksr_cell_size(const ksr_description* description, size_t* size,
                         ksr_error* error) noexcept {
  if (!size) return fail(error, KSR_NULL, "size is null");
  KSR_TRY(check(description, true, error));
  return part_size(*description, {0, description->kernel.units}, size, error);
}

ksr_status ksr_cell_prepare(const ksr_description* description, void* memory, size_t size,
                            const ksr_cell** out, ksr_error* error) noexcept {
  if (!out) return fail(error, KSR_NULL, "cell is null");
  *out = nullptr;
  KSR_TRY(check_memory(memory, size, 0, error));
  KSR_TRY(check(description, true, error));
  return prepare_part(*description, {0, description->kernel.units}, memory, size, out, error);
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
