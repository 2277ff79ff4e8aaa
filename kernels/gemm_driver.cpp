#include "kernels/gemm_driver.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/gemm_cuts.h"

namespace gamut::kernels {
namespace {

constexpr int kStageSlot = 4, kCarrySlot = 5;  // of the pool's scratch

// A task should be long beside the cost of handing it out (about 1 µs) and short beside the whole, so that threads end together.
constexpr double kSmallestTask = 0.5e6;  // FLOP
constexpr int kTasksWanted = 32;
constexpr int64_t kRowsOfReading = 16;  // with fewer, reading B decides
// Bytes of packed B that one task walks through again and again: half of a 1 MiB L2.
constexpr int64_t kCachedB = 400 << 10;
// Rows of A that lie a multiple of this many bytes apart fall on so few sets of a first-level cache that a block evicts its own lines.
constexpr int64_t kConflictingStride = 4096;
constexpr int64_t kStagedColumns = 256;  // fewer do not repay the copy

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
  if (!g.epilogue) return;
  const int64_t column = columns.begin * p.panels * kPanel, end = std::min(g.n, columns.end * p.panels * kPanel);
  (*g.epilogue)({g.epilogue_row + rows.begin, rows.end - rows.begin, column, end - column});
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

}  // namespace gamut::kernels
