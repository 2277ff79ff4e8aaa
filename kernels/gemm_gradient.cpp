// Weight gradients Aᵀ·B: both operands lie across the summed axis, so both are packed first.
#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>
#include <vector>

#include "kernels/gemm_cuts.h"
#include "kernels/gemm_driver.h"

namespace gamut::kernels {
namespace {

constexpr int kCarrySlot = 5, kPackSlot = 6, kSliceSlot = 7;  // of the pool's scratch

// Weight gradients: C is cut into rectangles, the sum over m into slices, and a slice into stretches (TileKernel::packed_steps) whose packed
// rows of A stay in the second-level cache while one packed block of columns of B after the other sits in the first.
constexpr int64_t kRectangle = 256, kShortestSlice = 1024;
constexpr int64_t kTasksAtLeast = 8, kSlicesAtMost = 32;
constexpr int64_t kSliceBytes = 2 << 20;  // of the sums put aside: slices that leave the caches cost more than they spread

struct SlicePlan {
  const GemmAtB* g;
  int64_t p_parts, q_parts, slices, slice_m;
  int64_t first_task, first_sum;  // of the sums put aside by slices, in bytes
  int partners = 1;               // of the plans that share tasks, this and those behind it
  int64_t rectangle_panels() const { return ceil_div(ceil_div(g->p, kPanel), p_parts); }
};

// Products with the same B (queries, keys and values; gate and up) pack it once: each task computes one rectangle of each of them.
constexpr int kPartners = 4;
constexpr int64_t kSharedRows = 768;  // of their rectangles together, which stay in the second-level cache
bool share(const SlicePlan& a, const SlicePlan& b) {
  return a.g->b == b.g->b && a.g->ldb == b.g->ldb && a.g->m == b.g->m && a.g->q == b.g->q && a.p_parts == b.p_parts && a.q_parts == b.q_parts &&
         a.slices == b.slices && a.slice_m == b.slice_m;
}

// By (m, p, q) alone: the slices decide how sums round.
SlicePlan slice_plan_of(const GemmAtB& g, int64_t sum_bytes) {
  SlicePlan s{.g = &g};
  s.q_parts = ceil_div(g.q, kRectangle);
  s.p_parts = ceil_div(g.p, 2 * kRectangle);  // taller ones pack B less often
  if (s.p_parts * s.q_parts < kTasksAtLeast) s.p_parts = ceil_div(g.p, kRectangle);
  const int64_t wanted = ceil_div(kSlicesAtMost, s.p_parts * s.q_parts), fit = kSliceBytes / (g.p * g.q * sum_bytes);
  s.slices = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(std::min({wanted, fit, g.m / kShortestSlice}), 1, kSlicesAtMost))));
  if (s.slices == 1 && s.p_parts * s.q_parts > 1 && s.p_parts * s.q_parts % 2 == 1) ++s.p_parts;  // so that two threads end together
  s.slice_m = std::max<int64_t>(32, round_up(ceil_div(g.m, s.slices), 32));                       // an empty sum is one slice of zeros
  s.slices = std::max<int64_t>(1, ceil_div(g.m, s.slice_m));
  return s;
}

// `columns` columns of k rows, `row_bytes` apart, as panels one behind the other, by pack_rows or pack_panel.
void pack_panels(const TileKernel& kernel, decltype(TileKernel::pack_panel) pack, const std::byte* from, int64_t row_bytes, int64_t k, int64_t columns,
                 std::byte* out, int64_t panel_bytes, int64_t steps) {
  const int64_t twos = kernel.pack_panels && pack == kernel.pack_panel ? columns / (2 * kPanel) : 0;
  if (twos > 0) kernel.pack_panels(from, row_bytes, k, twos, out, panel_bytes, steps);
  out += 2 * twos * panel_bytes;
  for (int64_t i = 2 * kPanel * twos; i < columns; i += kPanel, out += panel_bytes)
    pack(from + i * kernel.element_bytes, row_bytes, k, static_cast<int>(std::min<int64_t>(kPanel, columns - i)), out, steps);
}

