// Two channel mixers that read the same input: the result of one is added at once, that of the other a layer later.
// [Cai et al., Shortcut-connected expert parallelism, 2024; Meituan, LongCat-Flash, 2025]
#include "modules/channels/channels.h"
#include "modules/registry.h"
#include "ops/add.h"

namespace gamut {
namespace {

class Shortcut : public ChannelMixer {
 public:
  Shortcut(std::unique_ptr<ChannelMixer> now, std::unique_ptr<ChannelMixer> later) : now_(std::move(now)), later_(std::move(later)) {}

  Tensor forward(Pass& pass, const Tensor& x) override {
    if (later_) {
      pass.shortcut = later_->forward(pass, x);
      return now_->forward(pass, x);
    }
    if (!pass.shortcut)
      throw Error({.who = "shortcut",
                   .what = "layer " + std::to_string(pass.layer) + " adds what a layer before it left, and none did",
                   .hint = "give that layer `later`"});
    const Tensor y = now_->forward(pass, x);
    return ops::add(pass.tape, y, std::exchange(pass.shortcut, Tensor()));
  }

  std::unique_ptr<MixerState> start(Tape& tape, int64_t batch) const override {
    for (const auto* part : {&now_, &later_})
      if (*part && (*part)->start(tape, batch))
        throw Error({.who = "shortcut", .what = "has no place for what its parts remember", .hint = "use ffn and moe with routers that look at one token"});
    return nullptr;
  }
  void after_step(double progress) override {
    now_->after_step(progress);
    if (later_) later_->after_step(progress);
  }

 private:
  std::unique_ptr<ChannelMixer> now_, later_;
};

}  // namespace

std::unique_ptr<ChannelMixer> build_shortcut(const BuildContext& ctx, Config& cfg) {
  const auto part = [&](const char* key, const char* fallback) {
    Config options = cfg.sub(key);
    const auto kind = options.take<std::string>("kind", fallback);
    auto built = find_registered(channel_mixers(), kind, "channel mixer").build({ctx.parameters, ctx.spec, ctx.prefix + "." + key, ctx.layer}, options);
    options.finish();
    return built;
  };
  auto now = part("now", "ffn");
  if (!now) cfg.reject("now", "must be a channel mixer");
  return std::make_unique<Shortcut>(std::move(now), part("later", "none"));
}

}  // namespace gamut
