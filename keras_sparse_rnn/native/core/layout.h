// How a recurrent problem lies in memory while it runs. Private to forward_*.cc and backward*.cc.
//
// In panel layout sixteen samples make a panel, and one step of one panel a slab [features, 16]:
//   gates: `slots` times `features`, then h, then c if there is one, then a gap that keeps slabs from lying a multiple of 4 KB apart.
// The slots are those of the cell (prepared/cells.h), and one more for r * h where some gates meet that instead of h.
// Slab 0 of a panel holds the initial states, slab t + 1 what step t left. In row layout a slab is that of one sample, without lanes and gap.
#ifndef KERAS_SPARSE_RNN_CORE_LAYOUT_H_
#define KERAS_SPARSE_RNN_CORE_LAYOUT_H_

#include <memory>

#include "pool.h"
#include "recurrent.h"

namespace ksr {

struct Layout {
  Layout(const Recurrent& problem, const Kernels& kernels);  // which has passed `check_sizes`; std::bad_alloc where no memory is so large

  const Kernels& kernels;      // of the whole call, whatever is chosen meanwhile
  const prepared::CellRule& rule;
  const CellKernels& cell;
  int gates, slots;
  int64_t units, inputs;       // true sizes
  int64_t features;            // units padded: of one slot, of h and of c
  int64_t in_features;         // inputs padded
  int64_t panels;              // of the batch
  int64_t slab;                // floats of a slab
  int64_t row_slab;            // and in row layout
  int64_t gradients;           // floats of the gates' gradients of one step of one panel, padded against 4 KB too
  int64_t stride() const { return features * kLanes; }  // floats from one slot to the next
  int64_t h() const { return slots * stride(); }        // floats from the slab's begin
  int64_t c() const { return (slots + 1) * stride(); }
  int64_t reset() const { return rule.slots * stride(); }  // r * h
  bool has_c() const { return rule.states == 2; }
};

// The kernels' lists.
struct Plans {
  Plans(const Recurrent& problem, const Layout& layout, bool backward);
  Plan kernel;
  Plan recurrent;                   // all gates; without the candidate where the reset gate comes before its product
  std::unique_ptr<Plan> candidate;  // that of such a GRU, else null
};

// The bias of every slot, [slots * features], zero in the padding.
std::vector<float> slot_bias(const Recurrent& problem, const Layout& layout);

// The step at which each sample is first not masked, [batch]: before it outputs are zero, whatever the state. Empty without a mask.
std::vector<int64_t> first_steps(const Recurrent& problem);

inline int64_t source_step(const Recurrent& problem, int64_t t) { return problem.go_backwards ? problem.time - 1 - t : t; }

// Which lanes of panel p step t counts for: `lanes` [16], -1 or 0, or null where all do. Lanes beyond the batch never count: their zeros times an
// infinite weight are NaN, which must not get into the sums over lanes.
const int32_t* step_lanes(const Recurrent& problem, int64_t panel, int64_t t, int32_t* lanes);

// Pointers to the 16 rows of a panel in `data` [batch, stride], null beyond the batch.
template <typename Float>
void panel_rows(Float* data, int64_t panel, int64_t batch, int64_t stride, Float** rows) {
  for (int64_t i = 0; i < kLanes; ++i) rows[i] = panel * kLanes + i < batch ? data + (panel * kLanes + i) * stride : nullptr;
}

// x of step t as a panel [in_features, 16].
void x_panel(const Recurrent& problem, const Layout& layout, int64_t panel, int64_t t, float* out);

// Into how many groups threads are cut, which share out the panels; the threads of a group share out the columns, and meet after every step. As many as
// the panels let do about the same.
int panel_groups(int64_t panels, int threads);

// How many threads a problem of this size is worth.
int panel_threads(const Recurrent& problem, const Layout& layout, const Plans& plans);

// A thread's place in the grid of panels and columns.
struct GridPlace {
  GridPlace(int64_t panels, int id, Team& team);
  // Returns when the threads of the group have called it.
  void meet() const { team.barrier(id, id - part, parts); }

  Team& team;
  int id, part, parts;        // which of the threads that share out the columns it is
  int64_t panel, last_panel;  // of its group
};

// How many threads a problem of that size is worth in row layout.
int row_threads(const Recurrent& problem, const Plans& plans);

// The forward pass in panel layout, for any batch, and in row layout, for a few samples. `out.h` may be null: then only the reserve is written.
void forward_panels(const Recurrent& problem, const Layout& layout, const RecurrentOut& out);
void forward_rows(const Recurrent& problem, const Layout& layout, const RecurrentOut& out);
// The backward pass, with the reserve that the forward pass of the same layout left. Adds to the gradients of the kernels and the bias.
void backward_panels(const Recurrent& problem, const Layout& layout, const RecurrentGradients& gradients);
void backward_rows(const Recurrent& problem, const Layout& layout, const RecurrentGradients& gradients);

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_LAYOUT_H_
