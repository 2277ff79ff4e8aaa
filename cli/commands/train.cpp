#include "training/train.h"

#include "cli/command.h"

namespace gamut {

void build_train(CLI::App& command, int& code) {
  auto a = take_named(command, "recipe", "TOML file");
  command.callback([a, &code] { code = train_command(a->name, a->settings, a->json); });
}

}  // namespace gamut
