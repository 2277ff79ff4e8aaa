#include "kernels/gemm_driver.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>
#include <vector>

namespace gamut::kernels {
namespace {

constexpr int kStageSlot = 4, kCarrySlot = 5, kPackSlot = 6, kSliceSlot = 7;  // of the pool's scratch

// A task should be long beside the cost of handing it out (about 1 µs) and short beside the whole, so that threads end together.
constexpr double kSmallestTask = 0.5e6;  // FLOP
constexpr int kTasksWanted = 32;
constexpr int64_t kRowsOfReading = 16;  // with fewer, reading B decides
// Bytes of packed B that one task walks through again and again: half of a 1 MiB L2.
constexpr int64_t kCachedB = 400 << 10;
// Rows of A that lie a multiple of this many bytes apart fall on so few sets of a first-level cache that a block evicts its own lines.
constexpr int64_t kConflictingStride = 4096;
constexpr int64_t kStagedColumns = 256;  // fewer do not repay the copy

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Part i of n in `parts` nearly equal parts.
struct Range {
  int64_t begin, end;
};
Range part(int64_t n, int64_t parts, int64_t i) { return {n * i / parts, n * (i + 1) / parts}; }

// The same, cut at multiples of `unit`.
Range part_of(int64_t n, int64_t unit, int64_t parts, int64_t i) {
  const Range units = part(ceil_div(n, unit), parts, i);
  return {std::min(n, units.begin * unit), std::min(n, units.end * unit)};
}

// One stretch of one term: steps [begin, begin + steps) of term `term`.
struct Stretch {
  int term;
  int64_t begin, steps;
};

constexpr int kStretches = 8;  // of a pass at most: every term in place and its rest

struct Plan {
  const Gemm* g;
  int64_t steps[4];                // of each term, padded
  int64_t in_place[4];             // of these, the first, which need no copy
  int panels;                      // of a block
  int rows;                        // most of a block
  int64_t row_parts, column_parts, first_task;
  int64_t passes, pass_steps;      // the summed axis in passes of at most pass_steps
};

Plan plan_of(const Gemm& g, const TileKernel& kernel, double task_flops) {
  Plan p{.g = &g};
  int64_t total_steps = 0, depth = 0;
  for (int t = 0; t < g.term_count; ++t) {
    depth += g.terms[t].b.k;
    p.steps[t] = round_up(ceil_div(g.terms[t].b.k, kernel.step_k), kernel.step_multiple);
    total_steps += p.steps[t];
  }
  // Few rows take wider blocks: enough independent sums to hide the latency of the multiply-add.
  p.panels = kernel.panels;
  for (const int wide : {4, 8})
    if (wide > p.panels && g.m <= kernel.rows_for(wide) && ceil_div(g.n, kPanel) >= wide) p.panels = wide;
  p.rows = kernel.rows_for(p.panels);

  // One block of rows reads B once, in one straight line.
  p.passes = g.m > p.rows ? std::max<int64_t>(1, ceil_div(total_steps, kernel.pass_steps)) : 1;
  p.pass_steps = round_up(ceil_div(total_steps, p.passes), kernel.step_multiple);

  // A task's columns of B, as far as one pass walks through them, stay in a cache, and a row of A meets as many as do. With several passes
  // B is read again by every task: of all ways to cut into enough tasks the one that reads least, A once for every part of the columns, B
  // once for every part of the rows. (With one pass narrow tasks lose more: threads that write beside each other disturb each other.)
  const int64_t columns = round_up(std::max<int64_t>(g.n, 1), kPanel), width = p.panels * kPanel, groups = ceil_div(columns, width);
  const int64_t fit = std::max<int64_t>(1, kCachedB / std::max<int64_t>(1, p.pass_steps * kernel.b_step_bytes / kPanel) / width);  // groups
  const int64_t most_rows = ceil_div(g.m, p.rows);
  const double flops = 2.0 * static_cast<double>(depth) * static_cast<double>(columns) * static_cast<double>(std::max<int64_t>(g.m, kRowsOfReading));
  const auto tasks = std::max<int64_t>(1, static_cast<int64_t>(flops / task_flops));
  const int64_t fewest = ceil_div(groups, fit), most = p.passes == 1 && fewest * most_rows >= tasks ? fewest : std::min(groups, std::max(tasks, fewest));
  std::pair<int64_t, int64_t> best{};  // tasks too few, numbers read
  for (int64_t parts = fewest; parts <= most; ++parts) {
    int64_t row_parts = std::clamp<int64_t>(ceil_div(tasks, parts), 1, most_rows);
    if (row_parts > 1) row_parts = round_up(row_parts, parts % 4 == 0 ? 1 : parts % 2 == 0 ? 2 : 4);  // so that few threads end together
    const std::pair<int64_t, int64_t> cost{std::max<int64_t>(0, tasks - parts * row_parts), g.m * parts + columns * row_parts};
    if (parts > fewest && cost >= best) continue;
    best = cost;
    p.column_parts = parts;
    p.row_parts = row_parts;
  }

  for (int t = 0; t < g.term_count; ++t) {
    const bool conflicts = g.terms[t].lda * kernel.element_bytes % kConflictingStride == 0 && g.m > 1 && columns / p.column_parts >= kStagedColumns;
    const int64_t unit = static_cast<int64_t>(kernel.step_k) * kernel.step_multiple;
    p.in_place[t] = kernel.in_place && !conflicts ? g.terms[t].b.k / unit * kernel.step_multiple : 0;
  }
  return p;
}

// Rows [begin, end) of one stretch of A, wanted in the first-level cache soon: the processor does not foresee the next block's.
void fetch_rows(const std::byte* a, int64_t row_bytes, int64_t bytes, Range rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r)
    for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(a + r * row_bytes + b);
}

// Computes one task's block of C.
void run_task(const Plan& p, int64_t task, const TileKernel& kernel, ThreadPool& pool, int thread) {
  const Gemm& g = *p.g;
  // Neighbouring tasks share their columns of B.
  const Range rows = part_of(g.m, kernel.row_multiple, p.row_parts, task % p.row_parts);
  const int64_t groups = ceil_div(g.n, p.panels * kPanel);
  const Range columns = part(groups, p.column_parts, task / p.row_parts);
  const int64_t blocks = ceil_div(rows.end - rows.begin, p.rows);
  const int64_t c_bytes = g.c_dtype == DType::bf16 ? 2 : kernel.sum_bytes;
  const int64_t carry_tile = p.rows * p.panels * kPanel * kernel.sum_bytes;
  const int64_t staged_row = p.pass_steps * kernel.a_step_bytes + 64;  // off a power of two: rows must not share cache sets
  std::byte* staged = pool.scratch(thread, static_cast<size_t>(staged_row * p.rows + kStretches * 64), kStageSlot);
  std::byte* carry = p.passes > 1 ? pool.scratch(thread, static_cast<size_t>(carry_tile * blocks * (columns.end - columns.begin)), kCarrySlot)
                                  : nullptr;

  int term = 0;
  int64_t at = 0;  // step within the term
  for (int64_t pass = 0; pass < p.passes; ++pass) {
    Stretch stretches[kStretches];
    int count = 0;
    for (int64_t left = p.pass_steps; left > 0 && term < g.term_count;) {
      const int64_t take = std::min(left, (at < p.in_place[term] ? p.in_place[term] : p.steps[term]) - at);
      if (take > 0) stretches[count++] = {term, at, take};
      at += take;
      left -= take;
      if (at == p.steps[term]) ++term, at = 0;
    }
    const auto block_rows = [&](int64_t i) {
      const Range inner = part_of(rows.end - rows.begin, kernel.row_multiple, blocks, i);
      return Range{rows.begin + inner.begin, rows.begin + inner.end};
    };
    for (int64_t i = 0; i < blocks; ++i) {
      const Range block = block_rows(i), next = i + 1 < blocks ? block_rows(i + 1) : Range{block.end, block.end};
      const int height = static_cast<int>(block.end - block.begin);
      TileSegment segments[kStretches] = {};
      std::byte* stage_at = staged;
      for (int s = 0; s < count; ++s) {
        const auto [t, begin, steps] = stretches[s];
        const int64_t k = g.terms[t].b.k, k0 = begin * kernel.step_k;
        const int64_t row_bytes = g.terms[t].lda * kernel.element_bytes;
        const std::byte* a = static_cast<const std::byte*>(g.terms[t].a) + block.begin * row_bytes + k0 * kernel.element_bytes;
        TileSegment& segment = segments[s];
        segment.steps = steps;
        segment.step_stride = kernel.a_step_bytes;
        segment.panel_stride = packed_bytes(g.terms[t].b.dtype, k, kPanel);
        if (begin < p.in_place[t]) {
          segment.a = a;
          segment.row_stride = row_bytes;
        } else {
          const int64_t bytes = steps * kernel.a_step_bytes;
          for (int r = 0; r < height; ++r)
            kernel.stage(a + r * row_bytes, std::min(k - k0, steps * kernel.step_k), stage_at + r * staged_row, steps);
          segment.a = stage_at;
          segment.row_stride = staged_row;
          stage_at += bytes;
        }
      }
      for (int64_t j = columns.begin; j < columns.end; ++j) {
        const Range soon = part(next.end - next.begin, columns.end - columns.begin, j - columns.begin);
        for (int s = 0; s < count; ++s) {
          const auto [t, begin, steps] = stretches[s];
          const int64_t k0 = begin * kernel.step_k, k = std::min(g.terms[t].b.k - k0, steps * kernel.step_k), row_bytes = g.terms[t].lda * kernel.element_bytes;
          fetch_rows(static_cast<const std::byte*>(g.terms[t].a) + k0 * kernel.element_bytes, row_bytes, k * kernel.element_bytes, {next.begin + soon.begin, next.begin + soon.end});
        }
        std::byte* sums = carry ? carry + (i * (columns.end - columns.begin) + j - columns.begin) * carry_tile : nullptr;
        const int64_t last = std::min((j + 1) * p.panels, ceil_div(g.n, kPanel));
        for (int64_t panel = j * p.panels; panel < last;) {
          int panels = p.panels;
          while (panels > last - panel) panels /= 2;  // the last columns may need narrower blocks
          for (int s = 0; s < count; ++s)
            segments[s].b = g.terms[stretches[s].term].b.data + panel * segments[s].panel_stride + stretches[s].begin * kernel.b_step_bytes;
          const int64_t n0 = panel * kPanel;
          const TileOutput out{.c = static_cast<std::byte*>(g.c) + (block.begin * g.ldc + n0) * c_bytes,
                               .row_bytes = g.ldc * c_bytes,
                               .rows = height,
                               .columns = std::min<int64_t>(g.n - n0, panels * kPanel),
                               .bias = g.bias_N ? static_cast<const std::byte*>(g.bias_N) + n0 * kernel.sum_bytes : nullptr,
                               .half = g.c_dtype == DType::bf16,
                               .accumulate = g.accumulate,
                               .carry_in = pass > 0 ? sums : nullptr,
                               .carry_out = pass + 1 < p.passes ? sums : nullptr};
          kernel.block(height, panels)(segments, count, out);
          if (sums) sums += p.rows * panels * kPanel * kernel.sum_bytes;
          panel += panels;
        }
      }
    }
  }
}

// Weight gradients: C is cut into rectangles, the sum over m into slices, and a slice into stretches (TileKernel::packed_steps) whose packed
// rows of A stay in the second-level cache while one packed block of columns of B after the other sits in the first.
constexpr int64_t kRectangle = 256, kShortestSlice = 1024;
constexpr int64_t kTasksAtLeast = 8, kSlicesAtMost = 32;
constexpr int64_t kSliceBytes = 2 << 20;  // of the sums put aside: slices that leave the caches cost more than they spread

struct SlicePlan {
  const GemmAtB* g;
  int64_t p_parts, q_parts, slices, slice_m;
  int64_t first_task, first_sum;   // of the sums put aside by slices, in bytes
};

// By (m, p, q) alone: the slices decide how sums round.
SlicePlan slice_plan_of(const GemmAtB& g, int64_t sum_bytes) {
  SlicePlan s{.g = &g};
  s.q_parts = ceil_div(g.q, kRectangle);
  s.p_parts = ceil_div(g.p, 2 * kRectangle);  // taller ones pack B less often
  if (s.p_parts * s.q_parts < kTasksAtLeast) s.p_parts = ceil_div(g.p, kRectangle);
  const int64_t wanted = ceil_div(kSlicesAtMost, s.p_parts * s.q_parts), fit = kSliceBytes / (g.p * g.q * sum_bytes);
  s.slices = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(std::min({wanted, fit, g.m / kShortestSlice}), 1, kSlicesAtMost))));
  if (s.slices == 1 && s.p_parts * s.q_parts > 1 && s.p_parts * s.q_parts % 2 == 1) ++s.p_parts;  // so that two threads end together
  s.slice_m = std::max<int64_t>(32, round_up(ceil_div(g.m, s.slices), 32));  // an empty sum is one slice of zeros
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

