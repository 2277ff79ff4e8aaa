// What goes wrong with routers, and what helps: collapse, the price of balance, specialisation, capacity and neighbours, precision.
#include <fmt/format.h>

#include <cmath>

#include "lab/lab.h"
#include "lab/mixtures.h"
#include "lab/routing_probe.h"

namespace gamut {
namespace {

struct HealthTier : ContestTier {
  std::vector<int64_t> experts, taken;  // of the grid of small runs
  std::vector<double> router_rates;     // … times the rate
  double cell_share;                    // of a run's steps
  std::vector<double> losses, biases;   // coefficients that are tried, beside the arms' own
  int sets;                             // of neighbours
};
const std::vector<HealthTier>& health_tiers() {
  static const std::vector<HealthTier> rows = [] {
    const ContestTier smoke{{"smoke", 2, 2, 512, 64, 2048, false, 12, 8 << 10, 64 << 10}, {{32, 2}, {48, 2}}};
    const ContestTier quick{{"quick", 15, 2, 1024, 128, 4096, false, 20, 16 << 10, 128 << 10}, {{32, 2}, {48, 2}, {64, 2}, {64, 3}, {80, 4}, {96, 4}}};
    const ContestTier full{{"full", 120, 3, 2048, 128, 8192, true, 30, 64 << 10, 512 << 10}, {{64, 3}, {96, 4}, {128, 4}, {160, 6}}};
    return std::vector<HealthTier>{{smoke, {16}, {1, 2}, {1}, 0.5, {0.1}, {0.001}, 6},
                                   {quick, {8, 16, 32}, {1, 2}, {1, 10}, 0.2, {1e-4, 1e-3, 1e-1}, {1e-4, 1e-3}, 20},
                                   {full, {8, 16, 32}, {1, 2}, {1, 10}, 0.2, {1e-4, 1e-3, 1e-1}, {1e-4, 1e-3}, 100}};
  }();
  return rows;
}
constexpr int64_t kExperts = 16, kTaken = 2;
constexpr double kLoss = 0.01, kBias = 0.01;
constexpr int64_t kNeighbourRows = 16;
const std::vector<double> kCapacities{1, 1.25, 2, 0};

Json by_loss(double coefficient) { return {{"kind", "topk"}, {"balance", coefficient > 0 ? "loss" : "none"}, {"balance_loss", coefficient}}; }
Json by_bias(double rate) { return {{"kind", "topk"}, {"score", "sigmoid"}, {"balance", "bias"}, {"bias_rate", rate}}; }
Json with(Json router, const char* key, const Json& value) {
  router[key] = value;
  return router;
}
Json unnormalised(Json router, int64_t k) { return k > 1 ? router : with(std::move(router), "normalise", false); }  // a single gate must say something

ModelSpec model(const Rung& rung, int64_t vocab, int64_t length, int64_t hidden, const Json& router, int64_t experts = kExperts, int64_t k = kTaken) {
  return attention_decoder(rung, vocab, length, mixture(experts, k, hidden, unnormalised(router, k)));
}

std::vector<Arm> health_arms() {
  std::vector<Arm> arms;
  const auto add = [&](ArmName name, const Json& router) {
    name.slot = static_cast<int>(arms.size());
    arms.push_back({std::move(name), [router](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) { return model(rung, vocab, length, hidden, router); }});
  };
  add({"loss", text("balancing loss, 0.01", "均衡损失 0.01"), text("loss", "损失"), "baseline", 0}, by_loss(kLoss));
  add({"bias", text("bias without a loss, 0.01", "偏置均衡 0.01"), text("bias", "偏置"), "treatment", 0}, by_bias(kBias));
  add({"none", text("no balancing", "不均衡"), text("none", "不均衡"), "arm", 0}, by_loss(0));
  add({"z", text("balancing loss and z-loss, 0.001", "均衡损失与 z 损失 0.001"), text("z-loss", "z 损失"), "arm", 0}, with(by_loss(kLoss), "z_loss", 1e-3));
  add({"bf16", text("balancing loss, router in bf16", "均衡损失，bf16 路由"), "bf16", "arm", 0}, with(by_loss(kLoss), "precision", "bf16"));
  return arms;
}

class RoutingHealth : public MixtureContest {
 public:
  RoutingHealth(const LabContext& context, const TieredSettings<HealthTier>& s)
      : MixtureContest("routing-health", context, {s, s.tier}, health_arms(),
                       {.size = [](const Rung& rung) { return usual_hidden(rung) / kTaken / 4 * 4; },
                        .size_step = 2,
                        .extra_runs = 1.3 * (3 * s.tier.cell_share * static_cast<double>(s.tier.experts.size() * s.tier.taken.size() * s.tier.router_rates.size()) + static_cast<double>(s.tier.losses.size() + s.tier.biases.size())),
                        .probe =
                            [sets = s.tier.sets](Trainer& trainer, const std::string&) {
                              return Json{{"neighbours", probe_neighbours(trainer, kCapacities, kNeighbourRows, sets)}, {"logits", probe_logits(trainer, 24 << 10, kTaken)}};
                            }}),
        sizes_(s.tier) {}

