// Whether int4 weights would pay: the inner loop of an int8 cell on live blocks of 16 x 16, beside the same loop on weights of half the bytes.
//
//   g++ -O3 -march=native -o int4 benchmarks/int4.cc && ./int4
//
// needs AVX-512 with VNNI. As in native/core/prepared, a tile is 4 inputs x 16 outputs: one instruction multiplies it with 4 inputs that are the same for all lanes.
// A register of int4 weights is two tiles, one in the upper halves of its bytes; they are integers from 0 to 14 that stand for 7 less, and what that makes too much,
// 7 times the sum of the inputs, is counted once for a block. All sums are checked against plain C. Prints for each size microseconds for all blocks once: int8, int4,
// and how many times as fast int4 is; of 25 rounds the fastest.
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

namespace {

constexpr int kRows = 16, kColumns = 16, kTiles = kRows / 4, kBlock = kRows * kColumns;

struct Matrix {  // one column of blocks after the other, each a list of block rows
  int columns, live;
  std::vector<int32_t> rows;
  std::vector<int8_t> wide;
  std::vector<uint8_t> narrow;
};

// `-7 ... 7` each; a tile has the 4 inputs of an output side by side.
Matrix make(int block_rows, int columns, int live, std::mt19937& random) {
  Matrix m{columns, live, {}, std::vector<int8_t>(columns * live * kBlock), std::vector<uint8_t>(columns * live * kBlock / 2)};
  for (int c = 0; c < columns; ++c)
    for (int i = 0; i < live; ++i) m.rows.push_back((i * block_rows + static_cast<int>(random() % block_rows)) / live);
  for (auto& w : m.wide) w = static_cast<int8_t>(random() % 15) - 7;
  for (size_t i = 0; i < m.narrow.size(); ++i) {
    const size_t pair = i / 64, place = i % 64;
    m.narrow[i] = static_cast<uint8_t>((m.wide[pair * 128 + place] + 7) | (m.wide[pair * 128 + 64 + place] + 7) << 4);
  }
  return m;
}

__m512i four(const uint8_t* x) {
  int32_t bytes;
  __builtin_memcpy(&bytes, x, 4);
  return _mm512_set1_epi32(bytes);
}

// Two accumulators, so that one sum need not wait for the other.
__attribute__((noinline)) void with_int8(const Matrix& m, const uint8_t* x, int32_t* out) {
  const int8_t* w = m.wide.data();
  const int32_t* rows = m.rows.data();
  for (int c = 0; c < m.columns; ++c) {
    __m512i even = _mm512_setzero_si512(), odd = even;
    for (int i = 0; i < m.live; ++i, w += kBlock) {
      const uint8_t* from = x + *rows++ * kRows;
      for (int t = 0; t < kTiles; t += 2) {
        even = _mm512_dpbusd_epi32(even, four(from + 4 * t), _mm512_loadu_si512(w + 64 * t));
        odd = _mm512_dpbusd_epi32(odd, four(from + 4 * t + 4), _mm512_loadu_si512(w + 64 * t + 64));
      }
    }
    _mm512_storeu_si512(out + c * kColumns, _mm512_add_epi32(even, odd));
  }
}

__attribute__((noinline)) void with_int4(const Matrix& m, const uint8_t* x, const int32_t* sums, int32_t* out) {
  const uint8_t* w = m.narrow.data();
  const int32_t* rows = m.rows.data();
  const __m512i mask = _mm512_set1_epi8(15);
  for (int c = 0; c < m.columns; ++c) {
    __m512i even = _mm512_setzero_si512(), odd = even;
    int32_t all = 0;
    for (int i = 0; i < m.live; ++i, w += kBlock / 2) {
      const uint8_t* from = x + *rows * kRows;
      all += sums[*rows++];
      for (int t = 0; t < kTiles; t += 2) {
        const __m512i both = _mm512_loadu_si512(w + 32 * t);
        const __m512i low = _mm512_and_si512(both, mask), high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
        even = _mm512_dpbusd_epi32(even, four(from + 4 * t), low);
        odd = _mm512_dpbusd_epi32(odd, four(from + 4 * t + 4), high);
      }
    }
    const __m512i too_much = _mm512_set1_epi32(7 * all);
    _mm512_storeu_si512(out + c * kColumns, _mm512_sub_epi32(_mm512_add_epi32(even, odd), too_much));
  }
}

template <class Function>
double microseconds(const Function& run) {
  std::vector<double> times;
  for (int round = 0; round < 25; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    int calls = 0;
    double taken = 0;
    do {
      for (int i = 0; i < 20; ++i) run();
      calls += 20;
      taken = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
    } while (taken < 2000);
    times.push_back(taken / calls);
  }
  return *std::min_element(times.begin(), times.end());
}

}  // namespace

int main() {
  std::mt19937 random(1);
  const struct {
    const char* name;
    int inputs, outputs, live;  // of `inputs / 16` block rows
  } cases[] = {{"GRU-256, 90 %", 512, 768, 3},   {"LSTM-512, 90 %", 1024, 2048, 6},  {"LSTM-1024, 95 %", 2048, 4096, 6},
               {"LSTM-1024, 90 %", 2048, 4096, 13}, {"LSTM-2048, 90 %", 4096, 8192, 26}, {"LSTM-4096, 90 %", 8192, 16384, 51}};
  for (const auto& one : cases) {
    const Matrix m = make(one.inputs / kRows, one.outputs / kColumns, one.live, random);
    std::vector<uint8_t> x(one.inputs);
    for (auto& value : x) value = static_cast<uint8_t>(random() % 255);
    std::vector<int32_t> sums(one.inputs / kRows), first(one.outputs), second(one.outputs);
    const auto narrow = [&] {
      for (size_t b = 0; b < sums.size(); ++b) {  // of the inputs, in each step
        sums[b] = 0;
        for (int r = 0; r < kRows; ++r) sums[b] += x[b * kRows + r];
      }
      with_int4(m, x.data(), sums.data(), second.data());
    };
    with_int8(m, x.data(), first.data());
    narrow();
    for (int o = 0; o < one.outputs; ++o) {
      int32_t right = 0;
      for (int i = 0; i < m.live; ++i) {
        const size_t block = static_cast<size_t>(o / kColumns) * m.live + i;
        for (int r = 0; r < kRows; ++r)
          right += x[m.rows[block] * kRows + r] * m.wide[block * kBlock + r / 4 * 64 + o % kColumns * 4 + r % 4];
      }
      if (right != first[o] || right != second[o]) return std::printf("output %d: %d, int8 %d, int4 %d\n", o, right, first[o], second[o]), 1;
    }
    const double wide = microseconds([&] { with_int8(m, x.data(), first.data()); }), half = microseconds(narrow);
    std::printf("%-16s %7.0f KB int8 %8.2f %8.2f %5.2f\n", one.name, m.wide.size() / 1024.0, wide, half, wide / half);
  }
  return 0;
}
