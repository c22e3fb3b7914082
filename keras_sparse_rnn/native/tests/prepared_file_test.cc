// Files of cells: what is read gives the bits of what was written, from read-only memory too, and
// whatever is wrong with a file is said in words.
#include <sys/mman.h>
#include <unistd.h>

#include "saved.h"
#include "small.h"

namespace {

bool same(const Saved& a, const Saved& b) {
  return a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size());
}

ksr_description read(const void* file, size_t size) {
  ksr_description d = {};
  ksr_error error = {};
  expect_status(ksr_file_read(file, size, &d, &error), KSR_OK, &error);
  return d;
}

// The cell that is prepared from a file, and the file of that, are the same byte for byte.
void check_round_trip(const ksr_description& d) {
  const Saved file = file_of(d);
  expect(file.size() % KSR_ALIGNMENT == 0, "size of a file", file.size(), 0);
  const ksr_description again = read(file.data(), file.size());
  expect(same(cell_of(again), cell_of(d)), "the cell from the file", 0, 0);
  expect(same(file_of(again), file), "the file again", 0, 0);
}

void test_round_trips() {
  for_every_kind(1, [](Described& d, int i) {
    d.description.input_range = d.description.activations == KSR_INT8 && i % 2 ? 2.5f : 0.0f;
    check_round_trip(d.description);
  });
  const Floats bias = random_floats(21);
  for (int32_t activation = KSR_LINEAR; activation <= KSR_SOFTMAX; ++activation) {
    about = "activation " + std::to_string(activation);
    check_round_trip(bias_only(activation, KSR_FLOAT32, bias));
  }
}

