// Which router? Every one that a causal model can use, at equal compute a token.
#include <fmt/format.h>

#include <cmath>

#include "lab/lab.h"
#include "lab/mixtures.h"

namespace gamut {
namespace {

const std::vector<ContestTier>& routers_tiers() {
  static const std::vector<ContestTier> rows{
      {{"smoke", 2, 2, 512, 64, 2048, false, 8, 4 << 10, 32 << 10}, {{32, 2}, {48, 2}}},
      {{"quick", 15, 2, 1024, 128, 4096, false, 14, 8 << 10, 96 << 10}, {{32, 2}, {48, 2}, {64, 2}, {64, 3}, {80, 3}}},
      {{"full", 120, 3, 2048, 128, 8192, true, 24, 32 << 10, 512 << 10}, {{48, 2}, {64, 3}, {96, 4}, {128, 4}}},
  };
  return rows;
}
constexpr int64_t kExperts = 8, kTaken = 2;

std::vector<Arm> router_arms() {
  std::vector<Arm> arms;
  const auto add = [&](ArmName name, const Json& router, int64_t k = kTaken, const Json& more = Json::object()) {
    name.slot = static_cast<int>(arms.size());
    arms.push_back({std::move(name), [=](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) {
                      Component channel = mixture(kExperts, k, hidden, router);
                      channel.options.update(more);
                      return attention_decoder(rung, vocab, length, channel);
                    }});
  };
  add({"loss", text("softmax top-2, Switch's balancing loss", "softmax 选 2，Switch 均衡损失"), text("loss", "损失"), "baseline", 0}, {{"kind", "topk"}, {"balance", "loss"}});
  add({"loss_free", text("sigmoid top-2, bias without a loss", "sigmoid 选 2，偏置均衡"), text("loss-free", "无损失"), "treatment", 0}, {{"kind", "topk"}, {"score", "sigmoid"}, {"balance", "bias"}, {"bias_rate", 0.01}});
  add({"none", text("softmax top-2, no balancing", "softmax 选 2，不均衡"), text("none", "不均衡"), "arm", 0}, {{"kind", "topk"}, {"balance", "none"}});
  add({"switch", "Switch, top-1", "Switch", "arm", 0}, {{"kind", "switch"}}, 1);
  add({"noisy", text("noisy top-2", "带噪选 2"), text("noisy", "带噪"), "arm", 0}, {{"kind", "noisy_topk"}});
  add({"quantile", text("quantile balancing, top-2", "分位数均衡，选 2"), text("quantile", "分位数"), "arm", 0}, {{"kind", "quantile"}});
  add({"hash", text("hash of the token", "按 token 散列"), text("hash", "散列"), "control", 0}, {{"kind", "hash"}});
  add({"gshard", text("GShard, top-2, second at random", "GShard，选 2，次选随机"), "GShard", "arm", 0}, {{"kind", "gshard"}});
  add({"sparsemixer", "SparseMixer-2", "SparseMixer", "arm", 0}, {{"kind", "sparsemixer"}, {"balance", "loss"}});
  add({"hierarchical", text("two levels, 2 of 4 groups", "两级，4 组选 2"), text("two levels", "两级"), "arm", 0}, {{"kind", "hierarchical"}, {"groups", 4}, {"group_k", 2}});
  add({"base", text("BASE, balanced assignment, top-1", "BASE，均衡分配，选 1"), "BASE", "arm", 0}, {{"kind", "base"}}, 1);
  add({"sinkhorn", text("Sinkhorn, top-2", "Sinkhorn，选 2"), "Sinkhorn", "arm", 0}, {{"kind", "sinkhorn"}});
  add({"cosine", text("cosine, top-2", "余弦，选 2"), text("cosine", "余弦"), "arm", 0}, {{"kind", "cosine"}, {"projection", 16}});
  add({"stable", text("StableMoE, settles on words' experts, top-2", "StableMoE，按词固定专家，选 2"), "StableMoE", "arm", 0}, {{"kind", "stable"}});
  add({"remoe", text("ReMoE, two on average", "ReMoE，平均选 2"), "ReMoE", "arm", 0}, {{"kind", "remoe"}});
  add({"reinforce", text("REINFORCE, top-2", "REINFORCE，选 2"), "REINFORCE", "arm", 0}, {{"kind", "reinforce"}});
  add({"hash_bigram", text("hash of two tokens", "按两个 token 散列"), text("bigram hash", "双词散列"), "control", 0}, {{"kind", "hash_bigram"}});
  add({"random", text("frozen random router", "冻结的随机路由器"), text("random", "随机"), "control", 0}, {{"kind", "random"}, {"balance", "none"}});
  add({"dense_gating", text("all experts, softmax gates", "全部专家，softmax 门控"), text("all", "全部"), "arm", 0}, {{"kind", "dense"}, {"balance", "none"}}, kExperts);
  add({"expert_choice", text("expert choice, sees later tokens", "专家选择，会看到后文"), text("expert choice", "专家选择"), "control", 0}, {{"kind", "expert_choice"}}, kTaken, {{"allow_lookahead", true}});
  arms.push_back({{"dense", text("one dense layer", "单个稠密层"), text("dense", "稠密"), "control", static_cast<int>(arms.size())},
                  [](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) { return attention_decoder(rung, vocab, length, {"ffn", {{"hidden", hidden}}}); }});
  return arms;
}

// What looks at later tokens while it is measured has no likelihood.
bool is_causal(const Outcome& o) { return o.arm != "expert_choice"; }

class Routers : public MixtureContest {
 public:
  Routers(const LabContext& context, const TieredSettings<ContestTier>& s)
      : MixtureContest("routers", context, s, router_arms(), {.size = [](const Rung& rung) { return usual_hidden(rung) / kTaken / 4 * 4; }, .size_step = 2}) {}

