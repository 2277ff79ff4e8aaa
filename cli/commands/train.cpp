#include "training/train.h"

#include "cli/command.h"

namespace gamut {

void build_train(CLI::App& command, int& code) {
  auto a = std::make_shared<NamedArguments>();
  take_named(command, *a, "recipe", "TOML file");
  command.callback([a, &code] { code = train_command(a->name, a->settings, a->json); });
}

}  // namespace gamut
