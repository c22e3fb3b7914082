/* Measures a frame of each model.ksr, called from C through ksr_model.h: the files take turns.

     steps ROUNDS FRAMES FILE ...

   Prints a line for each file: the microseconds of a frame in each round. */
#define _POSIX_C_SOURCE 200112L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ksr_model.h"

#define LARGEST 4096 /* numbers of a frame */

typedef struct opened {
  const ksr_model* model;
  ksr_stream* stream;
} opened;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void* aligned(size_t size) {
  void* memory;
  if (posix_memalign(&memory, 64, size + 1)) exit(2);
  return memory;
}

static opened open_model(const char* path) {
  opened result;
  ksr_error error;
  size_t size;
  FILE* file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) exit(3);
  size_t bytes = (size_t)ftell(file);
  void* content = aligned(bytes);
  rewind(file);
  if (fread(content, 1, bytes, file) != bytes) exit(3);
  fclose(file);
  if (ksr_model_size(content, bytes, NULL, &size, &error)) exit(4);
  if (ksr_model_prepare(content, bytes, NULL, aligned(size), size, &result.model, &error)) exit(4);
  size = ksr_stream_size(result.model);
  if (ksr_stream_init(result.model, aligned(size), size, &result.stream)) exit(4);
  return result;
}

static double frame(opened one, int frames, const float* x, float* y) {
  const float* inputs[] = {x};
  float* outputs[] = {y};
  double begin = 0;
  for (int i = -frames / 4; i < frames; ++i) { /* the first ones find the caches */
    if (i == 0) begin = now();
    if (ksr_stream_run(one.model, one.stream, inputs, 1, outputs)) exit(5);
  }
  return (now() - begin) / frames;
}

int main(int count, char** arguments) {
  if (count < 4) return 1;
  const int rounds = atoi(arguments[1]), frames = atoi(arguments[2]), files = count - 3;
  static float x[LARGEST], y[LARGEST];
  for (int i = 0; i < LARGEST; ++i) x[i] = 0.1f * (float)(i % 7);
  opened* models = aligned((size_t)files * sizeof(opened));
  double* times = aligned((size_t)files * (size_t)rounds * sizeof(double));
  for (int f = 0; f < files; ++f) models[f] = open_model(arguments[3 + f]);
  for (int r = 0; r < rounds; ++r)
    for (int f = 0; f < files; ++f) times[f * rounds + r] = frame(models[f], frames, x, y);
  for (int f = 0; f < files; ++f)
    for (int r = 0; r < rounds; ++r) printf("%.4f%c", times[f * rounds + r], r + 1 < rounds ? ' ' : '\n');
  return 0;
}
