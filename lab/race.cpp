#include "lab/race.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/text.h"
#include "checkpoints/checkpoint_store.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;
constexpr size_t kLoadSamples = 60;     // columns of a load heatmap

class Runner {
 public:
  Runner(const Entry& entry, std::shared_ptr<const Dataset> data, ThreadPool& pool, const RaceOptions& options)
      : entry_(entry), trainer_(entry.model, entry.trainer, data, pool) {
    for (const auto& shard : data->validation) {
      curve_sets_.emplace_back(shard, *data->tokenizer, entry.trainer.length, options.curve_bytes);
      final_sets_.emplace_back(shard, *data->tokenizer, entry.trainer.length, options.final_bytes);
    }
    if (entry.start) {
      entry.start(trainer_.model().parameters());
      trainer_.model().parameters().mark_changed();
    }
    const StepPlan plan = plan_step(entry.model, entry.trainer, pool);
    out.id = entry.id;
    out.arm = entry.arm;
    out.seed = entry.trainer.seed;
    out.number = trainer_.measure().key;
    out.domain_bpb.resize(data->domains.size());
    out.flops_per_token = plan.cost.matmul_flops / static_cast<double>(entry.trainer.batch_tokens());
    out.parameters = static_cast<double>(plan.parameters);
    out.active_parameters = plan.active_parameters;
    out.active_matrix = plan.active_matrix;
    out.ram_predicted = static_cast<double>(plan.arena_bytes);
  }

  bool done() const { return !out.failed.empty() || (trainer_.steps_done() >= total_steps() && !out.cooled_bpb.empty()); }
  int64_t total_steps() const { return entry_.trainer.steps + entry_.cool_steps; }
  double share() const { return done() ? 1 : static_cast<double>(trainer_.steps_done()) / static_cast<double>(total_steps()); }

  void run_block(int64_t steps) {
    try {
      for (int64_t i = 0; i < steps && !done() && !interrupted(); ++i) step();
    } catch (const Error& error) {
      if (error.problem().exit != Exit::failed) throw;
      out.failed = error.what();
    }
  }

  Trainer& trainer() { return trainer_; }
  const Entry& entry() const { return entry_; }
  void resume(std::span<const TensorView> tensors, const Json& state, Outcome outcome) {
    out = std::move(outcome);
    if (out.failed.empty()) trainer_.restore(tensors, state);
    if (trainer_.steps_done() >= entry_.trainer.steps) cool();
  }

  Outcome out;

 private:
  Entry entry_;
  Trainer trainer_;
  std::vector<ValidationSet> curve_sets_, final_sets_;

  void cool() { trainer_.reschedule(total_steps(), {.kind = "wsd", .warmup = 0, .floor = entry_.cool_floor, .decay = static_cast<double>(entry_.cool_steps) / static_cast<double>(total_steps())}); }

  void step() {
    const StepResult r = trainer_.step();
    const bool trunk = r.step <= entry_.trainer.steps;
    out.losses.push_back(r.loss);
    if (trunk) {
      out.step_seconds.push_back(r.seconds);
      sample_load(r);
      if (r.step == entry_.trainer.steps || std::binary_search(entry_.evaluate_at.begin(), entry_.evaluate_at.end(), r.step)) evaluate(r.step);
      if (r.step == entry_.trainer.steps) cool();
    }
    if (r.step == total_steps()) finish();
  }

  void sample_load(const StepResult& r) {
    if (r.routing.empty()) return;
    if (out.loads.empty())
      for (const RoutingRecord& record : r.routing) out.loads.push_back({.layer = record.layer});
    const auto every = std::max<int64_t>(1, entry_.trainer.steps / static_cast<int64_t>(kLoadSamples));
    if (r.step % every != 0) return;
    for (size_t l = 0; l < r.routing.size(); ++l) {
      const RoutingRecord& record = r.routing[l];
      std::vector<double> share;
      for (const int64_t n : record.load_E) share.push_back(static_cast<double>(n) / static_cast<double>(record.tokens * record.k));
      out.loads[l].step.push_back(static_cast<double>(r.step));
      out.loads[l].share.push_back(std::move(share));
    }
  }

