// Whole rows from their first position: p = act(W h₀ + b), and classes W'p + b'. [Devlin et al., BERT, 2019]
#include "modules/heads/heads.h"
#include "ops/activate.h"
#include "ops/rows.h"

namespace gamut {
namespace {

class PooledHead : public Head {
 public:
  PooledHead(const BuildContext& ctx, Config& cfg) : name_(cfg.take<std::string>("name", "pooler_output")) {
    const int64_t d = ctx.spec.width, classes = cfg.take_in<int64_t>("classes", 0, 0, 1 << 24);
    activation_ = activation_option(cfg, "activation", "tanh");
    pooler_ = {ctx.add("pooler", {d, d}, Role::matrix, ctx.matrix()), ctx.add("pooler_bias", {d}, Role::bias, Init::constant(0))};
    if (classes > 0) classifier_ = {ctx.add("classifier", {classes, d}, Role::matrix, ctx.matrix()), ctx.add("classifier_bias", {classes}, Role::bias, Init::constant(0))};
  }

  const std::string& name() const override { return name_; }
  Tensor features(Pass& pass, const Tensor& hidden) const override {
    const int64_t b = hidden.shape()[0], t = hidden.shape()[1];
    const Tensor first = pass.tape.empty({b}, DType::i32);
    if (pass.tape.runs())
      for (int64_t i = 0; i < b; ++i) first.data<int32_t>()[i] = static_cast<int32_t>(i * t);
    return ops::activate(pass.tape, ops::linear(pass.tape, ops::rows(pass.tape, hidden, first), pooler_), activation_);
  }
  ops::LinearWeight classifier() const override { return classifier_; }

 private:
  std::string name_;
  kernels::Activation activation_;
  ops::LinearWeight pooler_, classifier_;
};

}  // namespace

std::unique_ptr<Head> build_pooled_head(const BuildContext& ctx, Config& cfg) { return std::make_unique<PooledHead>(ctx, cfg); }

}  // namespace gamut
