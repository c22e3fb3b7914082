// Random kernels, packed and unpacked, against a walk over every weight: all shapes of blocks, partial ones, threads, two callers at once.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "../core/pack.h"
#include "../core/pool.h"
#include "skip.h"

namespace {

std::mt19937 generator(11);
int pick(int low, int high) { return low + static_cast<int>(generator() % (high - low + 1)); }
float uniform() { return static_cast<float>(generator() / 2147483648.0 - 1.0); }

void expect(bool right, const char* what) {
  if (right) return;
  std::printf("FAILED: %s\n", what);
  std::exit(1);
}

bool alike(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

struct Wanted {
  std::vector<int32_t> blocks;
  std::vector<float> values;
};

// The live blocks (or all) of a kernel, found block by block.
Wanted wanted(const ksr::Grid& grid, const std::vector<float>& kernel, bool all) {
  Wanted found;
  for (int c = 0; c < grid.all_columns(); ++c) {
    for (int r = 0; r < grid.rows(); ++r) {
      std::vector<float> block(grid.height * grid.width);
      bool lives = all;
      for (int i = 0; i < grid.height; ++i) {
        for (int j = 0; j < grid.width; ++j) {
          const int row = r * grid.height + i, unit = c % grid.columns() * grid.width + j;
          if (row >= grid.inputs || unit >= grid.units) continue;
          const float weight = kernel[row * grid.stride() + c / grid.columns() * grid.units + unit];
          block[i * grid.width + j] = weight;
          lives |= weight != 0.0f;  // true of NaN
        }
      }
      if (!lives) continue;
      found.blocks.push_back(c * grid.rows() + r);
      found.values.insert(found.values.end(), block.begin(), block.end());
    }
  }
  return found;
}

void check(const ksr::Grid& grid, const std::vector<float>& kernel, bool initial) {
  const Wanted right = wanted(grid, kernel, initial);
  const ksr::LivePacker packer(grid, kernel.data());
  expect(packer.live() == static_cast<int64_t>(right.blocks.size()), "how many blocks live");
  std::vector<float> values(right.values.size(), 7.0f), back(kernel.size(), 7.0f);
  std::vector<int32_t> blocks(right.blocks.size(), -7);
  packer.pack(values.data(), blocks.data());
  expect(blocks == right.blocks, "block numbers");
  expect(std::equal(values.begin(), values.end(), right.values.begin(), alike), "values");
  ksr::unpack(grid, values.data(), blocks.data(), packer.live(), back.data());
  expect(std::equal(back.begin(), back.end(), kernel.begin(), alike), "unpacked kernel");
}

const int kShapes[][2] = {{1, 1}, {4, 1}, {1, 4}, {4, 4}, {1, 8}, {8, 8}, {1, 16}, {16, 16}, {32, 32}, {3, 5}, {7, 2}, {40, 3}, {2, 50}};

void check_random() {
  const float special[] = {0.0f, -0.0f, std::nanf(""), -std::nanf(""), INFINITY, -INFINITY, std::numeric_limits<float>::denorm_min(), -1e-38f};
  const auto& shape = kShapes[pick(0, sizeof kShapes / sizeof kShapes[0] - 1)];
  const bool large = pick(0, 9) == 0;  // large enough for several threads
  const ksr::Grid grid = {large ? pick(400, 700) : pick(1, 70), large ? pick(300, 400) : pick(1, 70), pick(3, 4), shape[0], shape[1]};
  std::vector<float> kernel(grid.inputs * grid.stride());
  const float density = static_cast<float>(pick(0, 10)) / 10.0f;
  for (int r = 0; r < grid.rows(); ++r)
    for (int g = 0; g < grid.gates; ++g)
      for (int c = 0; c < grid.columns(); ++c) {
        if (uniform() > 2.0f * density - 1.0f) continue;
        for (int i = r * grid.height; i < std::min((r + 1) * grid.height, grid.inputs); ++i)
          for (int j = c * grid.width; j < std::min((c + 1) * grid.width, grid.units); ++j) kernel[i * grid.stride() + g * grid.units + j] = uniform();
      }
  for (int i = 0; i < 5; ++i) kernel[generator() % kernel.size()] = special[pick(0, 7)];
  kernel[kernel.size() - 1] = 1.0f;  // beside the diagonal, for more gates than one: no initial kernel
  if (kernel.size() == static_cast<size_t>(grid.gates)) return;  // 1 x 1 a gate: the diagonal is the first weight
  check(grid, kernel, false);
}

void check_initial() {
  const auto& shape = kShapes[pick(0, sizeof kShapes / sizeof kShapes[0] - 1)];
  const ksr::Grid grid = {pick(1, 50), pick(1, 50), pick(1, 4), shape[0], shape[1]};
  std::vector<float> kernel(grid.inputs * grid.stride(), pick(0, 1) ? 0.0f : -0.0f);
  check(grid, kernel, true);
  const int64_t diagonal = std::min<int64_t>(grid.inputs, grid.stride());
  for (int64_t i = 0; i < diagonal; ++i) kernel[i * grid.stride() + i] = 0.5f;
  check(grid, kernel, true);
  if (diagonal < 2) return;
  std::vector<float> other = kernel;
  other[(diagonal - 1) * (grid.stride() + 1)] = 0.25f;
  check(grid, other, false);
  other = kernel;
  other[grid.stride()] = std::nanf("");
  check(grid, other, false);
}

}  // namespace

int main() {
  if (cpu_is_missing()) return kSkipped;
  for (int i = 0; i < 300; ++i) {
    ksr::set_num_threads(pick(1, 4));
    check_random();
    check_initial();
  }
  std::vector<std::thread> callers;
  const ksr::Grid grid = {600, 300, 3, 16, 16};
  std::vector<float> kernel(grid.inputs * grid.stride());
  for (size_t i = 0; i < kernel.size(); i += 997) kernel[i] = uniform();
  for (int i = 0; i < 3; ++i) callers.emplace_back([&] { for (int n = 0; n < 20; ++n) check(grid, kernel, false); });
  for (std::thread& caller : callers) caller.join();
  std::printf("pack_test: all right\n");
}