 protected:
  void work() override { race_arms(1); }
  Json report() override;

 private:
  double final_of(const char* arm) const { return run_of(arm) ? mean(finals(arm, arm)) : NAN; }
  Json literature() const;
  Json collapse() const;
};

// How an unbalanced router, a loss and a bias differ, in one sentence.
Json Routers::collapse() const {
  const auto of = [&](const char* arm) { return fmt::format("MaxVio {:.2f}, {:.1f} dead", measured(arm, "max_violation"), measured(arm, "dead")); };
  const auto zh = [&](const char* arm) { return fmt::format("MaxVio {:.2f}，失活 {:.1f}", measured(arm, "max_violation"), measured(arm, "dead")); };
  return text(fmt::format("The same experts under each router. Without balancing: {} of {} experts; with Switch's loss: {}; with a bias: {}; Switch itself: {}.", of("none"), kExperts, of("loss"), of("loss_free"), of("switch")),
              fmt::format("专家相同，路由器不同。不均衡：{}（共 {} 位）；Switch 损失：{}；偏置：{}；Switch：{}。", zh("none"), kExperts, zh("loss"), zh("loss_free"), zh("switch")));
}

Json Routers::literature() const {
  const auto pair = [](const char* pattern, double a, double b) { return fmt::format(fmt::runtime(pattern), a, b); };
  const auto bpb = [&](double a, double b) { return text(pair("{:.4f} and {:.4f} bits/byte", a, b), pair("{:.4f} 与 {:.4f} 比特/字节", a, b)); };
  const double violation_none = measured("none", "max_violation"), violation_loss = measured("loss", "max_violation"), violation_free = measured("loss_free", "max_violation");
  const double best_fixed = std::min(final_of("hash"), final_of("random"));
  return Json::array({
      finding(text("Without balancing few experts take most tokens", "不加均衡时，少数专家包揽大部分 token"), "Outrageously large neural networks, 2017; OLMoE, 2024", text("the largest MaxVio", "MaxVio 最大"),
              text(pair("MaxVio {:.2f}, with a loss {:.2f}", violation_none, violation_loss), pair("MaxVio {:.2f}，有损失时 {:.2f}", violation_none, violation_loss)), verdict_of(violation_none - violation_loss, 0.1)),
      finding(text("A bias balances better than a loss and costs no quality", "偏置比损失均衡得更好，且不损质量"), "Auxiliary-Loss-Free Load Balancing, 2024", text("lower MaxVio, no higher loss", "MaxVio 更低，损失不更高"),
              text(fmt::format("MaxVio {:.2f} and {:.2f}; {:+.4f} bits/byte", violation_free, violation_loss, final_of("loss_free") - final_of("loss")),
                   fmt::format("MaxVio {:.2f} 与 {:.2f}；{:+.4f} 比特/字节", violation_free, violation_loss, final_of("loss_free") - final_of("loss"))),
              verdict_of(std::min(violation_loss - violation_free, 10 * (final_of("loss") + 0.01 - final_of("loss_free"))), 0.02)),
      finding(text("Learned routers beat fixed ones", "可学习的路由优于固定路由"), "Unified scaling laws, 2022 (Hash Layers, 2021, found hashing as good)", text("learned lower", "可学习者更低"), bpb(final_of("loss"), best_fixed), verdict_of(best_fixed - final_of("loss"), 0.01)),
      finding(text("Two experts beat one at equal compute only a little", "计算量相同时，选两位仅略优于选一位"), "Switch Transformers, 2021", text("nearly equal", "几乎相等"), bpb(final_of("loss"), final_of("switch")), verdict_of(0.03 - std::abs(final_of("loss") - final_of("switch")), 0.01)),
  });
}

Json Routers::report() {
  Json study = contest_report(text("Which router?", "选择哪种路由器？"), is_causal);
  study["sections"] = {"verdict", "held-equal", "standings", "tables", "loads", "plots", "prices", "specialisation", "rates", "trust", "literature", "cost", "limits", "provenance"};
  study["question"] = text(fmt::format("{} experts, {} of them for each token (or one twice as large, or all, smaller): which rule should choose?", kExperts, kTaken), fmt::format("{} 位专家，每个 token 用 {} 位（或一位加倍、或全部而更小）：由何规则选择？", kExperts, kTaken));
  study["tables"] = Json::array({routing_table()});
  const std::vector<std::string> shown{"loss", "loss_free", "none", "switch", "noisy", "quantile"};
  study["plots"] = Json::array({watched_plot("max_violation", text("MaxVio of the worst layer", "最差层的 MaxVio"), collapse(), shown), saturation_plot(shown)});
  add_heatmaps(study, {"none", "loss", "loss_free", "switch"});
  study["literature"] = literature();
  study["limits"].insert(study["limits"].end(), {
      text("Each router is as published, its gates too: some add up to 1, some do not, and outputs begin at different scales.", "各路由器及其门控均按原文：有的和为 1，有的不是，起始输出尺度不同。"),
      text("Expert choice sees later tokens, in validation as well: its number is no likelihood and has no rank. BASE and Sinkhorn look at the whole batch in training alone. Soft MoE mixes all positions and cannot be causal.",
           "专家选择在验证时也会看到后文，其数值不是似然，不参与排名。BASE 与 Sinkhorn 仅在训练时看整批。Soft MoE 混合所有位置，无法用于因果模型。"),
      text("ReMoE takes two experts on average at the end and more at first: its compute is counted as for two.", "ReMoE 末期平均选两位，起初更多；计算量按两位计。"),
  });
  finish_report(study, {&runs()});
  return study;
}

}  // namespace

Json run_routers(const LabContext& context, Config& options) { return Routers(context, TieredSettings<ContestTier>::take(options, "routers", routers_tiers())).run(); }

}  // namespace gamut
