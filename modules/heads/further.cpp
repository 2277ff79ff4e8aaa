// Tokens beyond the next: one more layer h' for the token `depth` places further, and the model's own classifier.
//
// chained: x = W·[norm(embedding of the token so far known last) | norm(h)], where h is what the module of depth − 1 gave (of the model for
// depth 1) [DeepSeek-AI, DeepSeek-V3, 2024]; else x = h, and modules know nothing of each other [Gloeckle et al., Better & faster large language
// models via multi-token prediction, 2024]. Then x + mixer(norm(x)), + channel(norm(x)), norm.
#include "modules/heads/heads.h"
#include "modules/registry.h"
#include "ops/embedding.h"
#include "ops/join.h"
#include "ops/norm.h"

namespace gamut {
namespace {

class FurtherHead : public Head {
 public:
  FurtherHead(const BuildContext& head, Config& cfg) : dtype_(dtype_named(head.spec.dtype)), scale_(head.spec.embedding_scale) {
    const ModelSpec& spec = head.spec;
    depth_ = cfg.take_in<int64_t>("depth", 1, 1, 64);
    chained_ = cfg.take<bool>("chained", true);
    name_ = "further_logits." + std::to_string(depth_);
    layer_ = static_cast<int>(spec.layers.size() + static_cast<size_t>(depth_) - 1);
    if (spec.placement != NormPlacement::pre || spec.residual != Residual::sequential || !spec.encoder.empty() || spec.embedding_width > 0)
      throw Error({.who = "model", .what = "modules for further tokens need a decoder with norm_placement = \"pre\" and residual = \"sequential\""});
    Parameter *embedding = head.parameters.find("embedding"), *classifier = head.parameters.find(spec.tied ? "embedding" : "head");
    if (!classifier)
      throw Error({.who = "model",
                   .what = "a module for further tokens shares the classifier of a head for the next",
                   .hint = "heads = [\"vocabulary\", {kind = \"further\", …}]"});
    embedding_ = embedding->value;
    classifier_.w_NK = classifier->value;
    const BuildContext ctx{head.parameters, spec, "further." + std::to_string(depth_), layer_};
    const auto norm = [&](const char* name) {
      ops::NormWeight w{.kind = spec.norm == "rms" ? kernels::NormKind::rms : kernels::NormKind::layer, .eps = spec.norm_eps};
      if (spec.norm_gain) w.gain_D = ctx.add(name, {spec.width}, Role::norm, Init::constant(1));
      if (w.kind == kernels::NormKind::layer && spec.norm_bias) w.bias_D = ctx.add(std::string(name) + "_bias", {spec.width}, Role::norm, Init::constant(0));
      return w;
    };
    if (chained_) {
      embedding_norm_ = norm("embedding_norm");
      hidden_norm_ = norm("hidden_norm");
      project_.w_NK = ctx.add("project", {spec.width, 2 * spec.width}, Role::matrix, ctx.matrix());
    }
    const auto part = [&]<class Interface>(const std::vector<Registered<Interface>>& rows, const char* key, const char* fallback, ops::NormWeight& before) {
      Config options = cfg.sub(key);
      const auto kind = options.take<std::string>("kind", fallback);
      auto built = find_registered(rows, kind, key).build({ctx.parameters, spec, ctx.prefix + "." + key, layer_}, options);
      options.finish();
      if (built) before = norm((std::string(key) + "_norm").c_str());
      return built;
    };
    mixer_ = part(sequence_mixers(), "mixer", "attention", mixer_norm_);
    channel_ = part(channel_mixers(), "channel", "none", channel_norm_);
    norm_ = norm("norm");
  }

  const std::string& name() const override { return name_; }
  ops::LinearWeight classifier() const override { return classifier_; }
  int64_t further() const override { return depth_; }
  void after_step(double progress) override {
    if (channel_) channel_->after_step(progress);
  }

  Tensor features(Pass& pass, const Tensor& hidden) const override {
    Tape& tape = pass.tape;
    const int64_t b = pass.batch(), t = pass.length(), d = hidden.width();
    Tensor x = hidden;
    if (chained_) {
      if (depth_ > 1 && pass.further_depth != depth_ - 1)
        throw Error(
            {.who = "further", .what = "the module of depth " + std::to_string(depth_) + " needs that of depth " + std::to_string(depth_ - 1) + " before it"});
      const Tensor next = tape.empty({b, t}, DType::i32);  // behind a row's end: anything, its results say nothing
      if (tape.runs())
        for (int64_t i = 0; i < b * t; ++i) next.data<int32_t>()[i] = i % t + depth_ < t ? pass.ids_BT.data<int32_t>()[i + depth_] : 0;
      const Tensor known = ops::norm(tape, ops::embedding(tape, next, embedding_, dtype_, scale_), embedding_norm_),
                   seen = ops::norm(tape, depth_ > 1 ? pass.further : hidden, hidden_norm_);
      x = ops::linear(tape, ops::join_heads(tape, known.reshape({b, t, 1, d}), seen.reshape({b, t, 1, d})).reshape({b, t, 2 * d}), project_);
    }
    Pass own = pass;  // what is noted of the model's layers is theirs alone
    own.layer = layer_;
    own.state = nullptr;
    own.routing = nullptr;
    own.router_logits = nullptr;
    Tensor branch;
    if (mixer_) branch = mixer_->forward(own, ops::norm(tape, x, mixer_norm_));
    if (channel_) {
      const ops::AddNorm in = ops::add_norm(tape, x, branch, channel_norm_);
      x = in.sum;
      branch = channel_->forward(own, in.out);
    }
    const Tensor out = ops::add_norm(tape, x, branch, norm_).out;
    pass.further = out;
    pass.further_depth = depth_;
    return out;
  }

 private:
  DType dtype_;
  double scale_;
  int64_t depth_;
  bool chained_;
  int layer_;
  std::string name_;
  Tensor embedding_;
  ops::LinearWeight classifier_, project_;
  ops::NormWeight embedding_norm_, hidden_norm_, mixer_norm_, channel_norm_, norm_;
  std::unique_ptr<SequenceMixer> mixer_;
  std::unique_ptr<ChannelMixer> channel_;
};

}  // namespace

std::unique_ptr<Head> build_further_head(const BuildContext& ctx, Config& cfg) { return std::make_unique<FurtherHead>(ctx, cfg); }

}  // namespace gamut
