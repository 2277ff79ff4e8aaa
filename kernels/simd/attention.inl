// Attention in blocks of query rows × keys. A row is one query of one head; row i·group + g is query i of head g.
//
// Scores are kept in units of log₂: q is scaled by scale·log₂e, and p = 2^(score − maximum). Every number of a row is made by
// the same chain of operations however rows are blocked: keys beyond a row's range add exact zeros.
#include "kernels/simd/attention_scores.inl"
#include "kernels/simd/attention_tile.inl"
#include "kernels/simd/kernels.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

// What the rows of one block of queries see of one key block. Ranges only move forward from one query to the next.
struct View {
  int64_t rows, group;
  KeyPart* part_R;

  template <class T> void look(const AttentionForward<T>& a, int64_t first_query, int64_t queries, int64_t block) {
    rows = queries * group;
    for (int64_t i = 0; i < queries; ++i) {
      const KeyPart part = visible_part(a.sight, a.keys, a.offset + first_query + i, block);
      for (int64_t g = 0; g < group; ++g) part_R[i * group + g] = part;
    }
  }
  int64_t size(int64_t r) const { return rows - r < kTileRows ? rows - r : kTileRows; }
  KeyPart tile(int64_t r) const { return {part_R[r].begin, part_R[r + size(r) - 1].end}; }  // the union of its rows
  bool empty() const { return KeyPart{part_R[0].begin, part_R[rows - 1].end}.empty(); }
};

// s[rows, kKeyBlock] = a[rows, a_step]·(transposed panels of depth d), whole vectors around what each tile of rows sees.
void scores(const View& view, int64_t d, const float* a, int64_t a_step, const float* panels, float* s) {
  for (int64_t panel = 0; panel < kKeyBlock; panel += kPanel)
    for (int64_t r = 0; r < view.rows; r += kTileRows) {
      const KeyPart part = view.tile(r);
      const int64_t begin = part.begin > panel ? part.begin / W * W : panel;
      const int64_t end = part.end < panel + kPanel ? (part.end + W - 1) / W * W : panel + kPanel;
      if (part.empty() || begin >= end) continue;
      multiply(view.size(r), end - begin,
               {.depth = d,
                .a = a + r * a_step,
                .row = a_step,
                .step = 1,
                .b = panels + panel * d + (begin - panel),
                .b_step = kPanel,
                .c = s + r * kKeyBlock + begin,
                .c_step = kKeyBlock,
                .factor_R = nullptr});
    }
}

// Raw scores become scores.
void change_scores(const View& view, const ScoreChange& change, float* s) {
  for (int64_t tile = 0; tile < view.rows; tile += kTileRows) {
    const KeyPart whole = view.tile(tile);
    if (whole.empty()) continue;
    for (int64_t r = tile; r < tile + view.size(tile); ++r) change_row(change, r, 1.0f, whole.begin / W * W, (whole.end + W - 1) / W * W, s + r * kKeyBlock);
  }
}

// What the running softmax knows of each row of a block of queries.
struct Running {
  float* max_R;     // highest score so far
  float* base_R;    // what scores are reduced by: max, or 0 while there is none
  float* factor_R;  // takes older sums to the new base
  F* sum_R;         // Σ p, lane by lane
};

// Running softmax of the rows of a block: s becomes p = 2^(s − base). Three passes, each free of waiting for the others' results.
void soften(const View& view, float* s, const Running& softmax) {
  for (int64_t r = 0; r < view.rows; r += W)
    store(softmax.base_R + r, load(softmax.max_R + r));  // for rows that see nothing here
  for (int64_t tile = 0; tile < view.rows; tile += kTileRows) {
    const KeyPart whole = view.tile(tile);
    if (whole.empty()) continue;
    const int64_t begin = whole.begin / W * W, end = (whole.end + W - 1) / W * W;
    for (int64_t r = tile; r < tile + view.size(tile); ++r) {
      const KeyPart part = view.part_R[r];
      float* row = s + r * kKeyBlock;
      F top = set1(softmax.max_R[r]);
      if (part.begin > begin || part.end < end) {
        for (int64_t j = begin; j < end; j += W) {
          const F seen = select(inside(j, part), load(row + j), set1(kNoScore));
          store(row + j, seen);
          top = max(seen, top);
        }
      } else {
        for (int64_t j = begin; j < end; j += W) top = max(load(row + j), top);
      }
      softmax.base_R[r] = highest(top);
    }
  }
  for (int64_t r = 0; r < view.rows; r += W) {
    const F before = load(softmax.max_R + r), after = load(softmax.base_R + r), base = select(after == kNoScore, F{}, after);
    store(softmax.max_R + r, after);
    store(softmax.base_R + r, base);
    store(softmax.factor_R + r, exp2(before - base));
  }
  for (int64_t tile = 0; tile < view.rows; tile += kTileRows) {
    const KeyPart whole = view.tile(tile);
    if (whole.empty()) continue;
    const int64_t begin = whole.begin / W * W, end = (whole.end + W - 1) / W * W;
    for (int64_t r = tile; r < tile + view.size(tile); ++r) {
      float* row = s + r * kKeyBlock;
      const F base = set1(softmax.base_R[r]);
      F sum = softmax.sum_R[r] * softmax.factor_R[r];
      for (int64_t j = begin; j < end; j += W) {
        const F p = exp2(load(row + j) - base);
        store(row + j, p);
        sum += p;
      }
      softmax.sum_R[r] = sum;
    }
  }
}

