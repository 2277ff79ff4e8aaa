// Next-token prediction: −Σ log p(x_{t+1} | x_{≤t}).
#include "objectives/objective.h"

namespace gamut {
namespace {

class Causal : public Objective {
 public:
  kernels::Sight sight() const override { return {.causal = true}; }
  int64_t loss_tokens(const TokenRows& rows) const override {
    int64_t n = 0;
    for (const int32_t target : rows.targets) n += target >= 0;
    return n;
  }
  ops::HeadLoss loss(Model& model, Pass& pass, const TokenRows& rows, double scale) const override {
    pass.visibility.sight = sight();
    const Tensor hidden = model.hidden(pass);
    const Tensor target = pass.tape.empty({rows.rows, rows.length}, DType::i32);
    if (pass.tape.runs()) std::copy(rows.targets.begin(), rows.targets.end(), target.data<int32_t>());
    return ops::cross_entropy(pass.tape, hidden, model.head(), target, scale);
  }
  bool exact_likelihood() const override { return true; }
};

}  // namespace

std::unique_ptr<Objective> build_causal() { return std::make_unique<Causal>(); }

}  // namespace gamut
