// Logits of every token of the vocabulary at every position: scale·W·t(h) + b, where t is the identity, or norm(act(W' h + b')) as
// masked language models have it, or a matrix to the embedding's width. [Devlin et al., BERT, 2019; Raffel et al., T5, 2020 for the scale]
#include <optional>

#include "modules/heads/heads.h"
#include "ops/activate.h"
#include "ops/map.h"
#include "ops/norm.h"

namespace gamut {
namespace {

class VocabularyHead : public Head {
 public:
  VocabularyHead(const BuildContext& ctx, Config& cfg) {
    const ModelSpec& spec = ctx.spec;
    scale_ = cfg.take_in<double>("scale", 1.0, -1e9, 1e9);
    softcap_ = cfg.take_in<double>("softcap", 0.0, 0, 1e9);
    if (cfg.has("transform")) {
      activation_ = activation_option(cfg, "transform", "");
      transform_.w_NK = ctx.add("transform", {spec.width, spec.width}, Role::matrix, ctx.matrix());
      if (cfg.take<bool>("transform_bias", true)) transform_.bias_N = ctx.add("transform_bias", {spec.width}, Role::bias, Init::constant(0));
      norm_ = {.kind = spec.norm == "rms" ? kernels::NormKind::rms : kernels::NormKind::layer, .eps = cfg.take_in<double>("norm_eps", spec.norm_eps, 0, 1)};
      norm_.gain_D = ctx.add("norm", {spec.width}, Role::norm, Init::constant(1));
      if (norm_.kind == kernels::NormKind::layer && cfg.take<bool>("norm_bias", true)) norm_.bias_D = ctx.add("norm_bias", {spec.width}, Role::norm, Init::constant(0));
    }
    const int64_t narrow = spec.embedding_width > 0 ? spec.embedding_width : spec.width;
    const bool narrows = cfg.take<bool>("narrow", false);
    if (narrows) narrowing_.w_NK = ctx.add("narrow", {narrow, spec.width}, Role::matrix, ctx.matrix());
    const int64_t width = narrows ? narrow : spec.width;
    if (spec.tied && width != narrow)
      throw Error({.who = "model",
                   .what = "a tied head of width " + std::to_string(width) + " on an embedding of width " + std::to_string(narrow),
                   .hint = "the head's option narrow = true, or tied = false"});
    if (spec.tied) {
      Parameter* embedding = ctx.parameters.find("embedding");
      embedding->role = Role::head;
      classifier_.w_NK = embedding->value;
    } else {
      classifier_.w_NK = ctx.parameters.add("head", {spec.vocab, width}, Role::head, ctx.matrix());
    }
    const std::string bias = cfg.take_choice("bias", "none", {"none", "trained", "fixed"});
    if (bias != "none") classifier_.bias_N = ctx.add("bias", {spec.vocab}, bias == "fixed" ? Role::buffer : Role::bias, Init::constant(0), bias == "trained");
  }

  const std::string& name() const override {
    static const std::string logits = "logits";
    return logits;
  }
  Tensor features(Pass& pass, const Tensor& hidden) const override {
    Tensor x = hidden;
    if (activation_) x = ops::norm(pass.tape, ops::activate(pass.tape, ops::linear(pass.tape, x, transform_), *activation_), norm_);
    if (narrowing_.w_NK) x = ops::linear(pass.tape, x, narrowing_);
    return scale_ == 1 ? x : ops::map(pass.tape, kernels::Formula::scale, {x}, {}, scale_);
  }
  ops::LinearWeight classifier() const override { return classifier_; }
  double softcap() const override { return softcap_; }

 private:
  double scale_, softcap_;
  std::optional<kernels::Activation> activation_;
  ops::LinearWeight transform_, narrowing_, classifier_;
  ops::NormWeight norm_;
};

}  // namespace

std::unique_ptr<Head> build_vocabulary_head(const BuildContext& ctx, Config& cfg) { return std::make_unique<VocabularyHead>(ctx, cfg); }

}  // namespace gamut