  void evaluate(int64_t step) {
    const std::vector<DomainScore> scores = trainer_.evaluate(curve_sets_);
    const double tokens = static_cast<double>(step * entry_.trainer.batch_tokens());
    out.step.push_back(static_cast<double>(step));
    out.tokens.push_back(tokens);
    out.flops.push_back(tokens * out.flops_per_token);
    const Measure measure = trainer_.measure();
    out.bpb.push_back(measure(scores));
    for (size_t d = 0; d < scores.size(); ++d) out.domain_bpb[d].push_back(measure({scores[d]}));
    if (entry_.watch) out.watched.push_back(entry_.watch(trainer_));
  }

  void finish() {
    const std::vector<DomainScore> scores = trainer_.evaluate(final_sets_);
    const Measure measure = trainer_.measure();
    for (const DomainScore& s : scores) out.cooled_bpb.push_back(measure({s}));
    out.cooled_bpb.push_back(measure(scores));
    for (size_t l = 0; l < out.loads.size(); ++l)
      for (const DomainScore& s : scores) out.loads[l].by_domain.push_back(s.load_LE[l]);
    out.ram_measured = static_cast<double>(trainer_.resident_bytes());
    if (entry_.probe) out.probe = entry_.probe(trainer_);
  }
};

Json spent_json(const RaceResult& r) { return {{"seconds", r.seconds}, {"other", r.use.other}, {"steal", r.use.steal}, {"total", r.use.total}}; }

RaceResult spent_from(const Json& j) {
  return {{}, j.at("seconds").get<double>(), {j.at("other").get<double>(), j.at("steal").get<double>(), j.at("total").get<double>()}};
}

void save(CheckpointStore& store, std::vector<Runner>& runners, const RaceResult& spent) {
  std::vector<TensorView> tensors;
  Json state = {{"spent", spent_json(spent)}, {"runners", Json::object()}};
  int64_t number = 0;
  for (Runner& r : runners) {
    number += r.trainer().steps_done();
    state["runners"][r.out.id] = {{"trainer", r.trainer().state()}, {"outcome", r.out.to_json()}};
    if (!r.out.failed.empty()) continue;
    for (TensorView t : r.trainer().tensors()) {
      t.name = r.out.id + "/" + t.name;
      tensors.push_back(std::move(t));
    }
  }
  store.save(number, tensors, state);
}

RaceResult restore(CheckpointStore& store, std::vector<Runner>& runners) {
  const auto checkpoint = store.latest_valid();
  if (!checkpoint) return {};
  for (Runner& r : runners) {
    const Json& state = checkpoint->state.at("runners").at(r.out.id);
    std::vector<TensorView> mine;
    const std::string prefix = r.out.id + "/";
    for (const TensorView& t : checkpoint->tensors.tensors())
      if (t.name.starts_with(prefix)) {
        mine.push_back(t);
        mine.back().name = t.name.substr(prefix.size());
      }
    r.resume(mine, state.at("trainer"), Outcome::from_json(state.at("outcome")));
  }
  return spent_from(checkpoint->state.at("spent"));
}

}  // namespace

