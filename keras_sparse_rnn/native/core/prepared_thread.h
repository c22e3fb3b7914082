// One thread's share of some sequences. Private to prepared_run.cc and prepared_thread.cc.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_THREAD_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_THREAD_H_

#include <cstring>

#include "prepared/stepper.h"
#include "prepared_run.h"
#include "scratch.h"

namespace ksr {

constexpr int64_t kRows = prepared::kMostTogether;  // that are multiplied together

class PreparedRun::Thread {
 public:
  Thread(const PreparedRun& run, int64_t sample, int64_t count, int id, Team& team, float* memory);

  void go();

 private:
  int64_t units() const { return run_.first_.state_units; }
  // Of what is multiplied.
  int64_t number_bytes() const { return integers_ ? 1 : sizeof(float); }
  // Whether each unit's state is rounded where it is computed: not where threads exchange states,
  // for they write whole ones out.
  bool rounds_units() const { return integers_ && run_.rule_.bounded && team_.size() == 1; }

  // Zeros: what lies behind the true sizes stays so.
  template <typename T>
  T* take(int64_t count) {
    float* piece = next_;
    next_ += round_up(count * static_cast<int64_t>(sizeof(T)), 64) / sizeof(float);
    // Else the sum is wrong: a defect.
    if (next_ - run_.memory_of(memory_, id_) > run_.own_floats_) std::abort();
    zero(piece, next_ - piece);
    return reinterpret_cast<T*>(piece);
  }

  // Calls act(own, place in its states, place in the caller's).
  template <typename Act>
  void for_states(Act act) const {
    for (const Own* own = own_; own != own_end_; ++own)
      for (int64_t b = 0; b < count_; ++b)
        act(*own, b * own->units(), (sample_ + b) * units() + own->cell->first_unit);
  }

  void begin();
  void round_state();
  void project(int64_t t, int64_t steps);
  float input(int64_t sample, int64_t t, int64_t row);
  void multiply_inputs(int64_t sample, int64_t rows, const float* factors);
  void multiply_states(const prepared::Product prepared::Cell::* product, const float* floats,
                       const uint8_t* bytes, int64_t k);
  void step(int64_t t, int64_t k);
  void write_own_outputs(int64_t t) const;
  void write_whole_outputs(int64_t t) const;

  template <typename Act>
  void for_elements(int64_t k, Act act) {
    for (const Own* own = own_; own != own_end_; ++own)
      for (int64_t b = 0; b < count_; ++b) {
        const int64_t at = b * own->units();
        float* sums = own->sums + (b * steps_together_ + k) * own->sum_stride();
        const prepared::Elements e = {sums,
                                      own->units(),
                                      own->h + at,
                                      own->c + at,
                                      own->reset + at,
                                      own->h_bytes + at,
                                      own->reset_bytes + at};
        act(*own, b, e);
      }
  }

  // `whole` [samples, state] gets this thread's units of a state, and the other threads'. What was
  // published with another `turn` may be read meanwhile.
  template <typename T>
  void exchange(T* Own::* state, T* whole, int64_t turn) {
    const auto published = [&](int id) {
      return reinterpret_cast<T*>(run_.memory_of(memory_, id) + run_.own_floats_ +
                                  turn * run_.published_floats_ / 2);
    };
    const auto copied = [](const T* from, int64_t count, T* to) {
      std::memcpy(to, from, count * sizeof(T));
    };
    T* out = published(id_);
    for (const Own* own = own_; own != own_end_; ++own)
      for (int64_t b = 0; b < count_; ++b, out += own->units()) {
        const T* from = own->*state + b * own->units();
        copied(from, own->cell->units, whole + b * run_.h_stride_ + own->cell->first_unit);
        if (team_.size() > 1) copied(from, own->cell->units, out);
      }
    if (team_.size() == 1) return;
    team_.barrier(id_);
    for (int id = 0; id < team_.size(); ++id) {
      if (id == id_) continue;
      const T* from = published(id);
      const auto parts = share(run_.cell_.parts(), id, team_.size());
      for (int64_t p = parts.first; p < parts.second; ++p) {
        const prepared::Cell& cell = run_.cell_.part(static_cast<int>(p));
        for (int64_t b = 0; b < count_; ++b, from += cell.padded_units)
          copied(from, cell.units, whole + b * run_.h_stride_ + cell.first_unit);
      }
    }
  }

  const PreparedRun& run_;
  const Sequences& s_;
  const int64_t sample_, count_;
  const int id_;
  Team& team_;
  float* const memory_;
  const bool integers_;
  const bool all_together_;       // samples are multiplied together, not steps
  const int64_t steps_together_;  // whose inputs are
  Own *own_, *own_end_;
  float *next_, *x_, *h_, *reset_;
  uint8_t *x_bytes_, *h_bytes_, *reset_bytes_;
  float factors_[kRows];  // what an integer of each sample's state is worth
  bool started_[kRows];   // whether a step has counted: outputs before are zero
};

}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_THREAD_H_
