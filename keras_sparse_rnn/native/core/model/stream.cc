// Streams: nothing here allocates, locks, or checks more than whose memory it is and what tokens
// are.
#include "../float_mode.h"
#include "runner.h"

namespace ksr {
namespace model {
namespace {

ksr_status check_stream(const Header* header, const ksr_stream* handle) {
  const Stream* stream = reinterpret_cast<const Stream*>(handle);
  if (!header) return KSR_BAD_FILE;
  return stream && stream->magic == kStreamMagic && stream->tag == header->checksum
             ? KSR_OK
             : KSR_BAD_STATE;
}

char* bytes_of(ksr_stream* stream) { return reinterpret_cast<char*>(stream); }

}  // namespace
}  // namespace model
}  // namespace ksr

using namespace ksr::model;

extern "C" {

size_t ksr_stream_size(const ksr_model* model) noexcept {
  if (!header_of(model)) return 0;
  const int64_t size = for_parts(View(model), [](bool, int32_t, int64_t) {});
  return size > PTRDIFF_MAX ? 0 : static_cast<size_t>(size);
}

ksr_status ksr_stream_init(const ksr_model* model, void* memory, size_t size,
                           ksr_stream** stream) noexcept {
  if (!header_of(model)) return KSR_BAD_FILE;
  if (!memory || !stream) return KSR_NULL;
  *stream = nullptr;
  const size_t wanted = ksr_stream_size(model);
  if (reinterpret_cast<uintptr_t>(memory) % KSR_ALIGNMENT || size < wanted || !wanted)
    return KSR_BAD_MEMORY;
  const View view(model);
  if (!ksr::prepared::has_processor(view.header.processor)) return KSR_NO_PROCESSOR;
  const ksr_status status = Runner(view, static_cast<char*>(memory)).init();
  if (status == KSR_OK) *stream = static_cast<ksr_stream*>(memory);
  return status;
}

ksr_status ksr_stream_reset(const ksr_model* model, ksr_stream* stream) noexcept {
  const ksr_status status = check_stream(header_of(model), stream);
  return status == KSR_OK ? Runner(View(model), bytes_of(stream)).init() : status;
}

ksr_status ksr_stream_run(const ksr_model* model, ksr_stream* stream, const float* const* inputs,
                          int64_t frames, float* const* outputs) noexcept {
  return ksr_streams_run(model, &stream, 1, inputs, frames, outputs);
}

ksr_status ksr_streams_run(const ksr_model* model, ksr_stream* const* streams, int64_t count,
                           const float* const* inputs, int64_t frames,
                           float* const* outputs) noexcept {
  const Header* header = header_of(model);
  if (!header) return KSR_BAD_FILE;
  if (count < 0 || frames < 0 || (count && frames > INT64_MAX / 64 / count)) return KSR_BAD_SIZE;
  if (!count) return KSR_OK;
  if (!streams || !inputs || !outputs) return KSR_NULL;
  for (int64_t i = 0; i < count; ++i) {
    const ksr_status status = check_stream(header, streams[i]);
    if (status != KSR_OK) return status;
  }
  if (!frames) return KSR_OK;
  for (int32_t i = 0; i < header->inputs; ++i)
    if (!inputs[i]) return KSR_NULL;
  const View view(model);
  const ksr_status status = Runner(view, bytes_of(streams[0])).check_tokens(inputs, count * frames);
  if (status != KSR_OK) return status;
  const ksr::FloatMode mode;
  int64_t i = 0;
  for (; ksr::prepared::kSeveralStepsNeeded && i + kTogether <= count; i += kTogether) {
    const Runner runners[] = {
        {view, bytes_of(streams[i])},
        {view, bytes_of(streams[i + 1])},
        {view, bytes_of(streams[i + 2])},
        {view, bytes_of(streams[i + 3])},
    };
    const ksr_status ran = Runner::run_together(runners, inputs, frames, outputs, i * frames);
    if (ran != KSR_OK) return ran;
  }
  for (; i < count; ++i) {
    const Runner runner(view, bytes_of(streams[i]));
    const ksr_status ran = runner.run(inputs, frames, outputs, i * frames);
    if (ran != KSR_OK) return ran;
  }
  return KSR_OK;
}

}  // extern "C"
