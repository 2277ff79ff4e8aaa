#include "kernels/attention_tiled.h"

#include <algorithm>
#include <cstring>

namespace gamut::kernels {
namespace {

constexpr float kLog2e = 1.44269504f;
constexpr int64_t kPairBytes = 4, kPanelStep = kPanel * kPairBytes;  // a step is a pair of k
constexpr int64_t kMostMultiple = 16;                                // of steps, on any tier

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
// Of n bf16 values, for every tier alike.
int64_t steps_of(int64_t n) { return round_up(ceil_div(n, 2), kMostMultiple); }

struct Space {
  std::byte* next;
  template <class T> T* take(int64_t n) {
    T* piece = reinterpret_cast<T*>(next);
    next += round_up(n * static_cast<int64_t>(sizeof(T)), 64);
    return piece;
  }
};

// C[rows, 16·panels] (+)= A·B, rows of C `c_step` floats apart, in blocks of at most `most` rows.
void multiply(const TileKernel& kernel, TileSegment segment, int64_t rows, int64_t panels, float* c, int64_t c_step, bool accumulate) {
  int width = kernel.panels;
  for (const int wide : {4, 8})
    if (wide > width && panels >= wide && rows <= kernel.rows_for(wide)) width = wide;
  TileOutput out{.c = reinterpret_cast<std::byte*>(c), .row_bytes = c_step * 4, .rows = rows, .columns = 0, .bias = nullptr, .half = false,
                 .accumulate = accumulate, .carry_in = nullptr, .carry_out = nullptr};
  for (; panels > 0; width /= 2) {
    if (width > panels) continue;
    const TileFn block = kernel.block(static_cast<int>(rows), width);
    out.columns = width * kPanel;
    for (; panels >= width; panels -= width, segment.b += width * segment.panel_stride, out.c += 4 * width * kPanel) block(&segment, 1, out);
  }
}

// Which keys of a block the rows of a block of queries see, row by row, and the span that the rows' tile computes.
struct View {
  const TileKernel& kernel;
  int64_t group;
  KeyPart *part_R, *span_R;
  int64_t rows = 0, tiles = 0;

