// Which sequence mixer? Quality at equal compute on real text, recall against what the state holds, and what a token costs to generate.
//
// Quality follows the protocol of dense-vs-moe: the same text in the same order, curves on a trunk of constant rate, a cool-down, pairs by
// seed. Arms differ in their mixers; the feed-forward layers make up for what a mixer costs, so that FLOPs a token agree.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "base/io.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text.h"
#include "generation/plan.h"
#include "kernels/cpu.h"
#include "kernels/peak.h"
#include "lab/decoding.h"
#include "lab/lab.h"
#include "lab/plan.h"
#include "lab/provenance.h"
#include "lab/recall.h"
#include "lab/report/comparison.h"
#include "lab/report/parts.h"
#include "lab/report/report.h"
#include "lab/study.h"
#include "training/recipe.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct MixersTier {
  const char* name;
  double minutes;
  int seeds;
  int64_t vocab, length, batch_tokens;
  std::vector<std::pair<int64_t, int64_t>> ladder;  // width, layers; smallest first
  bool tune;
  int points;
  int64_t curve_bytes, final_bytes;
  RecallTask task;
  std::vector<int64_t> recall_widths;
  std::vector<double> recall_rates;
  int64_t recall_steps, recall_rows;
  int64_t decode_width, decode_layers;
  std::vector<int64_t> contexts;
};
const MixersTier kTiers[] = {
    {"smoke", 2, 2, 512, 64, 2048, {{32, 2}, {48, 2}}, false, 16, 16 << 10, 64 << 10, {64, 32, 4}, {32}, {1e-2}, 300, 32, 64, 2, {64, 512}},
    {"quick", 15, 2, 1024, 128, 4096, {{32, 2}, {48, 2}, {64, 3}, {80, 3}, {96, 3}, {128, 4}}, true, 32, 32 << 10, 192 << 10, {256, 64, 8}, {32, 64}, {3e-3, 1e-2}, 1200, 64, 256, 4, {512, 2048, 8192}},
};

constexpr double kTokensPerWeight = 26, kCoolShare = 0.15, kTuneShare = 0.15, kMostEpochs = 4;
constexpr double kQualityShare = 0.4;  // of the budget; recall and decoding have the next fifth, a machine that slows down the rest
constexpr int64_t kFewestSteps = 60;

struct Arm {
  ArmName name;
  Component (*mixer)(int64_t width, int64_t layer);
};
int64_t head_dim(int64_t width) { return std::min<int64_t>(64, width % 32 == 0 ? 32 * std::max<int64_t>(1, width / 128) : 16); }
Component attention(int64_t width, int64_t) { return {"attention", {{"heads", width / head_dim(width)}}}; }
Component mamba2(int64_t width, int64_t) { return {"mamba2", {{"head_dim", head_dim(width)}, {"heads", 2 * width / head_dim(width)}, {"state", std::max<int64_t>(32, head_dim(width))}}}; }
Component gated_deltanet(int64_t width, int64_t) { return {"gated_deltanet", {{"key_heads", width / head_dim(width)}, {"key_dim", head_dim(width)}}}; }
Component rwkv7(int64_t width, int64_t) { return {"rwkv7", {{"head_dim", head_dim(width)}}}; }
Component lstm(int64_t width, int64_t) { return {"lstm", {{"hidden", width}}}; }
Component hybrid(int64_t width, int64_t layer) { return layer % 4 == 1 ? attention(width, layer) : gated_deltanet(width, layer); }

const std::vector<Arm>& arms() {
  static const std::vector<Arm> rows{
      {{"attention", text("softmax attention", "softmax 注意力"), text("attention", "注意力"), "baseline", 0}, attention},
      {{"mamba2", "Mamba-2", "Mamba-2", "arm", 1}, mamba2},
      {{"gated_deltanet", "Gated DeltaNet", "DeltaNet", "arm", 2}, gated_deltanet},
      {{"rwkv7", "RWKV-7", "RWKV-7", "arm", 3}, rwkv7},
      {{"lstm", "LSTM", "LSTM", "arm", 4}, lstm},
      {{"hybrid", text("Gated DeltaNet, attention in every fourth layer", "Gated DeltaNet，每四层一层注意力"), text("hybrid", "混合"), "treatment", 5}, hybrid},
  };
  return rows;
}

