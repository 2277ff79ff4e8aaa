#include "modules/channels/weightless.h"

#include <cmath>

#include "ops/add.h"
#include "ops/linear.h"
#include "ops/route.h"
#include "ops/rowwise.h"
#include "ops/slots.h"

namespace gamut {

Tensor WeightlessExperts::take(Tape& tape, const Tensor& x, ops::Dispatch& dispatch) const {
  const Tensor chosen = dispatch.index_Nk, real = tape.empty(chosen.shape(), DType::i32);
  if (tape.runs())
    for (int64_t i = 0; i < chosen.elements(); ++i) real.data<int32_t>()[i] = chosen.data<int32_t>()[i] < experts ? chosen.data<int32_t>()[i] : -1;
  dispatch.index_Nk = real;
  if (identity + constant == 0) return Tensor();

  // From a row's gates, and the scores of constant experts beside them, to a column of weights: x's, or v's of constant expert `of`.
  const int64_t k = chosen.width(), copies = experts + zero, constants = copies + identity, width = constant > 0 ? constant : 1;
  const auto share = [k](const double* in, int64_t j, int part) {  // a of constant expert j
    const double* h = in + k + 2 * j;
    return 1 / (1 + std::exp(h[1 - part] - h[part]));
  };
  const auto column = [&, constants, copies, width, share](bool of_x) {
    const Tensor in = constant > 0 ? ops::beside(tape, dispatch.weight_Nk, ops::router_logits(tape, x, mix, Tensor())) : dispatch.weight_Nk;
    return ops::rowwise(
        tape, "router", in, of_x ? 1 : width,
        [=](int64_t row, const double* w, double* out) {
          for (int64_t i = 0; i < k; ++i) {
            const int64_t e = chosen.data<int32_t>()[row * k + i], j = e - constants;
            if (j >= 0)
              out[of_x ? 0 : j] += w[i] * share(w, j, of_x ? 0 : 1);
            else if (e >= copies && of_x)
              out[0] += w[i];
          }
        },
        [=](int64_t row, const double* w, const double* d, double* dw) {
          for (int64_t i = 0; i < k; ++i) {
            const int64_t e = chosen.data<int32_t>()[row * k + i], j = e - constants;
            if (j >= 0) {
              const double g = d[of_x ? 0 : j], a = share(w, j, of_x ? 0 : 1), slope = w[i] * g * a * (1 - a) * (of_x ? 1 : -1);
              dw[i] += g * a;
              dw[k + 2 * j] += slope;
              dw[k + 2 * j + 1] -= slope;
            } else if (e >= copies && of_x) {
              dw[i] += d[0];
            }
          }
        });
  };
  Tensor y = ops::weighted_copies(tape, x, column(true));
  if (constant > 0) y = ops::add(tape, y, ops::linear(tape, column(false), {value, Tensor()}, x.dtype()).reshape(y.shape()));
  return y;
}

}  // namespace gamut
