// Fixed positions added to the embedding: sines in the first half of the width, cosines in the second.
#pragma once

#include "core/tape.h"

namespace gamut {

// [B, T, D]: token t of a row stands at first + offset + t. Angles are position·10000^(−2i/D) [Vaswani et al. 2017]. With `t2t` the exponent is i/(D/2 − 1), so
// that the last wavelength is 10000·2π, and an odd last column is 0 [Tensor2Tensor]; positions start behind the padding token's, offset − 1, which itself gets zeros
// [fairseq].
Tensor sinusoidal(Tape& tape, const Tensor& ids_BT, int64_t width, int64_t first, int64_t offset, bool t2t, DType dtype);

}  // namespace gamut
