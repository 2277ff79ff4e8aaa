// Linear attention in chunks, by products of small matrices. Notation and sources: kernels/linear_attention.h.
#include "kernels/simd/chunk.h"
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

constexpr int64_t kC = kAttentionChunk;

// What the decays of one chunk and head make: e^G, e^(G_C − G), Γ with zeros above the diagonal.
struct Decays {
  float *sum, *passed, *left, *gamma;  // G, e^G, e^(G_C − G) [C]; Γ [C, C]
};
Decays take_decays(Pieces& pieces) { return {pieces.take(kC), pieces.take(kC), pieces.take(kC), pieces.take(kC * kC)}; }

void compute(const Decays& d, const float* decay, int64_t stride, int64_t count) {
  float sum = 0;
  for (int64_t r = 0; r < kC; ++r) {
    if (decay && r < count) sum += decay[r * stride];
    d.sum[r] = sum;
  }
  for (int64_t r = 0; r < kC; r += W) {
    const F g = load(d.sum + r);
    store(d.passed + r, exp_not_positive(g));
    store(d.left + r, exp_not_positive(set1(sum) - g));
  }
  for (int64_t r = 0; r < count; ++r)
    for (int64_t i = 0; i < kC; i += W) {
      const F g = i <= r ? exp_not_positive(set1(d.sum[r]) - load(d.sum + i)) : F{};  // above the diagonal anything
      store(d.gamma + r * kC + i, select(iota() + static_cast<int32_t>(i) <= static_cast<int32_t>(r), g, F{}));
    }
}

// out = a∘Γ over the first `count` rows.
void times_gamma(const float* a, const Decays& d, int64_t count, float* out) {
  for (int64_t i = 0; i < count * kC; i += W) store(out + i, load(a + i) * load(d.gamma + i));
}
// out[r, i] = factor_r·a[r, i] for i < r, else 0.
void strictly_lower(const float* a, const float* factor, int64_t count, float* out) {
  for (int64_t r = 0; r < count; ++r)
    for (int64_t i = 0; i < kC; i += W)
      store(out + r * kC + i, select(iota() + static_cast<int32_t>(i) < static_cast<int32_t>(r), factor[r] * load(a + r * kC + i), F{}));
}

// β of the chunk's rows, 1 where there is none.
void gather_beta(const float* beta, int64_t stride, int64_t count, float* to) {
  for (int64_t r = 0; r < count; ++r) to[r] = beta ? beta[r * stride] : 1.0f;
}

// D = (I + L)⁻¹·β(V − e^G·KS), or βV. ks: [C, vp], filled with the delta rule.
void written_values(bool delta, const float* key, int64_t k, int64_t kp, const float* state, int64_t state_row, const float* value, int64_t vp, int64_t count, const Decays& d,
                    const float* beta, const float* minus_l, float* ks, float* out) {
  if (delta) small_gemm({key, kp, 1}, count, k, Zeros::none, state, state_row, vp, ks, vp, false);
  for (int64_t r = 0; r < count; ++r)
    for (int64_t j = 0; j < vp; j += W) {
      F x = load(value + r * vp + j);
      if (delta) x = nmadd(set1(d.passed[r]), load(ks + r * vp + j), x);
      store(out + r * vp + j, beta[r] * x);
    }
  if (delta) solve(minus_l, kC, count, out, vp);
}

}  // namespace

