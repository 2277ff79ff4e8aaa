#include "cli/commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/text.h"
#include "kernels/cpu.h"
#include "kernels/peak.h"
#include "lab/lab.h"
#include "lab/machine.h"
#include "modules/channels/routers/router.h"
#include "modules/registry.h"
#include "objectives/objective.h"
#include "training/recipe.h"
#include "training/train.h"

namespace gamut {
namespace {

struct Arguments {
  std::string name;
  std::vector<std::string> overrides;
  bool json = false;
};

// A command with one name, key=value overrides and --json.
std::shared_ptr<Arguments> add_common(CLI::App* command, const char* what, const char* help, bool required) {
  auto a = std::make_shared<Arguments>();
  auto* name = command->add_option(what, a->name, help);
  if (required) name->required();
  command->add_option("settings", a->overrides, "key=value …");
  command->add_flag("--json", a->json, "machine-readable result on stdout");
  return a;
}

struct Meaning {
  std::string kind, name, text;
};

std::vector<Meaning> meanings() {
  std::vector<Meaning> all;
  for (const auto& row : sequence_mixers()) all.push_back({"sequence mixer", row.kind, row.meaning});
  for (const auto& row : channel_mixers()) all.push_back({"channel mixer", row.kind, row.meaning});
  for (const auto& row : routers()) all.push_back({"router", row.kind, row.meaning});
  for (const auto& row : objectives()) all.push_back({"objective", row.kind, row.meaning});
  for (const auto& row : experiments()) all.push_back({"experiment", row.name, row.meaning});
  return all;
}

void explain(const Arguments& a) {
  std::vector<std::string> known;
  for (const Meaning& m : meanings()) {
    known.push_back(m.name);
    if (a.name.empty()) std::cout << fmt::format("{:16} {}\n", m.name, m.kind);
    if (m.name != a.name) continue;
    if (a.json) std::cout << Json({{"name", m.name}, {"kind", m.kind}, {"meaning", m.text}}).dump() << '\n';
    else std::cout << m.name << " (" << m.kind << ")\n" << m.text << '\n';
    return;
  }
  if (!a.name.empty()) throw Error({.who = "explain", .what = "nothing is called '" + a.name + "'", .hint = did_you_mean(a.name, known)});
}

void doctor(const Arguments& a) {
  ThreadPool pool;
  Json machine = describe_machine(pool);
  machine["peak_f32"] = kernels::measure_peak_flops(pool, DType::f32);
  machine["peak_bf16"] = kernels::measure_peak_flops(pool, DType::bf16);
  machine["read_bandwidth"] = kernels::measure_read_bandwidth(pool);
  if (a.json) {
    std::cout << machine.dump() << '\n';
    return;
  }
  std::cout << fmt::format("processor   {}\ntier        {}{}\nthreads     {} ({})\nmemory      {}\nf32 peak    {}FLOP/s\nbf16 peak   {}FLOP/s\nread        {}B/s\n", machine["cpu"].get<std::string>(),
                           machine["tier"].get<std::string>(), machine["tier_why"].get<std::string>().empty() ? "" : " (" + machine["tier_why"].get<std::string>() + ")", pool.threads(),
                           machine["threads_why"].get<std::string>(), human_bytes(machine["ram_bytes"].get<double>()), human_count(machine["peak_f32"].get<double>()),
                           human_count(machine["peak_bf16"].get<double>()), human_count(machine["read_bandwidth"].get<double>()));
}

// A recipe, from the same code that would train it, run on shapes alone.
void inspect(const Arguments& a) {
  Recipe recipe = read_recipe(a.name, a.overrides);
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

void add_commands(CLI::App& app, int& code) {
  {
    auto* c = app.add_subcommand("lab", "A controlled comparison that ends with a report.\n\nExamples:\n  gamut lab dense-vs-moe tier=smoke out=reports/first\n  gamut lab dense-vs-moe data.path=my-texts\n");
    auto a = add_common(c, "name", "experiment, for example dense-vs-moe", true);
    c->callback([a, &code] { code = lab_command(a->name, a->overrides, a->json); });
  }
  {
    auto* c = app.add_subcommand("train", "Train a model as a recipe says; a stopped run goes on by itself.\n\nExamples:\n  gamut train recipes/tiny-dense.toml run.dir=runs/a\n  gamut train recipes/tiny-moe.toml run.dir=runs/b optimizer.lr=2e-3\n");
    auto a = add_common(c, "recipe", "TOML file", true);
    c->callback([a, &code] { code = train_command(a->name, a->overrides, a->json); });
  }
  {
    auto* c = app.add_subcommand("inspect", "Parameters, FLOPs and memory of a recipe.\n\nExamples:\n  gamut inspect recipes/tiny-moe.toml\n  gamut inspect recipes/tiny-dense.toml model.layers=8 --json\n");
    auto a = add_common(c, "recipe", "TOML file", true);
    c->callback([a] { inspect(*a); });
  }
  {
    auto* c = app.add_subcommand("explain", "What a component means: equation, options, source.\n\nExamples:\n  gamut explain\n  gamut explain moe\n");
    auto a = add_common(c, "name", "component; none lists all", false);
    c->callback([a] { explain(*a); });
  }
  {
    auto* c = app.add_subcommand("doctor", "What this machine offers and what Gamut uses of it.\n\nExamples:\n  gamut doctor\n  gamut doctor --json\n");
    auto a = std::make_shared<Arguments>();
    c->add_flag("--json", a->json, "machine-readable result on stdout");
    c->callback([a] { doctor(*a); });
  }
}

}  // namespace gamut
