// The backward pass in row layout, for fewer samples than make a panel worth while: only the recurrent products are of so few samples. Those of the
// input, and the gradients of the live blocks, take sixteen steps in the place of sixteen samples, in panels.
//
// Each thread has some units, and memory of its own for the gates' gradients of all units: after a step it publishes those of its units and fetches
// the others'. See forward_rows.cc for why.

#include <algorithm>

#include "backward_steps.h"
#include "pool.h"
#include "scratch.h"
#include "sizes.h"

namespace ksr {
namespace {

constexpr int64_t kChunkPanels = 8;  // panels of a chunk
constexpr int64_t kPage = 1024;      // floats of a page of memory, so far apart are the memories of two threads

// What all threads share.
struct Call {
  Call(const Recurrent& problem, const Layout& layout, const RecurrentGradients& gradients)
      : problem(problem),
        gradients(gradients),
        layout(layout),
        plans(problem, layout, true),
        first(first_steps(problem)),
        chunk(std::max<int64_t>(1, std::min(problem.time, kChunkPanels * kLanes / problem.batch))),
        most(round_up(problem.batch * chunk, kLanes) / kLanes),
        threads(row_threads(problem, plans)),
        x_floats(layout.in_features * kLanes),
        scratch(checked_product({most, panel_floats()}) + gate_floats() + checked_product({threads, own_floats()})),
        x(scratch.take(most * x_floats)),
        dx(scratch.take(most * x_floats)),
        h(scratch.take(most * layout.stride())),
        reset(scratch.take(plans.candidate ? most * layout.stride() : 0)),
        d_gates(scratch.take(most * gate_floats() * kLanes)),
        d_bias(scratch.take(gate_floats())),
        own(scratch.take(threads * own_floats())),
        steps(most) {
    zero(d_bias, gate_floats());
  }

  int64_t gate_floats() const { return layout.slots * layout.features; }  // of a step of a sample
  int64_t panel_floats() const { return 2 * x_floats + (plans.candidate ? 2 : 1) * layout.stride() + gate_floats() * kLanes; }
  int64_t state_floats() const { return problem.batch * layout.features; }
  int64_t published_floats() const { return problem.batch * gate_floats(); }
  // A thread's own memory: the gates' gradients of a chunk, three states, and twice what it publishes, each with a page behind it.
  int64_t private_floats() const { return problem.batch * chunk * gate_floats() + 3 * state_floats() + kPage; }
  int64_t own_floats() const { return private_floats() + 2 * published_floats() + kPage; }
  const float* slab(int64_t t, int64_t b) const { return gradients.reserve + (t * problem.batch + b) * layout.row_slab; }

  const Recurrent& problem;
  const RecurrentGradients& gradients;
  const Layout& layout;
  const Plans plans;
  const std::vector<int64_t> first;
  const int64_t chunk, most;  // steps of a chunk, and panels
  const int threads;
  const int64_t x_floats;
  Scratch scratch;
  float *x, *dx;      // [most, in_features, 16]
  float *h, *reset;   // [most, features, 16]
  float* d_gates;     // [most, slots, features, 16]
  float* d_bias;      // [slots, features]
  float* own;         // [threads, own_floats]
  Steps steps;
};

class Worker {
 public:
  Worker(Call& call, int id, Team& team)
      : call_(call),
        id_(id),
        team_(team),
        k_(call.layout.kernels),
        cuts_(call.plans.recurrent.cut_rows(team.size(), kLanes)),
        d_gates_(call.own + id * call.own_floats()),
        d_h_(d_gates_ + call.problem.batch * call.chunk * call.gate_floats()),
        d_c_(d_h_ + call.state_floats()),
        d_reset_(d_c_ + call.state_floats()) {
    const Recurrent& problem = call.problem;
    zero(d_gates_, problem.batch * call.chunk * call.gate_floats());  // the padding stays zero
    zero(d_h_, 3 * call.state_floats());
    for (int64_t b = 0; b < problem.batch; ++b) {
      copy(call.gradients.d_h + b * units() + from(), count(), d_h_ + b * features() + from());
      if (call.gradients.d_c) copy(call.gradients.d_c + b * units() + from(), count(), d_c_ + b * features() + from());
    }
  }

