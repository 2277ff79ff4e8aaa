// Diagonal-plus-low-rank attention: two passes over the state per token, rows of the state in whole vectors.
#include "kernels/simd/kernels.h"
#include "kernels/simd/math.h"

namespace gamut::kernels::GAMUT_TIER {
namespace {

constexpr int64_t kDplrKeys = 1024;  // of one head at most

// The decays e^g of one token.
template <class T> GAMUT_INLINE void dplr_decays(const DplrForward<T>& f, int64_t t, float* decay) {
  sweep(f.k, [&](int64_t i, auto part) GAMUT_INLINED { store(decay + i, exp(load(f.decay + t * f.k_stride + i, part)), part); });
}

// The state after token t, and what q reads of it (d_out null: nothing is read). before may be after; u receives a·S. Rows are vp apart.
template <class T> GAMUT_INLINE void dplr_advance(const DplrForward<T>& f, int64_t t, const float* before, float* after, int64_t vp, float* u, T* out) {
  const int64_t kt = t * f.k_stride, vt = t * f.v_stride;
  float decay[kDplrKeys];
  dplr_decays(f, t, decay);
  sweep(f.v, [&](int64_t j, auto part) GAMUT_INLINED {
    F correction{};
    if (f.a)
      for (int64_t i = 0; i < f.k; ++i) correction = madd(set1(load1(f.a + kt + i)), load(before + i * vp + j), correction);
    store(u + j, correction);
    const F value = load(f.value + vt + j, part);
    F read{};
    for (int64_t i = 0; i < f.k; ++i) {
      F s = load(before + i * vp + j) * decay[i];
      if (f.b) s = madd(set1(load1(f.b + kt + i)), correction, s);
      s = madd(set1(load1(f.key + kt + i)), value, s);
      store(after + i * vp + j, s);
      if (out) read = madd(set1(load1(f.q + kt + i)), s, read);
    }
    if (out) store(out + vt + j, read, part);
  });
}

void dplr_pad(const float* from, int64_t k, int64_t v, float* to, int64_t vp) {
  for (int64_t i = 0; i < k; ++i) {
    store(to + i * vp + vp - W, F{});
    sweep(v, [&](int64_t j, auto part) GAMUT_INLINED { store(to + i * vp + j, load(from + i * v + j, part), part); });
  }
}
void dplr_unpad(const float* from, int64_t k, int64_t v, float* to, int64_t vp) {
  for (int64_t i = 0; i < k; ++i)
    sweep(v, [&](int64_t j, auto part) GAMUT_INLINED { store(to + i * v + j, load(from + i * vp + j, part), part); });
}

}  // namespace

template <class T> void dplr_forward(const DplrForward<T>& f) {
  const int64_t vp = (f.v + W - 1) / W * W, size = f.k * f.v;
  float *u = reinterpret_cast<float*>(f.scratch), *state = u + vp;
  dplr_pad(f.state, f.k, f.v, state, vp);
  for (int64_t t = 0; t < f.tokens; ++t) {
    if (f.starts && t % kDplrChunk == 0) dplr_unpad(state, f.k, f.v, f.starts + t / kDplrChunk * size, vp);
    dplr_advance(f, t, state, state, vp, u, f.out);
  }
  dplr_unpad(state, f.k, f.v, f.state, vp);
}

template <class T> void dplr_backward(const DplrBackward<T>& b) {
  const DplrForward<T>& f = b.forward;
  const int64_t vp = (f.v + W - 1) / W * W, size = f.k * vp;
  float *states = reinterpret_cast<float*>(f.scratch), *ds = states + (kDplrChunk + 1) * size, *u = ds + size, *du = u + kDplrChunk * vp;
  float decay[kDplrKeys];
  for (int64_t i = 0; i < size; i += W) store(ds + i, F{});
  for (int64_t chunk = (f.tokens - 1) / kDplrChunk; chunk >= 0; --chunk) {
    const int64_t first = chunk * kDplrChunk, count = f.tokens - first < kDplrChunk ? f.tokens - first : kDplrChunk;
    dplr_pad(f.starts + chunk * f.k * f.v, f.k, f.v, states, vp);
    for (int64_t c = 0; c < count; ++c) dplr_advance(f, first + c, states + c * size, states + (c + 1) * size, vp, u + c * vp, static_cast<T*>(nullptr));
    for (int64_t c = count - 1; c >= 0; --c) {
      const int64_t kt = (first + c) * f.k_stride, vt = (first + c) * f.v_stride;
      const float *before = states + c * size, *after = before + size, *u_t = u + c * vp;
      dplr_decays(f, first + c, decay);
      sweep(f.v, [&](int64_t j, auto part) GAMUT_INLINED {
        const F d_out = load(b.d_out + vt + j, part);
        F d_value{}, d_u{};
        for (int64_t i = 0; i < f.k; ++i) {
          const F d = madd(set1(load1(f.q + kt + i)), d_out, load(ds + i * vp + j));
          store(ds + i * vp + j, d);
          d_value = madd(set1(load1(f.key + kt + i)), d, d_value);
          if (f.b) d_u = madd(set1(load1(f.b + kt + i)), d, d_u);
        }
        store(b.d_value + vt + j, d_value, part);
        store(du + j, d_u);
      });
      for (int64_t i = 0; i < f.k; ++i) {
        const F a = f.a ? set1(load1(f.a + kt + i)) : F{};
        F d_q{}, d_key{}, d_a{}, d_b{}, d_decay{};
        sweep(f.v, [&](int64_t j, auto part) GAMUT_INLINED {
          const F d = load(ds + i * vp + j), s = load(before + i * vp + j), correction = load(du + j);
          d_q = madd(load(after + i * vp + j), load(b.d_out + vt + j, part), d_q);
          d_key = madd(d, load(f.value + vt + j, part), d_key);
          d_b = madd(d, load(u_t + j), d_b);
          d_a = madd(correction, s, d_a);
          d_decay = madd(d, s, d_decay);
          store(ds + i * vp + j, madd(a, correction, d * decay[i]));
        });
        store(b.d_q + kt + i, set1(sum(d_q)), Some{1});
        store(b.d_key + kt + i, set1(sum(d_key)), Some{1});
        b.d_decay[kt + i] = sum(d_decay) * decay[i];
        if (!f.a) continue;
        store(b.d_a + kt + i, set1(sum(d_a)), Some{1});
        store(b.d_b + kt + i, set1(sum(d_b)), Some{1});
      }
    }
  }
}

template void dplr_forward(const DplrForward<float>&);
template void dplr_forward(const DplrForward<bf16>&);
template void dplr_backward(const DplrBackward<float>&);
template void dplr_backward(const DplrBackward<bf16>&);

}  // namespace gamut::kernels::GAMUT_TIER
