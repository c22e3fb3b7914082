// Microseconds per step of a cell through ksr.h, one thread:
//   ours CELL UNITS INPUTS BLOCK_ROWS BLOCK_COLUMNS WEIGHTS ACTIVATIONS DENSITY STEPS
// prints the median and the least of several hundred repetitions, then what the cell stores.
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ksr.h"

enum { kRepetitions = 400 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static int less(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double uniform(void) { return rand() / (double)RAND_MAX; }

static int choice(const char* name, const char* const* names, int count) {
  for (int i = 0; i < count; ++i)
    if (!strcmp(name, names[i])) return i;
  fprintf(stderr, "%s is none of:", name);
  for (int i = 0; i < count; ++i) fprintf(stderr, " %s", names[i]);
  fprintf(stderr, "\n");
  exit(2);
}

static void check(ksr_status status, const ksr_error* error) {
  if (status == KSR_OK) return;
  fprintf(stderr, "%s\n", error ? error->text : ksr_status_text(status));
  exit(1);
}

// A kernel with random weights in so many of the blocks, at random. int8 values keep the bound of
// ksr.h.
static ksr_matrix random_matrix(int type, int64_t inputs, int64_t units, int64_t gates,
                                int64_t rows, int64_t columns, double density) {
  const int64_t row_count = (inputs + rows - 1) / rows;
  const int64_t column_count = (units + columns - 1) / columns;
  const int64_t count = gates * column_count * row_count;
  int32_t* blocks = malloc(count * sizeof *blocks);
  int64_t live = 0, wanted = (int64_t)(density * (double)count + 0.5);
  for (int64_t i = 0; i < count; ++i)
    if (uniform() * (double)(count - i) < (double)(wanted - live)) blocks[live++] = (int32_t)i;
  const int64_t values = live * rows * columns, outputs = gates * column_count * columns;
  void* data = malloc(values * 4 + 4);
  float* scales = malloc(outputs * sizeof *scales);
  for (int64_t i = 0; i < outputs; ++i) scales[i] = 1e-3f;
  for (int64_t i = 0; i < values; ++i) {
    const float value = (float)((uniform() - 0.5) * 0.1);
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (type == KSR_FLOAT32) ((float*)data)[i] = value;
    if (type == KSR_BFLOAT16) ((uint16_t*)data)[i] = (uint16_t)(bits >> 16);
    if (type == KSR_INT8) ((int8_t*)data)[i] = (int8_t)(rand() % 127 - 63);
  }
  const ksr_matrix matrix = {type, inputs, units, gates, rows, columns, live, data, blocks, scales};
  return matrix;
}

int main(int count, char** arguments) {
  static const char* const kCells[] = {"lstm", "gru",      "gru_reset_before",
                                       "rnn",  "rnn_relu", "dense"};
  static const int64_t kGates[] = {4, 3, 3, 1, 1, 1};
  static const char* const kTypes[] = {"float32", "bfloat16", "int8"};
  if (count != 10) return fprintf(stderr, "see the head of ours.c\n"), 2;
  const int cell_kind = choice(arguments[1], kCells, 6);
  const int64_t units = atoll(arguments[2]), inputs = atoll(arguments[3]);
  const int64_t rows = atoll(arguments[4]), columns = atoll(arguments[5]);
  const int type = choice(arguments[6], kTypes, 3);
  const double density = atof(arguments[8]);
  const int64_t steps = atoll(arguments[9]), gates = kGates[cell_kind];
  srand(7);
  ksr_description d = {.version = KSR_VERSION,
                       .cell = cell_kind,
                       .activation = KSR_TANH,
                       .activations = choice(arguments[7], kTypes, 3),
                       .input_range = 1.0f};
  d.kernel = random_matrix(type, inputs, units, gates, rows, columns, density);
  d.recurrent = random_matrix(type, units, units, gates, rows, columns, density);
  d.bias = calloc(2 * gates * units, sizeof(float));

  ksr_error error;
  size_t size;
  const ksr_cell* cell;
  ksr_state* state;
  ksr_cell_facts facts;
  check(ksr_cell_size(&d, &size, &error), &error);
  check(ksr_cell_prepare(&d, aligned_alloc(KSR_ALIGNMENT, size), size, &cell, &error), &error);
  check(ksr_cell_describe(cell, &facts), NULL);
  void* memory = aligned_alloc(KSR_ALIGNMENT, facts.state_size);
  check(ksr_state_init(cell, memory, facts.state_size, NULL, NULL, &state), NULL);

  float *x = malloc(steps * inputs * 4), *y = malloc(steps * units * 4), *first = x;
  for (int64_t i = 0; i < steps * inputs; ++i) x[i] = (float)(uniform() * 2 - 1);
  const int calls = steps > 20 ? 1 : (int)(20 / steps);
  double times[kRepetitions];
  for (int i = 0; i < kRepetitions; ++i) {
    const double begin = now();
    for (int c = 0; c < calls; ++c) check(ksr_run(cell, state, first, steps, y), NULL);
    times[i] = (now() - begin) / (double)(calls * steps);
  }
  qsort(times, kRepetitions, sizeof times[0], less);
  printf("%.4f %.4f %lld %lld %s\n", times[kRepetitions / 2], times[0], (long long)facts.stored,
         (long long)facts.size, facts.processor);
  return 0;
}
