// Random problems without end in sight: every attribute, odd sizes and block shapes, NaN and infinity, any number of threads, bad block numbers.
//   fuzz_test [problems [seed]]

#include "../core/cpu.h"
#include "../core/pool.h"
#include "problems.h"
#include "skip.h"

namespace {

const float kInfinity = std::numeric_limits<float>::infinity();

int64_t one_of(std::initializer_list<int64_t> values) { return values.begin()[pick(0, static_cast<int64_t>(values.size()) - 1)]; }

void random_shape(int* shape) {
  const int* known = kShapes[pick(0, kShapeCount - 1)];
  const bool odd = pick(0, 2) == 0;
  for (int i = 0; i < 2; ++i) shape[i] = odd ? static_cast<int>(pick(1, 40)) : known[i];
}

struct Draw {
  ksr::Cell cell = static_cast<ksr::Cell>(pick(0, 4));
  bool large = pick(0, 15) == 0;  // so much work that threads share it
  int64_t batch = large ? one_of({2, 4, 8, 17, 33, 64}) : one_of({0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33}), time = large ? 6 : pick(0, 9);
  int inputs = static_cast<int>(large ? pick(90, 130) : pick(1, 50)), units = static_cast<int>(large ? pick(180, 260) : pick(1, 50));
  double density = large ? 0.9 : one_of({0, 1, 4, 10}) / 10.0;
  bool bias = pick(0, 1), mask = pick(0, 1), go_backwards = pick(0, 1), keep = pick(0, 1);
  int threads = static_cast<int>(pick(1, large ? 12 : 4)), shape[2], recurrent_shape[2];

  Draw() {
    if (!large && pick(0, 15) == 0) time = 70;  // longer than a chunk
    random_shape(shape);
    random_shape(recurrent_shape);
    char text[200];
    std::snprintf(text, sizeof text, "[cell %d, batch %d, time %d, %d -> %d, %dx%d, %dx%d, density %.1f, bias %d, mask %d, backwards %d, keep %d, %d threads]",
                  static_cast<int>(cell), static_cast<int>(batch), static_cast<int>(time), inputs, units, shape[0], shape[1], recurrent_shape[0],
                  recurrent_shape[1], density, bias, mask, go_backwards, keep, threads);
    about = text;
  }
  Case make() const { return Case(cell, batch, time, inputs, units, shape, recurrent_shape, density, bias, mask, go_backwards); }
};

void poison(Floats& values) {
  if (values.empty() || pick(0, 2)) return;
  const float strange[] = {std::nanf(""), kInfinity, -kInfinity};
  values[pick(0, static_cast<int64_t>(values.size()) - 1)] = strange[pick(0, 2)];
}

void fuzz_cell() {
  const Draw draw;
  ksr::set_few_samples(static_cast<int>(one_of({0, 0, 1, 40})));  // row layout and panels for any batch
  Case one = draw.make();
  ksr::set_num_threads(draw.threads);
  if (draw.large) {
    one.run(draw.keep);
    compare_outputs(one);
    const auto shared = one.results();
    ksr::set_num_threads(1);
    one.run(draw.keep);
    expect(same_bits(one.results(), shared), "results with another number of threads", draw.threads, 1);
    return;
  }
  check_against_reference(one, draw.keep);
  // Values in the padding of partial blocks must stay zero, so they take no poison.
  for (Floats* values : {&one.x, &one.h0, &one.c0, &one.biases, &one.kernel.values, &one.recurrent.values}) poison(*values);
  ksr::clear_padding(one.kernel.packed, one.kernel.values.data());
  ksr::clear_padding(one.recurrent.packed, one.recurrent.values.data());
  about += " with NaN or infinity";
  one.run(draw.keep);
  compare_outputs(one);
}

void fuzz_product() {
  int shape[2];
  random_shape(shape);
  const int64_t rows = one_of({0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 33, 300});
  const int inputs = static_cast<int>(pick(1, 60)), units = static_cast<int>(pick(1, 60)), gates = static_cast<int>(pick(1, 5));
  char text[100];
  std::snprintf(text, sizeof text, "[product of %d rows, %d -> %d x %d, %dx%d]", static_cast<int>(rows), inputs, gates, units, shape[0], shape[1]);
  about = text;
  ksr::set_num_threads(static_cast<int>(pick(1, 4)));
  Kernel kernel;
  make_kernel(inputs, units, gates, shape, one_of({0, 1, 4, 10}) / 10.0, &kernel);
  check_product(kernel, rows);
  poison(kernel.values);
  ksr::clear_padding(kernel.packed, kernel.values.data());
  about += " with NaN or infinity";
  check_product(kernel, rows);
}

// Lists that are right but for a few places, against a search that knows no order.
void fuzz_blocks() {
  int shape[2];
  random_shape(shape);
  ksr::Packed packed = {static_cast<int>(pick(1, 100)), static_cast<int>(pick(1, 100)), static_cast<int>(pick(1, 4)), shape[0], shape[1], nullptr, nullptr, 0};
  std::vector<int32_t> blocks;
  for (int64_t i = 0; i < packed.count(); ++i)
    if (pick(0, 2)) blocks.push_back(static_cast<int32_t>(i));
  for (int64_t i = pick(0, 2); i > 0 && !blocks.empty(); --i) {
    const int64_t limits[] = {std::numeric_limits<int32_t>::min(), -1, 0, packed.count() - 1, packed.count(), std::numeric_limits<int32_t>::max()};
    const int64_t other = blocks[pick(0, static_cast<int64_t>(blocks.size()) - 1)];
    blocks[pick(0, static_cast<int64_t>(blocks.size()) - 1)] = static_cast<int32_t>(pick(0, 1) ? other : limits[pick(0, 5)]);
  }
  packed.blocks = blocks.data();
  packed.live = static_cast<int64_t>(blocks.size());
  int64_t wanted = -1;
  for (int64_t i = packed.live - 1; i >= 0; --i) {
    bool good = blocks[i] >= 0 && blocks[i] < packed.count();
    if (i > 0 && blocks[i - 1] >= blocks[i]) good = false;
    if (!good) wanted = i;
  }
  about = "[block numbers]";
  expect(ksr::first_bad_block(packed) == wanted, "first bad block", static_cast<double>(ksr::first_bad_block(packed)), static_cast<double>(wanted));
}

}  // namespace

int main(int count, char** arguments) {
  if (cpu_is_missing()) return kSkipped;
  const int problems = count > 1 ? std::atoi(arguments[1]) : 300;
  generator.seed(count > 2 ? std::atoi(arguments[2]) : 1);
  for (int i = 0; i < problems; ++i) {
    fuzz_cell();
    fuzz_product();
    fuzz_blocks();
  }
  std::printf("%s: %d random problems, %s\n", ksr::kernels().name, problems, failures ? "FAILED" : "all passed");
  return failures != 0;
}
