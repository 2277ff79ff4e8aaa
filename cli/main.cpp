// The command line: a thin door. Results on stdout, progress and messages on stderr; exit codes as in base/error.h.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <new>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/text.h"
#include "cli/command.h"

namespace {

int run(int argc, char** argv) {
  CLI::App app{"Gamut trains and compares language models of many architectures on ordinary CPUs.\n\n"
               "Examples:\n  gamut lab dense-vs-moe\n  gamut train recipes/tiny-dense.toml run.dir=runs/mine\n",
               "gamut"};
  app.set_version_flag("--version", GAMUT_VERSION);
  app.require_subcommand(1);
  int code = 0;
  for (const gamut::Command& command : gamut::commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.meaning);
    sub->footer("Examples:\n  " + gamut::join(command.examples, "\n  "));
    command.build(*sub, code);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    std::cerr << "gamut: " << error.what() << ". Hint: see gamut --help\n";
    return static_cast<int>(gamut::Exit::bad_input);
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  gamut::install_interrupt_handlers();
  const auto complain = [](const char* what, gamut::Exit exit) {
    gamut::Progress::clear_line();
    std::cerr << "gamut: " << what << '\n';
    return static_cast<int>(exit);
  };
  try {
    return run(argc, argv);
  } catch (const gamut::Error& error) {
    return complain(error.what(), error.problem().exit);
  } catch (const std::bad_alloc&) {
    return complain("out of memory. Hint: use a smaller model or batch", gamut::Exit::failed);
  } catch (const std::exception& error) {
    return complain(error.what(), gamut::Exit::failed);
  }
}
