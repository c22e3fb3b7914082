// Files of cells: a header, and the arrays that a description points to. docs/format.md says what
// stands at which byte.
#include <cstddef>
#include <cstring>

#include "check.h"
#include "checksum.h"
#include "prepare.h"

namespace ksr {
namespace prepared {
namespace {

typedef long long Long;

constexpr char kFileMagic[9] = "ksr-file";

struct Section {
  int64_t place, bytes;  // both 0 where there is none
};

struct FileMatrix {
  int32_t type, unused;
  int64_t inputs, units, gates, block_rows, block_columns, live;
  Section values, blocks, scales;
};

struct FileHeader {
  char magic[8];
  uint32_t byte_order, version;
  uint64_t checksum;  // of all that follows
  int64_t size;
  int32_t cell;
  char order[4];
  int32_t activation, activations;
  float input_range;
  int32_t unused;
  Section bias;
  FileMatrix kernel, recurrent;
};
static_assert(sizeof(FileHeader) == 280, "docs/format.md says where each number stands");

constexpr int64_t kSummed = offsetof(FileHeader, checksum) + sizeof(uint64_t);

int64_t rounded(int64_t bytes) {
  return (bytes + KSR_ALIGNMENT - 1) / KSR_ALIGNMENT * KSR_ALIGNMENT;
}
constexpr int64_t kHeaderBytes = 320;  // with zeros up to where the first section may begin

// A matrix has at most 4 * 2^25 * 2^25 weights in whole blocks: no length is beyond 2^55.
void add_section(int64_t count, int64_t bytes, int64_t* end, Section* section) {
  if (!count) return;
  *section = {*end, count * bytes};
  *end += rounded(section->bytes);
}

void add_matrix(const ksr_matrix& m, int64_t* end, FileMatrix* to) {
  const int64_t size = m.type == KSR_FLOAT32 ? 4 : m.type == KSR_BFLOAT16 ? 2 : 1;
  const int64_t scales =
      m.live && m.type == KSR_INT8 ? m.gates * block_columns(m) * m.block_columns : 0;
  *to = {m.type,          0,      m.inputs, m.units, m.gates, m.block_rows,
         m.block_columns, m.live, {},       {},      {}};
  add_section(m.live * m.block_rows * m.block_columns, size, end, &to->values);
  add_section(m.live, sizeof(int32_t), end, &to->blocks);
  add_section(scales, sizeof(float), end, &to->scales);
}

// The one header of a description that has passed `check_itself`; its checksum is 0.
FileHeader header_of(const ksr_description& d, bool bias) {
  const CellRule& rule = kCells[d.cell];
  FileHeader h = {};
  std::memcpy(h.magic, kFileMagic, sizeof h.magic);
  h.byte_order = kByteOrder;
  h.version = KSR_FILE_VERSION;
  h.cell = d.cell;
  std::memcpy(h.order, rule.order, sizeof h.order);
  h.activation = d.cell == KSR_DENSE ? d.activation : 0;
  h.activations = d.activations;
  h.input_range = d.activations == KSR_INT8 ? d.input_range : 0.0f;
  int64_t end = kHeaderBytes;
  const int64_t biases = bias ? rule.bias_rows * rule.gates * d.kernel.units : 0;
  add_section(biases, sizeof(float), &end, &h.bias);
  add_matrix(d.kernel, &end, &h.kernel);
  if (rule.states) add_matrix(d.recurrent, &end, &h.recurrent);
  h.size = end;
  return h;
}

void write_section(const void* from, const Section& section, char* file) {
  if (section.bytes) std::memcpy(file + section.place, from, section.bytes);
}

void write_matrix(const ksr_matrix& m, const FileMatrix& matrix, char* file) {
  write_section(m.values, matrix.values, file);
  write_section(m.blocks, matrix.blocks, file);
  write_section(m.scales, matrix.scales, file);
}

// Four or eight bytes of a file that should be letters.
struct Letters {
  Letters(const char* from, int count) {
    for (int i = 0; i < count; ++i)
      text[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : from[i] ? '?' : 0;
  }
  char text[9] = {};
};

// Whether this is a file at all, whole and unchanged.
ksr_status check_frame(const FileHeader& header, const char* file, size_t size, ksr_error* error) {
  if (std::memcmp(header.magic, kFileMagic, sizeof header.magic))
    return fail(error, KSR_BAD_FILE, "the file begins with \"%s\": it must begin with \"%s\"",
                Letters(header.magic, sizeof header.magic).text, kFileMagic);
  if (header.byte_order != kByteOrder)
    return fail(error, KSR_BAD_VERSION,
                "byte_order is 0x%08x: it must be 0x%08x, that of little-endian numbers",
                header.byte_order, kByteOrder);
  if (header.version != KSR_FILE_VERSION)
    return fail(error, KSR_BAD_VERSION, "the file is of version %u: this library reads version %d",
                header.version, KSR_FILE_VERSION);
  if (header.size < kHeaderBytes || header.size % KSR_ALIGNMENT)
    return fail(error, KSR_BAD_FILE, "size is %lld: it must be a multiple of %d, and %lld or more",
                Long{header.size}, KSR_ALIGNMENT, Long{kHeaderBytes});
  if (static_cast<uint64_t>(header.size) > size)
    return fail(error, KSR_BAD_FILE, "memory has %zu bytes of the file's %lld: it was cut short",
                size, Long{header.size});
  const uint64_t sum = checksum(file + kSummed, file + header.size);
  if (header.checksum != sum)
    return fail(error, KSR_BAD_CHECKSUM, "checksum is 0x%016llx: the bytes give 0x%016llx",
                static_cast<unsigned long long>(header.checksum),
                static_cast<unsigned long long>(sum));
  return KSR_OK;
}

ksr_status check_section(const char* name, const char* array, const Section& got,
                         const Section& wanted, ksr_error* error) {
  if (got.place == wanted.place && got.bytes == wanted.bytes) return KSR_OK;
  return fail(error, KSR_BAD_FILE,
              "%s%s has %lld bytes from byte %lld on: it must have %lld bytes from byte %lld on",
              name, array, Long{got.bytes}, Long{got.place}, Long{wanted.bytes},
              Long{wanted.place});
}

ksr_status check_sections(const char* name, const FileMatrix& got, const FileMatrix& wanted,
                          ksr_error* error) {
  KSR_TRY(check_section(name, ".values", got.values, wanted.values, error));
  KSR_TRY(check_section(name, ".blocks", got.blocks, wanted.blocks, error));
  return check_section(name, ".scales", got.scales, wanted.scales, error);
}

// Everything that the header of this description must be, and is not.
ksr_status check_header(const FileHeader& header, const ksr_description& d, ksr_error* error) {
  FileHeader wanted = header_of(d, header.bias.bytes);
  if (std::memcmp(header.order, wanted.order, sizeof header.order))
    return fail(error, KSR_BAD_VERSION, "the gates are in the order \"%s\": here a %s has \"%s\"",
                Letters(header.order, sizeof header.order).text, kCells[d.cell].name,
                kCells[d.cell].order);
  KSR_TRY(check_section("bias", "", header.bias, wanted.bias, error));
  KSR_TRY(check_sections("kernel", header.kernel, wanted.kernel, error));
  KSR_TRY(check_sections("recurrent", header.recurrent, wanted.recurrent, error));
  if (header.size != wanted.size)
    return fail(error, KSR_BAD_FILE, "size is %lld: the sections end at byte %lld",
                Long{header.size}, Long{wanted.size});
  wanted.checksum = header.checksum;
  if (std::memcmp(&header, &wanted, sizeof header))
    return fail(error, KSR_BAD_FILE, "the header has numbers where there must be zeros");
  return KSR_OK;
}

template <typename T>
void point(const char* file, const Section& section, const T** to) {
  if (section.bytes)
    *to = static_cast<const T*>(static_cast<const void*>(file + section.place));
}

ksr_matrix grid_of(const FileMatrix& m) {
  return {m.type, m.inputs, m.units, m.gates, m.block_rows, m.block_columns, m.live, {}, {}, {}};
}

void point_matrix(const char* file, const FileMatrix& matrix, ksr_matrix* to) {
  point(file, matrix.values, &to->values);
  point(file, matrix.blocks, &to->blocks);
  point(file, matrix.scales, &to->scales);
}

}  // namespace
}  // namespace prepared
}  // namespace ksr

using namespace ksr::prepared;

extern "C" {

ksr_status ksr_file_size(const ksr_description* description, size_t* size,
                         ksr_error* error) noexcept {
  if (!size) return fail(error, KSR_NULL, "size is null");
  KSR_TRY(check(description, true, error));
  const FileHeader header = header_of(*description, description->bias);
  *size = static_cast<size_t>(header.size);
  return KSR_OK;
}

ksr_status ksr_file_write(const ksr_description* description, void* memory, size_t size,
                          ksr_error* error) noexcept {
  if (!memory) return fail(error, KSR_NULL, "memory is null");
  KSR_TRY(check(description, true, error));
  FileHeader header = header_of(*description, description->bias);
  if (static_cast<uint64_t>(header.size) > size)
    return fail(error, KSR_BAD_MEMORY, "memory has %zu bytes: the file takes %lld", size,
                Long{header.size});
  char* file = static_cast<char*>(memory);
  std::memset(file, 0, header.size);
  write_section(description->bias, header.bias, file);
  write_matrix(description->kernel, header.kernel, file);
  write_matrix(description->recurrent, header.recurrent, file);
  std::memcpy(file, &header, sizeof header);
  header.checksum = checksum(file + kSummed, file + header.size);
  std::memcpy(file, &header, sizeof header);
  return KSR_OK;
}

ksr_status ksr_file_read(const void* memory, size_t size, ksr_description* description,
                         ksr_error* error) noexcept {
  if (!description) return fail(error, KSR_NULL, "the description is null");
  KSR_TRY(check_memory(memory, size, kHeaderBytes, error));
  const char* file = static_cast<const char*>(memory);
  const FileHeader& header = *static_cast<const FileHeader*>(memory);
  KSR_TRY(check_frame(header, file, size, error));
  ksr_description d = {};
  d.version = KSR_VERSION;
  d.cell = header.cell;
  d.activation = header.activation;
  d.activations = header.activations;
  d.input_range = header.input_range;
  d.kernel = grid_of(header.kernel);
  d.recurrent = grid_of(header.recurrent);
  KSR_TRY(check_itself(&d, error));
  KSR_TRY(check_header(header, d, error));
  point(file, header.bias, &d.bias);
  point_matrix(file, header.kernel, &d.kernel);
  point_matrix(file, header.recurrent, &d.recurrent);
  KSR_TRY(check(&d, true, error));
  *description = d;
  return KSR_OK;
}

}  // extern "C"
