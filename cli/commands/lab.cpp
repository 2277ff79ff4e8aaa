#include "lab/lab.h"

#include "cli/command.h"

namespace gamut {

void build_lab(CLI::App& command, int& code) {
  auto a = std::make_shared<NamedArguments>();
  take_named(command, *a, "name", "experiment, for example dense-vs-moe");
  command.callback([a, &code] { code = lab_command(a->name, a->settings, a->json); });
}

}  // namespace gamut
