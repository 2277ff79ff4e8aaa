// What should a model be trained to predict? One trunk, the same FLOPs a run: likelihoods where there are any, the same questions to all, and
// what becomes of a model that reads little text many times.
#include <fmt/format.h>

#include <cmath>

#include "lab/contest.h"
#include "lab/lab.h"
#include "lab/probes.h"
#include "lab/report/parts.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

const std::vector<ContestTier>& objectives_tiers() {
  static const std::vector<ContestTier> rows{
      {{"smoke", 2, 2, 512, 64, 2048, false, 16, 16 << 10, 64 << 10}, {{32, 2}, {48, 2}}},
      {{"quick", 15, 2, 1024, 128, 4096, true, 32, 32 << 10, 192 << 10}, {{32, 2}, {48, 2}, {64, 4}, {80, 4}, {96, 4}, {128, 4}}},
      {{"full", 120, 3, 2048, 128, 8192, true, 40, 96 << 10, 1 << 20}, {{64, 4}, {96, 4}, {128, 4}, {160, 6}, {192, 6}}},
  };
  return rows;
}
// Of the rows that a run reads; a run of the whole text is the reference.
constexpr int64_t kRepeats[] = {8, 32};
constexpr int64_t kSentinels = 10;
constexpr int64_t kProbeBytes = 48 << 10;  // a domain

// Every arm has room for as many special tokens, behind the text's.
ModelSpec trunk(const Rung& rung, int64_t vocab, int64_t length, int64_t hidden, const std::string& objective, const Json& options = Json::object()) {
  ModelSpec spec = attention_decoder(rung, vocab + kSentinels + 2, length + 2, {"ffn", {{"hidden", hidden}}});
  spec.objective = {objective, options};
  if (const size_t specials = build_objective(spec.objective)->special_tokens().size(); specials > 0) {
    std::vector<int64_t> ids(specials);
    for (size_t i = 0; i < specials; ++i) ids[i] = vocab + static_cast<int64_t>(i);
    spec.objective.options["specials"] = ids;
  }
  return spec;
}

// The same number of layers, the first half of them an encoder; narrower feed-forward layers pay for the decoder's look at the source, so that
// weights agree.
ModelSpec encoder_decoder(const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) {
  ModelSpec spec = trunk(rung, vocab, length, hidden, "span_corruption", {{"sentinels", kSentinels}});
  const int64_t decoder = rung.layers / 2, narrower = std::max<int64_t>(16, hidden - (4 * rung.width * decoder / (3 * rung.layers) + 8) / 16 * 16);
  for (LayerSpec& layer : spec.layers) layer.channel = {"ffn", {{"hidden", narrower}}};
  spec.encoder.assign(spec.layers.begin() + decoder, spec.layers.end());
  spec.layers.resize(static_cast<size_t>(decoder));
  for (LayerSpec& layer : spec.layers) layer.cross = {"cross_attention", layer.mixer.options};
  return spec;
}

std::vector<Arm> objective_arms() {
  const auto of = [](const std::string& objective) {
    return [objective](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) { return trunk(rung, vocab, length, hidden, objective); };
  };
  return {{{"causal", text("causal", "因果"), text("causal", "因果"), "baseline", 0}, of("causal")},
          {{"masked_diffusion", text("masked diffusion", "掩码扩散"), text("diffusion", "扩散"), "treatment", 1}, of("masked_diffusion")},
          {{"prefix", text("prefix LM", "前缀语言模型"), text("prefix", "前缀"), "arm", 2}, of("prefix")},
          {{"mlm", text("masked LM, 15 %", "掩码语言模型，15 %"), "MLM", "arm", 3}, of("mlm")},
          {{"span_corruption", text("span corruption, encoder-decoder", "片段破坏，编码器-解码器"), text("spans", "片段"), "arm", 4}, encoder_decoder}};
}

