// What this machine can do at most, measured now: the denominators of every "share of peak".
#pragma once

#include "base/dtype.h"
#include "base/threads.h"

namespace gamut::kernels {

// Multiply-adds of the tier in use on registers alone, all threads at once: FLOP/s, best of several short runs (~50 ms).
// bf16 without bf16 instructions runs as f32.
double measure_peak_flops(ThreadPool& pool, DType dtype);

// Bytes/s read from memory by all threads together, from buffers larger than the caches (~100 ms).
double measure_read_bandwidth(ThreadPool& pool);

}  // namespace gamut::kernels
