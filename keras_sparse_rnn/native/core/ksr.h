/* Prepared cells: block-sparse LSTM, GRU, SimpleRNN and Dense, one step at a time, from C.
 *
 * A cell is prepared once from its packed weights, into memory of the caller's; from then on it
 * never changes, and any number of threads may step with it. A state belongs to one stream, and
 * to one thread at a time. Stepping allocates nothing, takes no lock and throws nothing.
 *
 *   ksr_cell_size(&description, &size, &error);
 *   void* memory = aligned_alloc(KSR_ALIGNMENT, size);
 *   ksr_cell_prepare(&description, memory, size, &cell, &error);
 *   void* more = aligned_alloc(KSR_ALIGNMENT, ksr_state_size(cell));
 *   ksr_state_init(cell, more, ksr_state_size(cell), NULL, NULL, &state);
 *   ksr_step(cell, state, x, y);
 *
 * The description and all that it points to may go once the cell is prepared. Nothing needs to be
 * closed: whoever gave the memory frees it.
 *
 * Two things can be kept in read-only memory, flash or a file that is mapped, and used from there:
 *
 *   a file, the same for all processors, from which a cell is prepared:
 *     ksr_file_size(&description, &size, &error);
 *     ksr_file_write(&description, memory, size, &error);    then save `size` bytes of `memory`
 *     ksr_file_read(mapped, size, &description, &error);     then ksr_cell_prepare as above
 *   a cell, for one kind of processor, with which steps are made where it lies:
 *     ksr_cell_prepare(&description, memory, size, &cell, &error);    then save it as it is
 *     ksr_cell_open(mapped, size, &cell, &error);                     then ksr_state_init as above
 *
 * Both are checked once, when they are read or opened, and docs/format.md describes them. */
#ifndef KSR_H_
#define KSR_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) || !defined(__GNUC__)
#define KSR_API
#else
#define KSR_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#define KSR_NOEXCEPT noexcept
#else
#define KSR_NOEXCEPT
#endif

/* Of this interface; ksr_description carries it, so that a library of another one refuses. */
#define KSR_VERSION 1
/* What the memory of cells and states must be aligned to, in bytes; sizes are multiples of it. */
#define KSR_ALIGNMENT 64
/* Of the files that ksr_file_write writes and ksr_file_read reads. */
#define KSR_FILE_VERSION 1

typedef enum ksr_status {
  KSR_OK = 0,
  KSR_NULL,         /* a pointer is null that must not be */
  KSR_BAD_VERSION,  /* the description is of another version of this interface, or a file or a saved
                       cell is of another version or byte order than this library's */
  KSR_BAD_CHOICE,   /* a cell, activation or type of weights that does not exist, or not together */
  KSR_BAD_SIZE,     /* a size is below one, too large, or does not fit another */
  KSR_BAD_BLOCKS,   /* block numbers are out of range or out of order */
  KSR_BAD_VALUE,    /* a weight, scale, bias or range is no finite number, or out of its bounds */
  KSR_BAD_MEMORY,   /* memory is too small or not aligned */
  KSR_BAD_STATE,    /* no state, or one of another cell */
  KSR_BAD_CELL,     /* no prepared cell, or a saved one that is cut short or damaged */
  KSR_NO_PROCESSOR, /* the processor lacks the instruction set that was asked for */
  KSR_NO_MEMORY,    /* malloc failed while preparing */
  KSR_BAD_FILE,     /* no file of a cell, or one that is cut short or damaged */
  KSR_BAD_CHECKSUM, /* a file's or a saved cell's checksum is not that of its bytes */
  KSR_NO_KERNEL     /* this library was built for one model, and lacks what this cell runs */
} ksr_status;

typedef enum ksr_cell_kind {
  KSR_LSTM,             /* gates i, f, c, o, as Keras has them */
  KSR_GRU,              /* gates z, r, h; Keras' default: reset_after=True, two rows of bias */
  KSR_GRU_RESET_BEFORE, /* reset_after=False */
  KSR_SIMPLE_RNN_TANH,
  KSR_SIMPLE_RNN_RELU,
  KSR_DENSE
} ksr_cell_kind;

