/* ksr.h and ksr_model.h are C11, and libksr.a needs nothing of C++ to link: an echo of one number
 * through a Dense cell. */
#include <ksr.h>
#include <ksr_model.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  const float weight = 0.5f, x = 3.0f, bias = 0.25f;
  const int32_t block = 0;
  ksr_description description = {
      .version = KSR_VERSION, .cell = KSR_DENSE, .activation = KSR_TANH, .bias = &bias};
  description.kernel = (ksr_matrix){KSR_FLOAT32, 1, 1, 1, 1, 1, 1, &weight, &block, NULL};
  ksr_error error;
  size_t size = 0;
  const ksr_cell* cell = NULL;
  ksr_state* state = NULL;
  float y = 0.0f;
  if (ksr_cell_size(&description, &size, &error)) return puts(error.text), 1;
  void* memory = aligned_alloc(KSR_ALIGNMENT, size);
  if (ksr_cell_prepare(&description, memory, size, &cell, &error)) return puts(error.text), 1;
  void* more = aligned_alloc(KSR_ALIGNMENT, ksr_state_size(cell));
  if (ksr_state_init(cell, more, ksr_state_size(cell), NULL, NULL, &state)) return 1;
  if (ksr_step(cell, state, &x, &y)) return 1;
  /* The same cell from a file, and opened where it lies. */
  ksr_description again;
  if (ksr_file_size(&description, &size, &error)) return puts(error.text), 1;
  void* file = aligned_alloc(KSR_ALIGNMENT, size);
  if (ksr_file_write(&description, file, size, &error)) return puts(error.text), 1;
  if (ksr_file_read(file, size, &again, &error)) return puts(error.text), 1;
  if (again.kernel.inputs != 1 || *again.bias != bias) return 1;
  free(file);
  ksr_cell_facts facts;
  if (ksr_cell_describe(cell, &facts)) return 1;
  if (ksr_cell_open(memory, (size_t)facts.size, &cell, &error)) return puts(error.text), 1;
  const ksr_model* model = NULL;
  if (ksr_model_open(memory, (size_t)facts.size, &model, &error) != KSR_BAD_FILE) return 1;
  printf("tanh(%g * %g + %g) = %.9g\n", weight, x, bias, y);
  free(memory);
  free(more);
  return fabsf(y - 0.941375554f) > 2e-7f;
}