// c[rows, d] = factor·c + p·b over the keys each tile of rows sees; a panel of b at a time, so that it stays in the first-level
// cache.
void weigh(const View& view, const float* p, const float* b, int64_t d, const float* factor_R, float* c) {
  constexpr int64_t kStep = 64;
  for (int64_t step = 0; step < kKeyBlock; step += kStep)
    for (int64_t r = 0; r < view.rows; r += kTileRows) {
      const KeyPart part = view.tile(r);
      const int64_t begin = part.begin > step ? part.begin : step, end = part.end < step + kStep ? part.end : step + kStep;
      if (part.empty() || begin >= end) continue;
      multiply(view.size(r), d,
               {.depth = end - begin,
                .a = p + r * kKeyBlock + begin,
                .row = kKeyBlock,
                .step = 1,
                .b = b + begin * d,
                .b_step = d,
                .c = c + r * d,
                .c_step = d,
                .factor_R = factor_R && begin == part.begin ? factor_R + r : kOnes});
    }
}

}  // namespace

template <class T> void attention_forward(const AttentionForward<T>& a) {
  const int64_t d = a.head_dim, d_step = padded(d), v_step = padded(a.value_dim);
  const int64_t step = queries_per_block(a.group), most = step * a.group;
  const int64_t slots =
      a.queries > step ? (a.keys + kKeyBlock - 1) / kKeyBlock : 1;  // one block of queries needs no key block twice
  Space space{reinterpret_cast<float*>(a.scratch)};
  float* panels = space.take(slots * kKeyBlock * d_step);
  float* v_rows = space.take(slots * kKeyBlock * v_step);
  float* q_R = space.take(most * d_step);
  float* out_R = space.take(most * v_step);
  float* s_R = space.take(most * kKeyBlock);
  float *max_R = space.take(most), *base_R = space.take(most), *factor_R = space.take(most);
  const Running softmax{max_R, base_R, factor_R, reinterpret_cast<F*>(space.take(most * W))};
  View view{0, a.group, reinterpret_cast<KeyPart*>(space.take(2 * most))};
  ScoreChange change = score_change(a, space.next, false, kLog2e);

  int64_t packed = 0;  // key blocks before this one are packed, or no query looks back at them
  for (int64_t first = 0; first < a.queries; first += step) {
    const int64_t queries = a.queries - first < step ? a.queries - first : step, rows = queries * a.group;
    for (int64_t i = 0; i < queries; ++i)
      copy_rows(a.group, d, a.q + (first + i) * a.q_stride, d, a.scale * kLog2e, q_R + i * a.group * d_step);
    for (int64_t i = 0; i < rows * v_step; i += W) store(out_R + i, F{});
    for (int64_t r = 0; r < rows; r += W) store(max_R + r, set1(kNoScore));
    for (int64_t r = 0; r < rows; ++r) softmax.sum_R[r] = F{};
    for (int64_t r = 0; a.sink && r < rows; ++r) {  // its p is 1 while it is the highest
      max_R[r] = a.sink[r % a.group] * kLog2e;
      softmax.sum_R[r] = keep(set1(1.0f), Some{1});
    }
    const int64_t begin = visible_keys(a.sight, a.keys, a.offset + first).begin;
    const int64_t end = visible_keys(a.sight, a.keys, a.offset + first + queries - 1).end;
    for (int64_t block = begin / kKeyBlock * kKeyBlock; block < end; block += kKeyBlock) {
      const int64_t slot = slots == 1 ? 0 : block;
      if (block >= packed || slots == 1) {
        const int64_t count = a.keys - block < kKeyBlock ? a.keys - block : kKeyBlock;
        pack_panels(count, d, a.k + block * a.k_stride, a.k_stride, panels + slot * d_step);
        copy_rows(count, a.value_dim, a.v + block * a.v_stride, a.v_stride, 1.0f, v_rows + slot * v_step);
        packed = block + kKeyBlock;
      }
      view.look(a, first, queries, block);
      scores(view, d, q_R, d_step, panels + slot * d_step, s_R);
      if (change.any()) {
        change.look(first, block);
        change_scores(view, change, s_R);
      }
      soften(view, s_R, softmax);
      weigh(view, s_R, v_rows + slot * v_step, v_step, factor_R, out_R);
    }
    float *lse_R = base_R, *inverse_R = factor_R;
    for (int64_t r = 0; r < rows; ++r) base_R[r] = sum(softmax.sum_R[r]);
    for (int64_t r = 0; r < rows; r += W) {
      const F top = load(max_R + r), total = load(base_R + r);
      store(inverse_R + r, select(top == kNoScore, F{}, 1.0f / total));
      store(lse_R + r, select(top == kNoScore, top, madd(top, set1(kLn2), log(total))));
    }
    for (int64_t i = first, r = 0; i < first + queries; ++i)
      for (int64_t g = 0; g < a.group; ++g, ++r) {
        a.lse[g * a.queries + i] = lse_R[r];
        T* out = a.out + i * a.out_stride + g * a.value_dim;
        sweep(a.value_dim,
              [&](int64_t c, auto part) GAMUT_INLINED { store(out + c, load(out_R + r * v_step + c) * inverse_R[r], part); });
      }
  }
}

