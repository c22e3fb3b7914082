/* What `worker` does, for an exported model: the main.c of its program.
 *
 *   model FRAMES OUTPUTS SECONDS */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "model.h"

enum { FRAMES = 12, WARM = 100 };
static const double STRETCH = 0.002; /* seconds */
static _Alignas(MODEL_ALIGNMENT) unsigned char memory[MODEL_BYTES];
static float x[FRAMES][MODEL_X_WIDTH], y[FRAMES][MODEL_Y_WIDTH];

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A line of the process's status, in bytes; 0 where there is none. */
static long resident(const char* name) {
  FILE* status = fopen("/proc/self/status", "r");
  char line[200];
  long size = 0;
  while (status && fgets(line, sizeof line, status))
    if (!strncmp(line, name, strlen(name))) size = 1024 * strtol(line + strlen(name), NULL, 10);
  if (status) fclose(status);
  return size;
}

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const double turn = atof(arguments[3]);
  FILE* file = fopen(arguments[1], "rb");
  if (!file || fread(x, sizeof x, 1, file) != 1) return 3;
  fclose(file);
  file = fopen("/proc/self/clear_refs", "w"); /* the peak starts from here */
  if (file) {
    fputs("5", file);
    fclose(file);
  }
  const long before = resident("VmRSS:");
  model* m = model_init(memory);
  if (!m) return 4;
  for (int i = 0; i < FRAMES; ++i) model_step(m, x[i], y[i]);
  file = fopen(arguments[2], "wb");
  if (!file || fwrite(y, sizeof y, 1, file) != 1) return 5;
  fclose(file);
  for (int i = 0; i < WARM; ++i) model_step(m, x[0], y[0]);
  printf("{\"peak_bytes\": %ld}\n", resident("VmHWM:") - before);
  fflush(stdout);
  char line[80];
  while (fgets(line, sizeof line, stdin)) {
    double step = 1e9, begin = seconds();
    while (seconds() - begin < turn) { /* the best of short stretches */
      long steps = 0;
      double since = seconds(), now = since;
      for (; now - since < STRETCH; now = seconds(), steps += 8)
        for (int i = 0; i < 8; ++i) model_step(m, x[0], y[0]);
      if ((now - since) / (double)steps < step) step = (now - since) / (double)steps;
    }
    begin = seconds(); /* pages that nobody has touched, as at the start of a program */
    void* again =
        mmap(NULL, MODEL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (again == MAP_FAILED) return 6;
    model_step(model_init(again), x[0], y[0]);
    const double load = seconds() - begin;
    printf("{\"step\": %.5f, \"load\": %.5f}\n", step * 1e6, load * 1e3);
    fflush(stdout);
    munmap(again, MODEL_BYTES);
  }
  return 0;
}
