#include "cli/command.h"

namespace gamut {

const std::vector<Command>& commands() {
  static const std::vector<Command> all = {
      {"lab", "A controlled comparison that ends with a report.",
       {"gamut lab dense-vs-moe tier=smoke out=reports/first", "gamut lab dense-vs-moe data.path=my-texts"},
       build_lab},
      {"train", "Train a model as a recipe says; a stopped run goes on by itself.",
       {"gamut train recipes/tiny-dense.toml run.dir=runs/a", "gamut train recipes/tiny-moe.toml run.dir=runs/b optimizer.lr=2e-3"},
       build_train},
      {"inspect", "Parameters, FLOPs and memory of a recipe.",
       {"gamut inspect recipes/tiny-moe.toml", "gamut inspect recipes/tiny-dense.toml model.layers=8 --json"},
       build_inspect},
      {"explain", "What a component means: equation, options, source.",
       {"gamut explain", "gamut explain moe"},
       build_explain},
      {"doctor", "What this machine offers and what Gamut uses of it.",
       {"gamut doctor", "gamut doctor --json"},
       build_doctor},
  };
  return all;
}

std::shared_ptr<NamedArguments> take_named(CLI::App& command, const char* what, const char* help, bool required) {
  auto a = std::make_shared<NamedArguments>();
  command.add_option(what, a->name, help)->required(required);
  command.add_option("settings", a->settings, "key=value …");
  command.add_flag("--json", a->json, "machine-readable result on stdout");
  return a;
}

}  // namespace gamut