// Causal losses and diffusion's bound are both bits of the same bytes.
bool is_likelihood(const Outcome& o) { return o.number == "bits_per_byte" || o.number == "bits_per_byte_bound"; }

class Objectives : public Contest {
 public:
  Objectives(const LabContext& context, const TieredSettings<ContestTier>& s)
      : Contest("objectives", context, s, objective_arms(),
                {.equal = ContestRules::Equal::flops_a_run, .size = usual_hidden, .share = 0.55, .extra_runs = 2.2 * std::size(kRepeats), .probe = [](Trainer& trainer, const std::string&) { return probe_model(trainer, kProbeBytes).to_json(); }}) {}

 protected:
  void work() override {
    race_arms(0.75);
    for (const int64_t times : kRepeats) {
      std::vector<Entry> entries;
      for (const size_t arm : {0, 1}) {
        TrainerOptions options = trainer_of(arm, settings().seed, rate_of(arm), plan().steps[arm]);
        options.distinct_rows = std::max<int64_t>(1, plan().steps[0] * options.batch_rows / times);
        entries.push_back(race_entry(arms()[arm].name.id, fmt::format("repeat{}", times), model_of(arm), options, plan().cool[arm], tier().points));
      }
      repeated_.push_back(race(race_options(fmt::format("repeat{}", times)), entries, 0.25 / std::size(kRepeats)));
    }
  }
  Json report() override;

 private:
  std::vector<std::vector<Outcome>> repeated_;  // of each of kRepeats: causal, diffusion

  Json plots() const;
  Json table() const;
  Json literature() const;
};

// Where diffusion's curve falls below causal's for good, in FLOPs.
std::optional<double> crossing(const Outcome& causal, const Outcome& diffusion) {
  std::optional<double> at;
  for (size_t i = 0; i < diffusion.flops.size(); ++i) {
    double theirs = NAN;  // causal's loss at the same FLOPs
    for (size_t j = 0; j < causal.flops.size() && causal.flops[j] <= diffusion.flops[i] * 1.001; ++j) theirs = causal.bpb[j];
    if (diffusion.bpb[i] >= theirs) at.reset();
    else if (!at && std::isfinite(theirs)) at = diffusion.flops[i];
  }
  return at;
}

Json Objectives::plots() const {
  Json plots = Json::array();
  for (size_t r = 0; r < repeated_.size(); ++r) {
    Json series = Json::array();
    for (const Outcome& o : repeated_[r])
      if (o.failed.empty()) series.push_back({{"arm", o.arm}, {"x", o.flops}, {"y", o.bpb}});
    const auto& pair = repeated_[r];
    const bool both = pair[0].failed.empty() && pair[1].failed.empty();
    const std::optional<double> at = both ? crossing(pair[0], pair[1]) : std::nullopt;
    const Text power = power_text(at.value_or(0));
    const double tokens = static_cast<double>(plan().steps[0] * tier().batch_tokens) / static_cast<double>(kRepeats[r]);
    plots.push_back({{"id", fmt::format("repeat{}", kRepeats[r])},
                     {"title", text(fmt::format("{} tokens, read {} times", count_text(tokens).en, kRepeats[r]), fmt::format("{} token，读 {} 遍", count_text(tokens).zh, kRepeats[r]))},
                     {"caption", at ? text("Diffusion's bound falls below causal loss at " + power.en + " FLOP. One seed.", "扩散的上界在 " + power.zh + " FLOP 处低于因果损失。一个种子。")
                                    : text("Diffusion's bound stays above causal loss. One seed.", "扩散的上界始终高于因果损失。一个种子。")},
                     {"x", {{"name", text("FLOPs of training", "训练 FLOP")}, {"scale", "log"}}},
                     {"y", {{"name", text("validation bits per byte; diffusion: at most", "验证集每字节比特数；扩散为上界")}}},
                     {"series", series}});
  }
  return plots;
}

