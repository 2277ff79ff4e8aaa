#include "modules/channels/mixture.h"

#include "modules/channels/channels.h"

namespace gamut {

std::optional<MixtureShape> mixture_shape(const Component& channel, int64_t width) {
  if (channel.kind != "moe") return {};
  Config cfg(channel.options, {.source = "model"});
  const MoeOptions o = MoeOptions::take(cfg);
  const auto units = [&](int64_t experts) { return static_cast<double>(experts * o.expert.hidden + o.shared_hidden); };
  // Of top_k choices among all, the experts with matrices get their share.
  const double used = static_cast<double>(o.top_k) * static_cast<double>(o.experts) / static_cast<double>(o.routed());
  return MixtureShape{.experts = o.routed(),
                      .top_k = o.top_k,
                      .hidden = o.expert.hidden,
                      .shared = o.shared_hidden,
                      .granularity = 4 * static_cast<double>(width) / static_cast<double>(o.expert.hidden),
                      .activation = (used * static_cast<double>(o.expert.hidden) + static_cast<double>(o.shared_hidden)) / units(o.experts)};
}

}  // namespace gamut
