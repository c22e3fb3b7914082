/* Whole models, frame by frame, from C: chains and graphs of the cells of ksr.h, embeddings,
 * causal convolutions, scales and offsets, activations.
 *
 * A file `model.ksr`, which `keras_sparse_rnn` writes, is the same for all processors. It is
 * prepared once, into memory of the caller's; the model then never changes, and any number of
 * threads may run it. A stream belongs to one sequence, and to one thread at a time. Running
 * allocates nothing, takes no lock and throws nothing.
 *
 *   ksr_model_size(file, bytes, NULL, &size, &error);
 *   void* memory = aligned_alloc(KSR_ALIGNMENT, size);
 *   ksr_model_prepare(file, bytes, NULL, memory, size, &model, &error);
 *   void* more = aligned_alloc(KSR_ALIGNMENT, ksr_stream_size(model));
 *   ksr_stream_init(model, more, ksr_stream_size(model), &stream);
 *   const float* inputs[] = {x};
 *   float* outputs[] = {y};
 *   ksr_stream_run(model, stream, inputs, 1, outputs);
 *
 * A prepared model may be saved as it is, put into flash or mapped, and opened where it lies, with
 * ksr_model_open, on machines that have the instruction set that it was prepared for. Nothing needs
 * to be closed: whoever gave the memory frees it. docs/format.md describes the file. */
#ifndef KSR_MODEL_H_
#define KSR_MODEL_H_

#include "ksr.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the files that this library reads. */
#define KSR_MODEL_VERSION 1

typedef struct ksr_model ksr_model;
typedef struct ksr_stream ksr_stream;

/* Which kernels a model runs: bits by number. A library that has only these runs it. */
typedef struct ksr_needs {
  uint32_t tiles[4]; /* for float32, bfloat16 and int8 weights, and int8 times int8 */
  uint32_t cells[2], activations[2]; /* ksr_cell_kind, ksr_activation; exact, and with integers */
} ksr_needs;

typedef struct ksr_model_facts {
  int64_t size, stream_size; /* in bytes */
  int32_t inputs, outputs;
  const char* notes; /* JSON in UTF-8, not ended by a zero: what the file's writer had to say */
  int64_t notes_size;
  ksr_needs needs;
  char processor[28]; /* the instruction set that it is prepared for */
} ksr_model_facts;

/* An input or an output. Frames are float32 [width], those of tokens too, which are whole numbers
 * from 0 to `tokens` - 1; 0: they are no tokens. */
typedef struct ksr_port {
  const char* name;
  int64_t width, tokens;
  int32_t last; /* of an output: whether the model in Keras gives the last frame's only */
} ksr_port;

/* How many bytes the prepared model will take. Checks the whole file: `bytes` bytes or more,
 * aligned and read-only. `processor`: as in ksr_description. */
KSR_API ksr_status ksr_model_size(const void* file, size_t bytes, const char* processor,
                                  size_t* size, ksr_error* error) KSR_NOEXCEPT;
/* Writes the model into `memory`, of `size` bytes or more; *model then is `memory`, and the file
 * may go. */
KSR_API ksr_status ksr_model_prepare(const void* file, size_t bytes, const char* processor,
                                     void* memory, size_t size, const ksr_model** model,
                                     ksr_error* error) KSR_NOEXCEPT;
/* A model that was prepared before, saved as it is, and lies in read-only memory now. Nothing is
 * copied; the memory must stay. Everything that a run goes by is checked. */
KSR_API ksr_status ksr_model_open(const void* memory, size_t size, const ksr_model** model,
                                  ksr_error* error) KSR_NOEXCEPT;
/* What `notes` and names point to lies in the model. */
KSR_API ksr_status ksr_model_describe(const ksr_model* model,
                                      ksr_model_facts* facts) KSR_NOEXCEPT;
KSR_API ksr_status ksr_model_input(const ksr_model* model, int32_t number,
                                   ksr_port* port) KSR_NOEXCEPT;
KSR_API ksr_status ksr_model_output(const ksr_model* model, int32_t number,
                                    ksr_port* port) KSR_NOEXCEPT;

/* How many bytes a stream of this model takes; 0 for what is no model, and for more than a machine
 * of 32 bits can address. */
KSR_API size_t ksr_stream_size(const ksr_model* model) KSR_NOEXCEPT;
/* A stream at its begin. */
KSR_API ksr_status ksr_stream_init(const ksr_model* model, void* memory, size_t size,
                                   ksr_stream** stream) KSR_NOEXCEPT;
/* Back to its begin. */
KSR_API ksr_status ksr_stream_reset(const ksr_model* model, ksr_stream* stream) KSR_NOEXCEPT;
/* `frames` frames: inputs[i] [frames, width of input i], outputs[i] [frames, width of output i] or
 * null. A token that is none: KSR_BAD_VALUE, and the stream is as it was. Other numbers may be
 * anything; NaN goes where it goes in Keras, but see docs/c_library.md. */
KSR_API ksr_status ksr_stream_run(const ksr_model* model, ksr_stream* stream,
                                  const float* const* inputs, int64_t frames,
                                  float* const* outputs) KSR_NOEXCEPT;
/* The same for `count` streams whose frames came together: inputs[i] [count, frames, width]. A few
 * streams at a time share each weight; each gives the bits that it gives alone. No stream may be
 * there twice. */
KSR_API ksr_status ksr_streams_run(const ksr_model* model, ksr_stream* const* streams,
                                   int64_t count, const float* const* inputs, int64_t frames,
                                   float* const* outputs) KSR_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif /* KSR_MODEL_H_ */
