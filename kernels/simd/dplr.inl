// Diagonal-plus-low-rank attention in chunks, by products of small matrices. Notation: kernels/dplr.h.
#include "kernels/simd/chunk.h"
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

constexpr int64_t kDC = kDplrChunk;
static_assert(kDC % W == 0);

// The rows of a chunk and head, and what decays and pairs of rows make of them.
template <class T> struct DplrRows {
  const DplrForward<T>& f;
  const int64_t k = f.k, v = f.v, kp = whole_vectors(k), vp = whole_vectors(v);
  const bool low_rank = f.a;
  int64_t first = 0, count = 0;
  float *q, *key, *a, *b, *decay;                // [C, K]: scale·q, k, a, b, e^g
  float *passed, *before;                        // [C, K]: e^G; e^(G − g), the decay up to the token before
  float *q_grown, *a_grown, *key_left, *b_left;  // scale·q∘e^G (early: ∘e^(G − g)), a∘e^(G − g), k∘e^(G_C − G), b∘e^(G_C − G)
  float *qk, *qb, *ak, *ab;                      // [C, C]
  float *value, *u;                              // [C, V]

  DplrRows(Pieces& pieces, const DplrForward<T>& forward) : f(forward) {
    for (float** rows : {&q, &key, &a, &b, &decay, &passed, &before, &q_grown, &a_grown, &key_left, &b_left}) *rows = pieces.take(kDC * kp);
    for (float** pairs : {&qk, &qb, &ak, &ab}) *pairs = pieces.take(kDC * kDC);
    for (float** rows : {&value, &u}) *rows = pieces.take(kDC * vp);
  }

  const float* last() const { return passed + (count - 1) * kp; }  // e^(G_C)

  void load_chunk(int64_t chunk) {
    first = chunk * kDC;
    count = f.tokens - first < kDC ? f.tokens - first : kDC;
    const int64_t at = first * f.k_stride;
    gather_rows(f.q + at, f.k_stride, count, k, f.scale, q, kp);
    gather_rows(f.key + at, f.k_stride, count, k, 1.0f, key, kp);
    gather_rows(f.value + first * f.v_stride, f.v_stride, count, v, 1.0f, value, vp);
    gather_rows(f.decay + at, f.k_stride, count, k, 1.0f, decay, kp);
    if (low_rank) {
      gather_rows(f.a + at, f.k_stride, count, k, 1.0f, a, kp);
      gather_rows(f.b + at, f.k_stride, count, k, 1.0f, b, kp);
    }
    for (int64_t i = 0; i < kp; i += W) {
      F grown = set1(1.0f), left = grown;
      for (int64_t r = 0; r < count; ++r) {
        const int64_t x = r * kp + i;
        const F e = exp(load(decay + x));
        store(decay + x, e);
        store(before + x, grown);
        if (f.early) store(q_grown + x, grown * load(q + x));
        if (low_rank) store(a_grown + x, grown * load(a + x));
        grown *= e;
        store(passed + x, grown);
        if (!f.early) store(q_grown + x, grown * load(q + x));
      }
      for (int64_t r = count - 1; r >= 0; --r) {
        const int64_t x = r * kp + i;
        store(key_left + x, left * load(key + x));
        if (low_rank) store(b_left + x, left * load(b + x));
        left *= load(decay + x);
      }
    }
  }

  // Every query and a with every k and b before it. k and b decay on their way from row to row, so that no factor is above 1.
  void multiply_pairs(float* x, float* y) {
    for (float* pairs : {qk, qb, ak, ab})
      for (int64_t i = 0; i < kDC * kDC; i += W) store(pairs + i, F{});
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t d = 0; d < kp; d += W) {
        store(x + d, load(key + i * kp + d));
        if (low_rank) store(y + d, load(b + i * kp + d));
      }
      for (int64_t r = i; r < count; ++r) {
        F q_x{}, q_y{}, a_x{}, a_y{};
        for (int64_t d = 0; d < kp; d += W) {
          const int64_t at = r * kp + d;
          F key_d = load(x + d), b_d = low_rank ? load(y + d) : F{};
          const auto read = [&]() GAMUT_INLINED {
            const F q_d = load(q + at);
            q_x = madd(q_d, key_d, q_x);
            if (low_rank) q_y = madd(q_d, b_d, q_y);
          };
          if (r > i) {
            if (f.early) read();
            if (low_rank) {
              const F a_d = load(a + at);
              a_x = madd(a_d, key_d, a_x);
              a_y = madd(a_d, b_d, a_y);
            }
            const F e = load(decay + at);
            store(x + d, key_d *= e);
            if (low_rank) store(y + d, b_d *= e);
          }
          if (!f.early) read();
        }
        qk[r * kDC + i] = sum(q_x);
        if (!low_rank) continue;
        qb[r * kDC + i] = sum(q_y);
        ak[r * kDC + i] = sum(a_x);
        ab[r * kDC + i] = sum(a_y);
      }
    }
  }

  // U = (I − AB)⁻¹·(a∘e^(G − g)·S + AK·V), and what k and b make of the state: e^(G_C)·S + (k∘e^(G_C − G))ᵀV + (b∘e^(G_C − G))ᵀU.
  void correct(const float* state) {
    small_gemm({a_grown, kp, 1}, count, k, Zeros::none, state, vp, vp, u, vp, false);
    small_gemm({ak, kDC, 1}, count, count, Zeros::above, value, vp, vp, u, vp, true);
    solve(ab, kDC, count, u, vp);
  }
  void advance(float* state) const {
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < vp; j += W) store(state + i * vp + j, last()[i] * load(state + i * vp + j));
    small_gemm({key_left, 1, kp}, k, count, Zeros::none, value, vp, vp, state, vp, true);
    if (low_rank) small_gemm({b_left, 1, kp}, k, count, Zeros::none, u, vp, vp, state, vp, true);
  }
};

