"""The files of an exported folder that are the same for all models, but for names in capitals
between two @."""

HEADER = """\
/* The model "@TITLE@", one frame at a time. Written by keras_sparse_rnn @VERSION@. */
#ifndef @UPPER@_H_
#define @UPPER@_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @UPPER@_ALIGNMENT 64
/* What @NAME@_init takes, in bytes, on the processor that takes most. */
#define @UPPER@_BYTES @BYTES@
/* The same without weights: what @NAME@_open takes. */
#define @UPPER@_STREAM_BYTES @STREAM_BYTES@
/* Numbers of a frame. */
@WIDTHS@

/* A model and one stream of frames, of one thread at a time. For many streams of one model, see
 * ksr/ksr_model.h. */
typedef struct @NAME@ @NAME@;

/* Lays the weights out for this processor, in `memory` of @UPPER@_BYTES bytes, aligned to
 * @UPPER@_ALIGNMENT: `memory` is the model then, at the begin of its stream. Null: @NAME@_error
 * says why. It allocates while it runs, and frees again; the functions below never do, nor do they
 * lock. */
@NAME@* @NAME@_init(void* memory);
/* The same with weights that lie elsewhere: those of @NAME@.ksr, mapped or read, aligned as memory
 * is. They may go afterwards. `size`: of `memory`. With fewer than @UPPER@_STREAM_BYTES it is null,
 * and @NAME@_error has nothing to say. */
@NAME@* @NAME@_init_from(const void* file, size_t bytes, void* memory, size_t size);
/* The same with a prepared model, which `ksr_runtime.Model.save` writes for one instruction set. It
 * is used where it lies, in flash or mapped, and must stay there; nothing is laid out or allocated.
 * `size`: of `memory`, as above. */
@NAME@* @NAME@_open(const void* prepared, size_t bytes, void* memory, size_t size);
/* What was wrong with the last of these three in this memory, which has @UPPER@_STREAM_BYTES bytes
 * or more: it is written there. */
const char* @NAME@_error(const void* memory);
/* One frame in, one out. 0: done; else the stream is as it was: a token is none of the model's. */
int @NAME@_step(@NAME@* model, @PARAMETERS@);
/* Begins another stream. */
int @NAME@_reset(@NAME@* model);

#ifdef __cplusplus
}
#endif

#endif /* @UPPER@_H_ */
"""

SOURCE = """\
#include "@NAME@.h"

#include <stdio.h>
#include <string.h>

#include "@NAME@_weights.h"
#include "ksr/ksr_model.h"

struct @NAME@ {
  ksr_error error;
  const ksr_model* model;
  ksr_stream* stream;
};

/* The model's own part of the memory. */
enum { kOwn = (sizeof(struct @NAME@) + KSR_ALIGNMENT - 1) / KSR_ALIGNMENT * KSR_ALIGNMENT };

static @NAME@* begin(@NAME@* m, size_t used, size_t size) {
  const ksr_status status =
      ksr_stream_init(m->model, (char*)m + used, size - used, &m->stream);
  if (status == KSR_OK) return m;
  snprintf(m->error.text, sizeof m->error.text, "%s", ksr_status_text(status));
  return NULL;
}

@NAME@* @NAME@_init_from(const void* file, size_t bytes, void* memory, size_t size) {
  @NAME@* m = memory;
  if (!memory || size < kOwn) return NULL;
  memset(m, 0, sizeof *m);
  char* rest = (char*)memory + kOwn;
  size_t wanted = 0;
  if (ksr_model_size(file, bytes, NULL, &wanted, &m->error)) return NULL;
  if (ksr_model_prepare(file, bytes, NULL, rest, size - kOwn, &m->model, &m->error)) return NULL;
  return begin(m, kOwn + wanted, size);
}

@NAME@* @NAME@_open(const void* prepared, size_t bytes, void* memory, size_t size) {
  @NAME@* m = memory;
  if (!memory || size < kOwn) return NULL;
  memset(m, 0, sizeof *m);
  if (ksr_model_open(prepared, bytes, &m->model, &m->error)) return NULL;
  return begin(m, kOwn, size);
}

@NAME@* @NAME@_init(void* memory) {
  return @NAME@_init_from(@NAME@_weights, sizeof @NAME@_weights, memory, @UPPER@_BYTES);
}

const char* @NAME@_error(const void* memory) {
  return memory ? ((const @NAME@*)memory)->error.text : "memory is null";
}

int @NAME@_step(@NAME@* model, @PARAMETERS@) {
  const float* inputs[] = {@INPUTS@};
  float* outputs[] = {@OUTPUTS@};
  return ksr_stream_run(model->model, model->stream, inputs, 1, outputs);
}

int @NAME@_reset(@NAME@* model) { return ksr_stream_reset(model->model, model->stream); }
"""

