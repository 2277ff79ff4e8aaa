// Which sequence mixer? Quality at equal compute on real text, recall against what the state holds, and what a token costs to generate.
//
// Quality follows the protocol of dense-vs-moe: the same text in the same order, curves on a trunk of constant rate, a cool-down, pairs by
// seed. Arms differ in their mixers; the feed-forward layers make up for what a mixer costs, so that FLOPs a token agree.
#include <fmt/format.h>

#include <cmath>

#include "base/io.h"
#include "lab/contest.h"
#include "lab/decoding.h"
#include "lab/lab.h"
#include "lab/recall.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

struct MixersTier : ContestTier {
  RecallTask task;
  std::vector<int64_t> recall_widths;
  std::vector<double> recall_rates;
  int64_t recall_steps, recall_rows;
  int64_t decode_width, decode_layers;
  std::vector<int64_t> contexts;
};
const std::vector<MixersTier>& mixers_tiers() {
  static const std::vector<MixersTier> rows = [] {
    const ContestTier smoke{{"smoke", 2, 2, 512, 64, 2048, false, 16, 16 << 10, 64 << 10}, {{32, 2}, {48, 2}}};
    const ContestTier quick{{"quick", 15, 2, 1024, 128, 4096, true, 32, 32 << 10, 192 << 10}, {{32, 2}, {48, 2}, {64, 3}, {80, 3}, {96, 3}, {128, 4}}};
    return std::vector<MixersTier>{{smoke, {64, 32, 4}, {32}, {1e-2}, 300, 32, 64, 2, {64, 512}}, {quick, {256, 64, 8}, {32, 64}, {3e-3, 1e-2}, 1200, 64, 256, 4, {512, 2048, 8192}}};
  }();
  return rows;
}
constexpr double kQualityShare = 0.4;  // of the budget; recall and decoding have the next fifth, a machine that slows down the rest

int64_t head_dim(int64_t width) { return std::min<int64_t>(64, width % 32 == 0 ? 32 * std::max<int64_t>(1, width / 128) : 16); }
Component attention(int64_t width, int64_t) { return {"attention", {{"heads", width / head_dim(width)}}}; }
Component mamba2(int64_t width, int64_t) { return {"mamba2", {{"head_dim", head_dim(width)}, {"heads", 2 * width / head_dim(width)}, {"state", std::max<int64_t>(32, head_dim(width))}}}; }
Component gated_deltanet(int64_t width, int64_t) { return {"gated_deltanet", {{"key_heads", width / head_dim(width)}, {"key_dim", head_dim(width)}}}; }
Component rwkv7(int64_t width, int64_t) { return {"rwkv7", {{"head_dim", head_dim(width)}}}; }
Component lstm(int64_t width, int64_t) { return {"lstm", {{"hidden", width}}}; }
Component hybrid(int64_t width, int64_t layer) { return layer % 4 == 1 ? attention(width, layer) : gated_deltanet(width, layer); }


using Mixer = Component (*)(int64_t width, int64_t layer);
ModelSpec spec_of(Mixer mixer, const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) {
  ModelSpec spec{.vocab = vocab, .width = rung.width, .max_positions = length};
  for (int64_t i = 0; i < rung.layers; ++i) spec.layers.push_back({mixer(rung.width, i), hidden > 0 ? Component{"ffn", {{"hidden", hidden}}} : Component{"none"}});
  return spec;
}

std::vector<Arm> mixer_arms() {
  std::vector<Arm> arms;
  const auto add = [&](ArmName name, Mixer mixer) { arms.push_back({std::move(name), [mixer](const Rung& rung, int64_t vocab, int64_t length, int64_t hidden) { return spec_of(mixer, rung, vocab, length, hidden); }}); };
  add({"attention", text("softmax attention", "softmax 注意力"), text("attention", "注意力"), "baseline", 0}, attention);
  add({"mamba2", "Mamba-2", "Mamba-2", "arm", 1}, mamba2);
  add({"gated_deltanet", "Gated DeltaNet", "DeltaNet", "arm", 2}, gated_deltanet);
  add({"rwkv7", "RWKV-7", "RWKV-7", "arm", 3}, rwkv7);
  add({"lstm", "LSTM", "LSTM", "arm", 4}, lstm);
  add({"hybrid", text("Gated DeltaNet, attention in every fourth layer", "Gated DeltaNet，每四层一层注意力"), text("hybrid", "混合"), "treatment", 5}, hybrid);
  return arms;
}

class Mixers : public Contest {
 public:
  Mixers(const LabContext& context, const TieredSettings<MixersTier>& s)
      : Contest("mixers", context, {s, s.tier}, mixer_arms(), {.size = [](const Rung& rung) { return 5 * rung.width; },  // enough that the costliest mixer keeps some
                                                              .share = kQualityShare}), sizes_(s.tier) {}

 protected:
  void work() override {
    recall();
    decode();
    race_arms(0.7);
  }
  Json report() override;

 private:
  struct Cell {  // of the recall task
    std::string arm;
    int64_t width;
    double rate;
    RecallResult result;
  };
  MixersTier sizes_;
  std::vector<Cell> cells_;
  std::map<std::string, DecodeCost> decoding_;