Json Objectives::table() const {
  Json rows = Json::array();
  const auto percent = [](double x) { return std::isfinite(x) ? Json(fmt::format("{:.1f} %", 100 * x)) : Json(nullptr); };
  for (const Arm& arm : arms()) {
    const Outcome* run = run_of(arm.name.id);
    if (!run) continue;
    const auto probe = [&](const char* key) { return mean_probe(arm.name.id, [&](const Json& p) { return p.at(key).get<double>(); }); };
    const std::vector<double> own = finals(arm.name.id, arm.name.id);
    const Json unit = run->number == "bits_per_byte" ? text("bits/byte", "比特/字节") : run->number == "bits_per_byte_bound" ? text("bits/byte at most", "比特/字节（上界）") : text("bits a prediction", "比特/预测");
    rows.push_back({{"arm", arm.name.id},
                    {"cells", {text(fmt::format("{:.3f} {}", mean(own), unit["en"].get<std::string>()), fmt::format("{:.3f} {}", mean(own), unit["zh"].get<std::string>())), percent(probe("supervised")), percent(probe("fill_in")),
                               percent(probe("continuation")), percent(probe("domain")), percent(probe("rank"))}}});
  }
  return {{"id", "probes"}, {"title", text("The same questions to all", "对所有模型同样的提问")},
          {"caption", text("Runs of three tokens are hidden; counted is the first of each, of which causal and prefix models see what stands before it, the others what stands on both sides. Domain: whether a linear map of one position's hidden state tells what kind of "
                           "text it is from. Rank: effective rank of hidden states, of the width. Bits of different kinds do not compare.",
                           "隐藏三个 token 的片段，只计每段首个：因果与前缀模型只见其前文，其余可见两侧。领域：由单个位置的隐藏状态线性判断文本类别。秩：隐藏状态的有效秩占宽度之比。不同种类的比特数不可相比。")},
          {"columns", {text("arm", "模型"), text("its own number", "自身指标"), text("tokens it learns from", "有监督的 token"), text("filled in", "填空"), text("gone on", "续写"), text("domain told", "判断领域"), text("rank", "秩")}},
          {"rows", rows}};
}

Json Objectives::literature() const {
  const auto final_of = [&](const char* arm) { return run_of(arm) ? mean(finals(arm, arm)) : NAN; };
  const auto probe = [&](const char* arm, const char* key) { return mean_probe(arm, [&](const Json& p) { return p.at(key).get<double>(); }); };
  const double causal = final_of("causal"), diffusion = final_of("masked_diffusion");
  const double both = std::max({probe("mlm", "fill_in"), probe("masked_diffusion", "fill_in"), probe("span_corruption", "fill_in")}), left = probe("causal", "fill_in");
  const double go_on = probe("causal", "continuation"), others = std::max(probe("mlm", "continuation"), probe("masked_diffusion", "continuation"));
  // How much of the lead causal loses where text repeats most.
  const auto& most = repeated_.back();
  const bool ran = most[0].failed.empty() && most[1].failed.empty();
  const double lead = diffusion - causal, repeated_lead = ran ? most[1].cooled_bpb.back() - most[0].cooled_bpb.back() : NAN;
  const auto pair = [](const char* pattern, double a, double b) { return fmt::format(fmt::runtime(pattern), a, b); };
  return Json::array({{{"claim", text("On fresh text causal models reach a likelihood with the least compute; diffusion needs about 16 times as much", "在新文本上，因果模型以最少计算量达到同等似然；扩散约需 16 倍")}, {"source", "Scaling up Masked Diffusion Models on Text, 2024"},
           {"expected", text("causal lower at equal FLOPs", "同等 FLOP 下因果更低")}, {"measured", text(pair("{:.3f} and at most {:.3f} bits/byte", causal, diffusion), pair("{:.3f} 与不超过 {:.3f} 比特/字节", causal, diffusion))}, {"verdict", verdict_of(lead, 0.02)}},
          {{"claim", text("Where little text is read again and again, diffusion catches up and passes", "文本少而反复阅读时，扩散追上并超过因果")}, {"source", "Diffusion Beats Autoregressive in Data-Constrained Settings, 2025"},
           {"expected", text("the lead shrinks with repetition", "差距随重复而缩小")}, {"measured", text(pair("causal leads by {:.3f} on fresh text, by {:.3f} at most repetition", lead, repeated_lead), pair("新文本领先 {:.3f}，重复最多时领先 {:.3f}", lead, repeated_lead))}, {"verdict", verdict_of(lead - repeated_lead, 0.02)}},
          {{"claim", text("Models that see both sides fill in better", "能看到两侧的模型填空更好")}, {"source", "BERT, 2019; T5, 2020"}, {"expected", text("both sides above left alone", "两侧高于仅前文")},
           {"measured", text(pair("{:.1f} % and {:.1f} %", 100 * both, 100 * left), pair("{:.1f} % 与 {:.1f} %", 100 * both, 100 * left))}, {"verdict", verdict_of(both - left, 0.01)}},
          {{"claim", text("Without tuning causal models go on best", "不经调优，因果模型续写最好")}, {"source", "What Language Model Architecture…, 2022"}, {"expected", text("causal above MLM and diffusion", "因果高于掩码与扩散")},
           {"measured", text(pair("{:.1f} % and {:.1f} %", 100 * go_on, 100 * others), pair("{:.1f} % 与 {:.1f} %", 100 * go_on, 100 * others))}, {"verdict", verdict_of(go_on - others, 0.01)}}});
}