void run_slice(const SlicePlan& s, int64_t task, std::byte* aside, const TileKernel& kernel, ThreadPool& pool, int thread) {
  const GemmAtB& g = *s.g;
  const int64_t slice = task / (s.p_parts * s.q_parts), rectangle = task % (s.p_parts * s.q_parts);
  const int64_t p_panels = ceil_div(g.p, kPanel), q_panels = ceil_div(g.q, kPanel);
  const Range rows = part(p_panels, s.p_parts, rectangle / s.q_parts), columns = part(q_panels, s.q_parts, rectangle % s.q_parts);
  const int64_t m0 = slice * s.slice_m, m1 = std::min(g.m, m0 + s.slice_m);
  const int64_t least = std::max<int64_t>(1, ceil_div(m1 - m0, kernel.packed_steps * kernel.step_k));
  const int64_t stretch = std::max<int64_t>(1, round_up(ceil_div(m1 - m0, least), kernel.step_multiple * kernel.step_k));
  const int64_t stretches = std::max<int64_t>(1, ceil_div(m1 - m0, stretch));
  const int64_t height = rows.end - rows.begin, width = columns.end - columns.begin;
  // Packed panels of A lie a line apart, or a row's parts would all go to one set of a cache; where a block spans two panels they cannot.
  const int64_t apart = kernel.packed_rows > kPanel ? 0 : 64;
  const int64_t most_a = kernel.packed_steps * kPanel * kernel.a_step_bytes + apart, most_b = kernel.packed_steps * kernel.b_step_bytes;
  std::byte* a_packed = pool.scratch(thread, static_cast<size_t>(height * most_a + kernel.packed_panels * most_b), kPackSlot);
  std::byte* b_packed = a_packed + height * most_a;
  std::byte* carry = stretches > 1 ? pool.scratch(thread, static_cast<size_t>(height * width * kPanel * kPanel * kernel.sum_bytes), kCarrySlot) : nullptr;
  std::byte* c = s.slices > 1 ? aside + s.first_sum + slice * g.p * g.q * kernel.sum_bytes : static_cast<std::byte*>(g.c);
  const int64_t c_row = (s.slices > 1 ? g.q : g.ldc) * kernel.sum_bytes, a_row = g.lda * kernel.element_bytes, b_row = g.ldb * kernel.element_bytes;
  const int64_t p0 = rows.begin * kPanel, valid = std::min(rows.end * kPanel, g.p) - p0;
  const auto a_from = [&](int64_t m) { return static_cast<const std::byte*>(g.a) + m * a_row + p0 * kernel.element_bytes; };
  const auto b_from = [&](int64_t m, int64_t j) { return static_cast<const std::byte*>(g.b) + m * b_row + (columns.begin + j) * kPanel * kernel.element_bytes; };

  for (int64_t x = 0; x < stretches; ++x) {
    const int64_t from = m0 + x * stretch, k = std::max<int64_t>(0, std::min(stretch, m1 - from));
    const int64_t steps = round_up(ceil_div(k, kernel.step_k), kernel.step_multiple);
    const int64_t a_panel = steps * kPanel * kernel.a_step_bytes + apart, b_panel = steps * kernel.b_step_bytes;
    const int64_t row_stride = kernel.packed_row_stride(steps);
    // Packing reads across rows, which no prefetcher of a processor foresees: each block fetches a piece of a column of the next stretch's lines.
    const int64_t next = std::clamp<int64_t>(m1 - from - stretch, 0, stretch), piece = std::max<int64_t>(1, steps / kAheadEvery), pieces = next / piece;
    const int64_t a_lines = ceil_div(valid * kernel.element_bytes, 64), lines = a_lines + ceil_div(width * kPanel * kernel.element_bytes, 64);
    int64_t fetched = 0;  // of lines × pieces
    pack_panels(kernel, kernel.pack_rows, a_from(from), a_row, k, valid, a_packed, a_panel, steps);
    for (int64_t j = 0; j < width; j += kernel.packed_panels) {
      const int64_t wide = std::min<int64_t>(kernel.packed_panels, width - j), q0 = (columns.begin + j) * kPanel;
      pack_panels(kernel, kernel.pack_panel, b_from(from, j), b_row, k, std::min(g.q - q0, wide * kPanel), b_packed, b_panel, steps);
      for (int64_t r = 0; r < valid; r += kernel.packed_rows) {
        const int block_rows = static_cast<int>(std::min<int64_t>(kernel.packed_rows, valid - r));
        for (int64_t i = 0; i < wide;) {
          int panels = kernel.packed_panels;
          while (panels > wide - i) panels /= 2;
          const std::byte* ahead = nullptr;
          int64_t ahead_stride = 0;
          if (fetched < lines * pieces) {
            const int64_t line = fetched / pieces, row = from + stretch + fetched % pieces * piece;
            ahead = line < a_lines ? a_from(row) + line * 64 : b_from(row, 0) + (line - a_lines) * 64;
            ahead_stride = line < a_lines ? a_row : b_row;
            ++fetched;
          }
          const TileSegment segment{.a = a_packed + r / kPanel * a_panel + r % kPanel * row_stride,
                                    .row_stride = row_stride,
                                    .step_stride = kernel.packed_step_stride(steps),
                                    .b = b_packed + i * b_panel,
                                    .panel_stride = b_panel,
                                    .steps = steps,
                                    .ahead = ahead,
                                    .ahead_stride = ahead_stride};
          std::byte* sums = carry ? carry + (valid * j + r * wide + i * block_rows) * kPanel * kernel.sum_bytes : nullptr;  // in the order of blocks
          const TileOutput out{.c = c + (p0 + r) * c_row + (q0 + i * kPanel) * kernel.sum_bytes,
                               .row_bytes = c_row,
                               .rows = block_rows,
                               .columns = std::min<int64_t>(g.q - q0 - i * kPanel, panels * kPanel),
                               .accumulate = s.slices == 1 && g.accumulate,
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
  if (g.accumulate) add(c, sums);
  else std::copy_n(sums, g.q, c);
}

// The plan whose tasks include `task`.
template <class Plans> const auto& plan_with(const Plans& plans, int64_t task) {
  return *(std::upper_bound(plans.begin(), plans.end(), task, [](int64_t t, const auto& p) { return t < p.first_task; }) - 1);
}

}  // namespace

void gemm_tiled(ThreadPool& pool, std::span<const Gemm> problems, const TileKernel& kernel) {
  double flops = 0;
  for (const Gemm& g : problems)
    for (int t = 0; t < g.term_count; ++t)
      flops += 2.0 * static_cast<double>(std::max<int64_t>(g.m, 1)) * static_cast<double>(g.n) * static_cast<double>(g.terms[t].b.k);
  const double task_flops = std::max(flops / kTasksWanted, kSmallestTask);
  std::vector<Plan> plans;
  plans.reserve(problems.size());
  int64_t tasks = 0;
  for (const Gemm& g : problems) {
    if (g.m <= 0 || g.n <= 0) continue;
    assert(g.terms[0].b.dtype == problems[0].terms[0].b.dtype);
    Plan& p = plans.emplace_back(plan_of(g, kernel, task_flops));
    p.first_task = tasks;
    tasks += p.row_parts * p.column_parts;
  }
  pool.parallel_for(tasks, [&](int64_t task, int thread) {
    const Plan& p = plan_with(plans, task);
    run_task(p, task - p.first_task, kernel, pool, thread);
  });
}

void gemm_at_b_tiled(ThreadPool& pool, std::span<const GemmAtB> problems, const TileKernel& kernel) {
  std::vector<SlicePlan> plans, sliced;
  plans.reserve(problems.size());
  int64_t tasks = 0, sum_bytes = 0, rows = 0;
  for (const GemmAtB& g : problems) {
    if (g.p <= 0 || g.q <= 0) continue;
    assert(g.dtype == problems[0].dtype);
    SlicePlan& s = plans.emplace_back(slice_plan_of(g, kernel.sum_bytes));
    s.first_task = tasks;
    s.first_sum = sum_bytes;
    tasks += s.slices * s.p_parts * s.q_parts;
    if (s.slices > 1) {
      sum_bytes += round_up(s.slices * g.p * g.q * kernel.sum_bytes, 64);
      sliced.push_back(s);
      sliced.back().first_task = rows;
      rows += g.p;
    }
  }
  std::byte* aside = pool.scratch(0, static_cast<size_t>(sum_bytes), kSliceSlot);
  pool.parallel_for(tasks, [&](int64_t task, int thread) {
    const SlicePlan& s = plan_with(plans, task);
    run_slice(s, task - s.first_task, aside, kernel, pool, thread);
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