void stop_if_interrupted() {
  if (const int signal = interrupted())
    throw Error({.who = "lab", .what = "interrupted; everything so far is saved", .hint = "the same command continues", .exit = static_cast<Exit>(128 + signal)});
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::vector<double> block_seconds(const Outcome& outcome, int64_t block_steps) {
  std::vector<double> blocks;
  const auto& steps = outcome.step_seconds;
  for (size_t first = 0; first < steps.size(); first += static_cast<size_t>(block_steps)) {
    const size_t end = std::min(steps.size(), first + static_cast<size_t>(block_steps));
    blocks.push_back(median({steps.begin() + static_cast<std::ptrdiff_t>(first), steps.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  if (blocks.size() > 1) blocks.erase(blocks.begin());
  return blocks;
}

double step_time_ratio(const Outcome& outcome, const Outcome& other) {
  const std::vector<double> a = block_seconds(outcome), b = block_seconds(other);
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) ratios.push_back(a[i] / b[i]);
  return median(ratios);
}

RaceResult run_race(const RaceOptions& options, const std::vector<Entry>& entries, std::shared_ptr<const Dataset> data, ThreadPool& pool,
                    const std::function<void(double, const std::string&)>& progress) {
  const fs::path finished = options.folder / "races" / (options.name + ".json");
  if (fs::exists(finished)) {
    const Json stored = read_json(finished);
    RaceResult result = spent_from(stored.at("spent"));
    for (const Json& j : stored.at("outcomes")) result.outcomes.push_back(Outcome::from_json(j));
    return result;
  }
  using Clock = std::chrono::steady_clock;
  const auto started = Clock::now();
  const LoadWatch watch;
  make_folder(options.folder / "races");
  std::vector<Runner> runners;
  runners.reserve(entries.size());
  for (const Entry& entry : entries) runners.emplace_back(entry, data, pool, options);
  const fs::path scratch = options.folder / "races" / (options.name + ".checkpoints");
  CheckpointStore store(scratch, 2);
  const RaceResult before = restore(store, runners);
  const auto spent = [&] {
    RaceResult r = before;
    r.seconds += std::chrono::duration<double>(Clock::now() - started).count();
    r.use += watch.since_start();
    return r;
  };

  auto saved = Clock::now();
  const auto unfinished = [&] { return std::any_of(runners.begin(), runners.end(), [](const Runner& r) { return !r.done(); }); };
  while (unfinished()) {
    for (Runner& r : runners) {
      if (r.done()) continue;
      r.run_block(options.block_steps);
      double share = 0;
      for (const Runner& other : runners) share += other.share() / static_cast<double>(runners.size());
      progress(share, r.out.id + (r.out.bpb.empty() ? "" : " · " + fmt::format("{:.3f} {}", r.out.bpb.back(), r.trainer().measure().unit)));
    }
    if (interrupted() || std::chrono::duration<double>(Clock::now() - saved).count() > options.checkpoint_seconds) {
      save(store, runners, spent());
      saved = Clock::now();
    }
    stop_if_interrupted();
  }
  RaceResult result = spent();
  Json all = Json::array();
  for (Runner& r : runners) {
    all.push_back(r.out.to_json());
    result.outcomes.push_back(std::move(r.out));
  }
  write_file(finished, Json({{"spent", spent_json(result)}, {"outcomes", all}}).dump());
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  return result;
}

namespace {

// Every field of an outcome but its loads, under its name: for writing and for reading.
template <class O, class Field> void each_field(O& o, const Field& field) {
  field("id", o.id);
  field("arm", o.arm);
  field("seed", o.seed);
  field("number", o.number);
  field("step", o.step);
  field("tokens", o.tokens);
  field("flops", o.flops);
  field("bpb", o.bpb);
  field("domain_bpb", o.domain_bpb);
  field("losses", o.losses);
  field("step_seconds", o.step_seconds);
  field("cooled_bpb", o.cooled_bpb);
  field("flops_per_token", o.flops_per_token);
  field("parameters", o.parameters);
  field("active_parameters", o.active_parameters);
  field("active_matrix", o.active_matrix);
  field("ram_predicted", o.ram_predicted);
  field("ram_measured", o.ram_measured);
  field("watched", o.watched);
  field("probe", o.probe);
  field("failed", o.failed);
}

}  // namespace

Json Outcome::to_json() const {
  Json j;
  each_field(*this, [&](const char* key, const auto& value) { j[key] = value; });
  j["loads"] = Json::array();
  for (const Load& load : loads) j["loads"].push_back({{"layer", load.layer}, {"step", load.step}, {"share", load.share}, {"by_domain", load.by_domain}});
  return j;
}

Outcome Outcome::from_json(const Json& j) {
  Outcome o;
  each_field(o, [&](const char* key, auto& value) { j.at(key).get_to(value); });
  for (const Json& l : j.at("loads"))
    o.loads.push_back({l.at("layer").get<int>(), l.at("step").get<std::vector<double>>(), l.at("share").get<std::vector<std::vector<double>>>(),
                       l.at("by_domain").get<std::vector<std::vector<int64_t>>>()});
  return o;
}

}  // namespace gamut
