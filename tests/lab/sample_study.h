// A study with invented figures, the shape of a real one: two arms, a large dense arm, two controls, three domains.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/rng.h"
#include "lab/report/comparison.h"

namespace gamut {

struct SampleArm {
  std::string id, role, name_en, name_zh, short_en, short_zh;
  int slot = 0;
  double weights = 280e3, active = 280e3, flops_per_token = 1.9e6, seconds_per_token = 2.1e-5, ram = 190e6;
  // loss(tokens) = floor + drop·(tokens / 1e6)^−power
  double floor = 1.44, drop = 1.05, power = 0.38;
};

inline Json sample_arm(const SampleArm& arm, const std::vector<int>& seeds, double budget) {
  Json value{{"id", arm.id},
             {"role", arm.role},
             {"name", {{"en", arm.name_en}, {"zh", arm.name_zh}}},
             {"short", {{"en", arm.short_en}, {"zh", arm.short_zh}}},
             {"slot", arm.slot},
             {"params_total", arm.weights},
             {"params_active", arm.active},
             {"flops_per_token", arm.flops_per_token},
             {"ram_predicted", arm.ram * 0.97},
             {"ram_measured", arm.ram},
             {"tokens", budget},
             {"flops", budget * arm.flops_per_token},
             {"seconds", budget * arm.seconds_per_token},
             {"tokens_per_second", 1 / arm.seconds_per_token},
             {"mfu", arm.flops_per_token / arm.seconds_per_token / 4.2e11},
             {"curves", Json::array()}};
  for (const int seed : seeds) {
    const RandomStream order(static_cast<uint64_t>(seed), "order"), run(static_cast<uint64_t>(seed), "run", arm.id);
    Json curve{{"seed", seed},
               {"tokens", Json::array()},
               {"flops", Json::array()},
               {"seconds", Json::array()},
               {"gb_seconds", Json::array()}};
    const double offset = 0.005 * order.normal(0) + 0.0025 * run.normal(0), pace = std::exp(0.03 * run.normal(1));
    for (int i = 0; i < 44; ++i) {
      const double tokens = std::round(20000 * std::pow(budget / 20000, i / 43.0));
      const double seconds = tokens * arm.seconds_per_token * pace;
      curve["tokens"].push_back(tokens);
      curve["flops"].push_back(tokens * arm.flops_per_token);
      curve["seconds"].push_back(seconds);
      curve["gb_seconds"].push_back(seconds * arm.ram / 1e9);
      const double loss =
          arm.floor + arm.drop * std::pow(tokens / 1e6, -arm.power) + offset + 0.0015 * run.normal(static_cast<uint64_t>(10 + i));
      const bool expert = arm.role == "treatment";
      curve["bpb"]["english"].push_back(loss + 0.05 - (expert ? 0.012 : 0));
      curve["bpb"]["code"].push_back(loss - 0.26 + (expert ? 0.004 : 0));
      curve["bpb"]["chinese"].push_back(loss + 0.44 + (expert ? 0.024 : 0) + 0.01 * run.normal(static_cast<uint64_t>(100 + i)));
      curve["bpb"]["all"].push_back(loss);
    }
    value["curves"].push_back(curve);
  }
  return value;
}

inline Json sample_loads() {
  Json loads = Json::array();
  for (int layer = 0; layer < 3; ++layer) {
    Json load{{"arm", "moe"}, {"layer", layer}, {"steps", Json::array()}, {"share", Json::array()}};
    const RandomStream random(5, "load", std::to_string(layer));
    for (int step = 0; step < 120; ++step) {
      std::vector<double> share(8);
      double sum = 0;
      for (size_t e = 0; e < share.size(); ++e) {
        const double early = (e == static_cast<size_t>(layer + 1) || e == 5 ? 2.6 : 0.0) * std::exp(-step / 12.0);
        share[e] = 1 + early + 0.28 * std::sin(step / 25.0 + 2.0 * static_cast<double>(e) + layer) +
                   0.05 * random.normal(static_cast<uint64_t>(step * 8) + e);
        sum += share[e];
      }
      for (double& s : share) s /= sum;
      load["steps"].push_back(20 * (step + 1));
      load["share"].push_back(share);
    }
    loads.push_back(load);
  }
  return loads;
}

inline Json sample_study() {
  const double budget = 7.7e6;
  const std::vector<int> seeds{17, 18, 19};
  Json study{{"id", "dense-vs-moe"},
             {"title", {{"en", "Dense or mixture of experts?"}, {"zh", "稠密模型，还是混合专家？"}}},
             {"tier", "quick"},
             {"example", true},
             {"seeds", seeds},
             {"elapsed", 761},
             {"machine", {{"cores", 2}, {"threads", 2}, {"tier", "AVX-512 BF16"}, {"peak_flops", 4.2e11}}},
             {"budget", {{"en", "7.7 M tokens a run"}, {"zh", "每次运行 770 万 token"}}},
             {"tokens_per_active_weight", 27.5},
             {"domains",
              {{{"id", "english"}, {"name", {{"en", "English prose"}, {"zh", "英文散文"}}}},
               {{"id", "code"}, {"name", {{"en", "Python, Perl"}, {"zh", "Python、Perl"}}}},
               {{"id", "chinese"}, {"name", {{"en", "Chinese"}, {"zh", "中文"}}}}}}};
  const SampleArm dense{"dense", "baseline", "dense", "稠密模型", "dense", "稠密", 0};
  SampleArm moe{"moe", "treatment", "8 experts, top-2", "8 专家 top-2", "MoE", "MoE", 1, 905e3, 282e3, 1.915e6, 2.32e-5, 456e6};
  moe.floor = 1.389;
  moe.drop = 1.118;
  moe.power = 0.40;
  SampleArm total{
      "total", "total", "dense, equal total", "稠密，总量相同", "dense, equal total", "等总量稠密", 2, 905e3, 905e3, 5.8e6,
      5.1e-5,  410e6};
  total.floor = 1.26;
  SampleArm hash{"hash", "control", "hash router", "哈希路由", "hash", "哈希", 3, 903e3, 281e3, 1.905e6, 2.8e-5, 452e6};
  hash.floor = 1.42;
  SampleArm frozen{"frozen", "control", "frozen random router", "冻结随机路由", "frozen", "冻结", 4, 905e3, 282e3, 1.915e6,
                   2.32e-5,  455e6};
  frozen.floor = 1.42;
  frozen.drop = 1.10;
  study["arms"] = Json::array({sample_arm(dense, seeds, budget), sample_arm(moe, seeds, budget), sample_arm(hash, seeds, budget),
                               sample_arm(frozen, seeds, budget)});
  study["held_equal"] = {{{"what", {{"en", "tokens, order, tokenizer"}, {"zh", "token、顺序、分词器"}}},
                          {"value", {{"en", "identical"}, {"zh", "相同"}}}},
                         {{"what", {{"en", "active FLOPs a token"}, {"zh", "每 token 激活 FLOP"}}},
                          {"value", {{"en", "+0.8 % MoE"}, {"zh", "MoE 多 0.8 %"}}},
                          {"mismatch", true}},
                         {{"what", {{"en", "depth, width, norm, positions"}, {"zh", "深度、宽度、归一化、位置编码"}}},
                          {"value", {{"en", "identical"}, {"zh", "相同"}}}},
                         {{"what", {{"en", "batch, schedule, decay, clipping"}, {"zh", "批量、调度、衰减、裁剪"}}},
                          {"value", {{"en", "identical"}, {"zh", "相同"}}}},
                         {{"what", {{"en", "learning rate"}, {"zh", "学习率"}}},
                          {"value", {{"en", "tuned for each, best interior"}, {"zh", "各自调优，最佳值在内部"}}}},
                         {{"what", {{"en", "output scale at the start"}, {"zh", "初始输出尺度"}}},
                          {"value", {{"en", "1.00 and 0.98"}, {"zh", "1.00 与 0.98"}}}}};
  study["loads"] = sample_loads();
  study["specialisation"] = Json::array();
  for (int layer = 0; layer < 3; ++layer) {
    Json share = Json::array();
    for (int d = 0; d < 3; ++d) {
      std::vector<double> row(8);
      double sum = 0;
      for (int e = 0; e < 8; ++e) sum += row[static_cast<size_t>(e)] = 1 + (1.0 + layer) * (e % 3 == d ? 1.1 : 0.1);
      for (double& s : row) s /= sum;
      share.push_back(row);
    }
    study["specialisation"].push_back({{"arm", "moe"},
                                       {"layer", layer},
                                       {"domains", {"english", "code", "chinese"}},
                                       {"share", share},
                                       {"information", 0.11 + 0.09 * layer},
                                       {"chance", 0.002}});
  }
  study["rates"] = {{"arms",
                     {{{"arm", "dense"},
                       {"rate", {1e-3, 2e-3, 4e-3, 8e-3}},
                       {"bpb", {1.952, 1.921, 1.915, 1.958}},
                       {"best", 2},
                       {"interior", true}},
                      {{"arm", "moe"},
                       {"rate", {1e-3, 2e-3, 4e-3, 8e-3}},
                       {"bpb", {1.948, 1.903, 1.907, 1.961}},
                       {"best", 1},
                       {"interior", true}}}},
                    {"seeds", {3}}};
  study["null_twin"] = {{"losses", 240}, {"equal", 240}};
  study["failed"] = Json::array();
  study["load"] = {{"tainted", false}, {"other", 0.003}};
  study["comparison"] = compare_arms(study);
  const auto against = [&](const char* id) {
    Json pair = study;
    pair["arms"] = Json::array({study["arms"][1], study["arms"][id == std::string("hash") ? 2 : 3]});
    pair["arms"][0]["role"] = "baseline";
    pair["arms"][1]["role"] = "treatment";
    return compare_arms(pair);
  };
  const Json hash_result = against("hash"), frozen_result = against("frozen");
  study["controls"] = {{{"arm", "hash"},
                        {"name", {{"en", "hash of the token"}, {"zh", "按 token 哈希"}}},
                        {"bpb", hash_result["domains"].back()["treatment"]},
                        {"difference", hash_result["gap"]}},
                       {{"arm", "frozen"},
                        {"name", {{"en", "frozen at random"}, {"zh", "随机冻结"}}},
                        {"bpb", frozen_result["domains"].back()["treatment"]},
                        {"difference", frozen_result["gap"]}}};
  study["literature"] = {{{"claim",
                           {{"en", "At equal compute a token, experts need fewer tokens"},
                            {"zh", "每 token 计算量相同时，混合专家所需 token 更少"}}},
                          {"source", "“OLMoE”, 2024"},
                          {"expected", {{"en", "about a third of the tokens"}, {"zh", "约三分之一的 token"}}},
                          {"measured", {{"en", "0.76× of the tokens"}, {"zh", "0.76× 的 token"}}},
                          {"verdict", "agrees"}},
                         {{"claim", {{"en", "In seconds the gain is smaller, or gone"}, {"zh", "按时间计收益更小，甚至消失"}}},
                          {"source", "karpathy/nanochat dev/LOG.md, 2026"},
                          {"expected", {{"en", "worse per second"}, {"zh", "按时间更差"}}},
                          {"measured", {{"en", "1.08×"}, {"zh", "1.08×"}}},
                          {"verdict", "unresolved"}}};
  study["limits"] = {
      {{"en", "Models of under a million weights on a few million tokens: the ordering may carry over, the factors do not."},
       {"zh", "模型不足百万权重、数据仅数百万 token：次序或可外推，倍数则不然。"}},
      {{"en", "One family of texts; validation by document, not by source."},
       {"zh", "文本来源单一；按文档而非按来源划分验证集。"}}};
  study["provenance"] = {
      {"version", "0.1.0"},
      {"git", {{"hash", "1f6c2ab"}, {"dirty", false}}},
      {"build", "GCC 12.2, Release, -O3"},
      {"cpu", "AMD EPYC 9R14"},
      {"tier", "avx512_bf16"},
      {"threads", 2},
      {"os", "Debian GNU/Linux 12, Linux 6.1"},
      {"seeds", seeds},
      {"started", "2026-11-24T04:10:02Z"},
      {"ended", "2026-11-24T04:22:43Z"},
      {"flops", 1.18e14},
      {"peak_flops", 4.2e11},
      {"metrics_checksum", "d41d8cd98f00b204e9800998ecf8427e"},
      {"data",
       {{{"name", "english"}, {"hash", "9e107d9d372bb6826bd81d3542a419d6"}, {"bytes", 9213004}, {"tokens", 2740112}},
        {{"name", "code"}, {"hash", "e4d909c290d0fb1ca068ffaddf22cbd0"}, {"bytes", 8800127}, {"tokens", 2811950}}}},
      {"config", {{"model", {{"width", 64}, {"layers", 3}, {"experts", 8}, {"top_k", 2}}}, {"train", {{"batch_tokens", 4096}}}}},
      {"rerun", "./gamut lab dense-vs-moe tier=quick seed=17"}};
  return study;
}

}  // namespace gamut