ModelSpec spec_of(const Arm& arm, int64_t width, int64_t layers, int64_t vocab, int64_t length, int64_t hidden) {
  ModelSpec spec{.vocab = vocab, .width = width, .max_positions = length};
  for (int64_t i = 0; i < layers; ++i) spec.layers.push_back({arm.mixer(width, i), hidden > 0 ? Component{"ffn", {{"hidden", hidden}}} : Component{"none"}});
  return spec;
}

struct MixersPlan {
  int64_t width = 0, layers = 0, steps = 0, cool = 0, tune_steps = 0, recall_steps = 0;
  std::vector<int64_t> hidden;        // of each arm
  double rate = 0, tokens_per_weight = 0, epochs = 0, expected_seconds = 0, peak_flops = 0;
  std::vector<double> step_seconds;   // of each arm
  std::string started;
};
// Every field under its name: for writing and for reading.
template <class P, class Field> void each_field(P& p, const Field& field) {
  field("width", p.width);
  field("layers", p.layers);
  field("steps", p.steps);
  field("cool", p.cool);
  field("tune_steps", p.tune_steps);
  field("recall_steps", p.recall_steps);
  field("hidden", p.hidden);
  field("rate", p.rate);
  field("tokens_per_weight", p.tokens_per_weight);
  field("epochs", p.epochs);
  field("expected_seconds", p.expected_seconds);
  field("peak_flops", p.peak_flops);
  field("step_seconds", p.step_seconds);
  field("started", p.started);
}
Json plan_json(const MixersPlan& plan) {
  Json j;
  each_field(plan, [&](const char* key, const auto& value) { j[key] = value; });
  return j;
}

struct Settings : StudySettings {
  MixersTier tier;
};

Settings read_settings(Config& cfg) {
  std::vector<std::string> names;
  for (const MixersTier& t : kTiers) names.emplace_back(t.name);
  const std::string name = cfg.take_choice("tier", "quick", names);
  const MixersTier& tier = *std::find_if(std::begin(kTiers), std::end(kTiers), [&](const MixersTier& t) { return t.name == name; });
  Settings s{take_study(cfg, "mixers", name, tier.seeds, tier.minutes, tier.vocab), tier};
  cfg.finish();
  s.tier.seeds = s.seeds;
  s.tier.vocab = s.data.vocab_size;
  return s;
}

class Study {
 public:
  Study(const LabContext& context, Settings settings) : context_(context), s_(std::move(settings)) {}

  Json run() {
    make_folder(s_.out);
    data_ = std::make_shared<const Dataset>(prepare_dataset(s_.data, context_.pool));
    const Json plan = continue_or_plan(s_, data_->hash, [&] {
      log::info("calibrating on {} threads, tier {}", context_.pool.threads(), kernels::name_of(kernels::best_tier()));
      return plan_json(make_plan());
    });
    each_field(plan_, [&](const char* key, auto& value) { plan.at(key).get_to(value); });
    log::info("plan: width {}, {} layers, {} tokens a run ({:.1f} for each active matrix weight of attention), {} seeds of {} arms; about {}", plan_.width, plan_.layers,
              human_count(static_cast<double>(plan_.steps * s_.tier.batch_tokens)), plan_.tokens_per_weight, s_.tier.seeds, arms().size(), human_seconds(plan_.expected_seconds));
    recall();
    decode();
    quality();
    progress_.finish("all runs done");
    Json study = report();
    study["report"] = (s_.out / "report.html").string();
    write_file(s_.out / "study.json", study.dump(1));
    write_report(s_.out / "report.html", study);
    return study;
  }