  int64_t grain() const { return std::max<int64_t>(kPanel, 2 * kernel.step_multiple); }
  // Tile t: nearly equal heights, cut where the tier wants it.
  int64_t tile(int64_t t) const {
    const int64_t units = ceil_div(rows, kernel.row_multiple);
    return std::min(rows, units * t / tiles * kernel.row_multiple);
  }
  void look(const AttentionForward<bf16>& a, int64_t first, int64_t queries, int64_t block) {
    rows = queries * group;
    tiles = ceil_div(ceil_div(rows, kernel.row_multiple), std::max(1, kernel.rows_for(kernel.panels) / kernel.row_multiple));
    const auto part_of = [&](int64_t i) { return visible_part(a.sight, a.keys, a.offset + first + i, block); };
    part_R[0] = part_of(0), part_R[rows - 1] = part_of(queries - 1);
    if (full()) {
      std::fill_n(part_R, rows, KeyPart{0, kKeyBlock});
      std::fill_n(span_R, rows, KeyPart{0, kKeyBlock});
      return;
    }
    for (int64_t i = 0; i < queries; ++i) std::fill_n(part_R + i * group, group, part_of(i));
    for (int64_t t = 0; t < tiles; ++t) {
      const int32_t begin = part_R[tile(t)].begin, end = part_R[tile(t + 1) - 1].end;  // ranges only move forward
      const KeyPart span = begin < end ? KeyPart{static_cast<int32_t>(begin / grain() * grain()), static_cast<int32_t>(round_up(end, grain()))} : KeyPart{0, 0};
      std::fill(span_R + tile(t), span_R + tile(t + 1), span);
    }
  }
  // Every row sees every key of the block.
  bool full() const { return part_R[0].end == kKeyBlock && part_R[0].begin == 0 && part_R[rows - 1].begin == 0; }
  bool empty() const { return part_R[0].begin >= part_R[rows - 1].end; }
};

// Scores of one key block: s[rows, kKeyBlock] = a[rows]·(panels of transposed keys of `steps` steps); rows of a `stride` elements apart.
void scores(const View& view, const TileKernel& kernel, const bf16* a, int64_t stride, int64_t steps, const std::byte* panels, float* s) {
  for (int64_t t = 0; t < view.tiles; ++t) {
    const int64_t r = view.tile(t), height = view.tile(t + 1) - r;
    const KeyPart span = view.span_R[r];
    if (span.begin >= span.end) continue;
    multiply(kernel, {.a = reinterpret_cast<const std::byte*>(a + r * stride), .row_stride = stride * 2, .step_stride = kPairBytes,
                      .b = panels + span.begin / kPanel * steps * kPanelStep, .panel_stride = steps * kPanelStep, .steps = steps},
             height, (span.end - span.begin) / kPanel, s + r * kKeyBlock + span.begin, kKeyBlock, false);
  }
}

// c[rows, 16·panels] += p[rows, kKeyBlock]·(panels of kKeyBlock keys).
void weigh(const View& view, const TileKernel& kernel, const bf16* p, const std::byte* b, int64_t panels, float* c) {
  constexpr int64_t kSteps = kKeyBlock / 2;
  for (int64_t t = 0; t < view.tiles; ++t) {
    const int64_t r = view.tile(t), height = view.tile(t + 1) - r;
    const KeyPart span = view.span_R[r];
    if (span.begin >= span.end) continue;
    const int64_t end = std::min<int64_t>(span.end, round_up(view.part_R[r + height - 1].end, 2 * kernel.step_multiple));  // no row sees more
    multiply(kernel, {.a = reinterpret_cast<const std::byte*>(p + r * kKeyBlock + span.begin), .row_stride = kKeyBlock * 2, .step_stride = kPairBytes,
                      .b = b + span.begin / 2 * kPanelStep, .panel_stride = kSteps * kPanelStep, .steps = (end - span.begin) / 2},
             height, panels, c + r * panels * kPanel, panels * kPanel, true);
  }
}

// Rows of a head lie far apart, and the processor does not foresee the next: asked for this many rows before it is needed.
constexpr int64_t kRowsAhead = 16;
void fetch_row(const bf16* row, int64_t n) {
  for (int64_t i = 0; i < n; i += 32) __builtin_prefetch(row + i);
}

const std::byte* bytes(const bf16* p) { return reinterpret_cast<const std::byte*>(p); }

// Panels whose columns are `count` rows of `d`, `stride` elements apart.
void pack_transposed(const TileKernel& kernel, const bf16* from, int64_t stride, int64_t d, int64_t count, std::byte* to) {
  const int64_t steps = steps_of(d);
  for (int64_t j = 0; j < round_up(count, 2 * kPanel); j += kPanel, to += steps * kPanelStep) {
    for (int64_t next = j + kPanel; next < std::min(count, j + 2 * kPanel); ++next) fetch_row(from + next * stride, d);
    kernel.pack_transposed(bytes(from + std::min(j, count - 1) * stride), 2 * stride, d, static_cast<int>(std::clamp<int64_t>(count - j, 0, kPanel)), to, steps);
  }
}
// Panels of `d` columns whose k are `count` rows, padded to `steps`.
void pack_rows_as_panels(const TileKernel& kernel, const bf16* from, int64_t stride, int64_t d, int64_t count, int64_t steps, std::byte* to) {
  const int64_t panel_bytes = steps * kPanelStep, twos = kernel.pack_panels ? d / (2 * kPanel) : 0;
  if (twos > 0) kernel.pack_panels(bytes(from), 2 * stride, count, twos, to, panel_bytes, steps);
  to += 2 * twos * panel_bytes;
  for (int64_t c = 2 * kPanel * twos; c < d; c += kPanel, to += panel_bytes)
    kernel.pack_panel(bytes(from + c), 2 * stride, count, static_cast<int>(std::min<int64_t>(kPanel, d - c)), to, steps);
}

// The rows of a group of heads, one after the other, zero padded to whole steps: row query·group + head.
void gather_rows(const bf16* from, int64_t stride, int64_t queries, int64_t group, int64_t d, bf16* to) {
  const int64_t width = 2 * steps_of(d);
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t g = 0; g < group; ++g, to += width) {
      fetch_row(from + (i + kRowsAhead) * stride + g * d, d);
      std::memcpy(static_cast<void*>(to), from + i * stride + g * d, static_cast<size_t>(d) * 2);
      std::memset(static_cast<void*>(to + d), 0, static_cast<size_t>(width - d) * 2);
    }
}

constexpr int64_t kLanes = 16;

}  // namespace

