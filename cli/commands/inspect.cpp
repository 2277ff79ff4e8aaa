#include <fmt/format.h>

#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "training/recipe.h"
#include "training/trainer.h"

namespace gamut {
namespace {

// A recipe, from the same code that would train it, run on shapes alone.
void inspect(const NamedArguments& a) {
  Recipe recipe = read_recipe(a.name, a.settings);
  if (recipe.model.vocab == 0) recipe.model.vocab = recipe.data.vocab_size;
  ThreadPool pool;
  const StepPlan plan = plan_step(recipe.model, recipe.trainer, pool);
  const double tokens = static_cast<double>(recipe.trainer.batch_tokens());
  const Json result = {{"parameters", plan.parameters}, {"active_parameters", plan.active_parameters}, {"active_matrix", plan.active_matrix}, {"training_flops_per_token", plan.cost.matmul_flops / tokens},
                       {"training_bytes_per_token", plan.cost.bytes / tokens}, {"ram_to_train", plan.arena_bytes}};
  if (a.json) {
    std::cout << result.dump() << '\n';
    return;
  }
  std::cout << fmt::format("parameters          {} ({} used by a token, {} in matrices)\ntraining            {}FLOP and {} a token\nmemory to train     {} of tensors\n", human_count(static_cast<double>(plan.parameters)),
                           human_count(plan.active_parameters), human_count(plan.active_matrix), human_count(plan.cost.matmul_flops / tokens), human_bytes(plan.cost.bytes / tokens),
                           human_bytes(static_cast<double>(plan.arena_bytes)));
}

}  // namespace

void build_inspect(CLI::App& command, int&) {
  auto a = take_named(command, "recipe", "TOML file");
  command.callback([a] { inspect(*a); });
}

}  // namespace gamut