// Read-only pages with these bytes at their begin.
class Mapped {
 public:
  explicit Mapped(const Saved& saved) : size_(saved.size()) {
    char name[] = "/tmp/ksr-test-XXXXXX";
    const int file = mkstemp(name);
    expect(write(file, saved.data(), size_) == static_cast<ssize_t>(size_), "writing", 0, 0);
    memory_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    unlink(name);
    expect(memory_ != MAP_FAILED, "mapping", 0, 0);
  }
  ~Mapped() { munmap(memory_, size_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  const void* get() const { return memory_; }
  size_t size() const { return size_; }

 private:
  void* memory_;
  size_t size_;
};

// From a file that is mapped, the file itself and a cell that was saved: the same outputs.
void test_mapped() {
  const int shape[] = {4, 8};
  for (const ksr::Cell cell : kRecurrentCells)
    for (const int32_t activations : {KSR_FLOAT32, KSR_INT8}) {
      about = "mapped, cell " + std::to_string(static_cast<int>(cell)) + " activations " +
              std::to_string(activations);
      Described d(cell, 9, 37, 50, shape, shape, 0.3, true, KSR_FLOAT32);
      d.description.activations = activations;
      const Floats wanted = Stream(d.description).run(d.one.x);
      const Mapped file(file_of(d.description));
      expect(Stream(read(file.get(), file.size())).run(d.one.x) == wanted, "file", 0, wanted[0]);
      const Mapped saved(cell_of(d.description));
      const ksr_cell* opened = nullptr;
      ksr_error error = {};
      expect_status(ksr_cell_open(saved.get(), saved.size(), &opened, &error), KSR_OK, &error);
      expect(opened == saved.get(), "the cell is not where it lies", 0, 0);
      expect(Stream(opened).run(d.one.x) == wanted, "saved cell", 0, wanted[0]);
    }
}

// Two files one after the other: each says where it ends.
void test_two_files() {
  about = "two files";
  Small one, other;
  other.d.bias = nullptr;
  other.d.recurrent.live = 0;
  const Saved first = file_of(one.d), second = file_of(other.d);
  const Saved both(nullptr, first.size() + second.size());
  std::memcpy(both.data(), first.data(), first.size());
  std::memcpy(both.data() + first.size(), second.data(), second.size());
  size_t size = 0;
  ksr_description d = read(both.data(), both.size());
  expect_status(ksr_file_size(&d, &size, nullptr), KSR_OK);
  expect(size == first.size() && same(file_of(d), first), "first file", size, first.size());
  d = read(both.data() + size, both.size() - size);
  expect(!d.bias && !d.recurrent.values && same(file_of(d), second), "second file", 0, 0);
}

void expect_refused(const Saved& file, ksr_status status, const std::string& text) {
  about = "(" + text + ")";
  ksr_error error = {};
  ksr_description d = {};
  d.version = 77;
  expect_status(ksr_file_read(file.data(), file.size(), &d, &error), status, &error);
  expect(error.status == status && text == error.text, error.text, error.status, status);
  expect(d.version == 77, "the description was written", d.version, 77);
  expect_status(ksr_file_read(file.data(), file.size(), &d, nullptr), status);
}

// A number at some byte of a file is another, and the checksum is right.
template <typename T>
void refused(int64_t place, T value, ksr_status status, const std::string& text) {
  Small small;
  small.d.activations = KSR_INT8;
  small.d.input_range = 1.0f;
  const Saved file = file_of(small.d);
  file.put(place, value);
  file.sum_file();
  expect_refused(file, status, text);
}

void test_damage() {
  refused<char>(4, 'x', KSR_BAD_FILE,
                "the file begins with \"ksr-xile\": it must begin with \"ksr-file\"");
  refused<char>(4, '\xFE', KSR_BAD_FILE,
                "the file begins with \"ksr-?ile\": it must begin with \"ksr-file\"");
  refused<uint32_t>(8, 0x04030201, KSR_BAD_VERSION,
                    "byte_order is 0x04030201: it must be 0x01020304, that of little-endian "
                    "numbers");
  refused<uint32_t>(12, 2, KSR_BAD_VERSION,
                    "the file is of version 2: this library reads version 1");
  refused<int64_t>(24, -64, KSR_BAD_FILE,
                   "size is -64: it must be a multiple of 64, and 320 or more");
  refused<int64_t>(24, 900, KSR_BAD_FILE,
                   "size is 900: it must be a multiple of 64, and 320 or more");
  refused<int64_t>(24, 960, KSR_BAD_FILE,
                   "memory has 896 bytes of the file's 960: it was cut short");
  refused<int32_t>(32, 6, KSR_BAD_CHOICE, "cell is 6: it must be from 0 to 5");
  refused<char>(36, 'r', KSR_BAD_VERSION,
                "the gates are in the order \"rrh\": here a GRU has \"zrh\"");
  refused<int32_t>(40, 1, KSR_BAD_FILE, "the header has numbers where there must be zeros");
  refused<int32_t>(44, 1, KSR_BAD_CHOICE, "activations is 1: it must be KSR_FLOAT32 or KSR_INT8");
  refused<float>(48, NAN, KSR_BAD_VALUE,
                 "input_range is nan: it must be the largest input in absolute value, or 0");
  refused<int32_t>(52, 1, KSR_BAD_FILE, "the header has numbers where there must be zeros");
  refused<int64_t>(56, 384, KSR_BAD_FILE,
                   "bias has 120 bytes from byte 384 on: it must have 120 bytes from byte 320 on");
  refused<int32_t>(72, 3, KSR_BAD_CHOICE,
                   "kernel.type is 3: it must be KSR_FLOAT32, KSR_BFLOAT16 or KSR_INT8");
  refused<int32_t>(72, KSR_BFLOAT16, KSR_BAD_FILE,
                   "kernel.values has 96 bytes from byte 448 on: it must have 48 bytes from byte "
                   "448 on");
  refused<int64_t>(80, 0, KSR_BAD_SIZE, "kernel.inputs is 0: it must be from 1 to 65536");
  refused<int64_t>(88, INT64_MAX, KSR_BAD_SIZE,
                   "kernel.units is 9223372036854775807: it must be from 1 to 16777216");
  refused<int64_t>(96, 4, KSR_BAD_SIZE, "kernel.gates is 4: this cell has 3");
  refused<int64_t>(120, -1, KSR_BAD_SIZE, "kernel.live is -1: it must be from 0 to 12");
  refused<int64_t>(128, INT64_MAX, KSR_BAD_FILE,
                   "kernel.values has 96 bytes from byte 9223372036854775807 on: it must have 96 "
                   "bytes from byte 448 on");
  refused<int64_t>(152, INT64_MIN, KSR_BAD_FILE,
                   "kernel.blocks has -9223372036854775808 bytes from byte 576 on: it must have 12 "
                   "bytes from byte 576 on");
  refused<int64_t>(272, 92, KSR_BAD_FILE,
                   "recurrent.scales has 92 bytes from byte 768 on: it must have 96 bytes from "
                   "byte 768 on");
  refused<int64_t>(184, 6, KSR_BAD_SIZE,
                   "recurrent is [6, 3 * 5]: a cell of 5 units has [units, gates * units]");
  refused<float>(320 + 4 * 29, INFINITY, KSR_BAD_VALUE,
                 "bias[29] is inf: it must be a finite number");
  refused<float>(448 + 4 * 7, NAN, KSR_BAD_VALUE, "kernel.values[7] is no finite number");
  refused<int32_t>(576 + 4, 11, KSR_BAD_BLOCKS,
                   "kernel.blocks[2] is 11 after 11: numbers must ascend");
  refused<int32_t>(704 + 8, 18, KSR_BAD_BLOCKS,
                   "recurrent.blocks[2] is 18: it must be from 0 to 17");
  refused<float>(768 + 4, -INFINITY, KSR_BAD_VALUE,
                 "recurrent.scales[1] is -inf: it must be a finite number");
}

// Lengths that no memory has, of grids that there could be.
void test_overflow() {
  Small small;
  const Saved file = file_of(small.d);
  file.put<int64_t>(80, 1 << 24);   // inputs
  file.put<int64_t>(104, 1 << 24);  // block_rows
  file.put<int64_t>(112, 1 << 24);  // block_columns
  file.sum_file();
  expect_refused(file, KSR_BAD_FILE,
                 "kernel.values has 96 bytes from byte 448 on: it must have 3377699720527872 bytes "
                 "from byte 448 on");
  file.put<int64_t>(80, 1 << 15);
  file.put<int64_t>(104, 1);
  file.put<int64_t>(120, 98304);  // live
  file.sum_file();
  expect_refused(file, KSR_BAD_FILE,
                 "kernel.values has 96 bytes from byte 448 on: it must have 6597069766656 bytes "
                 "from byte 448 on");
}

void test_frame() {
  Small small;
  const Saved file = file_of(small.d);
  expect(file.size() == 896, "size", file.size(), 896);
  for (size_t size = 0; size < 896; ++size)
    expect_refused(file.copy(size), KSR_BAD_FILE,
                   "memory has " + std::to_string(size) + " bytes" +
                       (size < 320 ? ": the header alone takes 320"
                                   : " of the file's 896: it was cut short"));
  const Saved flipped = file.copy(896);
  flipped.put<char>(895, 1);
  char text[100];
  std::snprintf(text, sizeof text, "checksum is 0x%016llx: the bytes give 0x%016llx",
                static_cast<unsigned long long>(flipped.get<uint64_t>(16)),
                static_cast<unsigned long long>(flipped.sum(24, 896)));
  expect_refused(flipped, KSR_BAD_CHECKSUM, text);
  ksr_error error = {};
  size_t size;
  expect_status(ksr_file_size(&small.d, nullptr, &error), KSR_NULL);
  expect_status(ksr_file_size(nullptr, &size, &error), KSR_NULL);
  expect_status(ksr_file_write(&small.d, nullptr, 896, &error), KSR_NULL);
  expect_status(ksr_file_write(nullptr, file.data(), 896, &error), KSR_NULL);
  expect_status(ksr_file_read(nullptr, 896, &small.d, &error), KSR_NULL);
  expect_status(ksr_file_read(file.data(), 896, nullptr, &error), KSR_NULL);
  expect_status(ksr_file_read(file.data() + 8, 888, &small.d, &error), KSR_BAD_MEMORY);
  expect_status(ksr_file_write(&small.d, file.data(), 895, &error), KSR_BAD_MEMORY);
  about = "memory";
  expect(std::string("memory has 895 bytes: the file takes 896") == error.text, error.text, 0, 0);
  small.blocks[2] = 0;
  expect_status(ksr_file_write(&small.d, file.data(), 896, &error), KSR_BAD_BLOCKS);
  expect_status(ksr_file_size(&small.d, &size, &error), KSR_BAD_BLOCKS);
}

// Memory to write to need not be aligned.
void test_unaligned() {
  about = "unaligned";
  Small small;
  const Saved file = file_of(small.d);
  std::vector<char> memory(file.size() + 1);
  expect_status(ksr_file_write(&small.d, memory.data() + 1, file.size(), nullptr), KSR_OK);
  expect(!std::memcmp(memory.data() + 1, file.data(), file.size()), "the file", 0, 0);
}

}  // namespace

int main() {
  if (processor_is_missing()) return kSkipped;
  test_round_trips();
  test_mapped();
  test_two_files();
  test_damage();
  test_overflow();
  test_frame();
  test_unaligned();
  return failures != 0;
}
