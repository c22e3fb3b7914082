// The cells: one line each, from which checking, packing and stepping are driven.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_CELLS_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_CELLS_H_

#include "image.h"

namespace ksr {
namespace prepared {

struct CellRule {
  const char* name;
  int gates;
  int states;                       // 0: Dense, 1: h, 2: h and c
  int slots;                        // sums of a unit
  int recurrent_gates;              // those that are multiplied with h; the others with r * h
  int recurrent_slots[kMostSlots];  // the slot of each gate's recurrent part; the input's part of
                                    // gate g goes to slot g
  int bias_rows;
  bool bounded;   // whether h stays between -1 and 1
  char order[5];  // of the gates, a letter each

  // Whether some gates are multiplied with r * h, after the others are known.
  constexpr bool has_reset() const { return states > 0 && recurrent_gates < gates; }
};

constexpr CellRule kCells[kKinds] = {
    {"LSTM", 4, 2, 4, 4, {0, 1, 2, 3}, 1, true, "ifco"},
    {"GRU", 3, 1, 4, 3, {0, 1, 3}, 2, true, "zrh"},
    {"GRU with reset_after=False", 3, 1, 3, 2, {0, 1, 2}, 1, true, "zrh"},
    {"SimpleRNN with tanh", 1, 1, 1, 1, {0}, 1, true, "h"},
    {"SimpleRNN with relu", 1, 1, 1, 1, {0}, 1, false, "h"},
    {"Dense", 1, 0, 1, 0, {}, 1, false, "y"},
};

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_CELLS_H_
