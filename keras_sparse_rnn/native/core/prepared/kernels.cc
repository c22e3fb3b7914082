// The part that is compiled once for each line of instruction_sets.inc, with its flags and its name
// as KSR_NAME. Nothing but its table leaves this file.
#if defined(__AVX2__)
// GCC 12 takes what its own header leaves undefined on purpose for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(KSR_NEON)
#include <arm_neon.h>
#endif

#include "image.h"
#include "needs.h"

namespace ksr {
typedef uint16_t Bfloat16;  // the upper half of a float32
constexpr int kLanes = 16;

namespace prepared {
namespace KSR_NAME {
namespace {
#include "../vector.inc"
//
#include "../weights.inc"
//
#include "lanes.inc"
//
#include "dot.inc"
#include "multiply.inc"
#include "functions.inc"
#include "elements.inc"
}  // namespace

static_assert(kVector == table::KSR_NAME.lanes && kByteZero == table::KSR_NAME.byte_zero &&
                  kStepsTogether == table::KSR_NAME.steps_together,
              "instruction_sets.inc says otherwise");
// What is not needed is not compiled.
typedef void (*Times)(const Multiply*);
template <Arithmetic kArithmetic, typename Weight, Tile kTile, int kHeight, int kWidth, int kSteps>
constexpr Times times() {
  constexpr bool kNeeded = kNeededTiles[kArithmetic] >> kTile & 1;
  if constexpr (!kNeeded || (kSteps > 1 && !kSeveralStepsNeeded))
    return nullptr;
  else if constexpr (kArithmetic == kIntegers)
    return multiply_integers<kHeight, kWidth, kSteps>;
  else
    return multiply<kHeight, kWidth, Weight, kSteps>;
}

#define KSR_TIMES(arithmetic, weight, height, width)                               \
  {times<arithmetic, weight, kTile##height##x##width, height, width, 1>(),         \
   times<arithmetic, weight, kTile##height##x##width, height, width, kStepsTogether>()},
// Exact and fast.
#define KSR_BOTH(needed, number, exact, fast) \
  { needed[0] >> number & 1 ? exact : nullptr, needed[1] >> number & 1 ? fast : nullptr }
#define KSR_CELL(kind, exact, fast) KSR_BOTH(kNeededCells, kind, (exact), (fast))
#define KSR_ACTIVATION(name, exact, fast) KSR_BOTH(kNeededActivations, name, (exact), (fast))

extern const Kernels kKernels;
const Kernels kKernels = {
    table::KSR_NAME,
    {
#define KSR_TILE(height, width) KSR_TIMES(kFloatWeights, float, height, width)
        {
#include "tiles.inc"
        },
#undef KSR_TILE
#define KSR_TILE(height, width) KSR_TIMES(kBfloatWeights, Bfloat16, height, width)
        {
#include "tiles.inc"
        },
#undef KSR_TILE
#define KSR_TILE(height, width) KSR_TIMES(kByteWeights, int8_t, height, width)
        {
#include "tiles.inc"
        },
#undef KSR_TILE
#define KSR_TILE(height, width) KSR_TIMES(kIntegers, int8_t, height, width)
        {
#include "tiles.inc"
        },
#undef KSR_TILE
    },
    quantize,
    KSR_CELL(KSR_GRU_RESET_BEFORE, reset<Exact>, reset<Fast>),
    {KSR_CELL(KSR_LSTM, lstm<Exact>, lstm<Fast>),
     KSR_CELL(KSR_GRU, (gru<Exact, true>), (gru<Fast, true>)),
     KSR_CELL(KSR_GRU_RESET_BEFORE, (gru<Exact, false>), (gru<Fast, false>)),
     KSR_CELL(KSR_SIMPLE_RNN_TANH, (simple_rnn<Exact, false>), (simple_rnn<Fast, false>)),
     KSR_CELL(KSR_SIMPLE_RNN_RELU, (simple_rnn<Exact, true>), (simple_rnn<Fast, true>)),
     {nullptr, nullptr}},
    {KSR_ACTIVATION(KSR_LINEAR, linear, linear),
     KSR_ACTIVATION(KSR_RELU, relu, relu),
     KSR_ACTIVATION(KSR_TANH, (each<Exact, Tanh>), (each<Fast, Tanh>)),
     KSR_ACTIVATION(KSR_SIGMOID, (each<Exact, Sigmoid>), (each<Fast, Sigmoid>)),
     KSR_ACTIVATION(KSR_HARD_SIGMOID, hard_sigmoid, hard_sigmoid),
     KSR_ACTIVATION(KSR_SILU, (each<Exact, Silu>), (each<Fast, Silu>)),
     KSR_ACTIVATION(KSR_SOFTMAX, softmax, softmax)},
};

}  // namespace KSR_NAME
}  // namespace prepared
}  // namespace ksr
