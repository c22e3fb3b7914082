// Microseconds per step of RNNoise's sparse GRU (8 outputs x 4 inputs a block), one thread:
//   rnnoise UNITS int8|float32 DENSITY
// prints the median and the least of several hundred repetitions.
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nnet.h"

enum { kRepetitions = 400, kCalls = 20 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec * 1e-3;
}

static int less(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

// A layer that keeps so many of its blocks, at random.
static LinearLayer layer(int inputs, int outputs, double density, int floats) {
  LinearLayer made;
  memset(&made, 0, sizeof made);
  made.nb_inputs = inputs;
  made.nb_outputs = outputs;
  float *bias = calloc(outputs, sizeof *bias), *scale = malloc(outputs * sizeof *scale);
  for (int i = 0; i < outputs; i++) scale[i] = 1e-4f;
  made.bias = made.subias = bias;
  made.scale = scale;
  const int count = outputs / 8 * (inputs / 4), wanted = (int)(density * count + 0.5);
  int* numbers = malloc((outputs / 8 * (inputs / 4 + 1)) * sizeof *numbers);
  int used = 0, live = 0, seen = 0;
  for (int i = 0; i < outputs / 8; i++) {
    const int place = used++;
    numbers[place] = 0;
    for (int j = 0; j < inputs; j += 4, seen++) {
      if (rand() / (double)RAND_MAX * (count - seen) >= wanted - live) continue;
      numbers[used++] = j;
      numbers[place]++;
      live++;
    }
  }
  made.weights_idx = numbers;
  if (floats) {
    float* weights = malloc(live * 32 * sizeof *weights + 64);
    for (int i = 0; i < live * 32; i++) weights[i] = (rand() % 255 - 127) * 1e-4f;
    made.float_weights = weights;
  } else {
    signed char* weights = malloc(live * 32 + 64);
    for (int i = 0; i < live * 32; i++) weights[i] = rand() % 127 - 63;
    made.weights = weights;
  }
  return made;
}

int main(int count, char** arguments) {
  if (count != 4) return fprintf(stderr, "see the head of rnnoise.c\n"), 2;
  const int units = atoi(arguments[1]), floats = !strcmp(arguments[2], "float32");
  const double density = atof(arguments[3]);
  LinearLayer input = layer(units, 3 * units, density, floats);
  LinearLayer recurrent = layer(units, 3 * units, density, floats);
  float *state = calloc(units, sizeof *state), *x = malloc(units * sizeof *x);
  for (int i = 0; i < units; i++) x[i] = (rand() % 200 - 100) * 0.01f;
  double times[kRepetitions];
  for (int i = 0; i < kRepetitions; i++) {
    const double begin = now();
    for (int c = 0; c < kCalls; c++) compute_generic_gru(&input, &recurrent, state, x, 0);
    times[i] = (now() - begin) / kCalls;
  }
  qsort(times, kRepetitions, sizeof times[0], less);
  printf("%.4f %.4f\n", times[kRepetitions / 2], times[0]);
  return 0;
}
