// A dense model is there: train it on, make a mixture of experts of it, or begin a mixture anew?
#include <fmt/format.h>

#include <cmath>

#include "checkpoints/elements.h"
#include "checkpoints/safetensors.h"
#include "generation/comparison.h"
#include "lab/lab.h"
#include "lab/mixtures.h"
#include "lab/report/parts.h"
#include "modules/conversions/conversion.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

const std::vector<ContestTier>& upcycling_tiers() {
  static const std::vector<ContestTier> rows{
      {{"smoke", 2, 2, 512, 64, 2048, false, 12, 8 << 10, 64 << 10}, {{32, 2}, {48, 2}}},
      {{"quick", 15, 2, 1024, 128, 4096, true, 24, 16 << 10, 128 << 10}, {{32, 2}, {48, 2}, {64, 2}, {64, 3}, {80, 4}, {96, 4}}},
      {{"full", 120, 3, 2048, 128, 8192, true, 40, 64 << 10, 512 << 10}, {{64, 3}, {96, 4}, {128, 4}, {160, 6}}},
  };
  return rows;
}
constexpr uint64_t kParentSeeds = 500000;  // a parent reads the text in another order than its children

// Ways to make a mixture of a dense layer; others begin anew.
struct Method {
  const char* arm;
  Json options;
};
const std::vector<Method>& methods() {
  static const std::vector<Method> rows{{"copy", {{"experts", 8}, {"top_k", 2}}},
                                        {"drop", {{"experts", 8}, {"top_k", 2}, {"method", "drop"}}},
                                        {"fine", {{"experts", 16}, {"top_k", 4}, {"granularity", 2}}},
                                        {"scratch", {{"experts", 8}, {"top_k", 2}}},
                                        {"scratch_total", {{"experts", 8}, {"top_k", 2}}}};
  return rows;
}
bool begins_anew(const std::string& arm) { return arm.starts_with("scratch"); }

ModelSpec parent_model(const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) { return attention_decoder(rung, vocab, length, {"ffn", {{"hidden", hidden}}}); }

Conversion conversion_of(const std::string& arm, const ModelSpec& parent) {
  for (const Method& m : methods())
    if (m.arm == arm) {
      Config options(m.options);
      Conversion conversion = upcycled(parent, options);
      options.finish();
      return conversion;
    }
  throw Error({.who = "lab", .what = "no method makes the arm " + arm});
}

std::vector<Arm> upcycling_arms() {
  std::vector<Arm> arms{{{"continue", text("the dense model, trained on", "继续训练稠密模型"), text("dense", "稠密"), "baseline", 0}, parent_model}};
  const auto add = [&](ArmName name, double longer = 1) {
    name.slot = static_cast<int>(arms.size());
    arms.push_back({name, [id = name.id](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) { return conversion_of(id, parent_model(rung, vocab, length, hidden)).spec; }, longer});
  };
  add({"copy", text("8 copies, top-2", "8 份拷贝，选 2"), text("copies", "拷贝"), "treatment", 0});
  add({"drop", text("8 copies, half of the units new", "8 份拷贝，半数单元重置"), text("half new", "半新"), "arm", 0});
  add({"fine", text("16 halves of copies, top-4", "16 份半拷贝，选 4"), text("halves", "半拷贝"), "arm", 0});
  add({"scratch", text("8 experts from scratch, the same compute", "8 位专家从零开始，同等计算量"), text("scratch", "从零"), "arm", 0});
  add({"scratch_total", text("from scratch, the parent's compute as well", "从零开始，另加母模型的计算量"), text("scratch, all", "从零（全部）"), "arm", 0}, 2);
  return arms;
}

