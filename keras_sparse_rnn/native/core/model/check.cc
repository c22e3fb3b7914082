// Whether memory holds a model: everything that preparing and running rely on.
#include <cmath>
#include <cstring>

#include "../prepared/checksum.h"
#include "../prepared/dispatch.h"
#include "format.h"

namespace ksr {
namespace model {
namespace {

typedef long long Long;

ksr_status check_count(const char* name, int32_t value, int32_t low, int32_t high,
                       ksr_error* error) {
  if (value >= low && value <= high) return KSR_OK;
  return fail(error, KSR_BAD_FILE, "%s is %d: it must be from %d to %d", name, value, low, high);
}

// Whether this is a model at all, whole and unchanged up to the cells.
ksr_status check_frame(const Header& h, const char* bytes, size_t size, ksr_error* error) {
  if (std::memcmp(h.magic, kMagic, sizeof h.magic))
    return fail(error, KSR_BAD_FILE, "this is no model's file: it must begin with \"%s\"", kMagic);
  if (h.byte_order != prepared::kByteOrder)
    return fail(error, KSR_BAD_VERSION,
                "byte_order is 0x%08x: it must be 0x%08x, that of little-endian numbers",
                h.byte_order, prepared::kByteOrder);
  if (h.version != KSR_MODEL_VERSION)
    return fail(error, KSR_BAD_VERSION,
                "the model's file is of version %u: this library reads version %d", h.version,
                KSR_MODEL_VERSION);
  if (h.size < kHeaderBytes || h.size % KSR_ALIGNMENT)
    return fail(error, KSR_BAD_FILE, "size is %lld: it must be a multiple of %d, and %lld or more",
                Long{h.size}, KSR_ALIGNMENT, Long{kHeaderBytes});
  if (static_cast<uint64_t>(h.size) > size)
    return fail(error, KSR_BAD_FILE,
                "memory has %zu bytes of the model's %lld: it was cut short", size, Long{h.size});
  if (h.cells < kHeaderBytes || h.cells > h.size || h.cells % KSR_ALIGNMENT)
    return fail(error, KSR_BAD_FILE,
                "cells begin at byte %lld: it must be a multiple of %d, from %lld to %lld",
                Long{h.cells}, KSR_ALIGNMENT, Long{kHeaderBytes}, Long{h.size});
  const uint64_t sum = prepared::checksum(bytes + kSummed, bytes + h.cells);
  if (h.checksum != sum)
    return fail(error, KSR_BAD_CHECKSUM, "checksum is 0x%016llx: the bytes give 0x%016llx",
                static_cast<unsigned long long>(h.checksum), static_cast<unsigned long long>(sum));
  return KSR_OK;
}

ksr_status check_header(const Header& h, ksr_error* error) {
  KSR_TRY(check_count("prepared", h.prepared, 0, 1, error));
  KSR_TRY(check_count("registers", h.registers, 1, kMostRegisters, error));
  KSR_TRY(check_count("inputs", h.inputs, 1, kMostPorts, error));
  KSR_TRY(check_count("outputs", h.outputs, 1, kMostPorts, error));
  KSR_TRY(check_count("steps", h.steps, 0, kMostSteps, error));
  KSR_TRY(check_count("a number that is not used", h.unused, 0, 0, error));
  if (Tables(h).data > h.cells)
    return fail(error, KSR_BAD_FILE, "the tables end at byte %lld: the cells begin at byte %lld",
                Long{Tables(h).data}, Long{h.cells});
  constexpr char kNone[prepared::kNameBytes] = {};
  char name[prepared::kNameBytes + 1] = {};
  std::memcpy(name, h.processor, sizeof h.processor);
  if (!h.prepared && std::memcmp(h.processor, kNone, sizeof kNone))
    return fail(error, KSR_BAD_FILE, "processor is \"%s\": a file is for no one processor", name);
  const prepared::Processor* processor = prepared::find_processor(name);
  if (processor && std::memcmp(processor->name, h.processor, sizeof h.processor))
    return fail(error, KSR_BAD_FILE, "processor is \"%s\": there must be zeros behind it", name);
  if (h.prepared && !prepared::has_processor(name)) {
    char names[120];
    prepared::list_processors(false, names, sizeof names);
    return fail(error, KSR_NO_PROCESSOR,
                "the model was prepared for \"%.16s\": this machine has %s", name, names);
  }
  return KSR_OK;
}

ksr_status check_ports(const View& model, const char* what, const Port* ports, int32_t count,
                       ksr_error* error) {
  for (int32_t i = 0; i < count; ++i) {
    if (!*ports[i].name || ports[i].name[kNameSize - 1])
      return fail(error, KSR_BAD_FILE, "%s %d has a name of no letter, or of more than %d", what, i,
                  kNameSize - 1);
    if (ports[i].place < 0 || ports[i].place >= model.header.registers || ports[i].last < 0
        || ports[i].last > 1)
      return fail(error, KSR_BAD_FILE, "%s %d is register %d: there are %d", what, i,
                  ports[i].place, model.header.registers);
  }
  return KSR_OK;
}

// The sections follow one another without gaps.
class Sections {
 public:
  Sections(int64_t begin, int64_t end) : at_(begin), end_(end) {}
  ksr_status take(const char* what, int32_t step, const Section& got, int64_t bytes,
                  ksr_error* error) {
    const int64_t place = bytes ? at_ : 0;
    if (got.place != place || got.bytes != bytes || bytes > end_ - at_)
      return fail(error, KSR_BAD_FILE,
                  "step %d: %s is %lld bytes from byte %lld on: it must be %lld bytes from byte "
                  "%lld on, before byte %lld",
                  step, what, Long{got.bytes}, Long{got.place}, Long{bytes}, Long{place},
                  Long{end_});
    at_ += rounded(bytes);
    return KSR_OK;
  }
  int64_t at() const { return at_; }

