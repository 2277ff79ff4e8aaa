// How many experts, how large, and one that all share? One factor at a time, at equal compute a token.
#include <fmt/format.h>

#include <cmath>

#include "lab/lab.h"
#include "lab/mixtures.h"

namespace gamut {
namespace {

const std::vector<ContestTier>& granularity_tiers() {
  static const std::vector<ContestTier> rows{
      {{"smoke", 2, 2, 512, 64, 2048, false, 12, 8 << 10, 64 << 10}, {{32, 2}, {48, 2}}},
      {{"quick", 15, 2, 1024, 128, 4096, true, 20, 16 << 10, 128 << 10}, {{32, 2}, {48, 2}, {64, 2}, {64, 3}, {80, 4}, {96, 4}}},
      {{"full", 120, 3, 2048, 128, 8192, true, 30, 64 << 10, 512 << 10}, {{64, 3}, {96, 4}, {128, 4}, {160, 6}, {192, 6}}},
  };
  return rows;
}

// Gates add up to how many usual experts a token takes, so that all arms begin at one scale: `scale`.
Json balanced(double scale) { return {{"kind", "topk"}, {"score", "sigmoid"}, {"balance", "bias"}, {"bias_rate", 0.01}, {"scale", scale}}; }

std::vector<Arm> granularity_arms() {
  const auto routed = [](int64_t experts, int64_t k, bool shared = false) {
    return [=](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) {
      Component channel = mixture(experts, k, hidden, balanced(static_cast<double>(k)));
      if (shared) channel.options["shared_hidden"] = hidden;
      return attention_decoder(rung, vocab, length, channel);
    };
  };
  const auto dense = [](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) { return attention_decoder(rung, vocab, length, {"ffn", {{"hidden", hidden}}}); };
  return {{{"e8", text("8 experts, top-2", "8 位专家，选 2"), text("8, top-2", "8 选 2"), "baseline", 0}, routed(8, 2)},
          {{"e4", text("4 experts, top-2", "4 位专家，选 2"), text("4, top-2", "4 选 2"), "arm", 1}, routed(4, 2)},
          {{"e16", text("16 experts, top-2", "16 位专家，选 2"), text("16, top-2", "16 选 2"), "arm", 2}, routed(16, 2)},
          {{"e32", text("32 experts, top-2", "32 位专家，选 2"), text("32, top-2", "32 选 2"), "arm", 3}, routed(32, 2)},
          {{"g2", text("16 experts of half the size, top-4", "16 位减半的专家，选 4"), text("16 halves, top-4", "16 半，选 4"), "treatment", 4}, routed(16, 4)},
          {{"g4", text("32 experts of a quarter, top-8", "32 位四分之一的专家，选 8"), text("32 quarters, top-8", "32 四分，选 8"), "arm", 5}, routed(32, 8)},
          {{"shared", text("15 halves, top-3, and a shared one", "15 位减半的专家，选 3，另有 1 位共享"), text("shared", "共享"), "arm", 6}, routed(15, 3, true)},
          {{"dense", text("dense", "稠密"), text("dense", "稠密"), "control", 7}, dense}};
}

// One factor: what `arm` has more of than `than`.
struct Step {
  const char *factor_en, *factor_zh, *arm, *than;
};
constexpr Step kSteps[] = {{"experts 4 → 8, same size", "专家 4 → 8，大小不变", "e8", "e4"},
                           {"experts 8 → 16", "专家 8 → 16", "e16", "e8"},
                           {"experts 16 → 32", "专家 16 → 32", "e32", "e16"},
                           {"each cut in two", "每位一分为二", "g2", "e8"},
                           {"cut in four", "一分为四", "g4", "g2"},
                           {"one of the halves is shared", "其中一半专家共享", "shared", "g2"},
                           {"8 experts instead of one layer", "以 8 位专家取代单层", "e8", "dense"}};

class Granularity : public MixtureContest {
 public:
  Granularity(const LabContext& context, const TieredSettings<ContestTier>& s)
      : MixtureContest("granularity", context, s, granularity_arms(), {.size = [](const Rung& rung) { return usual_hidden(rung) / 2 / 4 * 4; }, .size_step = 2}) {}

 protected:
  void work() override { race_arms(1); }
  Json report() override;