 private:
  struct Cell {  // of the recall task
    std::string arm;
    int64_t width;
    double rate;
    RecallResult result;
  };
  const LabContext& context_;
  Settings s_;
  std::shared_ptr<const Dataset> data_;
  MixersPlan plan_;
  Clock::time_point started_ = Clock::now();
  CpuUse use_;
  double race_seconds_ = 0, race_seconds_now_ = 0;
  Progress progress_{"mixers", 1.0};
  double work_done_ = 0;  // share of the whole study
  std::vector<Outcome> runs_;
  std::vector<Cell> cells_;
  std::map<std::string, DecodeCost> decoding_;
  std::map<std::string, double> rates_;
  Json rates_json_ = nullptr;

  double seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }
  ModelSpec model_of(size_t arm) const { return spec_of(arms()[arm], plan_.width, plan_.layers, data_->tokenizer->vocab_size(), s_.tier.length, plan_.hidden[arm]); }

  TrainerOptions trainer(const MixersPlan& plan, uint64_t seed, double rate, int64_t steps) const {
    return {.seed = seed, .length = s_.tier.length, .batch_rows = s_.tier.batch_tokens / s_.tier.length, .steps = steps, .optimizer = {.lr = rate},
            .schedule = {.kind = "constant", .warmup = std::min(0.2, 0.03 * static_cast<double>(plan.steps) / static_cast<double>(steps))}};
  }

  // Of products of matrices, attention's and the recurrences' included.
  double flops(const ModelSpec& spec) const {
    MixersPlan any{.steps = 100};
    return plan_step(spec, trainer(any, 1, 1e-3, 100), context_.pool).cost.matmul_flops;
  }

  // The widest shape whose runs fit, its hidden units and their times.
  MixersPlan make_plan() {
    const double limit = kQualityShare * 60 * s_.minutes;
    const int64_t vocab = data_->tokenizer->vocab_size();
    MixersPlan best;
    for (const auto& [width, layers] : s_.tier.ladder) {
      stop_if_interrupted();
      MixersPlan p{.width = width, .layers = layers, .rate = 6e-3 * std::sqrt(64.0 / static_cast<double>(width)), .peak_flops = kernels::measure_peak_flops(context_.pool, DType::bf16)};
      const int64_t reference = 5 * width;  // of attention's arm: enough that the costliest mixer keeps some
      const double wanted = flops(spec_of(arms()[0], width, layers, vocab, s_.tier.length, reference));
      double step = 0, kilobyte = 0;
      for (size_t a = 0; a < arms().size(); ++a) {
        const auto at = [&](int64_t hidden) { return flops(spec_of(arms()[a], width, layers, vocab, s_.tier.length, hidden)); };
        const double low = at(16), slope = (at(48) - low) / 32;
        p.hidden.push_back(std::max<int64_t>(2, std::llround((wanted - low) / slope + 16)));
        const ArmTiming timing = time_arm(spec_of(arms()[a], width, layers, vocab, s_.tier.length, p.hidden.back()), trainer({.steps = 1000}, s_.seed, p.rate, 1000), data_, context_.pool);
        p.step_seconds.push_back(timing.step);
        step += timing.step;
        kilobyte += timing.evaluation;
      }
      const double weights = plan_step(spec_of(arms()[0], width, layers, vocab, s_.tier.length, reference), trainer({.steps = 100}, 1, 1e-3, 100), context_.pool).active_matrix;
      const auto cost = [&](double steps) {  // of all runs
        const double evaluated = static_cast<double>(data_->domains.size()) * (s_.tier.points * static_cast<double>(s_.tier.curve_bytes) + static_cast<double>(s_.tier.final_bytes)) / 1000;
        return s_.tier.seeds * (steps * (1 + kCoolShare) * step + evaluated * kilobyte) + (s_.tier.tune ? 4 * 1.15 * kTuneShare * steps * step : 0);
      };
      const double full = std::ceil(kTokensPerWeight * weights / static_cast<double>(s_.tier.batch_tokens));
      const double fitting = std::floor(full * std::min(1.0, (limit - cost(0)) / std::max(1e-9, cost(full) - cost(0))));
      p.steps = std::max<int64_t>(kFewestSteps, static_cast<int64_t>(fitting));
      p.cool = std::max<int64_t>(4, static_cast<int64_t>(kCoolShare * static_cast<double>(p.steps)));
      p.tune_steps = s_.tier.tune ? std::max<int64_t>(20, static_cast<int64_t>(kTuneShare * static_cast<double>(p.steps))) : 0;
      p.tokens_per_weight = static_cast<double>(p.steps * s_.tier.batch_tokens) / weights;
      p.epochs = static_cast<double>((p.steps + p.cool) * s_.tier.batch_tokens) / static_cast<double>(std::max<int64_t>(1, data_->train_tokens()));
      p.expected_seconds = cost(static_cast<double>(p.steps)) / kQualityShare * 0.6;
      p.recall_steps = s_.tier.recall_steps;
      log::info("  width {:4} layers {}: {:>6} weights a token of attention, all arms {:.1f} ms a step, {} for everything", width, layers, human_count(weights), 1e3 * step, human_seconds(p.expected_seconds));
      if (best.width > 0 && (fitting < full || p.epochs > kMostEpochs)) break;
      best = p;
      if (fitting < full) break;
    }
    best.started = utc_now();
    return best;
  }

  // ---- what the state can recall, and what a token costs ----

  void recall() {
    const fs::path folder = s_.out / "recall";
    make_folder(folder);
    const double cells = static_cast<double>(arms().size() * s_.tier.recall_widths.size() * s_.tier.recall_rates.size()), share = 0.25 / cells;
    for (const int64_t width : s_.tier.recall_widths)
      for (const double rate : s_.tier.recall_rates)
        for (const Arm& arm : arms()) {
          const std::string name = fmt::format("{}-d{}-rate{:.4f}", arm.name.id, width, rate);
          const fs::path kept = folder / (name + ".json");
          Cell cell{arm.name.id, width, rate, {}};
          if (fs::exists(kept)) {
            cell.result = RecallResult::from_json(read_json(kept));
          } else {
            cell.result = run_recall(spec_of(arm, width, 2, 0, 0, 0), s_.tier.task, {.batch_rows = s_.tier.recall_rows, .steps = plan_.recall_steps, .rate = rate, .seed = s_.seed}, context_.pool,
                                     [&](double done) { progress_.update(work_done_ + share * done, "recall " + name); });
            write_file(kept, cell.result.to_json().dump());
          }
          cells_.push_back(cell);
          work_done_ += share;
        }
  }

  void decode() {
    const fs::path folder = s_.out / "decode";
    make_folder(folder);
    for (const Arm& arm : arms()) {
      const fs::path kept = folder / (arm.name.id + ".json");
      DecodeCost d;
      if (fs::exists(kept)) {
        d = DecodeCost::from_json(read_json(kept));
      } else {
        d = measure_decode(spec_of(arm, s_.tier.decode_width, s_.tier.decode_layers, s_.tier.vocab, 1, 3 * s_.tier.decode_width), s_.tier.contexts, context_.pool, s_.seed);
        write_file(kept, d.to_json().dump());
      }
      decoding_[arm.name.id] = d;
      work_done_ += 0.05 / static_cast<double>(arms().size());
      progress_.update(work_done_, "decoding " + arm.name.id);
    }
  }

  // ---- quality ----

  Entry entry(size_t arm, const std::string& suffix, uint64_t seed, double rate, int64_t steps, int64_t cool, int64_t points) const {
    Entry e{.id = arms()[arm].name.id + "-" + suffix, .arm = arms()[arm].name.id, .model = model_of(arm), .trainer = trainer(plan_, seed, rate, steps), .cool_steps = cool};
    for (const int64_t step : log_spaced_steps(steps, points + 8))
      if (step >= std::min<int64_t>(10, steps)) e.evaluate_at.push_back(step);
    return e;
  }

  std::vector<Outcome> go(const std::string& name, const std::vector<Entry>& entries) {
    double cost = 0, all = 0;
    for (const Entry& e : entries) cost += static_cast<double>(e.trainer.steps + e.cool_steps);
    all = static_cast<double>(arms().size()) * (s_.tier.seeds * static_cast<double>(plan_.steps + plan_.cool) + (s_.tier.tune ? 4.6 * static_cast<double>(plan_.tune_steps) : 0));
    const double share = 0.7 * cost / all, before = seconds();
    RaceResult result = run_race({.folder = s_.out, .name = name, .curve_bytes = s_.tier.curve_bytes, .final_bytes = s_.tier.final_bytes}, entries, data_, context_.pool,
                                 [&](double done, const std::string& note) { progress_.update(std::min(0.999, work_done_ + share * done), note); });
    work_done_ += share;
    race_seconds_ += result.seconds;
    race_seconds_now_ += seconds() - before;
    use_ += result.use;
    return std::move(result.outcomes);
  }

  void quality() {
    if (s_.tier.tune) rates_json_ = {{"arms", Json::array()}, {"seeds", {kTuningSeed}}};
    else rates_json_ = {{"skipped", text("skipped at this tier: all arms use one rate", "此档跳过：各组使用同一学习率")}};
    for (size_t a = 0; a < arms().size(); ++a) {
      const std::string& id = arms()[a].name.id;
      rates_[id] = plan_.rate;
      if (!s_.tier.tune) continue;
      const RateSearch found = search_rate(id, plan_.rate, [&](const std::string& suffix, double rate) {
        return entry(a, suffix, kTuningSeed, rate, plan_.tune_steps, std::max<int64_t>(4, plan_.tune_steps / 7), 1);
      }, [&](const std::string& race, const std::vector<Entry>& entries) { return go(race, entries); });
      rates_[id] = found.best;
      rates_json_["arms"].push_back(found.row);
    }
    for (int r = 0; r < s_.tier.seeds; ++r) {
      const uint64_t seed = s_.seed + static_cast<uint64_t>(r);
      std::vector<Entry> entries;
      for (size_t a = 0; a < arms().size(); ++a) entries.push_back(entry(a, "seed" + std::to_string(seed), seed, rates_[arms()[a].name.id], plan_.steps, plan_.cool, s_.tier.points));
      for (Outcome& o : go("seed" + std::to_string(seed), entries)) runs_.push_back(std::move(o));
    }
  }

  // The best of the rates, by arm and width.
  const Cell* best_cell(const std::string& arm, int64_t width) const {
    const Cell* best = nullptr;
    for (const Cell& c : cells_)
      if (c.arm == arm && c.width == width && (!best || c.result.accuracy > best->result.accuracy)) best = &c;
    return best;
  }

  Json standings() const;
  Json plots() const;
  Json literature() const;
  Json report();
};

