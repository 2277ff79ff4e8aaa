// Dense or mixture of experts? Twins, a null twin, controls; loss against tokens, FLOPs, seconds and memory.
//
// Curves are measured on a trunk of constant learning rate, where equal losses lie in the same phase of the
// schedule; a short cool-down then gives each run's final number.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "lab/lab.h"
#include "lab/plan.h"
#include "lab/provenance.h"
#include "lab/report/comparison.h"
#include "lab/report/parts.h"
#include "lab/routing_report.h"
#include "lab/study.h"
#include "lab/twins.h"

namespace gamut {
namespace {

class DenseVsMoe : public Study {
 public:
  DenseVsMoe(const LabContext& context, const TieredSettings<Tier>& s) : Study("dense-vs-moe", context, s), tier_(s.tier) {}

 protected:
  Json make_plan(double seconds) override { return gamut::make_plan(tier_, data(), pool(), settings().seed, seconds).to_json(); }
  void take_plan(const Json& plan) override {
    plan_ = Plan::from_json(plan, (settings().out / "plan.json").string());
    announce();
  }
  void work() override {
    null_twin();
    tune();
    main_runs();
    controls();
  }
  Json report() override;

 private:
  Tier tier_;
  Plan plan_;
  std::vector<Outcome> runs_, controls_;
  Json null_ = nullptr, rates_ = nullptr;
  double dense_rate_ = 0, moe_rate_ = 0;

  void announce() const {
    const TwinShape& p = plan_.shape;
    log::info("plan: width {}, {} layers, vocabulary {}; dense {} hidden units against {} experts of {}, {} chosen", p.width, p.layers, p.vocab, p.hidden, p.experts, expert_hidden(p), p.top_k);
    log::info("plan: {} tokens a run ({:.1f} for each active matrix weight), {} seeds, {}; about {}", human_count(static_cast<double>(plan_.steps * tier_.batch_tokens)), plan_.tokens_per_weight, tier_.seeds,
              tier_.tune ? "learning rates tuned for each arm" : "one learning rate, not tuned at this tier", human_seconds(plan_.expected_seconds));
  }

  Entry entry(const std::string& arm, const std::string& suffix, const ModelSpec& model, uint64_t seed, double rate, int64_t steps, int64_t cool, int64_t points) const {
    return race_entry(arm, suffix, model, trainer_options(tier_, plan_, seed, rate, steps), cool, points);
  }

  // A race's share of the whole is its cost over what the plan expects.
  std::vector<Outcome> go(const std::string& name, const std::vector<Entry>& entries) {
    double cost = 0;
    for (const Entry& e : entries) cost += static_cast<double>(e.trainer.steps + e.cool_steps) * 1.2 * (e.arm == "dense" || e.arm == "null" ? plan_.dense_seconds : plan_.moe_seconds);
    return race({.folder = settings().out, .name = name, .curve_bytes = tier_.curve_bytes, .final_bytes = tier_.final_bytes}, entries, cost / std::max(plan_.expected_seconds, cost));
  }

  void null_twin() {
    const auto pair = go("null", {entry("dense", "null", dense_twin(plan_.shape), settings().seed, plan_.rate, kNullSteps, 0, 0), entry("null", "null", gamut::null_twin(plan_.shape), settings().seed, plan_.rate, kNullSteps, 0, 0)});
    const auto& a = pair[0].losses;
    const auto& b = pair[1].losses;
    size_t equal = 0;
    std::optional<size_t> first;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (a[i] == b[i]) ++equal;
      else if (!first) first = i + 1;
    }
    null_ = {{"losses", a.size()}, {"equal", equal}};
    if (first) null_["first_difference"] = *first;
  }

