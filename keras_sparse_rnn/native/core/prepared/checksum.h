// The checksum of files and of prepared cells.
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_CHECKSUM_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_CHECKSUM_H_

#include <cstdint>
#include <cstring>

namespace ksr {
namespace prepared {

constexpr uint64_t kFirstSum = 14695981039346656037u;

// FNV-1a of a word of eight bytes, with the upper half folded into the lower one, because a product
// alone would carry nothing down, and two changed signs could cancel out. It can be undone, so a
// change within one word is always noticed.
inline uint64_t sum_word(uint64_t sum, uint64_t word) {
  sum = (sum ^ word) * 1099511628211u;
  return sum ^ sum >> 32;
}

// Of whole words: word n goes into sum n % 8, so that a processor has eight products under way at a
// time, and these sums go into one.
inline uint64_t checksum(const char* from, const char* to) {
  constexpr int kSums = 8;
  uint64_t sums[kSums], words[kSums];
  for (uint64_t& sum : sums) sum = kFirstSum;
  for (; to - from >= int64_t{sizeof words}; from += sizeof words) {
    std::memcpy(words, from, sizeof words);
    for (int i = 0; i < kSums; ++i) sums[i] = sum_word(sums[i], words[i]);
  }
  for (int i = 0; from != to; from += sizeof *words, ++i) {
    std::memcpy(words, from, sizeof *words);
    sums[i] = sum_word(sums[i], *words);
  }
  uint64_t all = kFirstSum;
  for (const uint64_t sum : sums) all = sum_word(all, sum);
  return all;
}

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_CHECKSUM_H_
