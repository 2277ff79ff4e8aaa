#include "training/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/text.h"
#include "checkpoints/checkpoint_store.h"
#include "families/family.h"
#include "kernels/cpu.h"
#include "kernels/peak.h"
#include "training/memory.h"
#include "training/metrics_log.h"
#include "training/recipe.h"
#include "training/tensorboard.h"
#include "training/vocabulary.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The folder's recipe must be the one asked for, but for keys that change no number.
void agree_with_folder(const Recipe& recipe, const fs::path& file) {
  const auto decisive = [](Json resolved) {
    for (const char* key : {"checkpoint", "validation"}) resolved.erase(key);
    resolved["run"].erase("dir");
    resolved["data"].erase("cache");
    resolved["routing"].erase("record");
    return resolved.flatten();
  };
  const Json wanted = decisive(recipe.resolved), found = decisive(Recipe::from_document(read_toml(file)).resolved);
  if (wanted == found) return;
  for (const auto& [key, value] : wanted.items()) {
    if (found.contains(key) && found[key] == value) continue;
    std::string name = key.substr(1);
    for (char& c : name) c = c == '/' ? '.' : c;
    throw Error({.who = "train",
                 .what = "the folder holds a run with another recipe: '" + name + "' is " + (found.contains(key) ? found[key].dump() : "absent") + " there, " + value.dump() + " here",
                 .where = file.string(), .hint = "choose another run.dir, or delete this one"});
  }
  throw Error({.who = "train", .what = "the folder holds a run with another recipe", .where = file.string(), .hint = "choose another run.dir, or delete this one"});
}

Json routing_json(const std::vector<RoutingRecord>& records) {
  Json rows = Json::array();
  for (const RoutingRecord& r : records) {
    const double slots = std::accumulate(r.load_E.begin(), r.load_E.end(), 0.0), experts = static_cast<double>(r.load_E.size()), k = static_cast<double>(r.k);
    double spread = 0;
    int64_t dead = 0;
    for (const int64_t n : r.load_E) {
      const double share = slots > 0 ? static_cast<double>(n) / slots : 0.0;
      if (share > 0) spread -= share * std::log(share);
      dead += share < 0.1 / experts;
    }
    Json row = {{"layer", r.layer}, {"load", r.load_E}, {"max_violation", max_violation(r.load_E)}, {"load_entropy", experts > 1 ? spread / std::log(experts) : 1.0}, {"dead_experts", dead},
                {"router_entropy", r.entropy}, {"logit_rms", std::sqrt(r.logit_square)}, {"balance", r.balance}, {"z", r.z}, {"dropped", r.dropped},
                {"drop_rate", slots > 0 ? static_cast<double>(r.dropped) / slots : 0.0}};
    if (!r.pairs.empty() && k > 1 && r.tokens > 0)
      row["coactivation"] = static_cast<double>(*std::max_element(r.pairs.begin(), r.pairs.end())) / static_cast<double>(r.tokens) * experts * (experts - 1) / (k * (k - 1));
    rows.push_back(std::move(row));
  }
  return rows;
}

// Balance of every layer over all validation text.
Json global_violation(const std::vector<DomainScore>& scores) {
  Json rows = Json::array();
  for (size_t l = 0; !scores.empty() && l < scores[0].load_LE.size(); ++l) {
    std::vector<int64_t> load(scores[0].load_LE[l].size());
    for (const DomainScore& s : scores)
      for (size_t e = 0; e < load.size(); ++e) load[e] += s.load_LE[l][e];
    rows.push_back({{"layer", scores[0].layers[l]}, {"load", load}, {"max_violation", max_violation(load)}});
  }
  return rows;
}

class Run {
 public:
  explicit Run(Recipe recipe) : recipe_(std::move(recipe)) {}

  int go(bool json) {
    if (recipe_.folder.empty()) throw Error({.who = "train", .what = "run.dir is missing", .hint = "add run.dir=FOLDER"});
    {  // an impossible model shows before any text is prepared
      ModelSpec spec = recipe_.model;
      spec.vocab = std::max<int64_t>(spec.vocab, 1);
      build_objective(spec.objective)->check(spec);
      const Model possible(spec, Device::shapes_only(pool_));
    }
    data_ = std::make_shared<const Dataset>(prepare_dataset(recipe_.data, pool_));
    take_vocabulary();
    reset_peak_resident();  // what making the data took is over
    const size_t resident_before = resident_bytes();
    const StepPlan plan = plan_step(recipe_.model, recipe_.trainer, pool_);
    open_folder();
    announce(plan);
    trainer_.emplace(recipe_.model, recipe_.trainer, data_, pool_);
    measure_ = trainer_->measure();
    restore();
    const int signal = train(plan);
    if (signal != 0) {
      log::info("interrupted at step {}: saved in {}; the same command continues", trainer_->steps_done(), recipe_.folder.string());
      return 128 + signal;
    }
    return finish(json, plan, resident_before);
  }