  void run() {
    const Recurrent& problem = call_.problem;
    for (int64_t end = problem.time; end > 0; end -= std::min(end, call_.chunk)) {
      const int64_t begin = std::max<int64_t>(0, end - call_.chunk);
      for (int64_t t = end - 1; t >= begin; --t) step(t, d_gates_ + (t - begin) * problem.batch * call_.gate_floats());
      all_steps(begin, end - begin);
    }
    for (int64_t b = 0; b < problem.batch; ++b) {
      copy(d_h_ + b * features() + from(), count(), call_.gradients.d_h0 + b * units() + from());
      if (call_.gradients.d_c0) copy(d_c_ + b * features() + from(), count(), call_.gradients.d_c0 + b * units() + from());
    }
  }

 private:
  int64_t units() const { return call_.layout.units; }
  int64_t features() const { return call_.layout.features; }
  int64_t slots() const { return call_.layout.slots; }
  // The units of thread `id`: those of its rows of the recurrent kernel.
  int64_t from(int id) const { return std::min<int64_t>(int64_t{cuts_[id]} * call_.plans.recurrent.height(), units()); }
  int64_t from() const { return from(id_); }
  int64_t count() const { return from(id_ + 1) - from(); }
  bool counts(int64_t b, int64_t t) const {
    return !call_.problem.mask || call_.problem.mask[b * call_.problem.time + source_step(call_.problem, t)];
  }

  // Leaves the gates' gradients of step t in `d_gates` [batch, slots, features].
  void step(int64_t t, float* d_gates) {
    const Recurrent& problem = call_.problem;
    const Plans& plans = call_.plans;
    const int batch = static_cast<int>(problem.batch);
    for (int64_t b = 0; b < batch; ++b) {
      if (!call_.first.empty() && t < call_.first[b]) continue;
      const float* d_output = call_.gradients.d_outputs + (b * problem.time + t) * units() + from();
      float* d_h = d_h_ + b * features() + from();
      for (int64_t u = 0; u < count(); ++u) d_h[u] += d_output[u];
    }
    const auto product = [&](const Plan& plan, float* out) {
      plan.kernels().row_backward(&plan.backward(), cuts_[id_], cuts_[id_ + 1], batch, d_gates, call_.gate_floats(), out, features());
    };
    if (plans.candidate) {
      const prepared::CellRule& rule = call_.layout.rule;
      apply(call_.layout.cell.update_backward, t, d_gates);
      exchange(d_gates, rule.recurrent_gates, rule.gates);
      zero(d_reset_, call_.state_floats());
      product(*plans.candidate, d_reset_);
      apply(call_.layout.cell.reset_backward, t, d_gates);
      exchange(d_gates, 0, rule.recurrent_gates);
    } else {
      apply(call_.layout.cell.update_backward, t, d_gates);
      exchange(d_gates, 0, slots());
    }
    product(plans.recurrent, d_h_);
  }

  void apply(void (*cell)(const CellBackward*), int64_t t, float* d_gates) {
    if (count() == 0) return;
    for (int64_t b = 0; b < call_.problem.batch; ++b) {
      const int64_t state = b * features() + from();
      float* of = d_gates + b * call_.gate_floats();
      if (!counts(b, t)) {
        for (int64_t slot = 0; slot < slots(); ++slot) zero(of + slot * features() + from(), count());
        continue;
      }
      const float *now = call_.slab(t + 1, b) + from(), *before = call_.slab(t, b) + from();
      const int64_t h = slots() * features(), c = h + features();
      const bool has_c = call_.layout.has_c();
      const CellBackward arguments = {now,           of + from(),   features(),   before + h, has_c ? before + c : nullptr, has_c ? now + c : nullptr,
                                      d_h_ + state, d_c_ + state, d_reset_ + state, nullptr, round_up(count(), 16)};
      cell(&arguments);
      // What an infinite weight or input makes of the padding must not meet the zeros of a partial block.
      for (int64_t slot = 0; slot < slots(); ++slot) zero(of + slot * features() + units(), round_up(units(), 16) - units());
    }
  }

