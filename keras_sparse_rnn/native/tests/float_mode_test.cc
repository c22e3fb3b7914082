// No result depends on how the caller's processor rounds and what it makes of numbers below the
// normal range: each call sets that for itself, in all of its threads, and puts it back.
#include "../core/float_mode.h"

#include "../core/pack.h"
#include "../core/pool.h"
#include "prepared.h"

namespace {

#if defined(__SSE2__)
const uint64_t kSettings[] = {0x1F80, 0x9FC0, 0x3F80, 0xDFC0};  // rounding down, and up with zeros
constexpr uint64_t kMask = ~uint64_t{0x3F};                     // but for what has happened so far
#elif defined(__aarch64__)
const uint64_t kSettings[] = {0, 1 << 24, 2 << 22, 1 << 24 | 1 << 22};
constexpr uint64_t kMask = ~uint64_t{0};
#elif defined(__arm__) && defined(__ARM_FP)
const uint64_t kSettings[] = {0, 1 << 24, 2 << 22, 1 << 24 | 1 << 22};
constexpr uint64_t kMask = 0x07F79F00;  // but for comparisons and for what has happened so far
#else
const uint64_t kSettings[] = {0};
constexpr uint64_t kMask = 0;
#endif

// Half of the numbers are small enough for products with others to leave the normal range.
void make_small(Floats* values) {
  for (float& v : *values)
    if (pick(0, 1)) v = std::ldexp(v, -static_cast<int>(pick(60, 140)));
}

// Calls `act`, which gives its results, with each of the caller's settings.
template <typename Act>
void try_settings(const std::string& name, Act act) {
  about = name;
  std::vector<Floats> wanted;
  for (const uint64_t settings : kSettings) {
    const uint64_t before = ksr::float_settings();
    ksr::set_float_settings(settings);
    const std::vector<Floats> got = act();
    const uint64_t after = ksr::float_settings();
    ksr::set_float_settings(before);
    expect(((after ^ settings) & kMask) == 0, "the caller's settings afterwards",
           static_cast<double>(after), static_cast<double>(settings));
    if (wanted.empty()) wanted = got;
    expect(same_bits(got, wanted), "results with other settings", static_cast<double>(settings),
           static_cast<double>(kSettings[0]));
  }
}

void try_cells() {
  for (const ksr::Cell cell : kRecurrentCells)
    for (const int64_t batch : {3, 17, 33})
      for (const int threads : {1, 2}) {
        ksr::set_num_threads(threads);
        Case one(cell, batch, batch < 8 ? 5 : 2, 60, 150, kShapes[batch % kShapeCount], kShapes[3],
                 0.6, true, false, false);
        for (Floats* values : {&one.x, &one.h0, &one.c0, &one.biases, &one.d_outputs, &one.d_h,
                               &one.d_c, &one.kernel.values, &one.recurrent.values})
          make_small(values);
        try_settings("cell " + std::to_string(static_cast<int>(cell)) + ", batch " +
                         std::to_string(batch) + ", " + std::to_string(threads) + " threads",
                     [&] {
                       one.run(batch == 33);
                       return one.results();
                     });
      }
}

void try_products() {
  for (const int64_t rows : {3, 40}) {
    Kernel kernel;
    make_kernel(300, 200, 2, kShapes[2], 0.8, &kernel);
    make_small(&kernel.values);
    Floats x = random_floats(rows * 300), dy = random_floats(rows * 400);
    make_small(&x);
    make_small(&dy);
    try_settings("product of " + std::to_string(rows) + " rows", [&] {
      Floats y(rows * 400), dx(rows * 300), d_values(kernel.values.size());
      ksr::matmul_forward(kernel.packed, rows, x.data(), y.data());
      ksr::matmul_backward(kernel.packed, rows, {x.data(), dy.data(), dx.data(), d_values.data()});
      return std::vector<Floats>{y, dx, d_values};
    });
  }
}

void try_prepared() {
  for (const int32_t activations : {KSR_FLOAT32, KSR_INT8}) {
    Described d(ksr::Cell::kSimpleRnnRelu, 8, 50, 60, kShapes[0], kShapes[2], 0.8, true,
                KSR_FLOAT32);
    for (Floats* values : {&d.one.x, &d.one.biases, &d.one.kernel.values, &d.one.recurrent.values})
      make_small(values);
    d.description.activations = activations;
    try_settings("prepared cell, activations " + std::to_string(activations), [&] {
      Stream stream(d.description);
      return std::vector<Floats>{stream.run(d.one.x), stream.read(false)};
    });
  }
}

// A multiple of the identity but for numbers below the normal range.
void try_packing() {
  const int64_t size = 40;
  Floats kernel(size * size, 1e-40f);
  for (int64_t i = 0; i < size; ++i) {
    kernel[i * size] = 0.0f;
    kernel[i * size + i] = 1.0f;
  }
  try_settings("packing", [&] {
    const ksr::LivePacker packer({40, 40, 1, 1, 1}, kernel.data());
    return std::vector<Floats>{{static_cast<float>(packer.live())}};
  });
}

// Threads of the pool have the settings of who made them, whatever the caller's are.
void test_threads() {
  about = "threads of a team";
  ksr::set_num_threads(4);
  for (const uint64_t settings : kSettings) {
    const uint64_t before = ksr::float_settings();
    ksr::set_float_settings(settings);
    std::atomic<int> others{0};
    ksr::parallel(4, false, [&](int, ksr::Team&) {
      if (((ksr::float_settings() ^ ksr::kFlushing) & kMask) != 0) ++others;
    });
    ksr::set_float_settings(before);
    expect(others == 0, "threads with other settings", others, 0);
  }
}

void test_failures() {
  ksr::set_num_threads(2);
  for (const int who : {0, 1}) {
    try_settings("failure of thread " + std::to_string(who), [&] {
      try {
        ksr::parallel(2, true, [&](int id, ksr::Team& team) {
          if (id == std::min(who, team.size() - 1)) throw std::bad_alloc();
          team.barrier(id);
        });
      } catch (const std::bad_alloc&) {
      }
      return std::vector<Floats>();
    });
  }
}

}  // namespace

int main() {
  if (cpu_is_missing()) return kSkipped;
  test_threads();
  try_cells();
  try_products();
  try_prepared();
  try_packing();
  test_failures();
  return failures != 0;
}