 protected:
  void work() override {
    race_arms(0.5);
    grid(0.3);
    trade_off(0.2);
  }
  Json report() override;

 private:
  struct Cell {
    int64_t experts, taken;
    double rate;                 // the router's, in the others'
    std::vector<Outcome> runs;   // none, loss, bias
  };
  HealthTier sizes_;
  std::vector<Cell> cells_;
  std::vector<Outcome> tried_losses_, tried_biases_;

  Entry entry(const std::string& arm, const std::string& suffix, const ModelSpec& spec, int64_t steps, double router_rate = 1) const {
    TrainerOptions options = trainer_of(0, settings().seed, rate_of(0), steps);
    if (router_rate != 1) options.optimizer.groups["router"].lr_scale = router_rate;
    Entry e = race_entry(arm, suffix, spec, options, std::max<int64_t>(4, steps / 7), 1);
    e.probe = [](Trainer& trainer) { return probe_routing(trainer, 16 << 10, 1); };
    return e;
  }

  // 5a: who collapses, by experts, choices and the router's rate.
  void grid(double share) {
    const double each = share / static_cast<double>(sizes_.experts.size() * sizes_.taken.size() * sizes_.router_rates.size());
    const auto steps = std::max<int64_t>(30, static_cast<int64_t>(sizes_.cell_share * static_cast<double>(plan().steps[0])));
    for (const int64_t experts : sizes_.experts)
      for (const int64_t k : sizes_.taken)
        for (const double rate : sizes_.router_rates) {
          const std::string name = fmt::format("grid-e{}-k{}-rate{:g}", experts, k, rate);
          const int64_t hidden = plan().size[0] * kTaken / k;
          const auto cell = [&](const char* arm, const Json& router) { return entry(arm, name, model(plan().rung, data()->tokenizer->vocab_size(), tier().length, hidden, router, experts, k), steps, rate); };
          cells_.push_back({experts, k, rate, race(race_options(name), {cell("none", by_loss(0)), cell("loss", by_loss(kLoss)), cell("bias", by_bias(kBias))}, each)});
        }
  }

  // 5b: what balance costs.
  void trade_off(double share) {
    std::vector<Entry> losses, biases;
    const auto one = [&](const char* arm, double value, const Json& router) {
      return entry(arm, fmt::format("{}{:g}", arm, value), model(plan().rung, data()->tokenizer->vocab_size(), tier().length, plan().size[0], router), plan().steps[0]);
    };
    for (const double c : sizes_.losses) losses.push_back(one("loss", c, by_loss(c)));
    for (const double r : sizes_.biases) biases.push_back(one("bias", r, by_bias(r)));
    const auto count = static_cast<double>(losses.size() + biases.size());
    tried_losses_ = race(race_options("losses"), losses, share * static_cast<double>(losses.size()) / count);
    tried_biases_ = race(race_options("biases"), biases, share * static_cast<double>(biases.size()) / count);
  }