Json Study::standings() const {
  const auto finals = [&](const std::string& arm, const std::string& paired_with) {  // of seeds that both finished, in order
    std::vector<double> values;
    for (const Outcome& o : runs_)
      if (o.arm == arm && o.failed.empty())
        for (const Outcome& other : runs_)
          if (other.arm == paired_with && other.seed == o.seed && other.failed.empty()) values.push_back(o.cooled_bpb.back());
    return values;
  };
  std::vector<double> p_values;
  Json rows = Json::array();
  const std::string& baseline = arms()[0].name.id;
  for (const Arm& arm : arms()) {
    const std::vector<double> own = finals(arm.name.id, arm.name.id), paired = finals(arm.name.id, baseline), base = finals(baseline, arm.name.id);
    if (own.empty()) continue;
    Json row = {{"arm", arm.name.id}, {"bpb", mean(own)}, {"state_bytes", plan_serving(model_of(static_cast<size_t>(&arm - arms().data())), 1, s_.tier.length, context_.pool).state_bytes}};
    if (arm.name.id != baseline && !paired.empty()) {
      row["difference"] = difference_json(paired_difference(paired, base));
      p_values.push_back(paired_p_value(paired, base));
    }
    rows.push_back(row);
  }
  const std::vector<double> corrected = holm(p_values);
  size_t k = 0;
  for (Json& row : rows)
    if (row.contains("difference")) row["difference"]["resolved"] = row["difference"]["resolved"].get<bool>() && corrected[k++] < 0.05;
  return rows;
}