Json Objectives::report() {
  Json study = contest_report(text("Which objective?", "选择哪种训练目标？"), is_likelihood);
  study["sections"] = {"verdict", "held-equal", "standings", "prices", "tables", "plots", "rates", "trust", "literature", "cost", "limits", "provenance"};
  study["question"] = text("The same trunk and the same FLOPs: what is it best to learn to predict?", "同样的主干，同样的 FLOP：学会预测什么最好？");
  study["plots"] = plots();
  study["tables"] = Json::array({table()});
  study["literature"] = literature();
  std::string steps;
  for (size_t a = 0; a < arms().size(); ++a) steps += (a > 0 ? ", " : "") + std::to_string(plan().steps[a]);
  study["held_equal"].push_back({{"what", text("weights", "权重")}, {"value", text("one trunk; the encoder-decoder within some per cent", "同一主干；编码器-解码器相差百分之几")}, {"mismatch", false}});
  study["held_equal"].push_back({{"what", text("steps of a run", "每次运行步数")}, {"value", text(steps, steps)}, {"mismatch", true}});
  study["limits"].insert(study["limits"].end(), {
      text("Diffusion's number is an upper bound, with one drawn time for each row of validation text; the others' bits are of their own kind and stand in the table alone.", "扩散的数值是上界，每行验证文本只抽一个时间；其余各组的比特数自成一类，只列于表中。"),
      text("Repeated text ran with one seed.", "重复文本只用一个种子。"),
      text("Filling in asks for the first of three hidden tokens, 15 % of a text, which is how span corruption hides them in training; a masked LM hides single tokens.", "填空询问三个隐藏 token 中的首个，共占文本 15 %，与片段破坏的训练方式相同；掩码语言模型训练时隐藏的是单个 token。"),
      text("Nothing was fine-tuned, and attention's own matrices were not looked at.", "未做微调，也未考察注意力矩阵本身。"),
  });
  std::vector<Outcome> repeated;
  for (const auto& pair : repeated_) repeated.insert(repeated.end(), pair.begin(), pair.end());
  finish_report(study, {&runs(), &repeated});
  return study;
}

}  // namespace

Json run_objectives(const LabContext& context, Config& options) { return Objectives(context, TieredSettings<ContestTier>::take(options, "objectives", objectives_tiers())).run(); }

}  // namespace gamut