  static double of_layers(const Outcome& o, const char* key) {
    if (!o.failed.empty() || o.probe.is_null()) return NAN;
    double sum = 0;
    for (const Json& layer : o.probe.at("layers")) sum += layer.at(key).get<double>();
    return sum / static_cast<double>(o.probe.at("layers").size());
  }
  double dead(size_t balance) const;  // of all cells: 0 none, 1 loss, 2 bias
  Json grid_table() const;
  Json neighbours_table() const;
  Json trade_off_plot() const;
  Json logits_plot() const;
  Json precision_plot() const;
  Json literature() const;
};

double RoutingHealth::dead(size_t balance) const {
  double sum = 0;
  for (const Cell& c : cells_)
    if (const double d = of_layers(c.runs[balance], "dead"); std::isfinite(d)) sum += d;
  return sum / static_cast<double>(cells_.size());
}

Json RoutingHealth::grid_table() const {
  Json rows = Json::array();
  const auto cell = [](const Outcome& o) { return o.failed.empty() ? Json(fmt::format("{:.1f} · {:.2f} · {:.3f}", of_layers(o, "dead"), of_layers(o, "max_violation"), o.cooled_bpb.back())) : text("failed", "失败"); };
  for (const Cell& c : cells_)
    rows.push_back({{"arm", text(fmt::format("{} experts, top-{}{}", c.experts, c.taken, c.rate == 1 ? "" : fmt::format(", router's rate ×{:g}", c.rate)), fmt::format("{} 位专家，选 {}{}", c.experts, c.taken, c.rate == 1 ? "" : fmt::format("，路由学习率 ×{:g}", c.rate)))},
                    {"cells", {cell(c.runs[0]), cell(c.runs[1]), cell(c.runs[2])}}});
  return {{"id", "grid"}, {"title", text("Who collapses", "何时坍缩")},
          {"caption", text("Short runs, one seed: dead experts a layer · MaxVio · bits per byte.", "短程运行，一个种子：每层失活专家数 · MaxVio · 每字节比特数。")},
          {"columns", {text("router", "路由"), text("no balancing", "不均衡"), text("loss 0.01", "损失 0.01"), text("bias 0.01", "偏置 0.01")}}, {"rows", rows}};
}

Json RoutingHealth::neighbours_table() const {
  Json rows = Json::array(), columns{text("arm", "模型")};
  for (const double c : kCapacities) columns.push_back(c > 0 ? text(fmt::format("capacity {:g}", c), fmt::format("容量 {:g}", c)) : text("dropless", "不丢弃"));
  for (const Arm& arm : arms()) {
    Json cells = Json::array();
    for (size_t i = 0; i < kCapacities.size(); ++i) {
      const auto of = [&](const char* key) { return mean_probe(arm.name.id, [&](const Json& p) { return p.at("neighbours").at(key).at(i).get<double>(); }); };
      const double changed = of("changed"), distance = of("distance");
      cells.push_back(changed == 0 && distance == 0 ? text("0 exactly", "恰为 0") : Json(fmt::format("{:.1f} % · {:.4f}", 100 * changed, distance)));
    }
    if (run_of(arm.name.id)) rows.push_back({{"arm", arm.name.id}, {"cells", cells}});
  }
  return {{"id", "neighbours"}, {"title", text("What a text's neighbours change", "邻近请求带来的变化")},
          {"caption", text(fmt::format("One text in a batch of {} others, {} sets of neighbours, experts with a capacity that is filled in order: positions whose likeliest next token changes · mean total variation. Without drops a text does not feel its neighbours.", kNeighbourRows - 1, sizes_.sets),
                           fmt::format("一段文本与另外 {} 段同批，{} 组邻居，专家容量按次序填满：最可能下一 token 改变的位置比例 · 平均全变差。不丢弃时不受邻居影响。", kNeighbourRows - 1, sizes_.sets))},
          {"columns", columns}, {"rows", rows}};
}

Json RoutingHealth::trade_off_plot() const {
  const auto series = [&](const char* arm, const std::vector<Outcome>& tried) {
    std::vector<std::pair<double, double>> points;
    for (const Outcome& o : tried)
      if (o.failed.empty()) points.emplace_back(of_layers(o, "max_violation"), o.cooled_bpb.back());
    if (const Outcome* own = run_of(arm)) points.emplace_back(of_layers(*own, "max_violation"), own->cooled_bpb.back());
    std::sort(points.begin(), points.end());
    Json s = {{"arm", arm}, {"x", Json::array()}, {"y", Json::array()}};
    for (const auto& [x, y] : points) {
      s["x"].push_back(x);
      s["y"].push_back(y);
    }
    return s;
  };
  return {{"id", "trade-off"}, {"title", text("What balance costs", "均衡的代价")},
          {"caption", text("Coefficients of the loss from 0.0001 to 0.1 and rates of the bias from 0.0001 to 0.01, the first seed. Down and left is better.", "损失系数 0.0001 至 0.1，偏置速率 0.0001 至 0.01，首个种子。左下更好。")},
          {"x", {{"name", text("MaxVio, mean of the layers", "MaxVio，各层均值")}}}, {"y", {{"name", text("validation bits per byte", "验证集每字节比特数")}}},
          {"series", {series("loss", tried_losses_), series("bias", tried_biases_), series("none", {})}}};
}

Json RoutingHealth::logits_plot() const {
  Json series = Json::array();
  for (const char* arm : {"loss", "none", "z"})
    if (const Outcome* run = run_of(arm)) series.push_back({{"arm", arm}, {"x", run->probe.at("logits").at("edge")}, {"y", run->probe.at("logits").at("share")}});
  return {{"id", "logits"}, {"title", text("How large router logits are", "路由 logit 的大小")}, {"caption", text("Share of the logits up to each magnitude and above the one before.", "各量级区间内的 logit 比例。")},
          {"x", {{"name", text("magnitude", "绝对值")}, {"scale", "log"}}}, {"y", {{"name", text("share", "比例")}, {"low", 0}}}, {"series", series}};
}

Json RoutingHealth::precision_plot() const {
  Json series = Json::array();
  for (const char* arm : {"loss", "none", "z", "bf16"})
    if (const Outcome* run = run_of(arm)) {
      std::vector<double> x = run->probe.at("logits").at("offset").get<std::vector<double>>();
      for (double& o : x) o += 1;
      series.push_back({{"arm", arm}, {"x", x}, {"y", run->probe.at("logits").at("kept")}});
    }
  return {{"id", "precision"}, {"title", text("What rounding to bf16 changes", "舍入到 bf16 的影响")},
          {"caption", text("Share of the chosen experts that are chosen from rounded logits, too, when a number is added to all logits of a token, which changes nothing in exact arithmetic.", "给同一 token 的全部 logit 加上常数（精确计算下毫无影响）再舍入后，仍被选中的专家比例。")},
          {"x", {{"name", text("number added, plus 1", "所加常数 + 1")}, {"scale", "log"}}}, {"y", {{"name", text("share kept", "保持比例")}, {"high", 1}}}, {"series", series}};
}

Json RoutingHealth::literature() const {
  const auto final_of = [&](const char* arm) { return run_of(arm) ? mean(finals(arm, arm)) : NAN; };
  const auto pair = [](const char* pattern, double a, double b) { return fmt::format(fmt::runtime(pattern), a, b); };
  const double loss = measured("loss", "max_violation"), bias = measured("bias", "max_violation");
  const Interval z = paired_difference(finals("z", "loss"), finals("loss", "z"));
  const double dropless = mean_probe("loss", [](const Json& p) { return p.at("neighbours").at("distance").back().get<double>(); });
  const double tight = mean_probe("loss", [](const Json& p) { return p.at("neighbours").at("distance").front().get<double>(); });
  const double specialised_none = domain_information("none"), specialised_loss = domain_information("loss");
  const double kept = mean_probe("loss", [](const Json& p) { return p.at("logits").at("kept").back().get<double>(); });
  return Json::array({
      finding(text("Without balancing experts die", "不均衡时专家失活"), "OLMoE, 2024", text("more dead than with a bias", "多于偏置均衡"), text(pair("{:.2f} dead a layer, {:.2f} with a bias", dead(0), dead(2)), pair("每层失活 {:.2f}，偏置均衡 {:.2f}", dead(0), dead(2))), verdict_of(dead(0) - dead(2), 0.05)),
      finding(text("A bias balances better than a loss at the same quality", "同等质量下偏置比损失均衡得更好"), "Auxiliary-Loss-Free Load Balancing, 2024", text("lower MaxVio", "MaxVio 更低"), text(fmt::format("MaxVio {:.2f} and {:.2f}, {:+.4f} bits/byte", bias, loss, final_of("bias") - final_of("loss")), fmt::format("MaxVio {:.2f} 与 {:.2f}，{:+.4f} 比特/字节", bias, loss, final_of("bias") - final_of("loss"))), verdict_of(loss - bias, 0.05)),
      finding(text("Balancing by a loss costs specialisation", "损失均衡会削弱专门化"), "Demons in the detail, 2025", text("fewer bits about the domain", "领域信息更少"), text(pair("{:.3f} bits without, {:.3f} with", specialised_none, specialised_loss), pair("无损失 {:.3f} 比特，有损失 {:.3f}", specialised_none, specialised_loss)), verdict_of(specialised_none - specialised_loss, 0.01)),
      finding(text("Under a capacity a request feels its neighbours; without drops it does not", "有容量时请求受邻居影响，不丢弃时不受"), "Switch Transformers, 2021; MegaBlocks, 2022", text("0 without drops", "不丢弃时为 0"), text(pair("total variation {:.4f} at capacity 1, {:.0f} without drops", tight, dropless), pair("容量 1 时全变差 {:.4f}，不丢弃时 {:.0f}", tight, dropless)), dropless == 0 && tight > 0 ? "agrees" : "differs"),
      finding(text("Large logits lose choices to bf16", "大 logit 在 bf16 下丢失选择"), "ST-MoE, 2022", text("fewer kept the larger they are", "越大保持越少"), text(fmt::format("{:.1f} % kept beside 128", 100 * kept), fmt::format("加 128 后保持 {:.1f} %", 100 * kept)), verdict_of(0.99 - kept, 0)),
      finding(text("A z-loss costs no quality", "z 损失不损质量"), "ST-MoE, 2022", text("no difference", "无差别"), text(fmt::format("{:+.4f} [{:+.4f}, {:+.4f}] bits/byte", z.estimate, z.low, z.high), fmt::format("{:+.4f} [{:+.4f}, {:+.4f}] 比特/字节", z.estimate, z.low, z.high)), z.resolved(0) && z.estimate > 0 ? "differs" : z.n > 2 ? "agrees" : "unresolved"),
  });
}

Json RoutingHealth::report() {
  Json study = contest_report(text("How healthy is routing?", "路由是否健康？"));
  study["sections"] = {"verdict", "held-equal", "standings", "tables", "loads", "plots", "specialisation", "prices", "rates", "trust", "literature", "cost", "limits", "provenance"};
  study["question"] = text(fmt::format("{} experts, {} for each token: who balances them at what price, what do they learn, and what disturbs them?", kExperts, kTaken), fmt::format("{} 位专家，每个 token 用 {} 位：如何均衡、代价几何、学到什么、受何干扰？", kExperts, kTaken));
  study["tables"] = Json::array({routing_table(), grid_table(), neighbours_table()});
  const std::vector<std::string> shown{"loss", "bias", "none", "z"};
  study["plots"] = Json::array({trade_off_plot(), watched_plot("max_violation", text("MaxVio of the worst layer", "最差层的 MaxVio"), text("Load of the fullest expert over the mean, less 1, on held-out text.", "留出文本上最忙专家的负载与均值之比减 1。"), shown),
                                saturation_plot(shown), watched_plot("entropy", text("Router entropy", "路由熵"), text("Of the scores, mean over tokens and layers; 1 is undecided.", "得分的熵，对 token 与层取均值；1 为毫无偏好。"), shown), logits_plot(), precision_plot()});
  add_heatmaps(study, {"none", "loss", "bias"});
  study["literature"] = literature();
  study["limits"].insert(study["limits"].end(), {
      text("The grid and the coefficients that were tried ran with one seed, and the grid's runs are short.", "网格与各系数只用一个种子，网格运行很短。"),
      text("Small models under AdamW revive experts: full collapse need not appear, and what is reported is what happened.", "小模型在 AdamW 下会使专家复活：不一定出现完全坍缩，此处如实报告。"),
  });
  std::vector<Outcome> more = tried_losses_;
  more.insert(more.end(), tried_biases_.begin(), tried_biases_.end());
  for (const Cell& c : cells_) more.insert(more.end(), c.runs.begin(), c.runs.end());
  finish_report(study, {&runs(), &more});
  return study;
}

}  // namespace

Json run_routing_health(const LabContext& context, Config& options) { return RoutingHealth(context, TieredSettings<HealthTier>::take(options, "routing-health", health_tiers())).run(); }

}  // namespace gamut