template <class T> void linear_attention_forward(const LinearAttentionForward<T>& a) {
  const int64_t k = a.k, v = a.v, kp = whole_vectors(k), vp = whole_vectors(v);
  Pieces pieces{reinterpret_cast<float*>(a.scratch)};
  float *q = pieces.take(kC * kp), *key = pieces.take(kC * kp), *key_t = pieces.take(kp * kC), *left_key = pieces.take(kC * kp);
  float *qk = pieces.take(kC * kC), *kk = pieces.take(kC * kC), *scores = pieces.take(kC * kC), *minus_l = pieces.take(kC * kC);
  float *value = pieces.take(kC * vp), *ks = pieces.take(kC * vp), *written = pieces.take(kC * vp), *out = pieces.take(kC * vp), *beta = pieces.take(kC), *copy = pieces.take(k * vp);
  const Decays d = take_decays(pieces);
  for (int64_t first = 0; first < a.tokens; first += kC) {
    const int64_t count = a.tokens - first < kC ? a.tokens - first : kC;
    gather_rows(a.q + first * a.q_stride, a.q_stride, count, k, 1.0f, q, kp);
    gather_rows(a.key + first * a.k_stride, a.k_stride, count, k, 1.0f, key, kp);
    transposed(key, count, kp, kp, key_t, kC);
    const int64_t columns = whole_vectors(count);
    small_gemm({q, kp, 1}, count, k, Zeros::none, key_t, kC, columns, qk, kC, false);
    if (a.delta) small_gemm({key, kp, 1}, count, k, Zeros::none, key_t, kC, columns, kk, kC, false);
    for (int64_t h = 0; h < a.heads; ++h) {
      float* state = a.state + h * k * v;
      if (a.starts) __builtin_memcpy(a.starts + (first / kC * a.heads + h) * k * v, state, static_cast<size_t>(k * v) * sizeof(float));
      if (v != vp) {
        padded_state(state, k, v, copy, vp);
        state = copy;
      }
      compute(d, a.decay ? a.decay + first * a.decay_stride + h : nullptr, a.decay_stride, count);
      gather_beta(a.beta ? a.beta + first * a.gate_stride + h : nullptr, a.gate_stride, count, beta);
      gather_rows(a.value + first * a.v_stride + h * v, a.v_stride, count, v, 1.0f, value, vp);
      if (a.delta) {
        times_gamma(kk, d, count, scores);
        float minus_beta[kC];
        for (int64_t r = 0; r < count; ++r) minus_beta[r] = -beta[r];
        strictly_lower(scores, minus_beta, count, minus_l);
      }
      times_gamma(qk, d, count, scores);
      written_values(a.delta, key, k, kp, state, vp, value, vp, count, d, beta, minus_l, ks, written);
      small_gemm({q, kp, 1}, count, k, Zeros::none, state, vp, vp, out, vp, false);
      scaled_rows(out, d.passed, count, vp, out);
      small_gemm({scores, kC, 1}, count, count, Zeros::above, written, vp, vp, out, vp, true);
      const float skip = a.skip_H ? a.skip_H[h] : 0.0f;
      for (int64_t r = 0; r < count; ++r)
        sweep(v, [&](int64_t j, auto part) GAMUT_INLINED {
          store(a.out + (first + r) * a.out_stride + h * v + j, madd(set1(a.scale), load(out + r * vp + j), skip * load(value + r * vp + j)), part);
        });
      scaled_rows(key, d.left, count, kp, left_key);
      const float kept = d.passed[count - 1];
      for (int64_t i = 0; i < k * vp; i += W) store(state + i, kept * load(state + i));
      small_gemm({left_key, 1, kp}, k, count, Zeros::none, written, vp, vp, state, vp, true);
      if (v != vp) unpadded_state(state, k, v, a.state + h * k * v, vp);
    }
  }
}

