// Where the parts of a stream lie, in bytes from its begin.
#ifndef KERAS_SPARSE_RNN_CORE_MODEL_LAYOUT_H_
#define KERAS_SPARSE_RNN_CORE_MODEL_LAYOUT_H_

#include "format.h"

namespace ksr {
namespace model {

constexpr int kTogether = prepared::kMostTogether;  // frames that go through a step together

struct Stream {
  uint64_t magic, tag;
  int64_t scratch;  // a frame, padded
};

// Of a register, or of what a step keeps.
struct Place {
  int64_t begin;
};

// Of a window, before the frames that it keeps.
struct History {
  int64_t next;  // the oldest frame, which the next one takes the place of
};

// What of a stream: [registers], [steps], and the size of all.
struct Layout {
  explicit Layout(const View& model)
      : registers(rounded(sizeof(Stream))),
        kept(registers + rounded(model.header.registers * int64_t{sizeof(Place)})),
        scratch(kept + rounded(model.header.steps * int64_t{sizeof(Place)})) {}
  int64_t registers, kept, scratch;
};

// Calls visit(whether of a register, its number, its place) for all parts; returns the size.
template <typename Visit>
int64_t for_parts(const View& model, Visit visit) {
  int64_t at = Layout(model).scratch, widest = 0;
  for (int32_t r = 0; r < model.header.registers; ++r)
    if (model.widths[r] > widest) widest = model.widths[r];
  at += rounded(widest * int64_t{sizeof(float)});
  for (int32_t r = 0; r < model.header.registers; ++r) {
    visit(true, r, at);
    at += rounded(kTogether * int64_t{model.widths[r]} * int64_t{sizeof(float)});
  }
  for (int32_t i = 0; i < model.header.steps; ++i) {
    const Step& s = model.steps[i];
    visit(false, i, at);
    if (s.kind == kCell) at += static_cast<int64_t>(ksr_state_size(model.cell(s)));
    if (s.kind == kWindow)
      at += rounded(sizeof(History))
            + rounded(frames_kept(s) * model.widths[s.in] * int64_t{sizeof(float)});
  }
  return at;
}

}  // namespace model
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_MODEL_LAYOUT_H_