// Gradients of the pairs' products [C, C].
struct DplrPairs {
  const float *qk, *qb, *ak, *ab;
};
// Adds what pairs of a row and one before it give.
template <class T> void pairs_backward(const DplrRows<T>& c, const DplrPairs& g, float* dq, float* da, float* dk, float* db) {
  const bool low = c.low_rank, early = c.f.early;
  for (int64_t d = 0; d < c.kp; d += W) {
    for (int64_t r = 1; r < c.count; ++r) {
      F into_q{}, into_a{};
      for (int64_t i = 0; i < r; ++i) {
        const int64_t at = i * c.kp + d, pair = r * kDC + i;
        const F e = load(c.decay + at), key = load(c.key + at);
        into_q = madd(set1(g.qk[pair]), key, into_q * e);
        if (!low) continue;
        const F b = load(c.b + at);
        into_q = madd(set1(g.qb[pair]), b, into_q);
        into_a = madd(set1(g.ab[pair]), b, madd(set1(g.ak[pair]), key, into_a * e));
      }
      const int64_t at = r * c.kp + d;
      if (!early) into_q *= load(c.decay + at);
      store(dq + at, load(dq + at) + into_q);
      if (low) store(da + at, load(da + at) + into_a);
    }
    for (int64_t i = 0; i + 1 < c.count; ++i) {
      F into_k{}, into_b{};
      for (int64_t r = c.count - 1; r > i; --r) {
        const int64_t at = r * c.kp + d, pair = r * kDC + i;
        const F q = load(c.q + at), e = load(c.decay + at);
        into_k = early ? madd(set1(g.qk[pair]), q, into_k * e) : madd(set1(g.qk[pair]), q, into_k) * e;
        if (!low) continue;
        into_b = early ? madd(set1(g.qb[pair]), q, into_b * e) : madd(set1(g.qb[pair]), q, into_b) * e;
        const F a = load(c.a + at);
        into_k = madd(set1(g.ak[pair]), a, into_k);
        into_b = madd(set1(g.ab[pair]), a, into_b);
      }
      const int64_t at = i * c.kp + d;
      store(dk + at, load(dk + at) + into_k);
      if (low) store(db + at, load(db + at) + into_b);
    }
  }
}

GAMUT_INLINE void times(float* rows, const float* factors, int64_t n) {
  for (int64_t i = 0; i < n; i += W) store(rows + i, load(rows + i) * load(factors + i));
}

// The gradients of a chunk's rows, and by them of decays, whose part in a token's own pair is none; later_K is what the decay of the last token gets
// from what comes after the chunk.
template <class T>
void put_rows(const DplrRows<T>& c, const DplrBackward<T>& g, const DplrPairs& pairs, const float* dq, const float* da, const float* dk, const float* db,
              float* later_K) {
  const bool low = c.low_rank, early = c.f.early;
  for (int64_t r = c.count - 1; r >= 0; --r) {
    const int64_t to = (c.first + r) * c.f.k_stride;
    const F own_k = set1(early ? 0.0f : pairs.qk[r * kDC + r]), own_b = set1(early || !low ? 0.0f : pairs.qb[r * kDC + r]);
    sweep(c.k, [&](int64_t i, auto part) GAMUT_INLINED {
      const int64_t at = r * c.kp + i;
      const F q = load(c.q + at), key = load(c.key + at), into_k = load(dk + at);
      F into_q = load(dq + at), decay = nmadd(into_k, key, load(later_K + i));
      const F by_q = into_q * q;
      if (!early) decay += by_q;
      if (low) decay = nmadd(load(db + at), load(c.b + at), decay);
      store(g.d_decay + to + i, decay, part);
      if (early) decay += by_q;
      into_q = madd(own_k, key, into_q);
      if (low) {
        decay = madd(load(da + at), load(c.a + at), decay);
        into_q = madd(own_b, load(c.b + at), into_q);
        store(g.d_a + to + i, load(da + at), part);
        store(g.d_b + to + i, madd(own_b, q, load(db + at)), part);
      }
      store(later_K + i, decay);
      store(g.d_q + to + i, c.f.scale * into_q, part);
      store(g.d_key + to + i, madd(own_k, q, into_k), part);
    });
  }
}