 private:
  Interval step(const std::string& arm, const std::string& than) const { return paired_difference(finals(arm, than), finals(than, arm)); }
  Json factors() const;
  Json literature() const;
};

Json Granularity::factors() const {
  Json rows = Json::array();
  std::vector<double> p_values;
  for (const Step& s : kSteps) p_values.push_back(paired_p_value(finals(s.arm, s.than), finals(s.than, s.arm)));
  const std::vector<double> corrected = holm(p_values);
  for (size_t i = 0; i < std::size(kSteps); ++i) {
    const Step& s = kSteps[i];
    const Interval d = step(s.arm, s.than);
    const bool resolved = d.resolved(0) && corrected[i] < 0.05;
    rows.push_back({{"arm", text(s.factor_en, s.factor_zh)},
                    {"cells", {fmt::format("{:+.4f}", d.estimate), fmt::format("[{:+.4f}, {:+.4f}]", d.low, d.high), resolved ? (d.estimate < 0 ? text("better", "更好") : text("worse", "更差")) : text("not resolved", "无定论")}}});
  }
  return {{"id", "factors"},
          {"title", text("One factor at a time", "每次只变一个因素")},
          {"caption", text("Bits per byte after cooling down, less those without the change; lower is better. Paired by seed, corrected for the number of questions.", "退火后每字节比特数之差，越低越好；按种子配对，并按问题数修正。")},
          {"columns", {text("change", "变化"), text("bits/byte", "比特/字节"), text("interval", "区间"), text("verdict", "结论")}},
          {"rows", rows}};
}

Json Granularity::literature() const {
  const auto measured_step = [&](const char* arm, const char* than) {
    const Interval d = step(arm, than);
    const std::string t = fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", d.estimate, d.low, d.high);
    return text(t + " bits/byte", t + " 比特/字节");
  };
  const auto verdict = [&](const char* arm, const char* than) {
    const Interval d = step(arm, than);
    return !d.resolved(0) ? "unresolved" : d.estimate < 0 ? "agrees" : "differs";
  };
  const Interval shared = step("shared", "g2");
  return Json::array({finding(text("Finer experts are better at equal compute and size", "计算量与大小相同时，专家越细越好"), "DeepSeekMoE, 2024; Scaling laws for fine-grained MoE, 2024", text("cut in two: lower", "一分为二：更低"), measured_step("g2", "e8"), verdict("g2", "e8")),
                      finding(text("More experts of the same size are better, with falling returns", "同样大小的专家越多越好，收益递减"), "Unified scaling laws for routed language models, 2022", text("8 → 32: lower", "8 → 32：更低"), measured_step("e32", "e8"), verdict("e32", "e8")),
                      finding(text("A shared expert changes little", "共享专家影响甚微"), "OLMoE, 2024 (DeepSeekMoE, 2024, found it useful)", text("no difference", "无差别"), measured_step("shared", "g2"),
                              shared.resolved(0) ? "differs" : shared.n > 2 ? "agrees" : "unresolved")});
}

Json Granularity::report() {
  Json study = contest_report(text("How many experts, and how large?", "多少专家，多大？"));
  study["sections"] = {"verdict", "held-equal", "standings", "prices", "tables", "plots", "loads", "rates", "trust", "literature", "cost", "limits", "provenance"};
  study["question"] = text("Compute a token is the same in all arms: what is gained by more experts, smaller ones of which more are taken, and one that is always taken?", "每个 token 计算量相同：专家更多、更小而选得更多、或有一位始终启用，各有何得失？");
  study["tables"] = Json::array({factors(), routing_table()});
  const std::vector<std::string> shown{"e8", "e32", "g2", "g4", "shared"};
  study["plots"] = Json::array({watched_plot("max_violation", text("MaxVio of the worst layer", "最差层的 MaxVio"), text("Load of the fullest expert over the mean, less 1, on held-out text.", "留出文本上最忙专家的负载与均值之比减 1。"), shown), saturation_plot(shown)});
  add_heatmaps(study, {"e8", "e32", "g4"});
  study["literature"] = literature();
  study["limits"].push_back(text("All arms balance by a bias without a loss and scale their gates to add up to the number of experts taken; another balance may rank them otherwise. Experts of few hidden units are below what the literature studied.",
                                 "各组均以偏置均衡而无辅助损失，门控之和等于所选专家数；换一种均衡方式，名次可能不同。单元数很少的专家小于文献所研究的规模。"));
  finish_report(study, {&runs()});
  return study;
}

}  // namespace

Json run_granularity(const LabContext& context, Config& options) { return Granularity(context, TieredSettings<ContestTier>::take(options, "granularity", granularity_tiers())).run(); }

}  // namespace gamut
