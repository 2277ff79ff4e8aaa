#include "kernels/cell.h"

#include "kernels/ref/cell.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(cell_forward, CellForwardFn)
GAMUT_ROW_KERNEL(cell_backward, CellBackwardFn)

template const Candidates<CellForwardFn<float>>& cell_forward<float>();
template const Candidates<CellForwardFn<bf16>>& cell_forward<bf16>();
template const Candidates<CellForwardFn<double>>& cell_forward<double>();
template const Candidates<CellBackwardFn<float>>& cell_backward<float>();
template const Candidates<CellBackwardFn<bf16>>& cell_backward<bf16>();
template const Candidates<CellBackwardFn<double>>& cell_backward<double>();

}  // namespace gamut::kernels