// One slice of one rectangle of the plan and of its partners.
void run_slice(const SlicePlan* plans, int64_t task, std::byte* aside, const TileKernel& kernel, ThreadPool& pool, int thread) {
  const SlicePlan& s = *plans;
  const GemmAtB& g = *s.g;
  const int64_t slice = task / (s.p_parts * s.q_parts), rectangle = task % (s.p_parts * s.q_parts);
  const Range columns = part(ceil_div(g.q, kPanel), s.q_parts, rectangle % s.q_parts);
  const int64_t m0 = slice * s.slice_m, m1 = std::min(g.m, m0 + s.slice_m);
  const int64_t least = std::max<int64_t>(1, ceil_div(m1 - m0, kernel.packed_steps * kernel.step_k));
  const int64_t stretch = std::max<int64_t>(1, round_up(ceil_div(m1 - m0, least), kernel.step_multiple * kernel.step_k));
  const int64_t stretches = std::max<int64_t>(1, ceil_div(m1 - m0, stretch)), width = columns.end - columns.begin;

  struct Part {  // what one of the products contributes: rows of C, and the columns of A that make them
    const std::byte* a;
    int64_t a_row, valid, lines;  // rows of C; lines of memory in a row of A
    std::byte* c;
    int64_t c_row;
    bool accumulate;
    std::byte *packed, *carry;
  } parts[kPartners];
  int64_t height = 0, lines = 0;  // together; height in panels
  for (int i = 0; i < s.partners; ++i) {
    const GemmAtB& h = *plans[i].g;
    const Range rows = part(ceil_div(h.p, kPanel), s.p_parts, rectangle / s.q_parts);
    const int64_t p0 = rows.begin * kPanel, valid = std::min(rows.end * kPanel, h.p) - p0, c_row = (s.slices > 1 ? h.q : h.ldc) * kernel.sum_bytes;
    std::byte* c = s.slices > 1 ? aside + plans[i].first_sum + slice * h.p * h.q * kernel.sum_bytes : static_cast<std::byte*>(h.c);
    parts[i] = {static_cast<const std::byte*>(h.a) + p0 * kernel.element_bytes,
                h.lda * kernel.element_bytes,
                valid,
                ceil_div(valid * kernel.element_bytes, 64),
                c + p0 * c_row,
                c_row,
                s.slices == 1 && h.accumulate,
                nullptr,
                nullptr};
    height += rows.end - rows.begin;
    lines += parts[i].lines;
  }
  // Packed panels of A lie a line apart, or a row's parts would all go to one set of a cache; where a block spans two panels they cannot.
  const int64_t apart = kernel.packed_rows > kPanel ? 0 : 64;
  const int64_t most_a = kernel.packed_steps * kPanel * kernel.a_step_bytes + apart, most_b = kernel.packed_steps * kernel.b_step_bytes;
  std::byte* a_packed = pool.scratch(thread, static_cast<size_t>(height * most_a + kernel.packed_panels * most_b), kPackSlot);
  std::byte* b_packed = a_packed + height * most_a;
  std::byte* carry = stretches > 1 ? pool.scratch(thread, static_cast<size_t>(height * width * kPanel * kPanel * kernel.sum_bytes), kCarrySlot) : nullptr;
  for (Part* h = parts; h < parts + s.partners; ++h) {
    h->packed = a_packed;
    h->carry = carry;
    a_packed += ceil_div(h->valid, kPanel) * most_a;
    if (carry) carry += ceil_div(h->valid, kPanel) * kPanel * width * kPanel * kernel.sum_bytes;
  }
  const int64_t b_row = g.ldb * kernel.element_bytes;
  const auto b_from = [&](int64_t m, int64_t j) {
    return static_cast<const std::byte*>(g.b) + m * b_row + (columns.begin + j) * kPanel * kernel.element_bytes;
  };

  for (int64_t x = 0; x < stretches; ++x) {
    const int64_t from = m0 + x * stretch, k = std::max<int64_t>(0, std::min(stretch, m1 - from));
    const int64_t steps = round_up(ceil_div(k, kernel.step_k), kernel.step_multiple);
    const int64_t a_panel = steps * kPanel * kernel.a_step_bytes + apart, b_panel = steps * kernel.b_step_bytes;
    const int64_t row_stride = kernel.packed_row_stride(steps);
    // Packing reads across rows, which no prefetcher of a processor foresees: each block fetches a piece of a column of the next stretch's lines.
    const int64_t next = std::clamp<int64_t>(m1 - from - stretch, 0, stretch), piece = std::max<int64_t>(1, steps / kAheadEvery), pieces = next / piece;
    const int64_t all_lines = lines + ceil_div(width * kPanel * kernel.element_bytes, 64);
    int64_t fetched = 0;  // of lines × pieces
    const auto fetch_next = [&](TileSegment& segment) {
      if (fetched >= all_lines * pieces) return;
      int64_t line = fetched / pieces;
      const int64_t row = from + stretch + fetched++ % pieces * piece;
      for (const Part* h = parts; h < parts + s.partners; line -= h++->lines)
        if (line < h->lines) {
          segment.ahead = h->a + row * h->a_row + line * 64;
          segment.ahead_stride = h->a_row;
          return;
        }
      segment.ahead = b_from(row, 0) + line * 64;
      segment.ahead_stride = b_row;
    };
    for (const Part* h = parts; h < parts + s.partners; ++h)
      pack_panels(kernel, kernel.pack_rows, h->a + from * h->a_row, h->a_row, k, h->valid, h->packed, a_panel, steps);
    for (int64_t j = 0; j < width; j += kernel.packed_panels) {
      const int64_t wide = std::min<int64_t>(kernel.packed_panels, width - j), q0 = (columns.begin + j) * kPanel;
      pack_panels(kernel, kernel.pack_panel, b_from(from, j), b_row, k, std::min(g.q - q0, wide * kPanel), b_packed, b_panel, steps);
      for (const Part* h = parts; h < parts + s.partners; ++h)
        for (int64_t r = 0; r < h->valid; r += kernel.packed_rows) {
          const int block_rows = static_cast<int>(std::min<int64_t>(kernel.packed_rows, h->valid - r));
          for (int64_t i = 0; i < wide;) {
            int panels = kernel.packed_panels;
            while (panels > wide - i) panels /= 2;
            TileSegment segment{.a = h->packed + r / kPanel * a_panel + r % kPanel * row_stride,
                                .row_stride = row_stride,
                                .step_stride = kernel.packed_step_stride(steps),
                                .b = b_packed + i * b_panel,
                                .panel_stride = b_panel,
                                .steps = steps};
            fetch_next(segment);
            std::byte* sums = h->carry ? h->carry + (h->valid * j + r * wide + i * block_rows) * kPanel * kernel.sum_bytes : nullptr;  // in the order of blocks
            const TileOutput out{.c = h->c + r * h->c_row + (q0 + i * kPanel) * kernel.sum_bytes,
                                 .row_bytes = h->c_row,
                                 .rows = block_rows,
                                 .columns = std::min<int64_t>(g.q - q0 - i * kPanel, panels * kPanel),
                                 .accumulate = h->accumulate,
                                 .carry_in = x > 0 ? sums : nullptr,
                                 .carry_out = x + 1 < stretches ? sums : nullptr};
            kernel.packed_block(block_rows, panels)(&segment, 1, out);
            i += panels;
          }
        }
    }
  }
}