namespace {

// Raw s becomes p, dp becomes ds/scale = p·(dp − delta) as raw scores feel it; zero where a row of the tile does not see.
template <bool changed> void differentiate(const View& view, const ScoreChange& change, const float* lse_R, const float* delta_R, float* s, float* dp) {
  for (int64_t tile = 0; tile < view.rows; tile += kTileRows) {
    const KeyPart whole = view.tile(tile);
    if (whole.empty()) continue;
    const int64_t begin = whole.begin / W * W, end = (whole.end + W - 1) / W * W;
    for (int64_t r = tile; r < tile + view.size(tile); ++r) {
      const KeyPart part = view.part_R[r];
      float *s_r = s + r * kKeyBlock, *dp_r = dp + r * kKeyBlock;
      const bool partial = part.begin > begin || part.end < end;
      const int64_t bias_at = changed && change.bias ? change.row(r) : 0;
      for (int64_t j = begin; j < end; j += W) {
        const auto d = differential<changed, false>(change, bias_at + j, load(s_r + j), set1(lse_R[r]), load(dp_r + j), set1(delta_R[r]), partial, inside(j, part), All{});
        store(s_r + j, d.p);
        store(dp_r + j, d.ds);
      }
    }
  }
}

// c[keys, d] += pᵀ·b: for every tile of keys, over the rows that see any of it.
void gather(const View& view, const float* p, const float* b, int64_t d, float* c) {
  int64_t from = 0, to = 0, top = view.rows;  // the first rows and the last may see nothing
  while (from < top && view.part_R[from].empty()) from += view.group;
  while (top > from && view.part_R[top - 1].empty()) top -= view.group;
  for (int64_t j = 0; j < kKeyBlock; j += kTileRows) {
    while (from < top && view.part_R[from].end <= j) from += view.group;
    if (to < from) to = from;
    while (to < top && view.part_R[to].begin < j + kTileRows) to += view.group;
    if (from >= to) continue;
    multiply(kTileRows, d,
             {.depth = to - from,
              .a = p + from * kKeyBlock + j,
              .row = 1,
              .step = kKeyBlock,
              .b = b + from * d,
              .b_step = d,
              .c = c + j * d,
              .c_step = d,
              .factor_R = kOnes});
  }
}

}  // namespace