Json Study::plots() const {
  Json recall = Json::array(), growth = Json::array(), time = Json::array(), bytes = Json::array();
  for (const Arm& arm : arms()) {
    Json x = Json::array(), y = Json::array();
    for (const int64_t width : s_.tier.recall_widths)
      if (const Cell* cell = best_cell(arm.name.id, width)) {
        x.push_back(cell->result.state_bytes);
        y.push_back(100 * cell->result.accuracy);
      }
    recall.push_back({{"arm", arm.name.id}, {"x", x}, {"y", y}});
    const DecodeCost& d = decoding_.at(arm.name.id);
    growth.push_back({{"arm", arm.name.id}, {"x", d.context}, {"y", d.state}});
    time.push_back({{"arm", arm.name.id}, {"x", d.context}, {"y", d.milliseconds}});
    bytes.push_back({{"arm", arm.name.id}, {"x", d.context}, {"y", d.bytes}});
  }
  const Json context = {{"name", text("tokens of context", "上下文 token 数")}, {"scale", "log"}};
  const RecallTask& t = s_.tier.task;
  const std::string shape = fmt::format("width {}, {} layers, {}", s_.tier.decode_width, s_.tier.decode_layers, ModelSpec().dtype), shape_zh = fmt::format("宽度 {}，{} 层，{}", s_.tier.decode_width, s_.tier.decode_layers, ModelSpec().dtype);
  return Json::array({{{"id", "recall"}, {"title", text("Recall, by what the state holds", "召回率与状态大小")},
           {"caption", text(fmt::format("{} pairs in {} tokens, {} symbols; two layers of the mixer alone, the best of {} learning rate{}. Mamba-2 and DeltaNet have short convolutions, RWKV-7 a token shift, attention and LSTM neither.", t.pairs, t.length, t.vocab, s_.tier.recall_rates.size(), s_.tier.recall_rates.size() > 1 ? "s" : ""),
                            fmt::format("{} 个 token 中 {} 对键值，{} 个符号；仅两层混合器，取 {} 个学习率中最好者。Mamba-2 与 DeltaNet 含短卷积，RWKV-7 含 token 移位，注意力与 LSTM 均无。", t.length, t.pairs, t.vocab, s_.tier.recall_rates.size()))},
           {"x", {{"name", text("bytes of state", "状态字节数")}, {"scale", "log"}}}, {"y", {{"name", text("answers right, per cent", "答对，%")}, {"low", 0}, {"high", 104}}}, {"series", recall}},
          {{"id", "state"}, {"title", text("What a text leaves behind", "一段文本留下的状态")}, {"caption", text(shape + ".", shape_zh + "。")}, {"x", context}, {"y", {{"name", text("bytes of state", "状态字节数")}, {"scale", "log"}}}, {"series", growth}},
          {{"id", "decode-time"}, {"title", text("Time of a new token", "生成一个 token 的时间")}, {"caption", text(fmt::format("One text, {}; median of 24 tokens.", shape), fmt::format("单段文本，{}；24 个 token 的中位数。", shape_zh))}, {"x", context},
           {"y", {{"name", text("milliseconds", "毫秒")}, {"scale", "log"}}}, {"series", time}},
          {{"id", "decode-bytes"}, {"title", text("Memory traffic of a new token", "生成一个 token 的内存读写")}, {"caption", text("Counted: weights, states and activations, each read or written once.", "逐项计数：权重、状态与激活，各读写一次。")}, {"x", context},
           {"y", {{"name", text("bytes", "字节")}, {"scale", "log"}}}, {"series", bytes}}});
}