/* Of a Dense cell; recurrent cells have tanh and sigmoid, and ignore it. */
typedef enum ksr_activation {
  KSR_LINEAR,
  KSR_RELU,
  KSR_TANH,
  KSR_SIGMOID,
  KSR_HARD_SIGMOID, /* Keras 3: min(max(x / 6 + 1/2, 0), 1) */
  KSR_SILU,
  KSR_SOFTMAX
} ksr_activation;

typedef enum ksr_type { KSR_FLOAT32, KSR_BFLOAT16, KSR_INT8 } ksr_type;

/* A kernel [inputs, gates * units] of which only live blocks are kept. Blocks are of
 * [block_rows, block_columns] of one gate's part, and partial ones at the edges. A block's number
 * is (gate * columns + column) * rows + row, where `columns` and `rows` count the blocks of one
 * gate. */
typedef struct ksr_matrix {
  int32_t type; /* ksr_type, of `values` */
  int64_t inputs, units, gates;
  int64_t block_rows, block_columns;
  int64_t live;          /* how many blocks are kept, 0 or more */
  const void* values;    /* [live, block_rows, block_columns] */
  const int32_t* blocks; /* [live], ascending */
  const float* scales;   /* KSR_INT8: [gates, columns, block_columns], a weight is value * scale */
} ksr_matrix;

/* KSR_INT8 activations: inputs and states are rounded to integers from -127 to 127, products are
 * exact in integers, and every processor gives the same bits. The state is rounded to 127ths, for
 * tanh keeps it between -1 and 1 (that of SIMPLE_RNN_RELU by its largest number, step by step).
 * Weights of other types are quantised while preparing, with one scale for each output. int8
 * weights must keep a bound, which ksr_quantize keeps: the sum of two that meet inputs 2k and 2k +
 * 1 is at most 129 in absolute value, where blocks have an even number of rows; else see
 * docs/c_library.md. */
typedef struct ksr_description {
  uint32_t version;      /* KSR_VERSION */
  int32_t cell;          /* ksr_cell_kind */
  int32_t activation;    /* ksr_activation */
  int32_t activations;   /* ksr_type: KSR_FLOAT32 or KSR_INT8 */
  float input_range;     /* KSR_INT8: the largest input in absolute value, larger ones count as it;
                            0: of each step's input anew */
  ksr_matrix kernel;     /* [inputs, gates * units] */
  ksr_matrix recurrent;  /* [units, gates * units]; ignored by Dense */
  const float* bias;     /* [gates * units], KSR_GRU: [2, gates * units]; or null */
  const char* processor; /* an instruction set, one of another machine too: such a cell can be saved
                            and used there, here ksr_state_init refuses it. null: the best that
                            this processor has, or what the environment variable
                            KERAS_SPARSE_RNN_CPU names of it */
} ksr_description;

/* What is wrong, in words, with the numbers. May be left out everywhere (null). */
typedef struct ksr_error {
  int32_t status; /* ksr_status */
  char text[252];
} ksr_error;

typedef struct ksr_cell ksr_cell;
typedef struct ksr_state ksr_state;

/* What has been prepared. */
typedef struct ksr_cell_facts {
  int64_t inputs, units, states; /* states: how many vectors of `units` a state is, 0 to 2 */
  int64_t stored;                /* weights that a step multiplies, padding included */
  int64_t size, state_size;      /* in bytes */
  int32_t activations;           /* ksr_type */
  char processor[28];            /* the instruction set */
} ksr_cell_facts;

KSR_API uint32_t ksr_version(void) KSR_NOEXCEPT;
KSR_API const char* ksr_status_text(int32_t status) KSR_NOEXCEPT;

/* Weights of another type as int8 that keep the bound for int8 activations: `values` [live,
 * block_rows, block_columns] and `scales` [gates, columns, block_columns] of a matrix that is the
 * same in all else. A cell prepared from it gives the bits of one prepared from `matrix`. */
