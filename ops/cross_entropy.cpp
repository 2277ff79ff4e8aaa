#include "ops/cross_entropy.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"
#include "kernels/map.h"
#include "ops/packed_weight.h"
#include "ops/reduce.h"

namespace gamut::ops {
namespace {

// Rows at a time. Logits of about 4 MiB stay in the shared cache between the three products that use them. Weights too large for a cache
// are read from memory once a slice, packed in both directions, and their gradient is read and written: 12 bytes for 6 operations a row.
// From 1024 rows on arithmetic takes twenty times as long.
int64_t slice_rows(int64_t vocab, int64_t width) {
  constexpr int64_t kCachedLogits = int64_t{1} << 20, kCachedWeights = int64_t{1} << 20, kRowsOfLarge = 1024;  // elements
  const int64_t cached = std::clamp<int64_t>(kCachedLogits / vocab / 64 * 64, 64, 2048);
  return vocab * width > kCachedWeights ? std::max(cached, kRowsOfLarge) : cached;
}

}  // namespace

HeadLoss cross_entropy(Tape& tape, const Tensor& hidden, const LinearWeight& classifier, const Tensor& target, double scale, double z, const Tensor& weight, double softcap) {
  const auto timing = tape.time("head");
  const Tensor &w = classifier.w_NK, &bias = classifier.bias_N;
  const int64_t n = hidden.rows(), d = hidden.width(), v = w.shape()[0];
  if (w.shape()[1] != d || target.elements() != n)
    throw Error({.who = "cross_entropy", .what = "hidden " + hidden.shape().text() + ", w_VD " + w.shape().text() + " and target " + target.shape().text() + " do not fit"});
  const DType p = w.dtype();
  const int64_t slice = std::min(slice_rows(v, d), std::max<int64_t>(n, 1));
  HeadLoss result{tape.empty({1}, p), tape.empty({n}, p)};
  const bool train = tape.training() && (hidden.needs_grad() || w.needs_grad());
  const Tensor logits = tape.empty({slice, v}, p), lse = tape.empty({slice}, p);
  const bool changed = softcap > 0;  // the gradient of what changes logits needs them once more
  // Else a row's gradient begins where its logits did: it meets lines that a cache holds, and half as many go back to memory.
  const bool in_place = train && !changed && (hidden.dtype() == p || !bias);
  const Tensor d_logits = !train || in_place ? logits : tape.empty({slice, v}, hidden.dtype());
  const int64_t d_stride = in_place ? v * static_cast<int64_t>(size_of(p) / size_of(hidden.dtype())) : v;
  const Tensor d_hidden = train && hidden.needs_grad() ? tape.empty(hidden.shape(), hidden.dtype()) : Tensor();
  const GradSlot dw = train ? tape.slot(w.grad()) : GradSlot{};
  const Tensor db = train && bias ? tape.sum_slot(bias.grad()) : Tensor();
  const double product = 2.0 * static_cast<double>(n) * static_cast<double>(d) * static_cast<double>(v);
  tape.count("head", {.matmul_flops = product * (1 + (d_hidden ? 1 : 0) + (dw ? 1 : 0)), .other_flops = (softcap > 0 ? 24.0 : 6.0) * static_cast<double>(n) * static_cast<double>(v),
                      .bytes = static_cast<double>(2 * hidden.bytes() + 2 * w.bytes())});
  const kernels::PackedMatrix forward = packed(tape, w, hidden.dtype(), Side::forward);
  const kernels::PackedMatrix backward = d_hidden ? packed(tape, w, hidden.dtype(), Side::backward) : kernels::PackedMatrix{};
  if (db && !tape.runs()) add_column_sums(tape, d_logits, db, slice);  // its partial sums take memory
  double penalty = 0;
  if (tape.runs())
    with_float_type(hidden.dtype(), [&]<class T>() {
      using P = accumulator<T>;
      for (int64_t first = 0; first < n; first += slice) {
        const int64_t rows = std::min(slice, n - first);
        const T* h = hidden.data<T>() + first * d;
        const int32_t* goal = target.data<int32_t>() + first;
        const kernels::Gemm to_logits{.terms = {{h, d, forward}}, .m = rows, .n = v, .c = logits.raw(), .ldc = v, .c_dtype = p, .bias_N = bias ? bias.raw() : nullptr};
        kernels::gemm(tape.pool(), std::span(&to_logits, 1));
        constexpr int64_t kBlock = 16;  // a row of logits is long: few rows a task
        tape.pool().parallel_for((rows + kBlock - 1) / kBlock, [&](int64_t block, int thread) {
          T* const gradient = static_cast<T*>(static_cast<void*>(d_logits.raw()));
          const int64_t r = block * kBlock, count = std::min(kBlock, rows - r) * v;
          P* const capped = logits.data<P>() + r * v;
          if (changed)
            kernels::map_forward<P>().best().fn({.formula = kernels::Formula::softcap, .c0 = static_cast<P>(softcap), .c1 = static_cast<P>(1 / softcap), .rows = 1, .d = count, .in_ND = {capped},
                                                 .vector_D = {}, .out_ND = capped});
          kernels::cross_entropy<T>().best().fn({.rows = std::min(kBlock, rows - r), .vocab = v, .logits_NV = logits.data<P>() + r * v, .target_N = goal + r,
              .weight_N = weight ? weight.data<P>() + first + r : nullptr, .scale = static_cast<P>(scale), .z = static_cast<P>(z), .loss_N = result.token_N.data<P>() + first + r, .lse_N = lse.data<P>() + r,
              .d_logits_NV = train ? gradient + r * d_stride : nullptr, .d_stride = d_stride,
              .exp_V = in_place ? reinterpret_cast<P*>(tape.pool().scratch(thread, static_cast<size_t>(v) * sizeof(P))) : nullptr});
          if (changed && train) {
            const auto inverse = static_cast<P>(1 / softcap);
            T* const g = gradient + r * v;
            for (int64_t i = 0; i < count; ++i) g[i] = T(static_cast<P>(g[i]) * (1 - (capped[i] * inverse) * (capped[i] * inverse)));
          }
        });
        if (z != 0)
          for (int64_t r = 0; r < rows; ++r)
            if (goal[r] >= 0) penalty += static_cast<double>(lse.data<P>()[r]) * lse.data<P>()[r] * (weight ? static_cast<double>(weight.data<P>()[first + r]) : 1);
        if (db) add_column_sums(tape, d_logits, db, rows);
        if (d_hidden) {
          const kernels::Gemm to_hidden{.terms = {{d_logits.raw(), d_stride, backward}}, .m = rows, .n = d, .c = d_hidden.data<T>() + first * d, .ldc = d, .c_dtype = hidden.dtype()};
          kernels::gemm(tape.pool(), std::span(&to_hidden, 1));
        }
        if (dw) {
          const kernels::GemmAtB to_weight{.dtype = hidden.dtype(), .a = d_logits.raw(), .lda = d_stride, .b = h, .ldb = d, .m = rows, .p = v, .q = d,
                                           .c = dw.grad.raw(), .ldc = d, .accumulate = dw.accumulate || first > 0};
          kernels::gemm_at_b(tape.pool(), std::span(&to_weight, 1));
        }
      }
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += result.token_N.data<P>()[i];
      *result.loss.data<P>() = static_cast<P>(scale * (sum + z * penalty));
    });
  if (train) {
    tape.add_loss(result.loss);
    if (d_hidden) tape.record("head", [cell = hidden.grad(), d_hidden](Tape& t) { t.give(cell, d_hidden); });
  }
  return result;
}

}  // namespace gamut::ops