 private:
  Recipe recipe_;
  ThreadPool pool_;
  std::shared_ptr<const Dataset> data_;
  std::shared_ptr<const Tokenizer> tokenizer_;  // with what special tokens the objective needs
  std::optional<Trainer> trainer_;
  std::optional<CheckpointStore> store_;
  std::optional<MetricsLog> metrics_;
  std::optional<TensorboardLog> board_;
  std::vector<ValidationSet> sets_;
  double last_ = 0, peak_flops_ = 0;  // last_: of validation
  Measure measure_;

  void take_vocabulary() {
    tokenizer_ = settle_vocabulary(recipe_.model, data_->tokenizer);
    if (recipe_.start.empty()) recipe_.resolved["model"] = recipe_.model.to_json();
  }

  void open_folder() {
    make_folder(recipe_.folder);
    const fs::path file = recipe_.folder / "recipe.toml";
    if (fs::exists(file)) agree_with_folder(recipe_, file);
    else write_file(file, write_toml(recipe_.resolved));
    store_.emplace(recipe_.folder, recipe_.checkpoint_keep);
  }

  void announce(const StepPlan& plan) {
    peak_flops_ = kernels::measure_peak_flops(pool_, dtype_named(recipe_.model.dtype == "f64" ? "f32" : recipe_.model.dtype));
    log::info("model: {} parameters, {} used by a token; {} a step of {} tokens", human_count(static_cast<double>(plan.parameters)), human_count(plan.active_parameters),
              human_count(plan.cost.matmul_flops) + " FLOP", recipe_.trainer.batch_tokens());
    log::info("data: {} training tokens in {} domains; {} steps read {:.2f} epochs", human_count(static_cast<double>(data_->train_tokens())), data_->domains.size(), recipe_.trainer.steps,
              static_cast<double>(recipe_.trainer.steps * recipe_.trainer.batch_tokens()) / static_cast<double>(data_->train_tokens()));
    log::info("memory: {} of tensors predicted; {} threads, {}, peak {} FLOP/s", human_bytes(static_cast<double>(plan.arena_bytes)), pool_.threads(), kernels::name_of(kernels::best_tier()), human_count(peak_flops_));
  }

  void restore() {
    if (const auto checkpoint = store_->latest_valid()) {
      trainer_->restore(checkpoint->tensors.tensors(), checkpoint->state.at("trainer"));
      last_ = checkpoint->state.value(measure_.key, 0.0);
      const std::string tier(kernels::name_of(kernels::best_tier())), before = checkpoint->state.at("trainer").value("tier", tier);
      if (tier != before) log::warn("the checkpoint was made on tier {}, this is {}: results go on, but not bit for bit", before, tier);
      log::info("resumed at step {} of {}", trainer_->steps_done(), recipe_.trainer.steps);
    } else if (!recipe_.start.empty()) {
      load_weights(trainer_->model(), *read_model_config(recipe_.start).family, recipe_.start, pool_);
      log::info("weights of {}", recipe_.start.string());
    }
    metrics_.emplace(recipe_.folder / "metrics.jsonl", trainer_->steps_done());
    if (!trainer_->finished()) board_.emplace(recipe_.folder, trainer_->steps_done());
  }

  void save() {
    trainer_->check_finite();
    metrics_->sync();
    store_->save(trainer_->steps_done(), trainer_->tensors(), {{"trainer", trainer_->state()}, {measure_.key, last_}});
  }

