#include "ops/reduce.h"

#include <algorithm>
#include <array>

#include "kernels/elementwise.h"

namespace gamut::ops {

void for_row_blocks(Tape& tape, int64_t rows, const std::function<void(int64_t, int64_t, int)>& run) {
  tape.pool().parallel_for(row_blocks(rows), [&](int64_t block, int thread) {
    const int64_t first = block * kRowBlock;
    run(first, std::min(kRowBlock, rows - first), thread);
  });
}

template <class P>
void sum_over_rows(Tape& tape, int64_t rows, std::span<const Tensor> into, std::function<void(int64_t, int64_t, P* const*)> partial) {
  // At most 64 partial sums, whatever the number of rows: their number depends on the shape alone.
  const int64_t groups = std::min<int64_t>(64, row_blocks(rows)), per_group = groups ? (row_blocks(rows) + groups - 1) / groups * kRowBlock : 0;
  std::array<Tensor, 4> sums;
  for (size_t i = 0; i < into.size(); ++i) sums[i] = tape.zeros({std::max<int64_t>(groups, 1), into[i].elements()}, DTypeOf<P>::value);
  if (!tape.runs()) return;
  tape.pool().parallel_for(groups, [&](int64_t group, int) {
    const int64_t first = group * per_group, count = std::min(per_group, rows - first);
    std::array<P*, 4> rows_out{};
    for (size_t i = 0; i < into.size(); ++i) rows_out[i] = sums[i].template data<P>() + group * into[i].elements();
    if (count > 0) partial(first, count, rows_out.data());
  });
  for (size_t i = 0; i < into.size(); ++i) {
    P* out = into[i].template data<P>();
    const int64_t width = into[i].elements();
    for (int64_t group = 0; group < groups; ++group) {
      const P* row = sums[i].template data<P>() + group * width;
      for (int64_t c = 0; c < width; ++c) out[c] += row[c];
    }
  }
}
template void sum_over_rows<float>(Tape&, int64_t, std::span<const Tensor>, std::function<void(int64_t, int64_t, float* const*)>);
template void sum_over_rows<double>(Tape&, int64_t, std::span<const Tensor>, std::function<void(int64_t, int64_t, double* const*)>);

void add_column_sums(Tape& tape, const Tensor& x, const Tensor& into, int64_t rows) {
  with_float_type(x.dtype(), [&]<class T>() {
    using P = accumulator<T>;
    const int64_t width = x.width();
    sum_over_rows<P>(tape, rows < 0 ? x.rows() : rows, std::span(&into, 1), [&](int64_t first, int64_t count, P* const* sum) {
      const auto add = kernels::accumulate<T>().best().fn;
      for (int64_t r = first; r < first + count; ++r) add(width, x.data<T>() + r * width, sum[0]);
    });
  });
}

}  // namespace gamut::ops