PROGRAM = """\
/* Reads frames from standard input, numbers with spaces or line ends between them, and prints what
 * the model says of each, a line for a frame:  ./@NAME@ < frames.txt
 * A frame: @FRAME@. */
#include <stdio.h>

#include "@NAME@.h"

static _Alignas(@UPPER@_ALIGNMENT) unsigned char memory[@UPPER@_BYTES];

/* Numbers of a frame; returns how many came. */
static int read_numbers(float* to, int count) {
  int n = 0;
  while (n < count && scanf("%f", to + n) == 1) ++n;
  return n;
}

static void print_numbers(const float* from, int count, char end) {
  for (int i = 0; i < count; ++i) printf("%.9g%c", from[i], i + 1 < count ? ' ' : end);
}

int main(void) {
  @NAME@* model = @NAME@_init(memory);
  if (!model) return fprintf(stderr, "%s\\n", @NAME@_error(memory)), 1;
@BUFFERS@
  for (long frame = 0;; ++frame) {
    int got = 0, wanted = 0;
@READS@
    if (!got && feof(stdin)) return 0;
    if (got < wanted) {
      fprintf(stderr, "frame %ld has %d numbers of %d\\n", frame, got, wanted);
      return 1;
    }
    if (@NAME@_step(model, @ARGUMENTS@)) {
      fprintf(stderr, "frame %ld has a token that is none of the model's\\n", frame);
      return 1;
    }
@PRINTS@
    fflush(stdout);
  }
}
"""

BUILD = """\
#!/bin/sh
# Builds ./@NAME@ with one compiler that knows C11 and C++17, and nothing else: sh build.sh
# In the environment: CC, CFLAGS and LDFLAGS, for example
#   CC=aarch64-linux-gnu-gcc LDFLAGS=-static sh build.sh
set -e
cd "$(dirname "$0")"
CC="${CC:-cc}"
mkdir -p build
small="-fvisibility=hidden -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables"
cxx="$small -std=c++17 -fno-exceptions -fno-rtti -fno-math-errno -ffp-contract=off -Wno-psabi"
objects=""
for source in ksr/prepared/*.cc ksr/model/*.cc; do
  if [ "$source" = ksr/prepared/kernels.cc ]; then continue; fi
  object="build/$(basename "$(dirname "$source")")_$(basename "$source" .cc).o"
  $CC -Os $CFLAGS $cxx -c "$source" -o "$object"
  objects="$objects $object"
done
# The kernels once for each instruction set that this compiler knows; which of them run is decided
# when the program runs.
kernels() {
  name="$1"
  shift
  if $CC "$@" -x c++ -c /dev/null -o build/nothing.o 2> /dev/null; then
    $CC -O3 $CFLAGS $cxx "$@" -DKSR_NAME="$name" -c ksr/prepared/kernels.cc -o "build/$name.o"
    objects="$objects build/$name.o"
  fi
}
case "$($CC -dumpmachine)" in
@SETS@
esac
kernels plain
case "$(uname -s)" in Darwin) unused=-Wl,-dead_strip ;; *) unused="-Wl,--gc-sections -s" ;; esac
$CC -O2 $CFLAGS $small -std=c11 main.c @NAME@.c $objects $LDFLAGS $unused -lm -o @NAME@
"""

