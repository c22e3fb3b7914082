// Preparing a model, opening a prepared one, and what there is to know about it.
#include <cstdio>
#include <cstring>

#include "../prepared/checksum.h"
#include "../prepared/dispatch.h"
#include "layout.h"

namespace ksr {
namespace model {
namespace {

// The cells of a file, prepared one after another from byte `at` on. Without memory only counts.
struct Preparing {
  const View& file;
  const char* processor;
  char* memory;
  int64_t size, at;

  static ksr_status visit(void* self, int32_t step, const ksr_description& cell,
                          ksr_error* error) {
    return static_cast<Preparing*>(self)->prepare(step, cell, error);
  }

 private:
  ksr_status prepare(int32_t step, ksr_description d, ksr_error* error) {
    const prepared::Units all = {0, d.kernel.units};
    d.processor = processor;
    size_t bytes;
    if (!memory) {
      KSR_TRY(prepared::part_size(d, all, &bytes, error));
    } else {
      const ksr_cell* cell;
      ksr_cell_facts facts;
      KSR_TRY(prepared::prepare_part(d, all, memory + at, size - at, &cell, error));
      ksr_cell_describe(cell, &facts);
      bytes = static_cast<size_t>(facts.size);
      Step* to = reinterpret_cast<Step*>(memory + Tables(file.header).steps) + step;
      to->data = {at, facts.size};
      std::memcpy(&to->sum, memory + at + 8, sizeof to->sum);
    }
    at += static_cast<int64_t>(bytes);
    return KSR_OK;
  }
};

ksr_status choose(const char* name, const prepared::Processor** processor, ksr_error* error) {
  *processor = name ? prepared::find_processor(name)
                    : prepared::choose_processor(std::getenv("KERAS_SPARSE_RNN_CPU"));
  if (*processor) return KSR_OK;
  char names[120];
  prepared::list_processors(true, names, sizeof names);
  return fail(error, KSR_NO_PROCESSOR, "processor is \"%.60s\": it must be one of %s", name, names);
}

ksr_status port_of(const View& model, const Port* ports, int32_t count, int32_t number,
                   ksr_port* port) {
  if (!port) return KSR_NULL;
  if (number < 0 || number >= count) return KSR_BAD_CHOICE;
  const Port& p = ports[number];
  *port = {p.name, model.widths[p.place], 0, p.last};
  if (ports == model.inputs)
    for (int32_t i = 0; i < model.header.steps; ++i) {
      const Step& s = model.steps[i];
      if (s.kind == kEmbedding && s.in == p.place && (!port->tokens || s.rows < port->tokens))
        port->tokens = s.rows;
    }
  return KSR_OK;
}

// Which kernels a prepared cell runs.
void add_needs(const prepared::Cell& cell, ksr_needs* needs) {
  const prepared::Product* const products[] = {&cell.kernel, &cell.recurrent, &cell.candidate};
  for (const prepared::Product* p : products)
    if (p->strips) needs->tiles[p->arithmetic] |= 1u << p->tile;
  if (cell.kind == KSR_DENSE)
    needs->activations[cell.integers] |= 1u << cell.activation;
  else
    needs->cells[cell.integers] |= 1u << cell.kind;
}

}  // namespace
}  // namespace model
}  // namespace ksr

using namespace ksr::model;
namespace prepared = ksr::prepared;

#ifdef KSR_SOURCES
// By which a source tree knows a library that was built from it.
extern "C" KSR_API const char* ksr_model_sources() { return "keras_sparse_rnn sources " KSR_SOURCES; }
#endif

