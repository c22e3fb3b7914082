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
extern const Kernels kKernels;
const Kernels kKernels = {
    table::KSR_NAME,
    {
#define KSR_TILE(height, width) \
  {multiply<height, width, float, 1>, multiply<height, width, float, kStepsTogether>},
        {
#include "tiles.inc"
        },
#undef KSR_TILE
#define KSR_TILE(height, width) \
  {multiply<height, width, Bfloat16, 1>, multiply<height, width, Bfloat16, kStepsTogether>},
        {
#include "tiles.inc"
        },
#undef KSR_TILE
#define KSR_TILE(height, width) \
  {multiply<height, width, int8_t, 1>, multiply<height, width, int8_t, kStepsTogether>},
        {
#include "tiles.inc"
        },
#undef KSR_TILE
#define KSR_TILE(height, width) \
  {multiply_integers<height, width, 1>, multiply_integers<height, width, kStepsTogether>},
        {
#include "tiles.inc"
        },
#undef KSR_TILE
    },
    quantize,
    {reset<Exact>, reset<Fast>},
    {{lstm<Exact>, lstm<Fast>},
     {gru<Exact, true>, gru<Fast, true>},
     {gru<Exact, false>, gru<Fast, false>},
     {simple_rnn<Exact, false>, simple_rnn<Fast, false>},
     {simple_rnn<Exact, true>, simple_rnn<Fast, true>},
     {nullptr, nullptr}},
    {{linear, linear},
     {relu, relu},
     {each<Exact, Tanh>, each<Fast, Tanh>},
     {each<Exact, Sigmoid>, each<Fast, Sigmoid>},
     {hard_sigmoid, hard_sigmoid},
     {each<Exact, Silu>, each<Fast, Silu>},
     {softmax, softmax}},
};

}  // namespace KSR_NAME
}  // namespace prepared
}  // namespace ksr
