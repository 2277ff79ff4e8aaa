#include "kernels/scan.h"

#include "kernels/ref/scan.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

// Vectors of at most 16 floats: decays and states of a chunk, sums for B and C, rates and running gradients.
int64_t scan_scratch(int64_t n) { return 64 * (4 * (kScanChunk + 1) * n + 2 * n + n * (kScanChannels / 4) * 2 + 64); }

GAMUT_ROW_KERNEL(scan_forward, ScanForwardFn)
GAMUT_ROW_KERNEL(scan_backward, ScanBackwardFn)

template const Candidates<ScanForwardFn<float>>& scan_forward<float>();
template const Candidates<ScanForwardFn<bf16>>& scan_forward<bf16>();
template const Candidates<ScanForwardFn<double>>& scan_forward<double>();
template const Candidates<ScanBackwardFn<float>>& scan_backward<float>();
template const Candidates<ScanBackwardFn<bf16>>& scan_backward<bf16>();
template const Candidates<ScanBackwardFn<double>>& scan_backward<double>();

}  // namespace gamut::kernels