KSR_API ksr_status ksr_quantize(const ksr_matrix* matrix, int8_t* values, float* scales,
                                ksr_error* error) KSR_NOEXCEPT;

/* How many bytes the cell will take. Checks the whole description, as preparing does. */
KSR_API ksr_status ksr_cell_size(const ksr_description* description, size_t* size,
                                 ksr_error* error) KSR_NOEXCEPT;
/* Writes the cell into `memory`, of `size` bytes or more; *cell then is `memory`. */
KSR_API ksr_status ksr_cell_prepare(const ksr_description* description, void* memory, size_t size,
                                    const ksr_cell** cell, ksr_error* error) KSR_NOEXCEPT;
/* A cell that was prepared before, saved as it is, and lies in read-only memory now: `size` bytes
 * or more, of which the cell is the first. Nothing is copied; the memory must stay. Everything is
 * checked, so that a step can read nothing beyond the cell, whatever its bytes are.
 * KSR_NO_PROCESSOR: it was prepared for instructions that this machine lacks. */
KSR_API ksr_status ksr_cell_open(const void* memory, size_t size, const ksr_cell** cell,
                                 ksr_error* error) KSR_NOEXCEPT;
KSR_API ksr_status ksr_cell_describe(const ksr_cell* cell, ksr_cell_facts* facts) KSR_NOEXCEPT;

/* How many bytes the file of a description will have, a multiple of KSR_ALIGNMENT. Checks the whole
 * description. */
KSR_API ksr_status ksr_file_size(const ksr_description* description, size_t* size,
                                 ksr_error* error) KSR_NOEXCEPT;
/* Writes the file into `memory`, of `size` bytes or more, aligned or not. The same description
 * always gives the same bytes. `processor` is not kept. */
KSR_API ksr_status ksr_file_write(const ksr_description* description, void* memory, size_t size,
                                  ksr_error* error) KSR_NOEXCEPT;
/* The description of a file that lies in memory, aligned and read-only: `size` bytes or more, of
 * which the file is the first; ksr_file_size of the description says how many are the file's.
 * Everything is checked, and the description points into the memory. */
KSR_API ksr_status ksr_file_read(const void* memory, size_t size, ksr_description* description,
                                 ksr_error* error) KSR_NOEXCEPT;

/* How many bytes a state of this cell takes; 0 for what is no cell. */
KSR_API size_t ksr_state_size(const ksr_cell* cell) KSR_NOEXCEPT;
/* A state that begins with h and c [units]; null: zeros. c is for the LSTM only. Calling it again
 * on the same memory starts another sequence. */
KSR_API ksr_status ksr_state_init(const ksr_cell* cell, void* memory, size_t size, const float* h,
                                  const float* c, ksr_state** state) KSR_NOEXCEPT;
/* Copies the states out, [units] each; either may be null. c is left alone where there is none. */
KSR_API ksr_status ksr_state_read(const ksr_cell* cell, const ksr_state* state, float* h,
                                  float* c) KSR_NOEXCEPT;
/* Puts h and c [units] into a state that goes on from there; a null one stays as it is. It takes
 * less time than ksr_state_init, which also clears the memory of a step. */
KSR_API ksr_status ksr_state_write(const ksr_cell* cell, ksr_state* state, const float* h,
                                   const float* c) KSR_NOEXCEPT;

/* One step: x [inputs] in, y [units] out, which may not overlap x. While it runs, numbers too
 * small for float32's normal range count as zero and rounding is to nearest, whatever the
 * caller has set; afterwards the caller's settings hold again. (On x86-64, aarch64 and arm with a
 * floating-point unit; elsewhere the caller's settings stay.) */
KSR_API ksr_status ksr_step(const ksr_cell* cell, ksr_state* state, const float* x,
                            float* y) KSR_NOEXCEPT;
/* `steps` steps: x [steps, inputs], y [steps, units]. */
KSR_API ksr_status ksr_run(const ksr_cell* cell, ksr_state* state, const float* x, int64_t steps,
                           float* y) KSR_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif /* KSR_H_ */