// p is made again from lse; delta = ⟨do, o⟩;  dv = pᵀ·do, dk = dsᵀ·q, dq = ds·k. Key blocks outside, query blocks inside: dk and
// dv of a block are complete when it is left, dq gathers in scratch.
template <class T> void attention_backward(const AttentionBackward<T>& b) {
  const AttentionForward<T>& a = b.forward;
  const int64_t d = a.head_dim, d_step = padded(d), v_step = padded(a.value_dim);
  const int64_t step = queries_per_block(a.group), most = step * a.group, all = a.queries * a.group;
  Space space{reinterpret_cast<float*>(b.scratch)};
  float *q_R = space.take(all * d_step), *dq_R = space.take(all * d_step), *d_out_R = space.take(all * v_step);
  float *lse_R = space.take(all), *delta_R = space.take(all);
  float *k_panels = space.take(kKeyBlock * d_step), *v_panels = space.take(kKeyBlock * v_step),
        *k_rows = space.take(kKeyBlock * d_step);
  float *dk = space.take(kKeyBlock * d_step), *dv = space.take(kKeyBlock * v_step);
  float *s_R = space.take(most * kKeyBlock), *dp_R = space.take(most * kKeyBlock);
  View view{0, a.group, reinterpret_cast<KeyPart*>(space.take(2 * most))};
  ScoreChange change = score_change(a, space.next, b.d_bias, kLog2e);

  for (int64_t i = 0; i < a.queries; ++i) {
    const int64_t r = i * a.group;
    copy_rows(a.group, d, a.q + i * a.q_stride, d, a.scale * kLog2e, q_R + r * d_step);
    copy_rows(a.group, a.value_dim, b.d_out + i * a.out_stride, a.value_dim, 1.0f, d_out_R + r * v_step);
    for (int64_t g = 0; g < a.group; ++g) {
      const T* out = a.out + i * a.out_stride + g * a.value_dim;
      F delta{};
      sweep(a.value_dim, [&](int64_t c, auto part)
                             GAMUT_INLINED { delta = madd(load(d_out_R + (r + g) * v_step + c), load(out + c, part), delta); });
      delta_R[r + g] = sum(delta);
      lse_R[r + g] = a.lse[g * a.queries + i] * kLog2e;
    }
  }
  for (int64_t i = 0; i < all * d_step; i += W) store(dq_R + i, F{});

  for (int64_t block = 0; block < a.keys; block += kKeyBlock) {
    const int64_t count = a.keys - block < kKeyBlock ? a.keys - block : kKeyBlock;
    pack_panels(count, d, a.k + block * a.k_stride, a.k_stride, k_panels);
    pack_panels(count, a.value_dim, a.v + block * a.v_stride, a.v_stride, v_panels);
    copy_rows(count, d, a.k + block * a.k_stride, a.k_stride, 1.0f, k_rows);
    for (int64_t i = 0; i < kKeyBlock * d_step; i += W) store(dk + i, F{});
    for (int64_t i = 0; i < kKeyBlock * v_step; i += W) store(dv + i, F{});

    for (int64_t first = 0; first < a.queries; first += step) {
      const int64_t queries = a.queries - first < step ? a.queries - first : step;
      view.look(a, first, queries, block);
      if (view.empty()) continue;
      const int64_t r = first * a.group;
      scores(view, d, q_R + r * d_step, d_step, k_panels, s_R);
      scores(view, a.value_dim, d_out_R + r * v_step, v_step, v_panels, dp_R);
      if (change.any()) {
        change.look(first, block);
        differentiate<true>(view, change, lse_R + r, delta_R + r, s_R, dp_R);
      } else {
        differentiate<false>(view, change, lse_R + r, delta_R + r, s_R, dp_R);
      }
      gather(view, s_R, d_out_R + r * v_step, v_step, dv);
      gather(view, dp_R, q_R + r * d_step, d_step, dk);
      weigh(view, dp_R, k_rows, d_step, nullptr, dq_R + r * d_step);
    }
    for (int64_t j = 0; j < count; ++j) {  // q carried scale·log₂e; dk needs scale alone
      T *dk_j = b.dk + (block + j) * a.k_stride, *dv_j = b.dv + (block + j) * a.v_stride;
      sweep(d, [&](int64_t c, auto part) GAMUT_INLINED { store(dk_j + c, load(dk + j * d_step + c) * kLn2, part); });
      sweep(a.value_dim, [&](int64_t c, auto part) GAMUT_INLINED { store(dv_j + c, load(dv + j * v_step + c), part); });
    }
  }
  for (int64_t i = 0; i < a.queries; ++i)
    for (int64_t g = 0; g < a.group; ++g) {
      T* dq = b.dq + i * a.q_stride + g * d;
      sweep(d, [&](int64_t c, auto part)
                   GAMUT_INLINED { store(dq + c, load(dq_R + (i * a.group + g) * d_step + c) * a.scale, part); });
    }
  add_bias_gradient(a, change, b.d_bias);
}

template void attention_forward(const AttentionForward<float>&);
template void attention_forward(const AttentionForward<bf16>&);
template void attention_backward(const AttentionBackward<float>&);
template void attention_backward(const AttentionBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