// One token: two passes over the state, or one, in place.
template <class T> void dplr_step(const DplrForward<T>& f) {
  float* decay = reinterpret_cast<float*>(f.scratch);
  sweep(f.k, [&](int64_t i, auto part) GAMUT_INLINED { store(decay + i, exp(load(f.decay + i, part)), part); });
  sweep(f.v, [&](int64_t j, auto part) GAMUT_INLINED {
    const F value = load(f.value + j, part);
    F u{}, read{};
    if (f.a)
      for (int64_t i = 0; i < f.k; ++i) u = madd(set1(load1(f.a + i)), load(f.state + i * f.v + j, part), u);
    for (int64_t i = 0; i < f.k; ++i) {
      const F q = set1(load1(f.q + i));
      F s = load(f.state + i * f.v + j, part);
      if (f.early) read = madd(q, s, read);
      s *= decay[i];
      if (f.b) s = madd(set1(load1(f.b + i)), u, s);
      s = madd(set1(load1(f.key + i)), value, s);
      if (!f.early) read = madd(q, s, read);
      store(f.state + i * f.v + j, s, part);
    }
    store(f.out + j, f.scale * read, part);
  });
}

}  // namespace

template <class T> void dplr_forward(const DplrForward<T>& f) {
  if (f.tokens == 1 && !f.starts) return dplr_step(f);
  Pieces pieces{reinterpret_cast<float*>(f.scratch)};
  DplrRows<T> c(pieces, f);
  const int64_t size = f.k * f.v, vp = c.vp;
  float *state = pieces.take(f.k * vp), *out = pieces.take(kDC * vp), *x = pieces.take(c.kp), *y = pieces.take(c.kp);
  padded_state(f.state, f.k, f.v, state, vp);
  for (int64_t chunk = 0; chunk * kDC < f.tokens; ++chunk) {
    if (f.starts) unpadded_state(state, f.k, f.v, f.starts + chunk * size, vp);
    c.load_chunk(chunk);
    c.multiply_pairs(x, y);
    if (c.low_rank) c.correct(state);
    small_gemm({c.q_grown, c.kp, 1}, c.count, f.k, Zeros::none, state, vp, vp, out, vp, false);
    small_gemm({c.qk, kDC, 1}, c.count, c.count, Zeros::above, c.value, vp, vp, out, vp, true);
    if (c.low_rank) small_gemm({c.qb, kDC, 1}, c.count, c.count, Zeros::above, c.u, vp, vp, out, vp, true);
    scatter_rows(out, vp, c.count, f.v, f.out + c.first * f.v_stride, f.v_stride);
    c.advance(state);
  }
  unpadded_state(state, f.k, f.v, f.state, vp);
}