int64_t attention_scratch_tiled(int64_t queries, int64_t keys, int64_t group, int64_t head_dim, int64_t value_dim, bool biased) {
  const int64_t most = queries_per_block(group) * group, rows = round_up(queries * group, most) + most, k = 2 * steps_of(head_dim), v = 2 * steps_of(value_dim);
  const int64_t all_keys = round_up(std::max<int64_t>(keys, 1), kKeyBlock), row_steps = 2 * steps_of(most);
  const int64_t softmax = round_up(most, 16) * (4 * 4 + 4 * kLanes + 16) + 1024;
  const int64_t forward = all_keys * 2 * (k + v) + most * (2 * k + 4 * v + 6 * kKeyBlock) + softmax;
  const int64_t backward = rows * (2 * k + 2 * v + 4 * k + 8) + (rows / most + 1) * row_steps * 2 * (k + v) + kKeyBlock * (2 * (2 * k + v) + 4 * (k + v)) + most * kKeyBlock * 12 +
                           row_steps * 2 * kKeyBlock * 2 + softmax + 4096;
  return std::max(forward, backward) + (biased ? 8 * group * bias_width(queries, keys) : 0);
}

void attention_forward_tiled(const AttentionForward<bf16>& a, const TileKernel& kernel, const AttentionRows& pass) {
  const int64_t d = a.head_dim, steps = steps_of(d), width = 2 * steps, value_panels = ceil_div(a.value_dim, kPanel), value_width = value_panels * kPanel;
  const int64_t step = queries_per_block(a.group), most = step * a.group;
  const bool in_place = a.group == 1 && d == width;
  const int64_t slots = a.queries > step ? ceil_div(a.keys, kKeyBlock) : 1;  // one block of queries needs no key block twice
  constexpr int64_t kSteps = kKeyBlock / 2;
  const int64_t k_bytes = kKeyBlock * steps * kPairBytes, v_bytes = value_panels * kSteps * kPanelStep;
  Space space{a.scratch};
  auto *k_panels = space.take<std::byte>(slots * k_bytes), *v_panels = space.take<std::byte>(slots * v_bytes);
  auto *q_R = space.take<bf16>(most * width), *p_R = space.take<bf16>(most * kKeyBlock);
  auto *out_R = space.take<float>(most * value_width), *s_R = space.take<float>(most * kKeyBlock);
  const int64_t lanes = round_up(most, kLanes);
  auto *max_R = space.take<float>(lanes), *base_R = space.take<float>(lanes), *factor_R = space.take<float>(lanes), *sum_R = space.take<float>(lanes * kLanes);
  View view{kernel, a.group, space.take<KeyPart>(most), space.take<KeyPart>(most)};
  ScoreChange change = score_change(a, space.take<float>(0), false, kLog2e);

  int64_t packed = 0;  // key blocks before this one are packed, or no query looks back at them
  for (int64_t first = 0; first < a.queries; first += step) {
    const int64_t queries = std::min(step, a.queries - first), rows = queries * a.group;
    const bf16* q_rows = a.q + first * a.q_stride;
    if (!in_place) gather_rows(q_rows, a.q_stride, queries, a.group, d, q_R);
    std::fill_n(out_R, rows * value_width, 0.0f);
    std::fill_n(max_R, lanes, -__builtin_inff());
    std::fill_n(sum_R, lanes * kLanes, 0.0f);
    for (int64_t r = 0; a.sink && r < rows; ++r) {  // its p is 1 while it is the highest
      max_R[r] = a.sink[r % a.group] * kLog2e;
      sum_R[r * kLanes] = 1;
    }
    const int64_t begin = visible_keys(a.sight, a.keys, a.offset + first).begin, end = visible_keys(a.sight, a.keys, a.offset + first + queries - 1).end;
    for (int64_t block = begin / kKeyBlock * kKeyBlock; block < end; block += kKeyBlock) {
      const int64_t slot = slots == 1 ? 0 : block / kKeyBlock;
      if (block >= packed || slots == 1) {
        const int64_t count = std::min(kKeyBlock, a.keys - block);
        pack_transposed(kernel, a.k + block * a.k_stride, a.k_stride, d, count, k_panels + slot * k_bytes);
        pack_rows_as_panels(kernel, a.v + block * a.v_stride, a.v_stride, a.value_dim, count, kSteps, v_panels + slot * v_bytes);
        packed = block + kKeyBlock;
      }
      view.look(a, first, queries, block);
      scores(view, kernel, in_place ? q_rows : q_R, in_place ? a.q_stride : width, steps, k_panels + slot * k_bytes, s_R);
      ScoreRows score_rows{rows, kKeyBlock, a.scale * kLog2e, view.part_R, view.span_R, s_R, p_R};
      if (change.any()) {
        change.look(first, block);
        pass.change(score_rows, change);
        score_rows.scale = 1;
      }
      pass.soften(score_rows, max_R, base_R, factor_R, sum_R);
      pass.scale_rows(rows, value_width, factor_R, out_R);
      weigh(view, kernel, p_R, v_panels + slot * v_bytes, value_panels, out_R);
    }
    float *inverse_R = factor_R, *lse_R = base_R;
    pass.finish(rows, max_R, sum_R, inverse_R, lse_R);
    for (int64_t i = first, r = 0; i < first + queries; ++i)
      for (int64_t g = 0; g < a.group; ++g, ++r) {
        a.lse[g * a.queries + i] = lse_R[r];
        pass.store_row(a.value_dim, out_R + r * value_width, inverse_R[r], a.out + i * a.out_stride + g * a.value_dim);
      }
  }
}

