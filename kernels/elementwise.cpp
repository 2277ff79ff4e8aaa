#include "kernels/elementwise.h"

#include "kernels/ref/elementwise.h"
#include "kernels/simd/kernels.h"

namespace gamut::kernels {

GAMUT_ROW_KERNEL(add, AddFn)
GAMUT_ROW_KERNEL(from_parameter, FromParameterFn)
GAMUT_ROW_KERNEL(to_parameter, ToParameterFn)
GAMUT_ROW_KERNEL(accumulate, AccumulateFn)
GAMUT_ROW_KERNEL(sum_rows, SumRowsFn)
GAMUT_ROW_KERNEL(sum_squares, SumSquaresFn)

template const Candidates<AddFn<float>>& add<float>();
template const Candidates<AddFn<bf16>>& add<bf16>();
template const Candidates<AddFn<double>>& add<double>();
template const Candidates<FromParameterFn<float>>& from_parameter<float>();
template const Candidates<FromParameterFn<bf16>>& from_parameter<bf16>();
template const Candidates<FromParameterFn<double>>& from_parameter<double>();
template const Candidates<ToParameterFn<float>>& to_parameter<float>();
template const Candidates<ToParameterFn<bf16>>& to_parameter<bf16>();
template const Candidates<ToParameterFn<double>>& to_parameter<double>();
template const Candidates<AccumulateFn<float>>& accumulate<float>();
template const Candidates<AccumulateFn<bf16>>& accumulate<bf16>();
template const Candidates<AccumulateFn<double>>& accumulate<double>();
template const Candidates<SumRowsFn<float>>& sum_rows<float>();
template const Candidates<SumRowsFn<bf16>>& sum_rows<bf16>();
template const Candidates<SumRowsFn<double>>& sum_rows<double>();
template const Candidates<SumSquaresFn<float>>& sum_squares<float>();
template const Candidates<SumSquaresFn<double>>& sum_squares<double>();

}  // namespace gamut::kernels
