// Noise on router logits, and the loss on the load it would lead to [Shazeer et al., Outrageously large neural networks, 2017].
#pragma once

#include <memory>
#include <vector>

#include "modules/module.h"

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

// The probability that a row chooses each expert under another draw of its noise, added to load_E: Φ((c_e − thr_e)/σ_e); thr is the (k+1)-th
// noisy logit for those chosen, the k-th for the others, and moves with the expert that holds it. 1 each when k = E.
void add_load(const RouterNoise& noise, int64_t k, int64_t row, const double* in, double* load_E);
// From ∂/∂load_e to the row.
void give_load(const RouterNoise& noise, int64_t k, int64_t row, const double* in, const double* d_load_E, double* d_in);

// CV² of the load of all rows, times `coefficient`, onto the tape; returns it without.
double load_loss(Tape& tape, const Tensor& both_N2E, const RouterNoise& noise, int64_t k, double coefficient, bool sample);

struct NoiseOptions {
  bool learned = true;
  double deviation = 0;  // > 0: of σ·E, constant
  bool zero_start = true;
  // Takes noise, noise_std and start; `optional`: there may be none.
  static NoiseOptions take(Config& cfg, bool optional = false);
};

// A linear router with noise in training.
class NoisyLogits {
 public:
  // Chooses among `experts` in each of `groups`: weights [groups·experts, D], named `name`.
  NoisyLogits(const BuildContext& ctx, const std::string& name, int64_t groups, int64_t experts, const NoiseOptions& options);
  struct Made {
    Tensor clean, noisy;  // [N·groups, experts]; the same outside of training, and without noise
    Tensor both;          // rows of `noise`; null outside of training, and without noise
    RouterNoise noise = {};
  };
  Made operator()(Pass& pass, const Tensor& x_ND) const;

 private:
  int64_t groups_, experts_;
  NoiseOptions options_;
  std::string purpose_, prefix_;  // of its random stream
  Tensor weight_, noise_;
};

}  // namespace gamut