CMAKE = """\
# cmake -B build && cmake --build build: the program @NAME@. Link @NAME@_model to your own program.
cmake_minimum_required(VERSION 3.16)
project(@NAME@ C CXX)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
include(CheckCXXCompilerFlag)
set(SMALL -fvisibility=hidden -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables)
set(OPTIONS ${SMALL} -fno-exceptions -fno-rtti -fno-math-errno -ffp-contract=off -Wno-psabi)

file(GLOB SOURCES ksr/prepared/*.cc ksr/model/*.cc)
list(REMOVE_ITEM SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/ksr/prepared/kernels.cc)
add_library(@NAME@_objects OBJECT @NAME@.c ${SOURCES})
target_compile_options(@NAME@_objects PRIVATE ${SMALL} $<$<COMPILE_LANGUAGE:CXX>:${OPTIONS}>)
# No archive: a linker takes nothing out of one that may be left out, and kernels may.
add_library(@NAME@_model INTERFACE)
target_sources(@NAME@_model INTERFACE $<TARGET_OBJECTS:@NAME@_objects>)
target_include_directories(@NAME@_model INTERFACE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(@NAME@_model INTERFACE m)

# The kernels once for each instruction set that this compiler knows; which of them run is decided
# when the program runs.
string(REPLACE "AMD64" "x86_64" processor "${CMAKE_SYSTEM_PROCESSOR}")
string(REPLACE "arm64" "aarch64" processor "${processor}")
function(kernels name machine)
  if(machine STREQUAL "any" OR machine STREQUAL processor)
    string(REPLACE ";" " " flags "${ARGN}")
    check_cxx_compiler_flag("${flags}" KNOWS_${name})
    if(KNOWS_${name} OR NOT flags)
      add_library(@NAME@_kernels_${name} OBJECT ksr/prepared/kernels.cc)
      target_compile_options(@NAME@_kernels_${name} PRIVATE ${OPTIONS} -O3 ${ARGN})
      target_compile_definitions(@NAME@_kernels_${name} PRIVATE KSR_NAME=${name})
      target_sources(@NAME@_model INTERFACE $<TARGET_OBJECTS:@NAME@_kernels_${name}>)
    endif()
  endif()
endfunction()
@KERNELS@

add_executable(@NAME@ main.c)
target_link_libraries(@NAME@ PRIVATE @NAME@_model)
# It needs nothing of C++ to link.
set_target_properties(@NAME@ PROPERTIES LINKER_LANGUAGE C)
if(NOT APPLE)
  target_link_options(@NAME@ PRIVATE -Wl,--gc-sections)
endif()
"""

NEEDS = """\
// Which kernels this library has: those of the model "@TITLE@".
#ifndef KERAS_SPARSE_RNN_CORE_PREPARED_NEEDS_H_
#define KERAS_SPARSE_RNN_CORE_PREPARED_NEEDS_H_

#include <cstdint>

namespace ksr {
namespace prepared {

// Bits by number, of tiles for each arithmetic, and of cells and activations, exact and fast.
constexpr uint32_t kNeededTiles[4] = {@TILES@};
constexpr uint32_t kNeededCells[2] = {@CELLS@}, kNeededActivations[2] = {@ACTIVATIONS@};
// Whether several steps of a sequence come at once.
constexpr bool kSeveralStepsNeeded = false;

}  // namespace prepared
}  // namespace ksr

#endif  // KERAS_SPARSE_RNN_CORE_PREPARED_NEEDS_H_
"""


def filled(template, **values):
    """`template` with each `@NAME@` replaced by the value of `name`."""
    for name, value in values.items():
        template = template.replace(f"@{name.upper()}@", str(value))
    return template