// Mean cosine of pairs of experts, all matrices as one vector, mean of the layers; null of dense models.
Json expert_cosine(const Model& model) {
  double sum = 0, pairs = 0;
  for (size_t l = 0; l < model.spec().layers.size(); ++l) {
    const Component& channel = model.spec().layers[l].channel;
    if (channel.kind != "moe") continue;
    std::vector<std::vector<double>> experts;
    for (int64_t e = 0; e < channel.options.at("experts").get<int64_t>(); ++e) {
      const FfnValues v = read_ffn(model.parameters(), "layers." + std::to_string(l) + ".channel.", e);
      std::vector<double>& all = experts.emplace_back(v.gate);
      all.insert(all.end(), v.up.begin(), v.up.end());
      all.insert(all.end(), v.down.begin(), v.down.end());
    }
    const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
      double s = 0;
      for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
      return s;
    };
    for (size_t a = 0; a < experts.size(); ++a)
      for (size_t b = a + 1; b < experts.size(); ++b, ++pairs) sum += dot(experts[a], experts[b]) / std::sqrt(dot(experts[a], experts[a]) * dot(experts[b], experts[b]));
  }
  return pairs > 0 ? Json(sum / pairs) : Json(nullptr);
}

class Upcycling : public MixtureContest {
 public:
  Upcycling(const LabContext& context, const TieredSettings<ContestTier>& s)
      : MixtureContest("upcycling", context, s, upcycling_arms(),
                       {.equal = ContestRules::Equal::flops_a_run, .size = usual_hidden, .extra_runs = static_cast<double>(s.tier.seeds),
                        .watch = [](Trainer& trainer, const std::string&) { return Json{{"cosine", expert_cosine(trainer.model())}}; },
                        .start = [this](const std::string& arm, uint64_t seed, Parameters& to) { begin(arm, seed, to); }}) {}

 protected:
  void work() override {
    train_parents(0.12);
    compare_starts();
    race_arms(0.88);
  }
  Json report() override;

 private:
  struct Start {
    std::string arm, changes;
    double difference, largest;
  };
  std::vector<Outcome> parents_;
  std::vector<Start> starts_;

  fs::path parent_file(uint64_t seed) const { return settings().out / "parents" / fmt::format("seed{}.safetensors", seed); }

  void train_parents(double share) {
    make_folder(settings().out / "parents");
    for (int r = 0; r < tier().seeds; ++r) {
      const uint64_t seed = settings().seed + static_cast<uint64_t>(r);
      Entry e = race_entry("parent", fmt::format("seed{}", seed), model_of(0), trainer_of(0, seed + kParentSeeds, plan().rate, plan().steps[0]), 0, tier().points);
      e.probe = [file = parent_file(seed)](Trainer& trainer) {
        write_safetensors(file, trainer.tensors());
        return Json(file.string());
      };
      const std::vector<Outcome> done = race(race_options(fmt::format("parent{}", seed)), {e}, share / tier().seeds);
      if (!done[0].failed.empty()) throw Error({.who = "lab", .what = "the dense parent failed: " + done[0].failed, .where = settings().out.string(), .hint = "another seed", .exit = Exit::failed});
      parents_.push_back(done[0]);
    }
  }

  // The parent of a seed; tuning begins with the first one's.
  void read_parent(uint64_t seed, Model& parent) const {
    const SafetensorsReader file(parent_file(seed == kTuningSeed ? settings().seed : seed));
    for (Parameter& p : parent.parameters().all()) read_elements(file.at(p.name), 0, p.value.elements(), p.value.data<float>());
    parent.parameters().mark_changed();
  }

  void begin(const std::string& arm, uint64_t seed, Parameters& to) const {
    if (begins_anew(arm)) return;
    Model parent(model_of(0), Device::real(pool()));
    read_parent(seed, parent);
    if (arm != "continue") return conversion_of(arm, model_of(0)).fill(parent.parameters(), to, seed, pool());
    for (Parameter& p : to.all()) {
      const std::span<const float> values = parent.parameters().find(p.name)->value.span<float>();
      std::copy(values.begin(), values.end(), p.value.data<float>());
    }
  }

