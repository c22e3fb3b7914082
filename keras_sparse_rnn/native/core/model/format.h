// What stands in a model's file, and in a prepared model, which has prepared cells in the place of
// their files and is the same in all else. docs/format.md says it for everyone.
#ifndef KERAS_SPARSE_RNN_CORE_MODEL_FORMAT_H_
#define KERAS_SPARSE_RNN_CORE_MODEL_FORMAT_H_

#include <cstddef>

#include "../ksr_model.h"
#include "../prepared/check.h"
#include "../prepared/prepare.h"

namespace ksr {
namespace model {

using prepared::fail;

constexpr char kMagic[9] = "ksr-mode";
constexpr int64_t kHeaderBytes = 128;
constexpr int32_t kMostRegisters = 1 << 16, kMostSteps = 1 << 16, kMostPorts = 256;
constexpr int64_t kMostNumbers = int64_t{1} << 28;  // of a frame, over all registers
constexpr int64_t kMostHistory = int64_t{1} << 28;  // numbers that a window keeps
constexpr int kNameSize = 56;

// What is done to registers, each of which holds a frame.
enum Kind {
  kCell,        // out = the cell's output
  kEmbedding,   // out = row `in` of a table
  kWindow,      // out = `window` frames of `in` side by side, `dilation` apart, the newest last
  kAffine,      // out = in * scale + offset
  kActivation,  // out = the function of `in`
  kAdd,         // out = in + other
  kMultiply,    // out = in * other
  kCopy,        // out[place ..] = in
  kLayerNorm,   // out = (in - its mean) / its deviation * scale + offset
  kRmsNorm,     // out = in / its root mean square * scale
  kClip,        // out = in, from the lowest to the highest of two numbers
  kSteps
};

struct Section {
  int64_t place, bytes;  // both 0 where there is none
};

struct Header {
  char magic[8];
  uint32_t byte_order, version;
  uint64_t checksum;  // of what follows, up to where the cells begin
  int64_t size;
  int64_t cells;  // where they begin
  int32_t prepared, registers, inputs, outputs, steps, unused;
  char processor[prepared::kNameBytes];  // of a prepared model, then zeros
  Section notes;
};
static_assert(sizeof(Header) == 96, "docs/format.md says where each number stands");

struct Port {
  char name[kNameSize];
  int32_t place, last;  // place: a register
};
static_assert(sizeof(Port) == 64, "docs/format.md says where each number stands");

struct Step {
  int32_t kind, in, other, out;  // registers; -1 where there is none
  int32_t place, window, dilation, activation, type, unused;
  int64_t rows;          // of a table
  Section data, scales;  // a cell; a table and the scales of its rows; numbers of float32
  uint64_t sum;          // the checksum that the cell carries
  int64_t zero;
};
static_assert(sizeof(Step) == 96, "docs/format.md says where each number stands");

constexpr int64_t kSummed = offsetof(Header, checksum) + sizeof(uint64_t);

inline int64_t rounded(int64_t bytes) {
  return (bytes + KSR_ALIGNMENT - 1) / KSR_ALIGNMENT * KSR_ALIGNMENT;
}

// Of a window, before the newest one.
inline int64_t frames_kept(const Step& s) { return (int64_t{s.window} - 1) * s.dilation; }

// How many numbers of float32 a step has beside its registers.
inline int64_t numbers_beside(int32_t kind, int64_t width) {
  switch (kind) {
    case kAffine: return 2 * width;
    case kLayerNorm: return 2 * width + 1;
    case kRmsNorm: return width + 1;
    case kClip: return 2;
    default: return 0;
  }
}

// Where the tables of a header begin.
struct Tables {
  explicit Tables(const Header& h)
      : registers(kHeaderBytes),
        inputs(registers + rounded(h.registers * int64_t{sizeof(int32_t)})),
        outputs(inputs + h.inputs * int64_t{sizeof(Port)}),
        steps(outputs + h.outputs * int64_t{sizeof(Port)}),
        data(steps + rounded(h.steps * int64_t{sizeof(Step)})) {}
  int64_t registers, inputs, outputs, steps, data;
};

// A model in memory, to look at.
struct View {
  explicit View(const void* memory)
      : bytes(static_cast<const char*>(memory)),
        header(*static_cast<const Header*>(memory)),
        widths(at<int32_t>(Tables(header).registers)),
        inputs(at<Port>(Tables(header).inputs)),
        outputs(at<Port>(Tables(header).outputs)),
        steps(at<Step>(Tables(header).steps)) {}
  template <typename T>
  const T* at(int64_t place) const {
    return reinterpret_cast<const T*>(bytes + place);
  }
  const ksr_cell* cell(const Step& step) const { return at<ksr_cell>(step.data.place); }

  const char* bytes;
  const Header& header;
  const int32_t* widths;
  const Port *inputs, *outputs;
  const Step* steps;
};

// Everything but the cells.
ksr_status check_head(const void* memory, size_t size, ksr_error* error);

// What is done with each cell of a file once it is checked, in their order; null: nothing.
struct Visitor {
  ksr_status (*visit)(void* self, int32_t step, const ksr_description& cell, ksr_error* error);
  void* self;
};

// The cells, of a model that `check_head` has passed.
ksr_status check_cells(const View& model, Visitor visitor, ksr_error* error);

// A prepared model, null for what is none.
inline const Header* header_of(const ksr_model* model) {
  const Header* h = reinterpret_cast<const Header*>(model);
  return h && !__builtin_memcmp(h->magic, kMagic, sizeof h->magic) && h->prepared == 1 ? h
                                                                                        : nullptr;
}

}  // namespace model
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_MODEL_FORMAT_H_
