#include "training/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>

#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "families/routing_file.h"
#include "kernels/cpu.h"

namespace gamut {
namespace {

// Adds the routing of one micro-batch to the step's.
void add_routing(std::vector<RoutingRecord>& sum, const std::vector<RoutingRecord>& more, double share) {
  sum.resize(more.size());
  for (size_t i = 0; i < sum.size(); ++i) sum[i].add(more[i], share);
}

struct MicroResult {
  double loss = 0, total = 0;
  std::map<std::string, Cost, std::less<>> ledger;
};

// Forward and backward of one micro-batch; gradients add up in the parameters' cells. Serves real runs and plans alike.
MicroResult run_micro_batch(Model& model, const Objective& objective, const Device& device, const Example& example, double step_weight, double share,
                            uint64_t seed, int64_t first_row, std::vector<RoutingRecord>* routing, std::vector<RouterChoices>* made = nullptr,
                            const std::vector<RouterChoices>* given = nullptr) {
  Tape tape(device, Tape::Mode::training);
  const auto token_loss = std::make_shared<Tensor>();
  const ops::HeadLoss head =
      objective.loss(model,
                     {.tape = tape,
                      .loss_scale = share,
                      .seed = seed,
                      .first_row = first_row,
                      .token_loss_N = token_loss,
                      .routing = routing,
                      .choices_made = made,
                      .choices_given = given},
                     example, 1.0 / step_weight);
  *token_loss = head.token_N;
  MicroResult result;
  if (tape.runs()) {
    result.loss = head.loss.dtype() == DType::f64 ? *head.loss.data<double>() : static_cast<double>(*head.loss.data<float>());
    result.total = tape.total_loss();
  }
  tape.backward();
  result.ledger = tape.ledger();
  return result;
}

std::filesystem::path routing_file(const std::filesystem::path& folder, int64_t step) { return folder / ("step-" + std::to_string(step) + ".safetensors"); }

Parameters::Rule frozen_by(const OptimizerOptions& options) {
  return [options](const Parameter& p) { return !options.trains(p); };
}

// What routers keep between steps (selection biases), to be put back when routers are frozen: they learn by themselves, without gradients.
std::vector<std::pair<Tensor, std::vector<std::byte>>> router_buffers(const Model& model, const OptimizerOptions& options) {
  std::vector<std::pair<Tensor, std::vector<std::byte>>> kept;
  for (const Parameter& p : model.parameters().all())
    if (p.role == Role::buffer && p.router() && !options.trains(p))
      kept.emplace_back(p.value, std::vector<std::byte>(p.value.raw(), p.value.raw() + p.value.bytes()));
  return kept;
}

void copy_checked(const TensorView& from, const Tensor& to, std::vector<std::string>& problems) {
  const std::vector<int64_t> shape(to.shape().dims().begin(), to.shape().dims().end());
  if (from.dtype != to.dtype() || from.shape != shape) {
    problems.push_back(from.name + " has shape " + Shape(from.shape).text() + " " + std::string(name_of(from.dtype)) + ", expected " + to.shape().text() + " " +
                       std::string(name_of(to.dtype())));
    return;
  }
  std::memcpy(to.raw(), from.bytes.data(), to.bytes());
}

}  // namespace

StepPlan plan_step(const ModelSpec& spec, const TrainerOptions& options, ThreadPool& pool) {
  const Device device = Device::shapes_only(pool);
  Model model(spec, device, frozen_by(options.optimizer));
  model.parameters().allocate_gradients();
  const Optimizer optimizer(options.optimizer, model.parameters(), device);
  const auto objective = build_objective(spec.objective);
  StepPlan plan{.parameters = model.parameters().total(), .active_parameters = model.parameters().active(), .active_matrix = model.parameters().active_matrix()};
  const std::vector<int32_t> any(static_cast<size_t>(options.batch_tokens()));  // on shapes alone no id is looked at
  // The first round also packs weights, which stay; where blocks come to lie settles in the next.
  for (int round = 0; round < 4; ++round) {
    plan.ledger.clear();
    for (int64_t first = 0; first < options.batch_rows; first += options.micro()) {
      const int64_t rows = std::min(options.micro(), options.batch_rows - first);
      const auto text = std::span(any).first(static_cast<size_t>(rows * options.length));
      const Example example = objective->example({rows, options.length, text, text}, {});
      for (const auto& [name, cost] : run_micro_batch(model, *objective, device, example, 1, 1, 0, 0, nullptr).ledger) plan.ledger[name] += cost;
    }
    model.parameters().mark_changed();
  }
  for (const auto& [name, cost] : plan.ledger) plan.cost += cost;
  plan.arena_bytes = device.arena->peak();
  return plan;
}

double DomainScore::bits_per_byte() const { return nats / (static_cast<double>(bytes) * std::numbers::ln2); }

double bits_per_byte(const std::vector<DomainScore>& scores) {
  DomainScore all;
  for (const DomainScore& s : scores) {
    all.nats += s.nats;
    all.bytes += s.bytes;
  }
  return all.bits_per_byte();
}

Measure measure_of(const Objective& objective) {
  switch (objective.number()) {
    case Objective::Number::exact: return {"bits_per_byte", "bits/byte", true};
    case Objective::Number::bound: return {"bits_per_byte_bound", "bits/byte at most", true};
    default: return {"bits_per_prediction", "bits a prediction", false};
  }
}

double Measure::operator()(const std::vector<DomainScore>& scores) const {
  double nats = 0, units = 0;
  for (const DomainScore& s : scores) {
    nats += s.nats;
    units += per_byte ? static_cast<double>(s.bytes) : s.weight;
  }
  return nats / (units * std::numbers::ln2);
}

Trainer::Trainer(const ModelSpec& spec, const TrainerOptions& options, std::shared_ptr<const Dataset> data, ThreadPool& pool)
    : spec_(spec), options_(options), data_(std::move(data)), device_(Device::real(pool)), objective_(build_objective(spec.objective)),
      stream_(data_->train, options.length, options.seed, options.distinct_rows) {
  if (options.length > spec.max_positions)
    throw Error({.who = "train", .what = "rows of " + std::to_string(options.length) + " tokens exceed the model's max_positions of " + std::to_string(spec.max_positions)});
  objective_->check(spec);
  model_ = std::make_unique<Model>(spec, device_, frozen_by(options.optimizer));
  const auto& parameters = model_->parameters().all();
  if (std::none_of(parameters.begin(), parameters.end(), [](const Parameter& p) { return p.trained; }))
    throw Error({.who = "train", .what = "nothing is left to train", .hint = "optimizer.train and optimizer.group.….frozen choose what is; a dense model has no experts"});
  model_->parameters().allocate_gradients();
  optimizer_ = std::make_unique<Optimizer>(options.optimizer, model_->parameters(), device_);
  model_->parameters().initialise(options.seed, pool);
}

StepResult Trainer::step() {
  const auto started = std::chrono::steady_clock::now();
  const auto time = [&](const char* name) { return Profile::Scope(device_.profile, name, false); };
  const auto whole = time("other");
  StepResult result{.step = steps_done() + 1};
  const int64_t position = stream_.position();
  const Batch batch = stream_.next(options_.batch_rows);
  const Example example = objective_->example({batch.rows, batch.length, batch.inputs, batch.targets}, {options_.seed, position, spec_.vocab});
  const double weight = objective_->weight(example);
  std::vector<RouterChoices> made, given;
  if (!options_.replay_routing.empty()) given = read_routing(routing_file(options_.replay_routing, result.step));
  for (int64_t first = 0; first < batch.rows; first += options_.micro()) {
    const int64_t rows = std::min(options_.micro(), batch.rows - first);
    const double share = static_cast<double>(rows) / static_cast<double>(batch.rows);
    std::vector<RoutingRecord> routing;
    std::vector<RouterChoices> part_made, part_given;
    for (const RouterChoices& c : given) part_given.push_back(c.rows(first, rows, batch.rows));
    const MicroResult micro = run_micro_batch(*model_, *objective_, device_, example.slice(first, rows), weight, share, options_.seed,
                                              (position + first) * batch.length, &routing, options_.record_routing.empty() ? nullptr : &part_made,
                                              options_.replay_routing.empty() ? nullptr : &part_given);
    append_choices(made, part_made);
    result.loss += micro.loss;
    result.auxiliary += micro.total - micro.loss;
    add_routing(result.routing, routing, share);
  }
  {
    const auto timing = time("clip");
    result.gradient_norm = optimizer_->gradient_norm(pool());
  }
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    const std::string where = optimizer_->not_finite();
    model_->parameters().zero_gradients();  // weights, moments and what gathers for them are as before the step
    throw Error({.who = "train",
                 .what = "step " + std::to_string(result.step) + ": the " + (std::isfinite(result.loss) ? "gradient" : "loss") + " is not finite; it began in " +
                         (where.empty() ? "an activation" : where) + "; batch: rows " + std::to_string(position) + " to " + std::to_string(position + options_.batch_rows - 1) + " of the stream",
                 .hint = "lower the learning rate, lengthen the warm-up or clip harder; the last checkpoint is intact",
                 .exit = Exit::failed});
  }
  if (!options_.record_routing.empty()) {
    make_folder(options_.record_routing);
    write_routing(made, routing_file(options_.record_routing, result.step));
  }
  const double factor = schedule_factor(options_.schedule, static_cast<double>(result.step), static_cast<double>(options_.steps));
  result.rate = options_.optimizer.lr * factor;
  {
    const auto timing = time("optimizer");
    optimizer_->step(pool(), factor, result.gradient_norm);
  }
  const auto kept = router_buffers(*model_, options_.optimizer);
  model_->after_step(static_cast<double>(result.step) / static_cast<double>(std::max<int64_t>(options_.steps, 1)));
  for (const auto& [buffer, bytes] : kept) std::copy(bytes.begin(), bytes.end(), buffer.raw());
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

void Trainer::check_finite() const {
  if (const std::string where = optimizer_->not_finite(); !where.empty())
    throw Error({.who = "train", .what = "after step " + std::to_string(steps_done()) + " " + where + " are not finite", .hint = "lower the learning rate or the weight decay; the last checkpoint is intact", .exit = Exit::failed});
}

std::vector<DomainScore> Trainer::evaluate(const std::vector<ValidationSet>& sets) {
  std::vector<DomainScore> scores;
  const int64_t rows = std::max<int64_t>(1, options_.micro());
  for (const ValidationSet& set : sets) {
    DomainScore score;
    for (int64_t first = 0; first < set.windows(); first += rows) {
      const Batch batch = set.batch(first, rows);
      Tape tape(device_, Tape::Mode::inference);
      std::vector<RoutingRecord> routing;
      const Example example = objective_->example({batch.rows, batch.length, batch.inputs, batch.targets}, {.first_row = first, .vocab = spec_.vocab});
      const ops::HeadLoss head = objective_->loss(*model_, {.tape = tape, .routing = &routing}, example, 1.0);
      // An exact likelihood leaves out what stands for no text; others hide and reorder tokens, so that losses and bytes add up by rows.
      const bool exact = objective_->number() == Objective::Number::exact;
      for (int64_t i = 0; i < head.token_N.elements(); ++i)
        if (!exact || batch.target_bytes[static_cast<size_t>(i)] > 0)
          score.nats += head.token_N.dtype() == DType::f64 ? head.token_N.data<double>()[i] : static_cast<double>(head.token_N.data<float>()[i]);
      for (const int32_t bytes : batch.target_bytes) score.bytes += bytes;
      score.weight += objective_->weight(example);
      score.load_LE.resize(routing.size());
      score.layers.resize(routing.size());
      for (size_t l = 0; l < routing.size(); ++l) {
        score.layers[l] = routing[l].layer;
        score.load_LE[l].resize(routing[l].load_E.size());
        for (size_t e = 0; e < routing[l].load_E.size(); ++e) score.load_LE[l][e] += routing[l].load_E[e];
      }
    }
    scores.push_back(std::move(score));
  }
  return scores;
}

void Trainer::reschedule(int64_t steps, const ScheduleOptions& schedule) {
  options_.steps = steps;
  options_.schedule = schedule;
}

std::vector<TensorView> Trainer::tensors() const {
  std::vector<TensorView> views;
  const auto add = [&](const std::string& name, const Tensor& t) {
    views.push_back({name, t.dtype(), std::vector<int64_t>(t.shape().dims().begin(), t.shape().dims().end()), std::span<const std::byte>(t.raw(), t.bytes())});
  };
  for (const Parameter& p : model_->parameters().all()) add(p.name, p.value);
  for (const Optimizer::Moments& m : optimizer_->moments()) {
    add("first_moment." + m.parameter->name, m.first);
    add("second_moment." + m.parameter->name, m.second);
  }
  return views;
}

Json Trainer::state() const {
  return {{"step", steps_done()}, {"stream_position", stream_.position()}, {"data", data_->hash}, {"tier", std::string(kernels::name_of(kernels::best_tier()))}};
}

void Trainer::restore(std::span<const TensorView> tensors, const Json& state) {
  Config cfg(state, {.source = "checkpoint state"});
  const auto step = cfg.take<int64_t>("step");
  const auto position = cfg.take<int64_t>("stream_position");
  const auto data = cfg.take<std::string>("data");
  cfg.ignore("tier", "the caller compares it");
  cfg.finish();
  if (data != data_->hash)
    throw Error({.who = "train", .what = "the checkpoint was made on other data or another tokenizer (" + data + ", now " + data_->hash + ")", .hint = "use the data it was made with, or another run.dir"});
  std::map<std::string, const TensorView*> found;
  for (const TensorView& t : tensors) found[t.name] = &t;
  std::vector<std::string> problems;
  const auto take = [&](const std::string& name, const Tensor& to) {
    const auto it = found.find(name);
    if (it == found.end()) {
      problems.push_back(name + " is missing");
      return;
    }
    copy_checked(*it->second, to, problems);
    found.erase(it);
  };
  for (Parameter& p : model_->parameters().all()) take(p.name, p.value);
  for (const Optimizer::Moments& m : optimizer_->moments()) {
    take("first_moment." + m.parameter->name, m.first);
    take("second_moment." + m.parameter->name, m.second);
  }
  for (const auto& [name, view] : found) problems.push_back(name + " is not part of this model");
  if (!problems.empty()) throw Error({.who = "train", .what = "the checkpoint does not fit the model: " + join(problems, "; ")});
  model_->parameters().zero_gradients();
  model_->parameters().mark_changed();
  optimizer_->set_steps(step);
  stream_.seek(position);
}

}  // namespace gamut