  void compare_starts() {
    const auto in_float = [&](const ModelSpec& spec) {
      ModelSpec s = spec;
      s.dtype = "f32";
      return s;
    };
    const Device device = Device::real(pool());
    Model parent(in_float(model_of(0)), device);
    read_parent(settings().seed, parent);
    for (const Method& m : methods()) {
      if (begins_anew(m.arm)) continue;
      const Conversion conversion = conversion_of(m.arm, model_of(0));
      Model child(in_float(conversion.spec), device);
      conversion.fill(parent.parameters(), child.parameters(), settings().seed, pool());
      const Agreement found = compare_results(parent, child, device, random_example(child, 2, tier().length));
      starts_.push_back({m.arm, conversion.changes, found.difference, found.largest});
    }
  }

  double sunk() const { return parents_.empty() ? 0 : parents_[0].flops.back(); }
  Json plots() const;
  Json starts() const;
  Json literature() const;
};

Json Upcycling::plots() const {
  const auto curves = [&](const char* id, const Json& title, const Json& caption, bool total) {
    Json series = Json::array();
    if (total && !parents_.empty()) series.push_back({{"arm", "continue"}, {"x", parents_[0].flops}, {"y", parents_[0].bpb}});
    for (const Arm& arm : arms()) {
      const Outcome* run = run_of(arm.name.id);
      if (!run) continue;
      std::vector<double> x = run->flops;
      for (double& f : x) f += total && !begins_anew(arm.name.id) ? sunk() : 0;
      series.push_back({{"arm", arm.name.id}, {"x", x}, {"y", run->bpb}});
    }
    return Json{{"id", id}, {"title", title}, {"caption", caption}, {"x", {{"name", total ? text("FLOPs, the parent's included", "FLOP（含母模型）") : text("FLOPs spent after the parent", "母模型之后的 FLOP")}, {"scale", "log"}}},
                {"y", {{"name", text("validation bits per byte", "验证集每字节比特数")}}}, {"series", series}};
  };
  const std::vector<std::string> mixtures{"copy", "drop", "fine", "scratch"};
  return Json::array({curves("extra", text("By what is spent from now on", "按此后花费的计算量"), text("The parent is a gift. First seed, constant rate.", "母模型视为免费。首个种子，恒定学习率。"), false),
                      curves("total", text("By all that was ever spent", "按全部计算量"), text("The parent's compute counts. First seed, constant rate.", "计入母模型的计算量。首个种子，恒定学习率。"), true),
                      watched_plot("cosine", text("How alike the experts are", "专家的相似程度"), text("Mean cosine of pairs of experts, all matrices as one vector. Copies begin at 1.", "两两专家所有矩阵作为一个向量的余弦均值；拷贝从 1 开始。"), mixtures),
                      watched_plot("max_violation", text("MaxVio of the worst layer", "最差层的 MaxVio"), text("Load of the fullest expert over the mean, less 1.", "最忙专家的负载与均值之比减 1。"), mixtures)});
}

Json Upcycling::starts() const {
  Json rows = Json::array();
  for (const Start& s : starts_)
    rows.push_back({{"arm", s.arm}, {"cells", {fmt::format("{:.2g}", s.difference), fmt::format("{:.3g}", s.largest), s.changes.empty() ? text("promised", "保证相等") : text("not promised: " + s.changes, "不保证：" + s.changes)}}});
  return {{"id", "starts"}, {"title", text("At the start", "起点")},
          {"caption", text("The mixture's logits beside its parent's before any step, in float32.", "训练前混合模型与母模型的 logits 之差（float32）。")},
          {"columns", {text("made by", "方法"), text("largest difference", "最大差异"), text("largest logit", "最大 logit"), text("equality", "相等性")}}, {"rows", rows}};
}