Json Study::literature() const {
  const int64_t narrow = s_.tier.recall_widths.front();
  const auto accuracy = [&](const char* arm) {
    const Cell* cell = best_cell(arm, narrow);
    return cell ? cell->result.accuracy : 0.0;
  };
  const double attention = accuracy("attention"), delta = accuracy("gated_deltanet"), mamba = accuracy("mamba2"), lstm = accuracy("lstm");
  const auto percent = [](double a, double b) { return fmt::format("{:.0f} % / {:.0f} %", 100 * a, 100 * b); };
  const auto verdict = [](double margin, double enough) { return margin > enough ? "agrees" : margin < -enough ? "differs" : "unresolved"; };
  const auto grows = [&](const char* arm) {
    const DecodeCost& d = decoding_.at(arm);
    return d.milliseconds.back() / d.milliseconds.front();
  };
  return Json::array({{{"claim", text("Attention recalls at any width; a fixed state holds a bounded number of pairs", "注意力在任意宽度都能召回；固定状态只能容纳有限对数")}, {"source", "Zoology, 2023"}, {"expected", text("attention near 100 %", "注意力接近 100 %")},
           {"measured", text("attention / LSTM: " + percent(attention, lstm), "注意力 / LSTM：" + percent(attention, lstm))}, {"verdict", attention >= 0.95 ? "agrees" : "unresolved"}},
          {{"claim", text("The delta rule recalls more than decay alone in a state of like size", "同等状态下，delta 规则的召回高于单纯衰减")}, {"source", "Gated Delta Networks, 2024"}, {"expected", text("DeltaNet above Mamba-2", "DeltaNet 高于 Mamba-2")},
           {"measured", text("DeltaNet / Mamba-2: " + percent(delta, mamba), "DeltaNet / Mamba-2：" + percent(delta, mamba))}, {"verdict", verdict(delta - mamba, 0.02)}},
          {{"claim", text("A recurrent mixer's token costs the same at any length", "循环混合器生成每个 token 的代价与长度无关")}, {"source", "Mamba, 2023"}, {"expected", text("attention grows, the others do not", "注意力增长，其余不变")},
           {"measured", text(fmt::format("attention {:.2f}×, DeltaNet {:.2f}× from the shortest to the longest context", grows("attention"), grows("gated_deltanet")), fmt::format("从最短到最长上下文：注意力 {:.2f}×，DeltaNet {:.2f}×", grows("attention"), grows("gated_deltanet")))},
           {"verdict", verdict(grows("attention") - grows("gated_deltanet"), 0.1)}}});
}

