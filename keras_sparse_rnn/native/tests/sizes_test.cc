// Sizes that cannot be computed with are refused by the core itself, in words, before anything is
// read or written.
#include "../core/sizes.h"

#include <array>
#include <stdexcept>

#include "problems.h"
#include "skip.h"

namespace {

// What `act` throws, in words.
template <typename Act>
std::string refusal(Act act) {
  try {
    act();
  } catch (const std::invalid_argument& error) {
    return error.what();
  } catch (const std::bad_alloc&) {
    return "out of memory";
  }
  return "";
}

void expect_text(const std::string& got, const std::string& wanted) {
  about = "(" + got + ")";
  expect(got == wanted, wanted.c_str(), 0, 0);
}

const std::string kRule =
    " must have sizes of at least 1, and at most 33554431 inputs, units of all gates and weights of "
    "a block, with the padding of partial blocks, in at most 2147483647 blocks. Received: ";

void test_kernels() {
  const auto check = [](int64_t inputs, int64_t units, int64_t gates, int64_t height,
                        int64_t width) {
    return refusal([&] { ksr::check_sizes("kernel", inputs, units, gates, height, width); });
  };
  const int64_t most = INT64_MAX, large = 33554431;
  for (const auto& right : {std::array<int64_t, 5>{1, 1, 1, 1, 1},
                            {large, 1, 1, 1, 1},
                            {1, large - 15, 1, 1, 1},
                            {1, 1, (large - 15) / 16, 1, 1},
                            {5, 5, 3, 5792, 5793}})
    expect_text(check(right[0], right[1], right[2], right[3], right[4]), "");
  const struct {
    int64_t inputs, units, gates, height, width;
    const char* text;
  } wrong[] = {
      {0, 1, 1, 1, 1, "0 inputs, 1 gates of 1 units, blocks of 1 x 1"},
      {1, -1, 1, 1, 1, "1 inputs, 1 gates of -1 units, blocks of 1 x 1"},
      {1, 1, 0, 1, 1, "1 inputs, 0 gates of 1 units, blocks of 1 x 1"},
      {large + 1, 1, 1, 1, 1, "33554432 inputs, 1 gates of 1 units, blocks of 1 x 1"},
      {1, large, 1, 1, 1, "1 inputs, 1 gates of 33554431 units, blocks of 1 x 1"},
      {1, 1, large / 16 + 1, 1, 1, "1 inputs, 2097152 gates of 1 units, blocks of 1 x 1"},
      {1, 1, 1, 5793, 5793, "1 inputs, 1 gates of 1 units, blocks of 5793 x 5793"},
      {30000000, 100, 1, 20000000, 1,
       "30000000 inputs, 1 gates of 100 units, blocks of 20000000 x 1"},
      {65536, 65536, 1, 1, 1, "65536 inputs, 1 gates of 65536 units, blocks of 1 x 1"},
      {most, most, most, most, most,
       "9223372036854775807 inputs, 9223372036854775807 gates of 9223372036854775807 units, blocks "
       "of 9223372036854775807 x 9223372036854775807"},
  };
  for (const auto& one : wrong)
    expect_text(check(one.inputs, one.units, one.gates, one.height, one.width),
                "`kernel`" + kRule + one.text);
}

template <typename Change>
void refused(const std::string& text, Change change) {
  const int shape[] = {4, 4};
  Case one(ksr::Cell::kLstm, 3, 4, 5, 6, shape, shape, 0.5, true, false, false);
  change(one.problem);
  expect_text(refusal([&] { one.run(true); }), text);
  expect_text(refusal([&] {
                ksr::recurrent_forward(one.problem, {one.outputs.data(), one.h.data(),
                                                     one.c.data(), nullptr});
              }),
              text);
  for (const float v : one.outputs) expect(std::isnan(v), "what a refused call wrote", v, NAN);
  expect_text(refusal([&] {
                ksr::recurrent_backward(
                    one.problem,
                    {nullptr, one.d_outputs.data(), one.d_h.data(), one.d_c.data(), one.dx.data(),
                     one.d_h0.data(), one.d_c0.data(), one.d_kernel.data(), one.d_recurrent.data(),
                     one.d_bias.data()});
              }),
              text);
  for (const float v : one.d_kernel) expect(std::isnan(v), "what a refused call wrote", v, NAN);
}

void test_problems() {
  using Problem = ksr::Recurrent;
  refused("`kernel`" + kRule + "5 inputs, 4 gates of 6 units, blocks of 0 x 4",
          [](Problem& p) { p.kernel.height = 0; });
  refused("`recurrent_kernel`" + kRule + "6 inputs, 4 gates of 2147483647 units, blocks of 4 x 4",
          [](Problem& p) { p.recurrent.units = INT32_MAX; });
  refused("`kernel` must have from 0 to 16 live blocks. Received: 17",
          [](Problem& p) { p.kernel.live = 17; });
  refused("`recurrent_kernel` must have from 0 to 16 live blocks. Received: -1",
          [](Problem& p) { p.recurrent.live = -1; });
  refused("`kernel` must have 4 gates. Received: 3", [](Problem& p) {
    p.kernel.gates = 3;
    p.kernel.live = 0;
  });
  refused(
      "`recurrent_kernel` must be [units, gates * units] of the 6 units and 4 gates of `kernel`. "
      "Received: [5, 4 * 6]",
      [](Problem& p) { p.recurrent.inputs = 5; });
  refused("`batch` and `time` must not be negative. Received: -1 and 4",
          [](Problem& p) { p.batch = -1; });
  refused("`batch` and `time` must not be negative. Received: 3 and -9223372036854775808",
          [](Problem& p) { p.time = INT64_MIN; });
  refused("out of memory", [](Problem& p) { p.batch = INT64_MAX; });
  refused("out of memory", [](Problem& p) { p.batch = INT64_MAX / 96; });
  refused("out of memory", [](Problem& p) { p.time = INT64_MAX; });
  refused("out of memory", [](Problem& p) { p.batch = 0, p.time = INT64_MAX; });
}

void test_products() {
  Kernel kernel;
  make_kernel(5, 6, 2, kShapes[1], 0.5, &kernel);
  Floats x(5), y(12, NAN), d_values(kernel.values.size(), NAN);
  const auto both = [&](const ksr::Packed& packed, int64_t n, const std::string& text) {
    expect_text(refusal([&] { ksr::matmul_forward(packed, n, x.data(), y.data()); }), text);
    expect_text(refusal([&] {
                  ksr::matmul_backward(packed, n, {x.data(), y.data(), x.data(), d_values.data()});
                }),
                text);
    for (const float v : y) expect(std::isnan(v), "what a refused call wrote", v, NAN);
    for (const float v : d_values) expect(std::isnan(v), "what a refused call wrote", v, NAN);
  };
  both(kernel.packed, -1, "`n` must not be negative. Received: -1");
  both(kernel.packed, INT64_MAX, "out of memory");
  ksr::Packed wrong = kernel.packed;
  wrong.gates = 0;
  both(wrong, 1, "`kernel`" + kRule + "5 inputs, 0 gates of 6 units, blocks of 4 x 4");
}

}  // namespace

int main() {
  if (cpu_is_missing()) return kSkipped;
  test_kernels();
  test_problems();
  test_products();
  return failures != 0;
}