  // ---- what the state can recall, and what a token costs ----

  // Rates × deviations of the matrices at the start. Narrow attention finds no match from 0.02 in a thousand steps, and does from 1/√width; Gated DeltaNet
  // the other way round.
  std::vector<std::pair<double, double>> starts(int64_t width) const {
    std::vector<std::pair<double, double>> all;
    for (const double rate : sizes_.recall_rates)
      for (const double deviation : {0.02, 1 / std::sqrt(static_cast<double>(width))}) all.emplace_back(rate, deviation);
    return all;
  }
  static ModelSpec begun(ModelSpec spec, double deviation) {
    spec.init_std = deviation;
    return spec;
  }

  void recall() {
    const fs::path folder = settings().out / "recall";
    make_folder(folder);
    const double cells = static_cast<double>(arms().size() * sizes_.recall_widths.size() * sizes_.recall_rates.size() * 2), share = 0.25 / cells;
    for (const int64_t width : sizes_.recall_widths)
      for (const auto& [rate, deviation] : starts(width))
        for (const Arm& arm : arms()) {
          const std::string name = fmt::format("{}-d{}-rate{:.4f}-init{:.3f}", arm.name.id, width, rate, deviation);
          const fs::path kept = folder / (name + ".json");
          Cell cell{arm.name.id, width, rate, {}};
          if (fs::exists(kept)) {
            cell.result = RecallResult::from_json(read_json(kept));
          } else {
            cell.result = run_recall(begun(arm.model({width, 2}, 0, 0, 0), deviation), sizes_.task, {.batch_rows = sizes_.recall_rows, .steps = sizes_.recall_steps, .rate = rate, .seed = settings().seed}, pool(),
                                     [&](double done) { show(share * done, "recall " + name); });
            write_file(kept, cell.result.to_json().dump());
          }
          cells_.push_back(cell);
          advance(share, "recall " + name);
        }
  }

  void decode() {
    const fs::path folder = settings().out / "decode";
    make_folder(folder);
    for (const Arm& arm : arms()) {
      const fs::path kept = folder / (arm.name.id + ".json");
      DecodeCost d;
      if (fs::exists(kept)) {
        d = DecodeCost::from_json(read_json(kept));
      } else {
        d = measure_decode(arm.model({sizes_.decode_width, sizes_.decode_layers}, tier().vocab, 1, 3 * sizes_.decode_width), sizes_.contexts, pool(), settings().seed);
        write_file(kept, d.to_json().dump());
      }
      decoding_[arm.name.id] = d;
      advance(0.05 / static_cast<double>(arms().size()), "decoding " + arm.name.id);
    }
  }

  // The best of the rates, by arm and width.
  const Cell* best_cell(const std::string& arm, int64_t width) const {
    const Cell* best = nullptr;
    for (const Cell& c : cells_)
      if (c.arm == arm && c.width == width && (!best || c.result.accuracy > best->result.accuracy)) best = &c;
    return best;
  }

  Json plots() const;
  Json literature() const;
};