Json Study::report() {
  Json study = {{"id", "mixers"}, {"title", text("Which sequence mixer?", "选择哪种序列混合器？")}, {"tier", s_.tier.name}};
  study["sections"] = {"verdict", "held-equal", "standings", "prices", "plots", "rates", "trust", "literature", "cost", "limits", "provenance"};
  study["question"] = text("At equal compute a token: which mixer predicts text best, which recalls what it has seen, and what does a token cost to generate?", "每 token 计算量相同：哪种混合器预测文本最好，哪种能召回所见，生成一个 token 代价几何？");
  for (int r = 0; r < s_.tier.seeds; ++r) study["seeds"].push_back(s_.seed + static_cast<uint64_t>(r));
  double recall_seconds = 0;
  for (const Cell& cell : cells_) recall_seconds += cell.result.seconds;
  study["elapsed"] = race_seconds_ + std::max(seconds() - race_seconds_now_, recall_seconds);
  study["machine"] = describe_machine(context_.pool);
  study["machine"]["peak_flops"] = plan_.peak_flops;
  const std::string tokens = count_text(static_cast<double>(plan_.steps * s_.tier.batch_tokens)).en;
  study["budget"] = text(tokens + " tokens a run", "每次运行 " + tokens + " token");
  study["tokens_per_active_weight"] = plan_.tokens_per_weight;
  for (const std::string& d : data_->domains) study["domains"].push_back({{"id", d}, {"name", domain_name(d)}});
  const std::map<std::string, double> time = step_seconds(runs_, arms()[0].name.id);
  study["arms"] = Json::array();
  for (const Arm& arm : arms()) study["arms"].push_back(arm_json(arm.name, runs_, time, data_->domains, plan_.peak_flops));
  study["failed"] = failed_json({&runs_});
  if (const Json comparison = compare_arms(study); comparison.is_object()) study["comparison"] = {{"noise", comparison["noise"]}, {"seeds", comparison["seeds"]}, {"confidence", comparison["confidence"]}};
  study["standings"] = standings();
  study["plots"] = plots();
  double worst = 0;
  std::string hidden;
  const double wanted = flops(model_of(0));
  for (size_t a = 0; a < arms().size(); ++a) {
    worst = std::max(worst, std::abs(flops(model_of(a)) / wanted - 1));
    hidden += (a > 0 ? ", " : "") + std::to_string(plan_.hidden[a]);
  }
  const bool tuned = s_.tier.tune;
  study["held_equal"] = Json::array({
      {{"what", text("text, order, tokenizer", "文本、顺序、分词器")}, {"value", text("identical", "相同")}, {"mismatch", false}},
      {{"what", text("FLOPs a token, recurrences included", "每 token 计算量（含递推）")}, {"value", text(fmt::format("within {:.2f} %", 100 * worst), fmt::format("相差不超过 {:.2f} %", 100 * worst))}, {"mismatch", worst > 0.01}},
      {{"what", text("depth, width, norm, embedding", "深度、宽度、归一化、嵌入")}, {"value", text("identical", "相同")}, {"mismatch", false}},
      {{"what", text("hidden units of the feed-forward layers", "前馈层单元数")}, {"value", text(hidden, hidden)}, {"mismatch", true}},
      {{"what", text("batch, schedule, decay, clipping", "批量、日程、衰减、裁剪")}, {"value", text("identical", "相同")}, {"mismatch", false}},
      {{"what", text("learning rate", "学习率")}, {"value", tuned ? text("tuned for each arm", "各组分别调优") : text(fmt::format("{:.2g}, not tuned", plan_.rate), fmt::format("{:.2g}，未调优", plan_.rate))}, {"mismatch", !tuned}},
      {{"what", text("positions", "位置")}, {"value", text("attention rotates, recurrences know order", "注意力用旋转位置，递推自知次序")}, {"mismatch", true}},
  });
  study["rates"] = rates_json_;
  study["literature"] = literature();
  study["limits"] = Json::array({
      text(fmt::format("One small size, texts of {} tokens: at this length no state is short of room and attention is cheap. The order of the arms may change with size and length.", s_.tier.length),
           fmt::format("仅一种小规模，文本长 {} token：此长度下状态不缺空间，注意力也便宜；规模与长度改变时名次可能改变。", s_.tier.length)),
      text(fmt::format("{} seeds: intervals are paired Student t.", s_.tier.seeds), fmt::format("{} 个随机种子：区间为配对 t 区间。", s_.tier.seeds)),
      text(fmt::format("Recall is one task with one seed; training ends at 99 % or after {} steps, and an arm that needs more looks unable.", plan_.recall_steps), fmt::format("召回只有一项任务、一个种子；训练到 99 % 或 {} 步为止，需要更久的模型会显得无能。", plan_.recall_steps)),
      text("A recurrence counts its operations, not the time they take: seconds tell what these kernels make of them.", "递推按运算次数计，而非时间；秒数反映的是此处内核的表现。"),
      text("Times of new tokens are for one text at a time on this machine.", "生成时间为本机单段文本。"),
  });
  add_provenance(study, {.rerun = context_.rerun, .started = plan_.started, .config = {{"chosen", s_.chosen}, {"plan", plan_json(plan_)}}, .data = *data_, .batch_tokens = s_.tier.batch_tokens, .use = use_}, {&runs_});
  return study;
}

}  // namespace

Json run_mixers(const LabContext& context, Config& options) { return Study(context, read_settings(options)).run(); }

}  // namespace gamut