template <class T> void linear_attention_backward(const LinearAttentionBackward<T>& b) {
  const LinearAttentionForward<T>& a = b.forward;
  const int64_t k = a.k, v = a.v, kp = whole_vectors(k), vp = whole_vectors(v);
  Pieces pieces{reinterpret_cast<float*>(a.scratch)};
  float *q = pieces.take(kC * kp), *key = pieces.take(kC * kp), *key_t = pieces.take(kp * kC), *left_key = pieces.take(kC * kp);
  float *dq = pieces.take(kC * kp), *dk = pieces.take(kC * kp), *grown = pieces.take(kC * kp);
  float *qk = pieces.take(kC * kC), *kk = pieces.take(kC * kC), *minus_l = pieces.take(kC * kC), *dl = pieces.take(kC * kC), *scores = pieces.take(kC * kC);
  float *value = pieces.take(kC * vp), *ks = pieces.take(kC * vp), *written = pieces.take(kC * vp), *d_out = pieces.take(kC * vp), *d_written = pieces.take(kC * vp), *qs = pieces.take(kC * vp);
  float *written_t = pieces.take(vp * kC), *state = pieces.take(kp * vp), *state_t = pieces.take(vp * kp), *ds = pieces.take(kp * vp), *ds_t = pieces.take(vp * kp), *beta = pieces.take(kC);
  float *d_sum = pieces.take(kC), *d_beta = pieces.take(kC);
  const Decays d = take_decays(pieces);
  for (int64_t i = k * vp; i < kp * vp; i += W) store(state + i, F{});

  for (int64_t h = 0; h < a.heads; ++h) {
    for (int64_t i = 0; i < kp * vp; i += W) store(ds + i, F{});
    float d_skip = 0;
    const float skip = a.skip_H ? a.skip_H[h] : 0.0f;
    for (int64_t chunk = (a.tokens - 1) / kC; chunk >= 0; --chunk) {
      const int64_t first = chunk * kC, count = a.tokens - first < kC ? a.tokens - first : kC, columns = whole_vectors(count);
      // The forward's intermediates.
      gather_rows(a.q + first * a.q_stride, a.q_stride, count, k, 1.0f, q, kp);
      gather_rows(a.key + first * a.k_stride, a.k_stride, count, k, 1.0f, key, kp);
      gather_rows(a.value + first * a.v_stride + h * v, a.v_stride, count, v, 1.0f, value, vp);
      gather_rows(b.d_out + first * a.out_stride + h * v, a.out_stride, count, v, a.scale, d_out, vp);
      padded_state(a.starts + (chunk * a.heads + h) * k * v, k, v, state, vp);
      compute(d, a.decay ? a.decay + first * a.decay_stride + h : nullptr, a.decay_stride, count);
      gather_beta(a.beta ? a.beta + first * a.gate_stride + h : nullptr, a.gate_stride, count, beta);
      transposed(key, count, kp, kp, key_t, kC);
      small_gemm({q, kp, 1}, count, k, Zeros::none, key_t, kC, columns, qk, kC, false);
      times_gamma(qk, d, count, qk);  // A
      if (a.delta) {
        small_gemm({key, kp, 1}, count, k, Zeros::none, key_t, kC, columns, kk, kC, false);
        times_gamma(kk, d, count, kk);  // KKᵀ∘Γ
        float minus_beta[kC];
        for (int64_t r = 0; r < count; ++r) minus_beta[r] = -beta[r];
        strictly_lower(kk, minus_beta, count, minus_l);
      }
      written_values(a.delta, key, k, kp, state, vp, value, vp, count, d, beta, minus_l, ks, written);
      small_gemm({q, kp, 1}, count, k, Zeros::none, state, vp, vp, qs, vp, false);
      transposed(written, count, vp, vp, written_t, kC);
      transposed(state, kp, vp, vp, state_t, kp);
      transposed(ds, kp, vp, vp, ds_t, kp);
      scaled_rows(key, d.left, count, kp, left_key);

      // Output and next state, as functions of D, Q, K, S.
      small_gemm({qk, 1, kC}, count, count, Zeros::below, d_out, vp, vp, d_written, vp, false);
      small_gemm({left_key, kp, 1}, count, k, Zeros::none, ds, vp, vp, d_written, vp, true);
      small_gemm({d_out, vp, 1}, count, v, Zeros::none, written_t, kC, columns, scores, kC, false);  // ∂/∂A before the mask
      for (int64_t r = 0; r < count; ++r) d_sum[r] = d.passed[r] * dot(d_out + r * vp, qs + r * vp, vp);
      const auto count_decay = [&](const float* gradient, const float* matrix, float sign) GAMUT_INLINED {  // rows gain what columns lose
        for (int64_t r = 0; r < count; ++r)
          for (int64_t i = 0; i < columns; i += W) {
            const F e = select(iota() + static_cast<int32_t>(i) <= static_cast<int32_t>(r), sign * load(gradient + r * kC + i) * load(matrix + r * kC + i), F{});
            d_sum[r] += sum(e);
            store(d_sum + i, load(d_sum + i) - e);
          }
      };
      for (int64_t r = count; r < kC; ++r) d_sum[r] = 0;
      count_decay(scores, qk, 1.0f);
      times_gamma(scores, d, count, scores);
      small_gemm({d_out, vp, 1}, count, v, Zeros::none, state_t, kp, kp, dq, kp, false);
      scaled_rows(dq, d.passed, count, kp, dq);
      small_gemm({scores, kC, 1}, count, count, Zeros::above, key, kp, kp, dq, kp, true);
      small_gemm({written, vp, 1}, count, v, Zeros::none, ds_t, kp, kp, dk, kp, false);
      scaled_rows(dk, d.left, count, kp, dk);
      float to_last = 0;
      for (int64_t r = 0; r < count; ++r) {
        const float x = dot(dk + r * kp, key + r * kp, kp);
        d_sum[r] -= x;
        to_last += x;
      }
      const float kept = d.passed[count - 1];
      d_sum[count - 1] += to_last + kept * dot(ds, state, kp * vp);
      small_gemm({scores, 1, kC}, count, count, Zeros::below, q, kp, kp, dk, kp, true);
      // The next chunk's gradient becomes this chunk's.
      for (int64_t i = 0; i < kp * vp; i += W) store(ds + i, kept * load(ds + i));
      scaled_rows(q, d.passed, count, kp, grown);
      small_gemm({grown, 1, kp}, k, count, Zeros::none, d_out, vp, vp, ds, vp, true);

      // D, as a function of V, β, K, S.
      if (a.delta) {
        solve_transposed(minus_l, kC, count, d_written, vp);
        small_gemm({d_written, vp, 1}, count, v, Zeros::none, written_t, kC, columns, dl, kC, false);  // −∂/∂L
      }
      for (int64_t r = 0; r < count; ++r) {
        F s{};
        for (int64_t j = 0; j < vp; j += W) {
          F x = load(value + r * vp + j);
          if (a.delta) x = nmadd(set1(d.passed[r]), load(ks + r * vp + j), x);
          s = madd(load(d_written + r * vp + j), x, s);
        }
        d_beta[r] = sum(s);
      }
      if (a.delta) {
        for (int64_t r = 0; r < count; ++r) {
          F s{};
          for (int64_t i = 0; i < columns; i += W) {
            const F m = select(iota() + static_cast<int32_t>(i) < static_cast<int32_t>(r), -load(dl + r * kC + i), F{});
            store(dl + r * kC + i, m);
            s = madd(m, load(kk + r * kC + i), s);
          }
          d_beta[r] += sum(s);
        }
        count_decay(dl, minus_l, -1.0f);
        for (int64_t r = 0; r < count; ++r)
          for (int64_t i = 0; i < columns; i += W) store(dl + r * kC + i, beta[r] * load(dl + r * kC + i) * load(d.gamma + r * kC + i));
        small_gemm({dl, kC, 1}, count, count, Zeros::above, key, kp, kp, dk, kp, true);
        small_gemm({dl, 1, kC}, count, count, Zeros::below, key, kp, kp, dk, kp, true);
        for (int64_t r = 0; r < count; ++r) {  // ∂/∂(KS), in the place of QS
          const F factor = set1(-beta[r] * d.passed[r]);
          F s{};
          for (int64_t j = 0; j < vp; j += W) {
            const F z = factor * load(d_written + r * vp + j);
            store(qs + r * vp + j, z);
            s = madd(z, load(ks + r * vp + j), s);
          }
          d_sum[r] += sum(s);
        }
        small_gemm({qs, vp, 1}, count, v, Zeros::none, state_t, kp, kp, dk, kp, true);
        small_gemm({key, 1, kp}, k, count, Zeros::none, qs, vp, vp, ds, vp, true);
      }

      for (int64_t r = 0; r < count; ++r) {
        const int64_t t = first + r;
        const T* d_out_V = b.d_out + t * a.out_stride + h * v;
        F s{};
        sweep(v, [&](int64_t j, auto part) GAMUT_INLINED {
          const F g = load(d_out_V + j, part);
          s = madd(g, load(value + r * vp + j), s);
          store(b.d_value + t * a.v_stride + h * v + j, madd(set1(beta[r]), load(d_written + r * vp + j), skip * g), part);
        });
        d_skip += sum(s);
        const auto put = [&](float* to, const float* from) GAMUT_INLINED {
          sweep(k, [&](int64_t i, auto part) GAMUT_INLINED {
            const F x = load(from + i);
            store(to + i, h == 0 ? x : load(to + i, part) + x, part);
          });
        };
        put(b.d_q + t * b.dq_stride, dq + r * kp);
        put(b.d_key + t * b.dq_stride, dk + r * kp);
        if (b.d_beta) b.d_beta[t * a.gate_stride + h] = d_beta[r];
      }
      if (b.d_decay) {
        float later = 0;
        for (int64_t r = count - 1; r >= 0; --r) b.d_decay[(first + r) * a.gate_stride + h] = later += d_sum[r];
      }
    }
    if (b.d_skip_H) b.d_skip_H[h] = d_skip;
  }
}

template void linear_attention_forward(const LinearAttentionForward<float>&);
template void linear_attention_forward(const LinearAttentionForward<bf16>&);
template void linear_attention_backward(const LinearAttentionBackward<float>&);
template void linear_attention_backward(const LinearAttentionBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
