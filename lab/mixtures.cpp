#include "lab/mixtures.h"

#include <fmt/format.h>

#include <cmath>

#include "lab/routing_probe.h"
#include "lab/routing_report.h"

namespace gamut {
namespace {

constexpr int64_t kProbeBytes = 24 << 10;  // a domain
constexpr int64_t kWatchedBytes = 1 << 10;  // a domain
constexpr int kShuffles = 10;

ContestRules with_routing(ContestRules rules) {
  const auto with = [](auto own, auto more) {
    return [own, more](Trainer& trainer, const std::string& arm) {
      Json all = own(trainer);
      if (more) all.update(more(trainer, arm));
      return all;
    };
  };
  rules.watch = with([](Trainer& trainer) { return watch_routing(trainer, kWatchedBytes); }, rules.watch);
  rules.probe = with([](Trainer& trainer) { return probe_routing(trainer, kProbeBytes, kShuffles); }, rules.probe);
  return rules;
}

}  // namespace

Component mixture(int64_t experts, int64_t top_k, int64_t hidden, const Json& router) { return {"moe", {{"experts", experts}, {"top_k", top_k}, {"hidden", hidden}, {"router", router}}}; }

MixtureContest::MixtureContest(std::string id, const LabContext& context, TieredSettings<ContestTier> settings, std::vector<Arm> arms, ContestRules rules)
    : Contest(std::move(id), context, std::move(settings), std::move(arms), with_routing(std::move(rules))) {}

double MixtureContest::measured(const std::string& arm, const std::function<double(const Json&)>& of) const {
  return mean_probe(arm, [&](const Json& probe) {
    std::vector<double> values;
    for (const Json& layer : probe.at("layers")) values.push_back(of(layer));
    return values.empty() ? NAN : mean(values);
  });
}

double MixtureContest::measured(const std::string& arm, const char* key) const {
  return measured(arm, [&](const Json& layer) { return layer.at(key).get<double>(); });
}

double MixtureContest::domain_information(const std::string& arm, const char* key) const {
  return measured(arm, [&](const Json& layer) { return layer.contains(key) ? layer[key]["information"].get<double>() - layer[key]["shuffled"].get<double>() : NAN; });
}

Json MixtureContest::routing_table() const {
  Json rows = Json::array();
  const auto cell = [](double x, const char* pattern) { return std::isfinite(x) ? Json(fmt::format(fmt::runtime(pattern), x)) : Json(nullptr); };
  for (const Arm& arm : arms()) {
    const std::string& id = arm.name.id;
    if (!run_of(id) || !std::isfinite(measured(id, "max_violation"))) continue;
    const double experts = measured(id, [](const Json& layer) { return static_cast<double>(layer.at("load").size()); });
    rows.push_back({{"arm", id},
                    {"cells", {cell(measured(id, "max_violation"), "{:.2f}"), fmt::format("{:.1f} / {:.0f}", measured(id, "dead"), experts), cell(measured(id, "effective"), "{:.1f}"), cell(measured(id, "router_entropy"), "{:.2f}"),
                               cell(measured(id, "logit_rms"), "{:.2f}"), cell(domain_information(id), "{:.3f}"), cell(domain_information(id, "domain_given_token"), "{:.3f}")}}});
  }
  return {{"id", "routing"},
          {"title", text("What the routers do", "路由器的行为")},
          {"caption", text("On held-out text after cooling down, mean of the layers and seeds. MaxVio: load of the fullest expert over the mean, less 1. Dead: experts with less than a tenth of an even share. Effective: exp of the load's entropy. "
                           "Domain: bits that an expert's name tells of a token's domain beyond shuffled labels, and what is left of them when the token's id is known.",
                           "退火后在留出文本上测得，取各层各种子的均值。MaxVio：最忙专家的负载与均值之比减 1。失活：负载不足均值十分之一。有效：负载熵的指数。领域：专家透露的领域信息（比特，已减去打乱标签的值），以及已知 token 后所剩。")},
          {"columns", {text("arm", "模型"), "MaxVio", text("dead / experts", "失活 / 专家"), text("effective experts", "有效专家数"), text("router entropy", "路由熵"), text("logit RMS", "logit 均方根"), text("domain, bits", "领域，比特"),
                       text("given the token", "已知 token 后")}},
          {"rows", rows}};
}

void MixtureContest::add_heatmaps(Json& study, const std::vector<std::string>& of) const {
  for (const std::string& id : of)
    if (const Outcome* run = run_of(id)) add_routing(study, id, *run, data()->domains);
}

Json MixtureContest::plot_of(const std::string& id, const Json& title, const Json& caption, const Json& axis, const std::vector<std::string>& of, const std::function<std::vector<double>(const Outcome&)>& values) const {
  Json series = Json::array();
  for (const std::string& arm : of) {
    std::vector<double> x, sum;
    double seeds = 0;
    for (const Outcome& o : runs()) {
      if (o.arm != arm || !o.failed.empty()) continue;
      const std::vector<double> y = values(o);
      if (y.empty()) continue;
      x = o.tokens;
      sum.resize(y.size());
      for (size_t i = 0; i < y.size(); ++i) sum[i] += y[i];
      ++seeds;
    }
    if (seeds == 0) continue;
    for (double& y : sum) y /= seeds;
    series.push_back({{"arm", arm}, {"x", x}, {"y", sum}});
  }
  return {{"id", id}, {"title", title}, {"caption", caption}, {"x", {{"name", text("tokens of training", "训练 token 数")}, {"scale", "log"}}}, {"y", axis}, {"series", series}};
}

Json MixtureContest::watched_plot(const std::string& key, const Json& title, const Json& caption, const std::vector<std::string>& of) const {
  return plot_of(key, title, caption, {{"name", title}}, of, [&](const Outcome& o) {
    std::vector<double> y;
    for (const Json& w : o.watched) y.push_back(w.at(key).get<double>());
    return y;
  });
}

Json MixtureContest::saturation_plot(const std::vector<std::string>& of) const {
  return plot_of("saturation", text("How settled routing is", "路由的稳定程度"),
                 text("Share of the experts chosen for the same held-out tokens that are those of the trunk's end.", "对同一批留出 token，所选专家与主干末尾所选相同的比例。"),
                 {{"name", text("share of choices as at the end", "与末尾相同的选择比例")}, {"low", 0}, {"high", 1}}, of, [](const Outcome& o) { return saturation(o.watched); });
}

}  // namespace gamut