extern "C" {

ksr_status ksr_model_size(const void* file, size_t bytes, const char* name, size_t* size,
                          ksr_error* error) noexcept {
  if (!size) return fail(error, KSR_NULL, "size is null");
  const prepared::Processor* processor;
  KSR_TRY(choose(name, &processor, error));
  KSR_TRY(check_head(file, bytes, error));
  const View from(file);
  Preparing cells = {from, processor->name, nullptr, 0, from.header.cells};
  KSR_TRY(check_cells(from, {Preparing::visit, &cells}, error));
  *size = static_cast<size_t>(from.header.prepared ? from.header.size : cells.at);
  return KSR_OK;
}

ksr_status ksr_model_prepare(const void* file, size_t bytes, const char* name, void* memory,
                             size_t size, const ksr_model** model, ksr_error* error) noexcept {
  if (!model) return fail(error, KSR_NULL, "model is null");
  *model = nullptr;
  KSR_TRY(prepared::check_memory(memory, size, 0, error));
  const prepared::Processor* processor;
  KSR_TRY(choose(name, &processor, error));
  KSR_TRY(check_head(file, bytes, error));
  const View from(file);
  const int64_t copied = from.header.prepared ? from.header.size : from.header.cells;
  if (static_cast<uint64_t>(copied) > size)
    return fail(error, KSR_BAD_MEMORY, "memory has %zu bytes: the model takes %lld or more", size,
                static_cast<long long>(copied));
  char* to = static_cast<char*>(memory);
  std::memcpy(to, file, copied);
  Preparing cells = {from, processor->name, to, static_cast<int64_t>(size), copied};
  KSR_TRY(check_cells(from, {Preparing::visit, &cells}, error));
  if (!from.header.prepared) {
    Header* header = static_cast<Header*>(memory);
    header->size = cells.at;
    header->prepared = 1;
    std::memcpy(header->processor, processor->name, sizeof header->processor);
    header->checksum = prepared::checksum(to + kSummed, to + header->cells);
  }
  *model = static_cast<const ksr_model*>(memory);
  return KSR_OK;
}

ksr_status ksr_model_open(const void* memory, size_t size, const ksr_model** model,
                          ksr_error* error) noexcept {
  if (!model) return fail(error, KSR_NULL, "model is null");
  *model = nullptr;
  KSR_TRY(check_head(memory, size, error));
  const View view(memory);
  if (!view.header.prepared)
    return fail(error, KSR_BAD_FILE,
                "this is a model's file, not a prepared model: use ksr_model_prepare");
  KSR_TRY(check_cells(view, {nullptr, nullptr}, error));
  *model = static_cast<const ksr_model*>(memory);
  return KSR_OK;
}

ksr_status ksr_model_describe(const ksr_model* handle, ksr_model_facts* facts) noexcept {
  const Header* header = header_of(handle);
  if (!facts) return KSR_NULL;
  if (!header) return KSR_BAD_FILE;
  const View model(handle);
  *facts = {};
  facts->size = header->size;
  facts->stream_size = static_cast<int64_t>(ksr_stream_size(handle));
  facts->inputs = header->inputs;
  facts->outputs = header->outputs;
  facts->notes = model.bytes + header->notes.place;
  facts->notes_size = header->notes.bytes;
  std::snprintf(facts->processor, sizeof facts->processor, "%.*s", prepared::kNameBytes,
                header->processor);
  for (int32_t i = 0; i < header->steps; ++i) {
    const Step& s = model.steps[i];
    if (s.kind == kCell) add_needs(*model.at<prepared::Cell>(s.data.place), &facts->needs);
    if (s.kind == kActivation) facts->needs.activations[0] |= 1u << s.activation;
  }
  return KSR_OK;
}

ksr_status ksr_model_input(const ksr_model* model, int32_t number, ksr_port* port) noexcept {
  if (!header_of(model)) return KSR_BAD_FILE;
  const View view(model);
  return port_of(view, view.inputs, view.header.inputs, number, port);
}

ksr_status ksr_model_output(const ksr_model* model, int32_t number, ksr_port* port) noexcept {
  if (!header_of(model)) return KSR_BAD_FILE;
  const View view(model);
  return port_of(view, view.outputs, view.header.outputs, number, port);
}

}  // extern "C"
