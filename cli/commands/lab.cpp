#include "lab/lab.h"

#include "cli/command.h"

namespace gamut {

void build_lab(CLI::App& command, int& code) {
  auto a = take_named(command, "name", "experiment, for example dense-vs-moe");
  command.callback([a, &code] { code = lab_command(a->name, a->settings, a->json); });
}

}  // namespace gamut