Json Mixers::plots() const {
  Json recall = Json::array(), growth = Json::array(), time = Json::array(), bytes = Json::array();
  for (const Arm& arm : arms()) {
    Json x = Json::array(), y = Json::array();
    for (const int64_t width : sizes_.recall_widths)
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
  const RecallTask& t = sizes_.task;
  const std::string shape = fmt::format("width {}, {} layers, {}", sizes_.decode_width, sizes_.decode_layers, ModelSpec().dtype), shape_zh = fmt::format("宽度 {}，{} 层，{}", sizes_.decode_width, sizes_.decode_layers, ModelSpec().dtype);
  return Json::array({{{"id", "recall"}, {"title", text("Recall, by what the state holds", "召回率与状态大小")},
           {"caption", text(fmt::format("{} pairs in {} tokens, {} symbols; two layers of the mixer alone, the best of {} learning rate{} and two deviations at the start. Mamba-2 and DeltaNet have short convolutions, RWKV-7 a token shift, attention and LSTM neither.", t.pairs, t.length, t.vocab, sizes_.recall_rates.size(), sizes_.recall_rates.size() > 1 ? "s" : ""),
                            fmt::format("{} 个 token 中 {} 对键值，{} 个符号；仅两层混合器，取 {} 个学习率与两种初始标准差中最好者。Mamba-2 与 DeltaNet 含短卷积，RWKV-7 含 token 移位，注意力与 LSTM 均无。", t.length, t.pairs, t.vocab, sizes_.recall_rates.size()))},
           {"x", {{"name", text("bytes of state", "状态字节数")}, {"scale", "log"}}}, {"y", {{"name", text("answers right, per cent", "答对，%")}, {"low", 0}, {"high", 104}}}, {"series", recall}},
          {{"id", "state"}, {"title", text("What a text leaves behind", "一段文本留下的状态")}, {"caption", text(shape + ".", shape_zh + "。")}, {"x", context}, {"y", {{"name", text("bytes of state", "状态字节数")}, {"scale", "log"}}}, {"series", growth}},
          {{"id", "decode-time"}, {"title", text("Time of a new token", "生成一个 token 的时间")}, {"caption", text(fmt::format("One text, {}; median of 24 tokens.", shape), fmt::format("单段文本，{}；24 个 token 的中位数。", shape_zh))}, {"x", context},
           {"y", {{"name", text("milliseconds", "毫秒")}, {"scale", "log"}}}, {"series", time}},
          {{"id", "decode-bytes"}, {"title", text("Memory traffic of a new token", "生成一个 token 的内存读写")}, {"caption", text("Counted: weights, states and activations, each read or written once.", "逐项计数：权重、状态与激活，各读写一次。")}, {"x", context},
           {"y", {{"name", text("bytes", "字节")}, {"scale", "log"}}}, {"series", bytes}}});
}

Json Mixers::literature() const {
  const int64_t narrow = sizes_.recall_widths.front();
  const auto accuracy = [&](const char* arm) {
    const Cell* cell = best_cell(arm, narrow);
    return cell ? cell->result.accuracy : 0.0;
  };
  const double attention = accuracy("attention"), delta = accuracy("gated_deltanet"), mamba = accuracy("mamba2"), lstm = accuracy("lstm");
  const auto percent = [](double a, double b) { return fmt::format("{:.0f} % / {:.0f} %", 100 * a, 100 * b); };
  const auto grows = [&](const char* arm) {
    const DecodeCost& d = decoding_.at(arm);
    return d.milliseconds.back() / d.milliseconds.front();
  };
  return Json::array({{{"claim", text("Attention recalls at any width; a fixed state holds a bounded number of pairs", "注意力在任意宽度都能召回；固定状态只能容纳有限对数")}, {"source", "Zoology, 2023"}, {"expected", text("attention near 100 %", "注意力接近 100 %")},
           {"measured", text("attention / LSTM: " + percent(attention, lstm), "注意力 / LSTM：" + percent(attention, lstm))}, {"verdict", attention >= 0.95 ? "agrees" : "unresolved"}},
          {{"claim", text("The delta rule recalls more than decay alone in a state of like size", "同等状态下，delta 规则的召回高于单纯衰减")}, {"source", "Gated Delta Networks, 2024"}, {"expected", text("DeltaNet above Mamba-2", "DeltaNet 高于 Mamba-2")},
           {"measured", text("DeltaNet / Mamba-2: " + percent(delta, mamba), "DeltaNet / Mamba-2：" + percent(delta, mamba))}, {"verdict", verdict_of(delta - mamba, 0.02)}},
          {{"claim", text("A recurrent mixer's token costs the same at any length", "循环混合器生成每个 token 的代价与长度无关")}, {"source", "Mamba, 2023"}, {"expected", text("attention grows, the others do not", "注意力增长，其余不变")},
           {"measured", text(fmt::format("attention {:.2f}×, DeltaNet {:.2f}× from the shortest to the longest context", grows("attention"), grows("gated_deltanet")), fmt::format("从最短到最长上下文：注意力 {:.2f}×，DeltaNet {:.2f}×", grows("attention"), grows("gated_deltanet")))},
           {"verdict", verdict_of(grows("attention") - grows("gated_deltanet"), 0.1)}}});
}

Json Mixers::report() {
  double recall_seconds = 0;
  for (const Cell& cell : cells_) recall_seconds += cell.result.seconds;
  Json study = contest_report(text("Which sequence mixer?", "选择哪种序列混合器？"), {}, recall_seconds);
  study["sections"] = {"verdict", "held-equal", "standings", "prices", "plots", "rates", "trust", "literature", "cost", "limits", "provenance"};
  study["question"] = text("At equal compute a token: which mixer predicts text best, which recalls what it has seen, and what does a token cost to generate?", "每 token 计算量相同：哪种混合器预测文本最好，哪种能召回所见，生成一个 token 代价几何？");
  study["plots"] = plots();
  study["held_equal"].push_back({{"what", text("positions", "位置")}, {"value", text("attention rotates, recurrences know order", "注意力用旋转位置，递推自知次序")}, {"mismatch", true}});
  study["literature"] = literature();
  study["limits"].insert(study["limits"].end(), {
      text("Texts this short leave no state short of room, and attention is cheap.", "文本很短：状态不缺空间，注意力也便宜。"),
      text(fmt::format("Recall is one task with one seed; training ends at 99 % or after {} steps, and an arm that needs more looks unable.", sizes_.recall_steps), fmt::format("召回只有一项任务、一个种子；训练到 99 % 或 {} 步为止，需要更久的模型会显得无能。", sizes_.recall_steps)),
      text("A recurrence counts its operations, not the time they take: seconds tell what these kernels make of them.", "递推按运算次数计，而非时间；秒数反映的是此处内核的表现。"),
      text("Times of new tokens are for one text at a time on this machine.", "生成时间为本机单段文本。"),
  });
  finish_report(study, {&runs()});
  return study;
}

}  // namespace

Json run_mixers(const LabContext& context, Config& options) { return Mixers(context, TieredSettings<MixersTier>::take(options, "mixers", mixers_tiers())).run(); }

}  // namespace gamut