 private:
  int64_t at_;
  const int64_t end_;
};

ksr_status check_finite(const View& model, int32_t step, const Section& section,
                        ksr_error* error) {
  const float* numbers = model.at<float>(section.place);
  for (int64_t i = 0; i < section.bytes / int64_t{sizeof(float)}; ++i)
    if (!std::isfinite(numbers[i]))
      return fail(error, KSR_BAD_VALUE, "step %d: number %lld is %g: it must be finite", step,
                  Long{i}, numbers[i]);
  return KSR_OK;
}

bool is_input(const View& model, int32_t place) {
  for (int32_t i = 0; i < model.header.inputs; ++i)
    if (model.inputs[i].place == place) return true;
  return false;
}

ksr_status check_widths(int32_t number, int64_t got, int64_t wanted, ksr_error* error) {
  if (got == wanted) return KSR_OK;
  return fail(error, KSR_BAD_SIZE, "step %d: a register has %lld numbers: it must have %lld",
              number, Long{got}, Long{wanted});
}

// A step, but for what its cell says; takes its sections.
ksr_status check_step(const View& model, int32_t number, Sections* sections, ksr_error* error) {
  const Step& s = model.steps[number];
  const auto is_register = [&](int32_t r) { return r >= 0 && r < model.header.registers; };
  KSR_TRY(check_count("the kind of a step", s.kind, 0, kSteps - 1, error));
  const bool two = s.kind == kAdd || s.kind == kMultiply;
  if (!is_register(s.in) || !is_register(s.out) || (two ? !is_register(s.other) : s.other != -1)
      || s.in == s.out || s.other == s.out)
    return fail(error, KSR_BAD_FILE,
                "step %d of kind %d goes from registers %d and %d to %d: there are %d", number,
                s.kind, s.in, s.other, s.out, model.header.registers);
  const int64_t in = model.widths[s.in], out = model.widths[s.out];
  Step wanted = {};
  wanted.kind = s.kind, wanted.in = s.in, wanted.other = s.other, wanted.out = s.out;
  wanted.data = s.data, wanted.scales = s.scales;
  int64_t data = 0, scales = 0;
  switch (s.kind) {
    case kCell:
      wanted.sum = s.sum;
      data = s.data.bytes;
      break;
    case kEmbedding:
      wanted.type = s.type, wanted.rows = s.rows;
      KSR_TRY(check_count("the type of a table", s.type, KSR_FLOAT32, KSR_INT8, error));
      if (s.rows < 1 || s.rows > prepared::kMostInputs || in != 1 || !is_input(model, s.in))
        return fail(error, KSR_BAD_FILE,
                    "step %d: %lld tokens, in register %d of %lld numbers: they must come from an "
                    "input of one number, and be at most %lld",
                    number, Long{s.rows}, s.in, Long{in}, Long{prepared::kMostInputs});
      data = s.rows * out * (s.type == KSR_FLOAT32 ? 4 : s.type == KSR_BFLOAT16 ? 2 : 1);
      scales = s.type == KSR_INT8 ? s.rows * int64_t{sizeof(float)} : 0;
      break;
    case kWindow:
      wanted.window = s.window, wanted.dilation = s.dilation;
      if (s.window < 1 || s.dilation < 1
          || (int64_t{s.window} - 1) * s.dilation > kMostHistory / in)
        return fail(error, KSR_BAD_SIZE,
                    "step %d: a window of %d frames, %d apart, of %lld numbers", number, s.window,
                    s.dilation, Long{in});
      KSR_TRY(check_widths(number, out, in * s.window, error));
      break;
    case kActivation:
      wanted.activation = s.activation;
      KSR_TRY(check_count("an activation", s.activation, 0, prepared::kActivations - 1, error));
      break;
    case kCopy:
      wanted.place = s.place;
      if (s.place < 0 || s.place > out - in)
        return fail(error, KSR_BAD_SIZE, "step %d: %lld numbers at number %d of %lld", number,
                    Long{in}, s.place, Long{out});
      break;
  }
  const int64_t numbers = numbers_beside(s.kind, in);
  if (numbers) data = numbers * int64_t{sizeof(float)};
  if (numbers || s.kind == kActivation || two) {
    KSR_TRY(check_widths(number, out, in, error));
    if (two) KSR_TRY(check_widths(number, model.widths[s.other], in, error));
  }
  if (std::memcmp(&s, &wanted, sizeof s))
    return fail(error, KSR_BAD_FILE, "step %d has numbers where there must be zeros", number);
  if (s.kind == kCell) return KSR_OK;
  KSR_TRY(sections->take("data", number, s.data, data, error));
  KSR_TRY(sections->take("scales", number, s.scales, scales, error));
  if (data && (s.kind != kEmbedding || s.type == KSR_FLOAT32))
    KSR_TRY(check_finite(model, number, s.data, error));
  return check_finite(model, number, s.scales, error);
}

// The cell of a step, with all that it holds.
ksr_status check_cell(const View& model, int32_t number, Sections* sections, Visitor visitor,
                      ksr_error* error) {
  const Step& s = model.steps[number];
  KSR_TRY(sections->take("scales", number, s.scales, 0, error));
  if (s.data.bytes < 1)
    return fail(error, KSR_BAD_FILE, "step %d: there is no cell", number);
  KSR_TRY(sections->take("the cell", number, s.data, s.data.bytes, error));
  const char* bytes = model.bytes + s.data.place;
  int64_t size, inputs, units;
  uint64_t sum;
  ksr_description d;
  if (model.header.prepared) {
    const ksr_cell* cell;
    ksr_cell_facts facts;
    KSR_TRY(ksr_cell_open(bytes, s.data.bytes, &cell, error));
    ksr_cell_describe(cell, &facts);
    size = facts.size, inputs = facts.inputs, units = facts.units;
    std::memcpy(&sum, bytes + 8, sizeof sum);
    if (std::memcmp(model.at<prepared::Cell>(s.data.place)->processor, model.header.processor,
                    prepared::kNameBytes))
      return fail(error, KSR_BAD_FILE, "step %d: the cell is for \"%s\", the model for another",
                  number, facts.processor);
  } else {
    KSR_TRY(ksr_file_read(bytes, s.data.bytes, &d, error));
    inputs = d.kernel.inputs, units = d.kernel.units;
    std::memcpy(&size, bytes + 24, sizeof size);
    std::memcpy(&sum, bytes + 16, sizeof sum);
  }
  if (size != s.data.bytes || sum != s.sum)
    return fail(error, KSR_BAD_FILE, "step %d: the cell is another one, or has %lld bytes of %lld",
                number, Long{s.data.bytes}, Long{size});
  KSR_TRY(check_widths(number, model.widths[s.in], inputs, error));
  KSR_TRY(check_widths(number, model.widths[s.out], units, error));
  if (model.header.prepared || !visitor.visit) return KSR_OK;
  return visitor.visit(visitor.self, number, d, error);
}

}  // namespace

ksr_status check_head(const void* memory, size_t size, ksr_error* error) {
  KSR_TRY(prepared::check_memory(memory, size, kHeaderBytes, error));
  const Header& h = *static_cast<const Header*>(memory);
  KSR_TRY(check_frame(h, static_cast<const char*>(memory), size, error));
  KSR_TRY(check_header(h, error));
  const View model(memory);
  int64_t numbers = 0;
  for (int32_t r = 0; r < h.registers; ++r) {
    if (model.widths[r] < 1 || model.widths[r] > prepared::kMostInputs)
      return fail(error, KSR_BAD_SIZE, "register %d has %d numbers: it must have 1 to %lld", r,
                  model.widths[r], Long{prepared::kMostInputs});
    numbers += model.widths[r];
  }
  if (numbers > kMostNumbers)
    return fail(error, KSR_BAD_SIZE, "the registers have %lld numbers: at most %lld", Long{numbers},
                Long{kMostNumbers});
  KSR_TRY(check_ports(model, "input", model.inputs, h.inputs, error));
  KSR_TRY(check_ports(model, "output", model.outputs, h.outputs, error));
  int64_t kept = 0;
  Sections sections(Tables(h).data, h.cells);
  if (h.notes.bytes < 0 || h.notes.bytes > h.cells)
    return fail(error, KSR_BAD_FILE, "the notes have %lld bytes", Long{h.notes.bytes});
  KSR_TRY(sections.take("the notes", -1, h.notes, h.notes.bytes, error));
  for (int32_t i = 0; i < h.steps; ++i) {
    KSR_TRY(check_step(model, i, &sections, error));
    const Step& s = model.steps[i];
    if (s.kind == kWindow) kept += frames_kept(s) * model.widths[s.in];
    if (kept > kMostHistory)
      return fail(error, KSR_BAD_SIZE, "the windows keep %lld numbers: at most %lld", Long{kept},
                  Long{kMostHistory});
  }
  if (sections.at() != h.cells)
    return fail(error, KSR_BAD_FILE, "the data end at byte %lld: the cells begin at byte %lld",
                Long{sections.at()}, Long{h.cells});
  return KSR_OK;
}

ksr_status check_cells(const View& model, Visitor visitor, ksr_error* error) {
  const Header& h = model.header;
  Sections cells(h.cells, h.size);
  for (int32_t i = 0; i < h.steps; ++i)
    if (model.steps[i].kind == kCell) KSR_TRY(check_cell(model, i, &cells, visitor, error));
  if (cells.at() != h.size)
    return fail(error, KSR_BAD_FILE, "size is %lld: the cells end at byte %lld", Long{h.size},
                Long{cells.at()});
  return KSR_OK;
}

}  // namespace model
}  // namespace ksr
