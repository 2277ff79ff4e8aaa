// What this machine can do at most, measured now: the denominators of every "share of peak".
#pragma once

#include "base/dtype.h"
#include "base/threads.h"

namespace gamut::kernels {

// Multiply-adds of the tier in use on registers alone, all threads at once: FLOP/s, best of several short runs (~50 ms).
// bf16 without bf16 instructions runs as f32.
double measure_peak_flops(ThreadPool& pool, DType dtype);

// Multiply-adds of unsigned with signed bytes into int32 by the best instruction of the tier in use that this processor has, all threads at
// once: operations/s, two each; 0 where the tier has none.
double measure_peak_int8(ThreadPool& pool);

// Bytes/s read from memory by all threads together, from buffers larger than the caches (~100 ms).
double measure_read_bandwidth(ThreadPool& pool);

// Bytes/s, read and written added up, of changing such buffers in place.
double measure_update_bandwidth(ThreadPool& pool);

}  // namespace gamut::kernels