// With dS the gradient of the state after the chunk and [..] what pairs give:
//   dU = (I − AB)⁻ᵀ·(QBᵀ·dO + (b∘e^(G_C − G))·dS);  dV = QKᵀ·dO + AKᵀ·dU + (k∘e^(G_C − G))·dS
//   dq = e^G∘(dO·Sᵀ) + [..];  da = e^(G − g)∘(dU·Sᵀ) + [..];  dk = e^(G_C − G)∘(V·dSᵀ) + [..];  db likewise with U
//   dS ← e^(G_C)·dS + (q∘e^G)ᵀdO + (a∘e^(G − g))ᵀdU
// q and a at a token are multiplied by what G and G − g grow, k and b by what −G does: dG = q∘dq − k∘dk − b∘db, d(G − g) = a∘da.
template <class T> void dplr_backward(const DplrBackward<T>& g) {
  const DplrForward<T>& f = g.forward;
  Pieces pieces{reinterpret_cast<float*>(f.scratch)};
  DplrRows<T> c(pieces, f);
  const int64_t k = f.k, v = f.v, kp = c.kp, vp = c.vp;
  float *state = pieces.take(kp * vp), *state_t = pieces.take(vp * kp), *ds = pieces.take(kp * vp), *ds_t = pieces.take(vp * kp);
  float *d_out, *du, *dv, *value_t, *u_t, *dq, *da, *dk, *db, *d_qk, *d_qb, *d_ak, *d_ab, *x = pieces.take(kp), *y = pieces.take(kp);
  for (float** rows : {&d_out, &du, &dv, &value_t, &u_t}) *rows = pieces.take(kDC * vp);
  for (float** rows : {&dq, &da, &dk, &db}) *rows = pieces.take(kDC * kp);
  for (float** products : {&d_qk, &d_qb, &d_ak, &d_ab}) *products = pieces.take(kDC * kDC);
  for (int64_t i = 0; i < kp * vp; i += W) store(ds + i, F{});
  for (int64_t chunk = (f.tokens - 1) / kDC; chunk >= 0; --chunk) {
    c.load_chunk(chunk);
    c.multiply_pairs(x, y);
    padded_state(f.starts + chunk * k * v, k, v, state, vp);
    if (c.low_rank) c.correct(state);
    const int64_t count = c.count, columns = whole_vectors(count);
    gather_rows(g.d_out + c.first * f.v_stride, f.v_stride, count, v, 1.0f, d_out, vp);
    transposed(state, k, vp, vp, state_t, kp);
    transposed(ds, k, vp, vp, ds_t, kp);
    transposed(c.value, count, vp, vp, value_t, kDC);

    if (c.low_rank) {
      small_gemm({c.qb, 1, kDC}, count, count, Zeros::below, d_out, vp, vp, du, vp, false);
      small_gemm({c.b_left, kp, 1}, count, k, Zeros::none, ds, vp, vp, du, vp, true);
      solve_transposed(c.ab, kDC, count, du, vp);
    }
    small_gemm({c.qk, 1, kDC}, count, count, Zeros::below, d_out, vp, vp, dv, vp, false);
    if (c.low_rank) small_gemm({c.ak, 1, kDC}, count, count, Zeros::below, du, vp, vp, dv, vp, true);
    small_gemm({c.key_left, kp, 1}, count, k, Zeros::none, ds, vp, vp, dv, vp, true);

    small_gemm({d_out, vp, 1}, count, v, Zeros::none, state_t, kp, kp, dq, kp, false);
    times(dq, f.early ? c.before : c.passed, count * kp);
    small_gemm({c.value, vp, 1}, count, v, Zeros::none, ds_t, kp, kp, dk, kp, false);
    small_gemm({d_out, vp, 1}, count, v, Zeros::none, value_t, kDC, columns, d_qk, kDC, false);
    if (c.low_rank) {
      transposed(c.u, count, vp, vp, u_t, kDC);
      small_gemm({du, vp, 1}, count, v, Zeros::none, state_t, kp, kp, da, kp, false);
      times(da, c.before, count * kp);
      small_gemm({c.u, vp, 1}, count, v, Zeros::none, ds_t, kp, kp, db, kp, false);
      small_gemm({d_out, vp, 1}, count, v, Zeros::none, u_t, kDC, columns, d_qb, kDC, false);
      small_gemm({du, vp, 1}, count, v, Zeros::none, value_t, kDC, columns, d_ak, kDC, false);
      small_gemm({du, vp, 1}, count, v, Zeros::none, u_t, kDC, columns, d_ab, kDC, false);
    }
    // k and b have e^(G_C − G) yet to come; x: what the sum of all decays gets.
    for (int64_t i = 0; i < kp; i += W) {
      F left = set1(1.0f), to_last{};
      for (int64_t r = count - 1; r >= 0; --r) {
        const int64_t at = r * kp + i;
        const F into_k = left * load(dk + at);
        store(dk + at, into_k);
        to_last = madd(into_k, load(c.key + at), to_last);
        if (c.low_rank) {
          const F into_b = left * load(db + at);
          store(db + at, into_b);
          to_last = madd(into_b, load(c.b + at), to_last);
        }
        left *= load(c.decay + at);
      }
      store(x + i, to_last);
    }
    for (int64_t i = 0; i < k; ++i) {
      x[i] += c.last()[i] * dot(ds + i * vp, state + i * vp, vp);
      for (int64_t j = 0; j < vp; j += W) store(ds + i * vp + j, c.last()[i] * load(ds + i * vp + j));
    }
    const DplrPairs pairs{d_qk, d_qb, d_ak, d_ab};
    pairs_backward(c, pairs, dq, da, dk, db);
    small_gemm({c.q_grown, 1, kp}, k, count, Zeros::none, d_out, vp, vp, ds, vp, true);
    if (c.low_rank) small_gemm({c.a_grown, 1, kp}, k, count, Zeros::none, du, vp, vp, ds, vp, true);

    put_rows(c, g, pairs, dq, da, dk, db, x);
    scatter_rows(dv, vp, count, v, g.d_value + c.first * f.v_stride, f.v_stride);
  }
}

template void dplr_forward(const DplrForward<float>&);
template void dplr_forward(const DplrForward<bf16>&);
template void dplr_backward(const DplrBackward<float>&);
template void dplr_backward(const DplrBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