// C (+)= slice 0 + slice 1 + …, one row of C; the sums gather in slice 0.
template <class Sum> void add_slices(const SlicePlan& s, int64_t row, std::byte* aside) {
  const GemmAtB& g = *s.g;
  const auto add = [n = g.q](Sum* __restrict__ to, const Sum* __restrict__ from) {
    for (int64_t q = 0; q < n; ++q) to[q] += from[q];
  };
  Sum* c = static_cast<Sum*>(g.c) + row * g.ldc;
  Sum* sums = reinterpret_cast<Sum*>(aside + s.first_sum) + row * g.q;
  for (int64_t i = 1; i < s.slices; ++i) add(sums, sums + i * g.p * g.q);
  if (g.accumulate)
    add(c, sums);
  else
    std::copy_n(sums, g.q, c);
}

}  // namespace

void gemm_at_b_tiled(ThreadPool& pool, std::span<const GemmAtB> problems, const TileKernel& kernel) {
  std::vector<SlicePlan> plans, sliced;
  plans.reserve(problems.size());
  for (const GemmAtB& g : problems) {
    if (g.p <= 0 || g.q <= 0) continue;
    assert(g.dtype == problems[0].dtype);
    plans.push_back(slice_plan_of(g, kernel.sum_bytes));
  }
  std::stable_sort(plans.begin(), plans.end(), [](const SlicePlan& x, const SlicePlan& y) { return std::pair(x.g->b, x.g->m) < std::pair(y.g->b, y.g->m); });
  std::vector<const SlicePlan*> leaders;
  int64_t tasks = 0, sum_bytes = 0, rows = 0;
  for (size_t i = 0; i < plans.size();) {
    SlicePlan& s = plans[i];
    int64_t panels = s.rectangle_panels();
    while (s.partners < kPartners && i + static_cast<size_t>(s.partners) < plans.size() && share(s, plans[i + static_cast<size_t>(s.partners)]) &&
           (panels += plans[i + static_cast<size_t>(s.partners)].rectangle_panels()) * kPanel <= kSharedRows)
      ++s.partners;
    leaders.push_back(&s);
    s.first_task = tasks;
    tasks += s.slices * s.p_parts * s.q_parts;
    for (const size_t end = i + static_cast<size_t>(s.partners); i < end; ++i) {
      const GemmAtB& g = *plans[i].g;
      plans[i].first_sum = sum_bytes;
      if (s.slices == 1) continue;
      sum_bytes += round_up(s.slices * g.p * g.q * kernel.sum_bytes, 64);
      sliced.push_back(plans[i]);
      sliced.back().first_task = rows;
      rows += g.p;
    }
  }
  std::byte* aside = pool.scratch(0, static_cast<size_t>(sum_bytes), kSliceSlot);
  pool.parallel_for(tasks, [&](int64_t task, int thread) {
    const SlicePlan* s = *(std::upper_bound(leaders.begin(), leaders.end(), task, [](int64_t t, const SlicePlan* p) { return t < p->first_task; }) - 1);
    run_slice(s, task - s->first_task, aside, kernel, pool, thread);
  });
  pool.parallel_for(rows, [&](int64_t row, int) {
    const SlicePlan& s = plan_with(sliced, row);
    if (kernel.sum_bytes == 8) {
      add_slices<double>(s, row - s.first_task, aside);
    } else {
      add_slices<float>(s, row - s.first_task, aside);
    }
  });
}

}  // namespace gamut::kernels
