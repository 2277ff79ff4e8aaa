// Noise on router logits, and the loss on the load it would lead to [Shazeer et al., Outrageously large neural networks, 2017].
#pragma once

#include <memory>
#include <vector>

#include "core/tape.h"

namespace gamut {

// H = c + z·σ of rows [c | r] of 2E logits, σ = softplus(r) + 0.01; or of rows c with a constant σ.
struct RouterNoise {
  int64_t experts;
  double constant;                              // > 0: σ
  std::shared_ptr<std::vector<double>> normal;  // z [N, E]
  double z(int64_t row, int64_t e) const { return (*normal)[static_cast<size_t>(row * experts + e)]; }
  double sigma(const double* in, int64_t e) const;
  void give_sigma(const double* in, int64_t e, double d, double* d_in) const;  // from ∂/∂σ_e to the row
};
Tensor noisy_logits(Tape& tape, const Tensor& both_N2E, const RouterNoise& noise);

// CV² of the probability that each expert would be chosen under another draw of its noise, times `coefficient`, onto the tape; returns it
// without. Load_e = Σ_t Φ((c_te − thr_te)/σ_te): thr is the (k+1)-th noisy logit for those chosen, the k-th for the others, and moves
// with the expert that holds it. k < E.
double load_loss(Tape& tape, const Tensor& both_N2E, const RouterNoise& noise, int64_t k, double coefficient, bool sample);

}  // namespace gamut