Json Upcycling::literature() const {
  const auto final_of = [&](const char* arm) { return run_of(arm) ? mean(finals(arm, arm)) : NAN; };
  const auto bpb = [&](const char* a, const char* b) { return text(fmt::format("{:.4f} and {:.4f} bits/byte", final_of(a), final_of(b)), fmt::format("{:.4f} 与 {:.4f} 比特/字节", final_of(a), final_of(b))); };
  const auto verdict = [&](const char* lower, const char* higher) {
    const Interval d = paired_difference(finals(higher, lower), finals(lower, higher));
    return !d.resolved(0) ? "unresolved" : d.estimate > 0 ? "agrees" : "differs";
  };
  double worst = 0;
  for (const Start& s : starts_)
    if (s.changes.empty()) worst = std::max(worst, s.difference / std::max(1.0, s.largest));
  return Json::array({
      finding(text("With gates that sum to 1 the mixture of copies computes what its parent does", "门控和为 1 时，拷贝而成的混合模型与母模型输出相同"), "Upcycling LLMs into MoE, 2024", text("equal up to rounding", "仅有舍入差异"), text(fmt::format("{:.1g} of the largest logit", worst), fmt::format("最大 logit 的 {:.1g}", worst)), worst < 1e-5 ? "agrees" : "differs"),
      finding(text("Upcycling beats training the dense model on", "升级改造优于继续训练稠密模型"), "Sparse upcycling, 2022", text("lower at equal extra compute", "同等额外计算量下更低"), bpb("copy", "continue"), verdict("copy", "continue")),
      finding(text("… and a mixture from scratch with the same extra compute", "……也优于同等额外计算量从零训练"), "Sparse upcycling, 2022", text("lower", "更低"), bpb("copy", "scratch"), verdict("copy", "scratch")),
      finding(text("From scratch with all the compute is as good or better", "以全部计算量从零训练不逊色或更好"), "OLMoE, 2024", text("lower or equal", "更低或相等"), bpb("scratch_total", "copy"), verdict("scratch_total", "copy")),
      finding(text("Experts that begin partly new end better than copies", "部分重置的专家最终优于拷贝"), "Drop-Upcycling, 2025", text("lower after long training", "长训练后更低"), bpb("drop", "copy"), verdict("drop", "copy")),
  });
}

Json Upcycling::report() {
  Json study = contest_report(text("Upcycle a dense model?", "把稠密模型升级为混合专家？"));
  study["sections"] = {"verdict", "held-equal", "standings", "plots", "tables", "loads", "prices", "rates", "trust", "literature", "cost", "limits", "provenance"};
  study["question"] = text("The same compute, spent after a dense model was trained: on the model itself, on a mixture made of it, or on a mixture from scratch?", "在稠密模型训练之后花费同样的计算量：继续训练它、将它改造为混合专家，还是从零训练混合专家？");
  study["plots"] = plots();
  study["tables"] = Json::array({starts(), routing_table()});
  add_heatmaps(study, {"copy", "drop", "scratch"});
  study["literature"] = literature();
  const std::string compute = power_text(sunk()).en;
  study["held_equal"].push_back({{"what", text("the parent", "母模型")}, {"value", text(compute + " FLOP, one a seed, text in another order", compute + " FLOP，每种子一个，文本顺序不同")}, {"mismatch", false}});
  study["held_equal"].push_back({{"what", text("moments of the optimizer", "优化器动量")}, {"value", text("begin at zero in all arms", "各组均从零开始")}, {"mismatch", false}});
  study["limits"].insert(study["limits"].end(), {
      text("The last arm from scratch spends twice the compute of the others, which is what its parentless model may: its difference is at equal total, the others' at equal extra compute.", "最后一组从零训练花费两倍计算量（没有母模型，应计入总量）：其差值按总计算量相等，其余按额外计算量相等。"),
      text("Parents end at a constant rate, without a cool-down, and children go on at theirs.", "母模型在恒定学习率下结束，不退火；子模型以各自学习率继续。"),
      text("Learning rates are tuned on the first seed's parent.", "学习率在首个种子的母模型上调优。"),
  });
  finish_report(study, {&runs(), &parents_});
  return study;
}

}  // namespace

Json run_upcycling(const LabContext& context, Config& options) { return Upcycling(context, TieredSettings<ContestTier>::take(options, "upcycling", upcycling_tiers())).run(); }

}  // namespace gamut
