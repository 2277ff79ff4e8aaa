#include "training/recipe.h"

#include <algorithm>
#include <cmath>

#include "families/family.h"

namespace gamut {

Recipe Recipe::from_document(ConfigDocument document) {
  Recipe r;
  Config cfg(document.value, document.origin);
  {
    Config run = cfg.sub("run");
    r.folder = run.take<std::string>("dir", "");
    r.seed = run.take_in<uint64_t>("seed", 1, 0, uint64_t{1} << 53);
    run.finish();
  }
  {
    Config data = cfg.sub("data");
    r.data = DataOptions::take(data);
    data.finish();
  }
  {
    Config model = cfg.sub("model");
    if (model.has("from")) {
      r.start = model.take<std::string>("from");
      r.model = read_model_config(r.start).spec;
      r.model.dtype = model.take_choice("dtype", r.model.dtype, {"f32", "bf16", "f64"});
      if (r.data.tokenizer.empty()) r.data.tokenizer = r.start;
    } else {
      r.model = ModelSpec::from_config(model);
    }
    model.finish();
  }
  r.trainer.seed = r.seed;
  {
    Config train = cfg.sub("train");
    r.trainer.length = train.take_in<int64_t>("length", r.trainer.length, 1, 1 << 20);
    if (r.trainer.length > r.model.max_positions)
      train.reject("length", "is " + std::to_string(r.trainer.length) + ", more than model.max_positions (" + std::to_string(r.model.max_positions) + ")");
    const auto batch = train.take_in<int64_t>("batch_tokens", 32 * r.trainer.length, 1, int64_t{1} << 32);
    if (batch % r.trainer.length != 0) train.reject("batch_tokens", "must be a multiple of train.length (" + std::to_string(r.trainer.length) + "), not " + std::to_string(batch));
    r.trainer.batch_rows = batch / r.trainer.length;
    const auto micro = train.take_in<int64_t>("micro_tokens", batch, 1, int64_t{1} << 32);
    if (micro % r.trainer.length != 0) train.reject("micro_tokens", "must be a multiple of train.length (" + std::to_string(r.trainer.length) + "), not " + std::to_string(micro));
    r.trainer.micro_rows = micro / r.trainer.length;
    r.tokens = train.take_in<int64_t>("tokens", 1 << 20, 1, int64_t{1} << 50);
    r.trainer.steps = (r.tokens + batch - 1) / batch;
    train.finish();
  }
  {
    Config routing = cfg.sub("routing");
    r.trainer.record_routing = routing.take<std::string>("record", "");
    r.trainer.replay_routing = routing.take<std::string>("replay", "");
    routing.finish();
  }
  Config optimizer = cfg.sub("optimizer"), schedule = cfg.sub("schedule");
  r.trainer.optimizer = OptimizerOptions::take(optimizer);
  r.trainer.schedule = ScheduleOptions::take(schedule);
  {
    Config v = cfg.sub("validation");
    r.validation_points = v.take_in<int64_t>("points", r.validation_points, 0, 100000);
    r.validation_bytes = v.take_in<int64_t>("bytes", r.validation_bytes, 0, int64_t{1} << 40);
    v.finish();
  }
  {
    Config c = cfg.sub("checkpoint");
    r.checkpoint_seconds = c.take_in("seconds", r.checkpoint_seconds, 0.0, 1e9);
    r.checkpoint_steps = c.take_in<int64_t>("steps", r.checkpoint_steps, 0, int64_t{1} << 40);
    r.checkpoint_keep = c.take_in<int64_t>("keep", r.checkpoint_keep, 1, 1000);
    c.finish();
  }
  cfg.finish();

  const OptimizerOptions& o = r.trainer.optimizer;
  const ScheduleOptions& s = r.trainer.schedule;
  Json groups = Json::object();
  for (const auto& [name, g] : o.groups) groups[name] = {{"lr_scale", g.lr_scale}, {"weight_decay", g.weight_decay}, {"frozen", g.frozen}};
  r.resolved = {{"run", {{"dir", r.folder.string()}, {"seed", r.seed}}},
                {"data", {{"recipe", r.data.recipe}, {"path", r.data.path.string()}, {"vocab_size", r.data.vocab_size}, {"tokenizer", r.data.tokenizer.string()}, {"cache", r.data.cache.string()}}},
                {"model", r.start.empty() ? r.model.to_json() : Json{{"from", r.start.string()}, {"dtype", r.model.dtype}}},
                {"train", {{"length", r.trainer.length}, {"batch_tokens", r.trainer.batch_tokens()}, {"micro_tokens", r.trainer.micro() * r.trainer.length}, {"tokens", r.tokens}}},
                {"routing", {{"record", r.trainer.record_routing.string()}, {"replay", r.trainer.replay_routing.string()}}},
                {"optimizer", {{"kind", "adamw"}, {"lr", o.lr}, {"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps}, {"weight_decay", o.weight_decay}, {"clip", o.clip}, {"train", o.train}, {"group", groups}}},
                {"schedule", {{"kind", s.kind}, {"warmup", s.warmup}, {"floor", s.floor}, {"decay", s.decay}}},
                {"validation", {{"points", r.validation_points}, {"bytes", r.validation_bytes}}},
                {"checkpoint", {{"seconds", r.checkpoint_seconds}, {"steps", r.checkpoint_steps}, {"keep", r.checkpoint_keep}}}};
  return r;
}

Recipe read_recipe(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  ConfigDocument document = read_toml(path);
  for (const std::string& o : overrides) apply_override(document, o);
  return Recipe::from_document(std::move(document));
}

std::vector<int64_t> log_spaced_steps(int64_t steps, int64_t points) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < points; ++i) {
    const double share = points > 1 ? static_cast<double>(i) / static_cast<double>(points - 1) : 1;
    const auto step = static_cast<int64_t>(std::llround(std::exp(share * std::log(static_cast<double>(steps)))));
    if (out.empty() || step > out.back()) out.push_back(step);
  }
  return out;
}

}  // namespace gamut