  void tune() {
    dense_rate_ = moe_rate_ = plan_.rate;
    if (!tier_.tune) {
      rates_ = {{"skipped", text("skipped at this tier: both arms use one rate", "此档跳过：两组使用同一学习率")}};
      return;
    }
    rates_ = {{"arms", Json::array()}, {"seeds", {kTuningSeed}}};
    for (const std::string arm : {"dense", "moe"}) {
      const RateSearch found = search_rate(arm, plan_.rate, [&](const std::string& suffix, double rate) {
        return entry(arm, suffix, arm == "dense" ? dense_twin(plan_.shape) : moe_twin(plan_.shape), kTuningSeed, rate, plan_.tune_steps, std::max<int64_t>(4, plan_.tune_steps / 7), 1);
      }, [&](const std::string& race_name, const std::vector<Entry>& entries) { return go(race_name, entries); });
      (arm == "dense" ? dense_rate_ : moe_rate_) = found.best;
      rates_["arms"].push_back(found.row);
    }
  }

  void main_runs() {
    for (int r = 0; r < tier_.seeds; ++r) {
      const uint64_t seed = settings().seed + static_cast<uint64_t>(r);
      const std::string suffix = "seed" + std::to_string(seed);
      std::vector<Entry> entries{entry("dense", suffix, dense_twin(plan_.shape), seed, dense_rate_, plan_.steps, plan_.cool, tier_.points),
                                 entry("moe", suffix, moe_twin(plan_.shape), seed, moe_rate_, plan_.steps, plan_.cool, tier_.points)};
      if (tier_.total_arm && r == 0) entries.push_back(entry("total", suffix, total_twin(plan_.shape), seed, dense_rate_, plan_.steps, plan_.cool, tier_.points));
      for (Outcome& o : go(suffix, entries)) runs_.push_back(std::move(o));
    }
  }

