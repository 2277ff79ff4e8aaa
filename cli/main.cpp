// The command line: a thin door. Results on stdout, progress and messages on stderr; exit codes as in base/error.h.
#include <CLI/CLI.hpp>
#include <iostream>
#include <new>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/app.h"

namespace {

int complain(const std::string& line, gamut::Exit exit) {
  gamut::Progress::clear_line();
  std::cerr << line << '\n';
  return static_cast<int>(exit);
}

int run(int argc, char** argv) {
  int code = 0;
  const auto app = gamut::make_app(code);
  try {
    app->parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    return app->exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    return complain(gamut::explain_parse_error(*app, error), gamut::Exit::bad_input);
  }
  if (!std::cout.flush()) return complain("gamut: the result could not be written to stdout. Hint: is the disk full?", gamut::Exit::failed);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  gamut::install_interrupt_handlers();
  try {
    return run(argc, argv);
  } catch (const gamut::Error& error) {
    return complain("gamut: " + std::string(error.what()), error.problem().exit);
  } catch (const std::bad_alloc&) {
    return complain("gamut: out of memory. Hint: use a smaller model or batch", gamut::Exit::failed);
  } catch (const std::exception& error) {
    return complain("gamut: " + std::string(error.what()), gamut::Exit::failed);
  }
}