  void validate(int64_t step, int64_t bytes) {
    const auto start = Clock::now();
    if (sets_.empty() || bytes == 0) {
      sets_.clear();
      for (const auto& shard : data_->validation) sets_.emplace_back(shard, *data_->tokenizer, recipe_.trainer.length, bytes);
    }
    const std::vector<DomainScore> scores = trainer_->evaluate(sets_);
    last_ = measure_(scores);
    Json domains = Json::object();
    for (size_t d = 0; d < scores.size(); ++d) domains[data_->domains[d]] = measure_({scores[d]});
    Json line = {{"step", step}, {"kind", bytes == 0 ? "final" : "validation"}, {"tokens", trainer_->tokens_seen()}, {measure_.key, last_}, {"domains", domains}, {"seconds", since(start)}};
    if (Json routing = global_violation(scores); !routing.empty()) line["routing"] = std::move(routing);
    metrics_->append(line);
    board_->append(step, std::vector<Scalar>{{"validation/" + measure_.key, static_cast<float>(last_)}});
  }

  // The signal that ended training early, or 0.
  int train(const StepPlan& plan) {
    const std::vector<int64_t> points = log_spaced_steps(recipe_.trainer.steps, recipe_.validation_points);
    Progress progress("train", static_cast<double>(recipe_.trainer.steps));
    progress.update(static_cast<double>(trainer_->steps_done()), "");
    auto saved = Clock::now();
    double smooth = 0;
    while (!trainer_->finished()) {
      if (const int signal = interrupted()) {
        save();
        return signal;
      }
      const StepResult r = trainer_->step();
      smooth = smooth == 0 ? r.seconds : 0.9 * smooth + 0.1 * r.seconds;
      const double rate = static_cast<double>(recipe_.trainer.batch_tokens()) / smooth, share = plan.cost.matmul_flops / smooth / peak_flops_;
      Json line = {{"step", r.step}, {"kind", "train"}, {"tokens", trainer_->tokens_seen()}, {"loss", r.loss}, {"auxiliary", r.auxiliary}, {"gradient_norm", r.gradient_norm}, {"rate", r.rate}, {"seconds", r.seconds},
                   {"tokens_per_second", static_cast<double>(recipe_.trainer.batch_tokens()) / r.seconds}, {"share_of_peak", plan.cost.matmul_flops / r.seconds / peak_flops_}};
      if (!r.routing.empty()) line["routing"] = routing_json(r.routing);
      metrics_->append(line);
      board_->append(r.step, std::vector<Scalar>{{"train/loss", static_cast<float>(r.loss)}, {"train/gradient_norm", static_cast<float>(r.gradient_norm)}, {"train/rate", static_cast<float>(r.rate)}, {"train/tokens_per_second", static_cast<float>(rate)}});
      if (std::binary_search(points.begin(), points.end(), r.step)) validate(r.step, recipe_.validation_bytes);
      progress.update(static_cast<double>(r.step), fmt::format("loss {:.3f}{} · {} tok/s · {:.0f} % of peak", r.loss, last_ > 0 ? fmt::format(" · {:.3f} {}", last_, measure_.unit) : "", human_count(rate), 100 * share));
      const bool due = recipe_.checkpoint_steps > 0 && r.step % recipe_.checkpoint_steps == 0;
      if (trainer_->finished()) validate(r.step, 0);  // before the last checkpoint, so that it is done once
      if (due || since(saved) >= recipe_.checkpoint_seconds || trainer_->finished()) {
        save();
        saved = Clock::now();
      }
    }
    progress.finish(fmt::format("{} steps", recipe_.trainer.steps));
    return 0;
  }

  int finish(bool json, const StepPlan& plan, size_t resident_before) {
    save_model(trainer_->model(), tokenizer_.get(), recipe_.folder / "model");
    const size_t peak = peak_resident_bytes(), predicted = plan.arena_bytes + resident_before;
    const Json summary = {{"model", (recipe_.folder / "model").string()}, {"steps", trainer_->steps_done()}, {"tokens", trainer_->tokens_seen()}, {measure_.key, last_},
                          {"ram_tensors_predicted", plan.arena_bytes}, {"ram_tensors_measured", trainer_->resident_bytes()}, {"ram_predicted", predicted}, {"ram_peak", peak}};
    if (json) std::cout << summary.dump() << '\n';
    else
      std::cout << fmt::format("{:.4f} {} on all validation text; tensors {} (predicted {})\n{}\n", last_, measure_.unit, human_bytes(static_cast<double>(trainer_->resident_bytes())),
                               human_bytes(static_cast<double>(plan.arena_bytes)), (recipe_.folder / "model").string());
    return 0;
  }
};

}  // namespace

int train_command(const fs::path& recipe, const std::vector<std::string>& overrides, bool json) { return Run(read_recipe(recipe, overrides)).go(json); }

}  // namespace gamut