  void controls() {
    std::vector<Entry> entries;
    for (const std::string router : {"hash", "random"})
      entries.push_back(entry(router, "seed" + std::to_string(settings().seed), moe_twin(plan_.shape, router), settings().seed, moe_rate_, plan_.steps, plan_.cool, 4));
    controls_ = go("controls", entries);
  }

};

Json DenseVsMoe::report() {
  const TwinShape& p = plan_.shape;
  const std::vector<std::string>& domains = data()->domains;
  Json study = heading(text("Dense or mixture of experts?", "稠密模型，还是混合专家？"), tier_, plan_.peak_flops, static_cast<double>(plan_.steps * tier_.batch_tokens));
  const std::string moe_name = fmt::format("{} experts, top-{}", p.experts, p.top_k), moe_zh = fmt::format("{} 位专家，选 {}", p.experts, p.top_k);
  study["question"] = text(fmt::format("At equal compute a token: one feed-forward layer of {} units, or {} experts of {} units of which {} are used?", p.hidden, p.experts, expert_hidden(p), p.top_k),
                           fmt::format("每个 token 计算量相同：一个 {} 单元的前馈层，还是 {} 个各 {} 单元、每次用 {} 个的专家？", p.hidden, p.experts, expert_hidden(p), p.top_k));
  study["tokens_per_active_weight"] = plan_.tokens_per_weight;

  const std::map<std::string, double> time = step_seconds(runs_, "dense");
  study["arms"] = Json::array({arm_json({"dense", text("dense", "稠密"), text("dense", "稠密"), "baseline", 0}, runs_, time, domains, plan_.peak_flops),
                               arm_json({"moe", text(moe_name, moe_zh), text("MoE", "混合专家"), "treatment", 1}, runs_, time, domains, plan_.peak_flops)});
  if (tier_.total_arm) study["arms"].push_back(arm_json({"total", text("dense, equal total size", "稠密，总参数相同"), text("dense, total", "稠密（总）"), "total", 2}, runs_, time, domains, plan_.peak_flops));
  study["failed"] = failed_json({&runs_, &controls_});

  study["comparison"] = compare_arms(study);
  const auto first_of = [&](const std::string& arm) -> const Outcome* {
    for (const Outcome& o : runs_)
      if (o.arm == arm && o.failed.empty()) return &o;
    return nullptr;
  };
  const Outcome *dense = first_of("dense"), *moe = first_of("moe");
  if (dense && moe) {
    const double mismatch = moe->flops_per_token / dense->flops_per_token - 1;
    study["held_equal"] = Json::array({
        {{"what", text("text, order, tokenizer", "文本、顺序、分词器")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("active FLOPs a token", "每 token 有效计算量")}, {"value", text(fmt::format("{:+.2f} % MoE", 100 * mismatch), fmt::format("混合专家 {:+.2f} %", 100 * mismatch))}, {"mismatch", std::abs(mismatch) > 0.002}},
        {{"what", text("depth, width, attention, norm", "深度、宽度、注意力、归一化")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("initial weights outside the layer", "该层以外的初始权重")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("output scale at the start", "起始输出尺度")}, {"value", text("equal: gates add up to k", "相同：门控之和为 k")}, {"mismatch", false}},
        {{"what", text("learning rate", "学习率")}, {"value", tier_.tune ? text(fmt::format("tuned: {:.2g} and {:.2g}", dense_rate_, moe_rate_), fmt::format("分别调优：{:.2g} 与 {:.2g}", dense_rate_, moe_rate_)) : text(fmt::format("{:.2g}, not tuned", plan_.rate), fmt::format("{:.2g}，未调优", plan_.rate))}, {"mismatch", !tier_.tune}},
        {{"what", text("batch, schedule, decay, clipping", "批量、日程、衰减、裁剪")}, {"value", text("identical", "相同")}, {"mismatch", false}},
        {{"what", text("total parameters", "总参数量")}, {"value", text(fmt::format("{} and {}", count_text(dense->parameters).en, count_text(moe->parameters).en), fmt::format("{} 与 {}", count_text(dense->parameters).zh, count_text(moe->parameters).zh))}, {"mismatch", true}},
    });
    study["loads"] = study["specialisation"] = Json::array();
    add_routing(study, "moe", *moe, domains);
  }
  study["rates"] = rates_;
  study["null_twin"] = null_;
  study["controls"] = Json::array();
  for (const Outcome& o : controls_) {
    if (!o.failed.empty()) continue;
    const Outcome* twin = nullptr;
    for (const Outcome& m : runs_)
      if (m.arm == "moe" && m.seed == o.seed && m.failed.empty()) twin = &m;
    const double difference = twin ? o.cooled_bpb.back() - twin->cooled_bpb.back() : NAN;
    study["controls"].push_back({{"arm", o.arm}, {"name", o.arm == "hash" ? text("experts by hash of the token", "按 token 散列分配专家") : text("frozen random router", "冻结的随机路由器")}, {"bpb", o.cooled_bpb.back()}, {"difference", difference_json({difference, -INFINITY, INFINITY, 1})}});
  }

  const Json& comparison = study["comparison"];
  const auto ratio = [&](const char* axis) -> const Json* {
    return comparison.is_object() && comparison["ratios"].contains(axis) ? &comparison["ratios"][axis] : nullptr;
  };
  const auto measured = [&](const char* axis, const char* unit_en, const char* unit_zh) {
    const Json* r = ratio(axis);
    return r ? text(fmt::format("{:.2f}× the {}", (*r)["estimate"].get<double>(), unit_en), fmt::format("{:.2f}× {}", (*r)["estimate"].get<double>(), unit_zh)) : text("the dense loss is not reached", "未达到稠密模型的损失");
  };
  const auto verdict = [&](const char* axis, bool below_one) -> const char* {
    const Json* r = ratio(axis);
    if (!r) return below_one ? "differs" : "unresolved";
    if (!(*r)["resolved"].get<bool>()) return "unresolved";
    return ((*r)["estimate"].get<double>() < 1) == below_one ? "agrees" : "differs";
  };
  std::vector<double> dense_step, moe_step;
  for (const Outcome& a : runs_)
    for (const Outcome& b : runs_)
      if (a.arm == "dense" && b.arm == "moe" && a.seed == b.seed && a.failed.empty() && b.failed.empty()) {
        dense_step.push_back(time.at(a.id));
        moe_step.push_back(time.at(b.id));
      }
  const Interval slower = paired_ratio(moe_step, dense_step);
  study["literature"] = Json::array({
      {{"claim", text("A mixture needs fewer tokens for the same loss", "达到同样损失，混合专家需要更少 token")}, {"source", "OLMoE, 2024"}, {"expected", text("about 0.33× the tokens at 1B active, 7B total", "10 亿激活、70 亿总参数时约 0.33×")}, {"measured", measured("tokens", "tokens", "token")}, {"verdict", verdict("tokens", true)}},
      {{"claim", text("In seconds the gain is smaller than in tokens", "以时间计，收益小于以 token 计")}, {"source", "OLMoE, 2024"}, {"expected", text("about 0.5× the time: a token takes 1.5× as long", "约 0.5× 时间：每 token 耗时 1.5×")},
       {"measured", text(fmt::format("a token takes {:.2f}× [{:.2f}, {:.2f}] as long", slower.estimate, slower.low, slower.high), fmt::format("每 token 耗时 {:.2f}× [{:.2f}, {:.2f}]", slower.estimate, slower.low, slower.high))},
       {"verdict", !slower.resolved(1) ? "unresolved" : slower.estimate > 1 ? "agrees" : "differs"}},
      {{"claim", text("Small models trained briefly gain little or lose", "训练量不足的小模型收益甚微或变差")}, {"source", "nanochat log, 2026"}, {"expected", text("better a step, worse a second", "每步更好，每秒更差")}, {"measured", measured("seconds", "seconds", "时间")}, {"verdict", verdict("seconds", false)}},
  });
  const std::string weights = count_text(dense ? dense->active_matrix : 0).en;
  study["limits"] = Json::array({
      text(fmt::format("One size: {} active matrix weights, {:.0f} tokens for each. Ratios at this size do not extrapolate; their direction may change with tokens per weight.", weights, plan_.tokens_per_weight),
           fmt::format("仅一种规模：{} 个激活矩阵权重，每个 {:.0f} token。此处比值不可外推，方向也可能随每权重 token 数改变。", weights, plan_.tokens_per_weight)),
      text(fmt::format("{} seeds: intervals are paired Student t{}. Controls ran with one seed and have no interval.", tier_.seeds, tier_.seeds < 3 ? ", which two seeds leave so wide that only large effects are resolved" : ""),
           fmt::format("{} 个随机种子：区间为配对 t 区间{}。对照只用一个种子，没有区间。", tier_.seeds, tier_.seeds < 3 ? "，两个种子时极宽，只有很大的差异才有定论" : "")),
      plan_.epochs > 1.2 ? text(fmt::format("Every run reads the training text {:.1f} times. A mixture suffers from repetition sooner than a dense model.", plan_.epochs), fmt::format("每次运行将训练文本读 {:.1f} 遍；重复对混合专家的损害早于稠密模型。", plan_.epochs))
                         : text("No run reads the training text much more than once.", "训练文本基本只读一遍。"),
      text("Ratios are measured on a trunk of constant learning rate; the table by domain shows the ends after a short cool-down.", "比值取自恒定学习率主干；分领域表为短暂退火后的终点。"),
      text(fmt::format("Curve points use {} of validation text a domain, final numbers {}.", human_bytes(static_cast<double>(tier_.curve_bytes)), human_bytes(static_cast<double>(tier_.final_bytes))),
           fmt::format("曲线各点每领域使用 {} 验证文本，终值使用 {}。", human_bytes(static_cast<double>(tier_.curve_bytes)), human_bytes(static_cast<double>(tier_.final_bytes)))),
      text(fmt::format("Seconds are training alone, from median step times of blocks of {} steps in which the arms of a seed take turns: one speed of the machine for all. Another engine or machine has other seconds.", RaceOptions().block_steps),
           fmt::format("秒数仅计训练，取自同一种子各组每 {} 步轮流运行时的中位步时，机器速度的变化对各组相同；换引擎或机器则不同。", RaceOptions().block_steps)),
  });

  add_provenance(study, {.rerun = context().rerun, .started = plan_.started, .config = {{"chosen", settings().chosen}, {"plan", plan_.to_json()}, {"dense", dense_twin(p).to_json()}, {"moe", moe_twin(p).to_json()}},
                         .data = *data(), .batch_tokens = tier_.batch_tokens, .use = use()}, {&runs_, &controls_});
  return study;
}

}  // namespace

Json run_dense_vs_moe(const LabContext& context, Config& options) { return DenseVsMoe(context, TieredSettings<Tier>::take(options, "dense-vs-moe", tiers())).run(); }

}  // namespace gamut
