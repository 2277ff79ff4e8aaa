#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "base/text.h"
#include "checkpoints/gguf.h"
#include "cli/command.h"
#include "cli/table.h"
#include "families/family.h"
#include "generation/plan.h"
#include "modules/channels/mixture.h"
#include "training/memory.h"
#include "training/recipe.h"
#include "training/trainer.h"

namespace gamut {
namespace {

struct Arguments : NamedArguments {
  int64_t context = 0, rows = 1;
};

// Each shape of mixture in the model, with its layers.
struct Mixtures {
  MixtureShape shape;
  std::vector<int64_t> layers;
};
std::vector<Mixtures> mixtures_of(const ModelSpec& spec) {
  std::vector<Mixtures> all;
  int64_t layer = 0;
  for (const auto* stack : {&spec.encoder, &spec.layers})
    for (const LayerSpec& l : *stack) {
      if (const auto shape = mixture_shape(l.channel, spec.width)) {
        const auto same = std::find_if(all.begin(), all.end(), [&](const Mixtures& m) { return m.shape == *shape; });
        (same == all.end() ? all.emplace_back(Mixtures{*shape, {}}) : *same).layers.push_back(layer);
      }
      ++layer;  // an encoder's layers first
    }
  return all;
}

// The process itself: program, libraries, threads, and their scratch memory.
size_t process_bytes() { return resident_bytes(); }

// Everything from the code that would train or serve the model, run on shapes alone.
void inspect(const Arguments& a) {
  ThreadPool pool;
  const size_t process = process_bytes();
  ModelSpec spec;
  TrainerOptions trainer;
  uintmax_t file_bytes = 0;
  std::string family = "recipe";
  const std::filesystem::path path = a.name;
  if (path.extension() == ".toml") {
    const Recipe recipe = read_recipe(a.name, a.settings);
    spec = recipe.model;
    if (spec.vocab == 0) spec.vocab = recipe.data.vocab_size;
    trainer = recipe.trainer;
  } else {
    if (!a.settings.empty()) throw Error({.who = "inspect", .what = "settings change recipes, not models", .where = a.settings[0]});
    const ModelConfig config = read_model_config(path);
    spec = config.spec;
    family = config.family->model_type;
    trainer.length = std::min(trainer.length, spec.max_positions);
    if (is_gguf(path)) file_bytes = std::filesystem::file_size(path);
    else if (std::filesystem::is_directory(path))
      for (const auto& entry : std::filesystem::directory_iterator(path))
        if (entry.path().extension() == ".safetensors") file_bytes += entry.file_size();
  }
  const int64_t context = a.context > 0 ? a.context : std::min<int64_t>(2048, spec.max_positions);
  const StepPlan training = plan_step(spec, trainer, pool);
  const ServingPlan serving = plan_serving(spec, a.rows, context, pool);
  const auto tokens = static_cast<double>(trainer.batch_tokens());
  // While a model is loaded, the file's pages are in memory beside the weights made from them.
  const size_t to_serve = process + std::max(serving.arena_bytes, serving.parameter_bytes + static_cast<size_t>(file_bytes));
  const std::vector<Mixtures> mixtures = mixtures_of(spec);
  Json mixture_rows = Json::array();
  for (const auto& [m, layers] : mixtures)
    mixture_rows.push_back({{"layers", layers}, {"experts", m.experts}, {"top_k", m.top_k}, {"hidden", m.hidden}, {"shared", m.shared}, {"granularity", m.granularity}, {"activation_ratio", m.activation}});
  const Json result = {{"family", family}, {"dtype", spec.dtype}, {"layers", spec.layers.size()}, {"width", spec.width}, {"vocab", spec.vocab},
                       {"parameters", training.parameters}, {"active_parameters", training.active_parameters}, {"active_matrix", training.active_matrix}, {"mixtures", mixture_rows},
                       {"training", {{"batch_tokens", trainer.batch_tokens()}, {"length", trainer.length}, {"flops_per_token", training.cost.matmul_flops / tokens}, {"bytes_per_token", training.cost.bytes / tokens},
                                     {"ram", process + training.arena_bytes}, {"ram_tensors", training.arena_bytes}}},
                       {"serving", {{"rows", a.rows}, {"context", context}, {"prefill_flops_per_token", serving.prefill.matmul_flops}, {"prefill_bytes_per_token", serving.prefill.bytes},
                                    {"flops_per_token", serving.decode.matmul_flops}, {"bytes_per_token", serving.decode.bytes}, {"state_bytes", serving.state_bytes}, {"state_bytes_per_token", serving.state_bytes_per_token},
                                    {"state_bytes_fixed", serving.state_bytes_fixed}, {"ram", to_serve}, {"ram_tensors", serving.arena_bytes}}}};
  if (a.json) {
    std::cout << result.dump() << '\n';
    return;
  }
  const auto flops = [](double n) { return in_units(n, "FLOP"); };
  const auto bytes = [](auto n) { return human_bytes(static_cast<double>(n)); };
  std::string mixture_text;
  for (const auto& [m, layers] : mixtures)
    mixture_text += fmt::format("{:19} {} of {} experts of {} units{} in {} layers: granularity {:.3g}, activation ratio {:.3g} %\n", "mixture", m.top_k, m.experts, m.hidden,
                                m.shared > 0 ? fmt::format(" and {} shared", m.shared) : "", layers.size(), m.granularity, 100 * m.activation);
  std::cout << fmt::format("{:19} {}, {} layers of width {}, vocabulary {}, {}\n", "model", family, spec.layers.size(), spec.width, spec.vocab, spec.dtype)
            << fmt::format("{:19} {} ({} used by a token, {} of them in matrices)\n", "parameters", human_count(static_cast<double>(training.parameters)), human_count(training.active_parameters), human_count(training.active_matrix))
            << mixture_text
            << fmt::format("{:19} {} and {} a token, in steps of {} tokens\n", "training", flops(training.cost.matmul_flops / tokens), bytes(training.cost.bytes / tokens), trainer.batch_tokens())
            << fmt::format("{:19} {} ({} of tensors), and the data\n", "memory to train", bytes(process + training.arena_bytes), bytes(training.arena_bytes))
            << fmt::format("{:19} {} and {} a token of the prompt; {} and {} a new token at {}\n", "serving", flops(serving.prefill.matmul_flops), bytes(serving.prefill.bytes), flops(serving.decode.matmul_flops),
                           bytes(serving.decode.bytes), context)
            << fmt::format("{:19} {} of a text of {} tokens: {} a token{}\n", "state", bytes(serving.state_bytes), context, bytes(serving.state_bytes_per_token),
                           serving.state_bytes_fixed >= 1 ? " and " + bytes(serving.state_bytes_fixed) + " at any length" : "")
            << fmt::format("{:19} {} ({} of tensors) with {} of {} tokens\n", "memory to serve", bytes(to_serve), bytes(serving.arena_bytes), a.rows == 1 ? "one text" : std::to_string(a.rows) + " texts", context);
}

}  // namespace

void build_inspect(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  take_named(command, *a, "model", "model folder, .gguf file, config.json or TOML recipe");
  command.add_option("--context", a->context, "tokens of a text when serving; default: 2048, or as many as the model has positions")->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  command.add_option("--rows", a->rows, "texts at a time when serving")->capture_default_str()->check(CLI::Range(int64_t{1}, int64_t{1} << 16));
  command.callback([a] { inspect(*a); });
}

}  // namespace gamut