  // `d_gates` gets the slots [begin, end) of the other threads' units.
  void exchange(float* d_gates, int64_t begin, int64_t end) {
    if (team_.size() == 1) return;
    const int64_t batch = call_.problem.batch;
    turn_ = 1 - turn_;
    const auto move = [&](int id, bool publish) {
      float* published = call_.own + id * call_.own_floats() + call_.private_floats() + turn_ * call_.published_floats();
      const int64_t from_unit = from(id), of_thread = from(id + 1) - from_unit;
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t slot = begin; slot < end; ++slot, published += of_thread) {
          float* here = d_gates + b * call_.gate_floats() + slot * features() + from_unit;
          publish ? copy(here, of_thread, published) : copy(published, of_thread, here);
        }
      }
    };
    move(id_, true);
    team_.barrier(id_);
    for (int id = 0; id < team_.size(); ++id)
      if (id != id_) move(id, false);
  }

  // Everything that follows from the gates' gradients of the steps [begin, begin + steps).
  void all_steps(int64_t begin, int64_t steps) {
    const Recurrent& problem = call_.problem;
    const Layout& layout = call_.layout;
    const int64_t batch = problem.batch, rows = batch * steps, items = (rows + kLanes - 1) / kLanes;
    const auto [item, last] = share(items, id_, team_.size());
    // A row is a step of a sample; where it does not count nothing is read, so that no NaN gets into the sums over lanes.
    const auto panel = [&](int64_t n, int64_t count, int64_t padded, auto source, float* to) {
      const float* lanes[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        const int64_t row = n * kLanes + i, t = begin + row / batch, b = row % batch;
        lanes[i] = row < rows && counts(b, t) ? source(t, b) : nullptr;
      }
      k_.rows_to_panel(lanes, count, to);
      zero(to + count * kLanes, (padded - count) * kLanes);
      return to;
    };
    const auto input = [&](auto* of, int64_t t, int64_t b) { return of + (b * problem.time + source_step(problem, t)) * layout.inputs; };
    for (int64_t n = item; n < last; ++n) {
      Steps::Panel& to = call_.steps.panels[n];
      to.x = panel(n, layout.inputs, layout.in_features, [&](int64_t t, int64_t b) { return input(problem.x, t, b); }, call_.x + n * call_.x_floats);
      to.h = panel(n, units(), features(), [&](int64_t t, int64_t b) { return call_.slab(t, b) + slots() * features(); }, call_.h + n * layout.stride());
      if (call_.plans.candidate)
        to.reset = panel(n, units(), features(), [&](int64_t t, int64_t b) { return call_.slab(t + 1, b) + call_.layout.rule.slots * features(); }, call_.reset + n * layout.stride());
      to.d_gates = panel(n, call_.gate_floats(), call_.gate_floats(), [&](int64_t t, int64_t b) { return d_gates_ + ((t - begin) * batch + b) * call_.gate_floats(); },
                         call_.d_gates + n * call_.gate_floats() * kLanes);
      to.dx = call_.dx + n * call_.x_floats;
      zero(to.dx, call_.x_floats);
    }
    input_gradients(call_.plans.kernel, call_.steps, item, last);
    for (int64_t n = item; n < last; ++n) {
      float* lanes[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        const int64_t row = n * kLanes + i;
        lanes[i] = row < rows ? input(call_.gradients.dx, begin + row / batch, row % batch) : nullptr;
      }
      k_.panel_to_rows(call_.steps.panels[n].dx, layout.inputs, lanes);
    }
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t slot = 0; slot < slots(); ++slot)
        k_.add(d_gates_ + row * call_.gate_floats() + slot * features() + from(), round_up(count(), 16), call_.d_bias + slot * features() + from());
    team_.barrier(id_);
    kernel_gradients(call_.plans, call_.steps, items, call_.gradients, id_, team_.size());
    team_.barrier(id_);
  }

  Call& call_;
  const int id_;
  Team& team_;
  const Kernels& k_;
  const std::vector<int> cuts_;
  float* const d_gates_;  // [chunk, batch, slots, features]
  float *const d_h_, *const d_c_, *const d_reset_;  // [batch, features]
  int64_t turn_ = 0;
};

}  // namespace

void backward_rows(const Recurrent& problem, const Layout& layout, const RecurrentGradients& gradients) {
  Call call(problem, layout, gradients);
  parallel(call.threads, true, [&](int id, Team& team) { Worker(call, id, team).run(); });
  if (gradients.d_bias) add_bias(call.layout, call.d_bias, gradients.d_bias);
}

}  // namespace ksr