// As the vector kernels' backward: key blocks outside, query blocks inside; dk and dv of a block are complete when it is left.
void attention_backward_tiled(const AttentionBackward<bf16>& b, const TileKernel& kernel, const AttentionRows& pass) {
  const AttentionForward<bf16>& a = b.forward;
  const int64_t d = a.head_dim, v = a.value_dim, k_steps = steps_of(d), v_steps = steps_of(v), k_width = 2 * k_steps, v_width = 2 * v_steps;
  const int64_t k_panels = ceil_div(d, kPanel), v_panels = ceil_div(v, kPanel), dk_width = k_panels * kPanel, dv_width = v_panels * kPanel;
  const int64_t step = queries_per_block(a.group), most = step * a.group, all = a.queries * a.group, blocks = ceil_div(a.queries, step);
  const int64_t row_steps = steps_of(most);
  constexpr int64_t kSteps = kKeyBlock / 2;
  Space space{b.scratch};
  auto *q_R = space.take<bf16>(all * k_width), *do_R = space.take<bf16>(all * v_width);
  auto* dq_R = space.take<float>(all * dk_width);
  auto *lse_R = space.take<float>(all), *delta_R = space.take<float>(all);
  const int64_t q_bytes = k_panels * row_steps * kPanelStep, do_bytes = v_panels * row_steps * kPanelStep;
  auto *q_packed = space.take<std::byte>(blocks * q_bytes), *do_packed = space.take<std::byte>(blocks * do_bytes);
  auto *keys_T = space.take<std::byte>(kKeyBlock * k_steps * kPairBytes), *values_T = space.take<std::byte>(kKeyBlock * v_steps * kPairBytes);
  auto* keys = space.take<std::byte>(k_panels * kSteps * kPanelStep);
  auto *dk = space.take<float>(kKeyBlock * dk_width), *dv = space.take<float>(kKeyBlock * dv_width);
  auto *s_R = space.take<float>(most * kKeyBlock), *dp_R = space.take<float>(most * kKeyBlock);
  auto *p_R = space.take<bf16>(most * kKeyBlock), *ds_R = space.take<bf16>(most * kKeyBlock);
  auto* columns = space.take<std::byte>(row_steps * kPanelStep * (kKeyBlock / kPanel));
  View view{kernel, a.group, space.take<KeyPart>(most), space.take<KeyPart>(most)};
  ScoreChange change = score_change(a, space.take<float>(0), b.d_bias, kLog2e);

  gather_rows(a.q, a.q_stride, a.queries, a.group, d, q_R);
  gather_rows(b.d_out, a.out_stride, a.queries, a.group, v, do_R);
  std::fill_n(dq_R, all * dk_width, 0.0f);
  for (int64_t i = 0; i < a.queries; ++i)
    for (int64_t g = 0; g < a.group; ++g) {
      const int64_t r = i * a.group + g;
      fetch_row(a.out + (i + kRowsAhead) * a.out_stride + g * v, v);
      delta_R[r] = pass.inner(v, do_R + r * v_width, a.out + i * a.out_stride + g * v);
      lse_R[r] = a.lse[g * a.queries + i] * kLog2e;
    }
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t r = i * most, rows = std::min(most, all - r);
    pack_rows_as_panels(kernel, q_R + r * k_width, k_width, d, rows, row_steps, q_packed + i * q_bytes);
    pack_rows_as_panels(kernel, do_R + r * v_width, v_width, v, rows, row_steps, do_packed + i * do_bytes);
  }

  // c[keys, 16·panels] += aᵀ·b for the keys that any row sees, over the rows that see them.
  const auto gather = [&](const bf16* from, const std::byte* packed, int64_t panels, float* c) {
    const int64_t height = std::max<int64_t>(kPanel, kernel.packed_rows);
    const int64_t panel_bytes = kPanel * row_steps * kPairBytes;
    int64_t top = view.rows;
    while (top > 0 && view.part_R[top - 1].begin >= view.part_R[top - 1].end) --top;  // the last rows may see nothing
    int64_t from_row = 0, to_row = 0;
    for (int64_t j = 0; j < kKeyBlock; j += height) {
      while (from_row < top && view.part_R[from_row].end <= j) ++from_row;
      to_row = std::max(to_row, from_row);
      while (to_row < top && view.part_R[to_row].begin < j + height) ++to_row;
      if (from_row >= to_row) continue;
      const int64_t begin = from_row / 2 / kernel.step_multiple * kernel.step_multiple, end = round_up(ceil_div(to_row, 2), kernel.step_multiple);
      for (int64_t x = 0; x < height; x += kPanel)
        kernel.pack_rows(bytes(from + 2 * begin * kKeyBlock + j + x), 2 * kKeyBlock, std::min(view.rows, 2 * end) - 2 * begin, kPanel, columns + x / kPanel * panel_bytes, end - begin);
      const int64_t row_stride = kernel.packed_row_stride(end - begin), step_stride = kernel.packed_step_stride(end - begin);
      // Panels of rows lie one behind the other where a block spans several of them.
      for (int64_t r = 0; r < height; r += kernel.packed_rows) {
        const int64_t tall = std::min<int64_t>(kernel.packed_rows, height - r);
        const std::byte* at = columns + r / kPanel * panel_bytes + r % kPanel * row_stride;
        for (int64_t done = 0; done < tall; done += kPanel) {
          const int64_t rows = std::min<int64_t>(kPanel, tall - done);
          multiply(kernel, {.a = at + done / kPanel * panel_bytes, .row_stride = row_stride, .step_stride = step_stride, .b = packed + begin * kPanelStep, .panel_stride = row_steps * kPanelStep,
                            .steps = end - begin},
                   rows, panels, c + (j + r + done) * panels * kPanel, panels * kPanel, true);
        }
      }
    }
  };

  for (int64_t block = 0; block < a.keys; block += kKeyBlock) {
    const int64_t count = std::min(kKeyBlock, a.keys - block);
    const bf16 *k_rows = a.k + block * a.k_stride, *v_rows = a.v + block * a.v_stride;
    pack_transposed(kernel, k_rows, a.k_stride, d, count, keys_T);
    pack_transposed(kernel, v_rows, a.v_stride, v, count, values_T);
    pack_rows_as_panels(kernel, k_rows, a.k_stride, d, count, kSteps, keys);
    std::fill_n(dk, kKeyBlock * dk_width, 0.0f);
    std::fill_n(dv, kKeyBlock * dv_width, 0.0f);
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t first = i * step, queries = std::min(step, a.queries - first), r = first * a.group;
      view.look(a, first, queries, block);
      if (view.empty()) continue;
      scores(view, kernel, q_R + r * k_width, k_width, k_steps, keys_T, s_R);
      scores(view, kernel, do_R + r * v_width, v_width, v_steps, values_T, dp_R);
      if (!view.full()) {  // columns gather whole tiles of keys
        std::memset(static_cast<void*>(p_R), 0, static_cast<size_t>(view.rows * kKeyBlock) * 2);
        std::memset(static_cast<void*>(ds_R), 0, static_cast<size_t>(view.rows * kKeyBlock) * 2);
      }
      change.look(first, block);
      pass.differentiate({view.rows, kKeyBlock, a.scale * kLog2e, view.part_R, view.span_R, s_R, p_R}, change, lse_R + r, delta_R + r, dp_R, ds_R);
      gather(p_R, do_packed + i * do_bytes, v_panels, dv);
      gather(ds_R, q_packed + i * q_bytes, k_panels, dk);
      weigh(view, kernel, ds_R, keys, k_panels, dq_R + r * dk_width);
    }
    for (int64_t j = 0; j < count; ++j) {
      pass.store_row(d, dk + j * dk_width, a.scale, b.dk + (block + j) * a.k_stride);
      pass.store_row(v, dv + j * dv_width, 1, b.dv + (block + j) * a.v_stride);
    }
  }
  for (int64_t i = 0; i < a.queries; ++i)
    for (int64_t g = 0; g < a.group; ++g) pass.store_row(d, dq_R + (i * a.group + g) * dk_width, a.scale, b.dq + i * a.q_stride + g * d);
  add_bias_gradient(a, change, b.d_bias);
}

}  // namespace gamut::kernels
