#include "dispatch.h"

#include <cstdio>
#include <cstring>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace ksr {
namespace prepared {

// Those of this machine's kind. Weak, because a compiler may not know an instruction set's flags:
// then its address is null.
#if defined(__x86_64__)
#define KSR_ON_x86_64(...) __VA_ARGS__
#define KSR_ON_aarch64(...)
#elif defined(__aarch64__)
#define KSR_ON_x86_64(...)
#define KSR_ON_aarch64(...) __VA_ARGS__
#else
#define KSR_ON_x86_64(...)
#define KSR_ON_aarch64(...)
#endif
#define KSR_ON_any(...) __VA_ARGS__

#define KSR_INSTRUCTION_SET(name, machine, flags, supported, ...) \
  KSR_ON_##machine(namespace name { extern const Kernels kKernels __attribute__((weak)); })
#include "instruction_sets.inc"
#undef KSR_INSTRUCTION_SET

namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512vnni() { return __builtin_cpu_supports("avx512vnni"); }
// Not every compiler that has the instructions knows how to ask for them.
bool has_avxvnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}
#elif defined(__aarch64__)
bool has_neondot() {
#if defined(__linux__)
  constexpr unsigned long kDotProduct = 1ul << 20;  // HWCAP_ASIMDDP
  return getauxval(AT_HWCAP) & kDotProduct;
#else
  return true;  // Apple's all have it
#endif
}
#endif

// Those of other machines have no kernels.
struct InstructionSet {
  Processor processor;
  const Kernels* kernels = nullptr;
  bool (*supported)() = nullptr;
};

const InstructionSet kSets[] = {
#define KSR_INSTRUCTION_SET(name, machine, flags, supported, ...) \
  {table::name KSR_ON_##machine(, &name::kKernels, [] { return static_cast<bool>(supported); })},
#include "instruction_sets.inc"
#undef KSR_INSTRUCTION_SET
};

bool usable(const InstructionSet& set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  return set.kernels && set.supported();
}

bool is(const InstructionSet& set, const char* name) {
  return !std::strcmp(set.processor.name, name);
}

}  // namespace

const Processor* find_processor(const char* name) {
  for (const InstructionSet& set : kSets)
    if (is(set, name)) return &set.processor;
  return nullptr;
}

const Processor* choose_processor(const char* name) {
  for (const InstructionSet& set : kSets)
    if (name && is(set, name) && usable(set)) return &set.processor;
  for (const InstructionSet& set : kSets)
    if (usable(set)) return &set.processor;
  return nullptr;
}

bool has_processor(const char* name) {
  for (const InstructionSet& set : kSets)
    if (is(set, name)) return usable(set);
  return false;
}

const Kernels* kernels_of(const char (&name)[kNameBytes]) {
  for (const InstructionSet& set : kSets)
    if (!std::memcmp(set.processor.name, name, kNameBytes)) return set.kernels;
  return nullptr;
}

void list_processors(bool all, char* text, int size) {
  text[0] = 0;
  int used = 0;
  for (const InstructionSet& set : kSets)
    if (used < size && (all || usable(set)))
      used +=
          std::snprintf(text + used, size - used, "%s%s", used ? ", " : "", set.processor.name);
}

}  // namespace prepared
}  // namespace ksr
