#include "cli/app.h"

#include "base/error.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/command.h"

namespace gamut {

std::unique_ptr<CLI::App> make_app(int& code) {
  auto app = std::make_unique<CLI::App>("Gamut trains, compares and serves language models of many architectures on ordinary CPUs.", "gamut");
  app->footer("Examples:\n  gamut lab dense-vs-moe\n  gamut train recipes/tiny-dense.toml run.dir=runs/mine\n\n`gamut COMMAND --help` says more.");
  app->set_version_flag("--version", GAMUT_VERSION);
  app->add_option_function<int>("--threads", set_threads, "threads of any command; default: as many as affinity mask and cgroup quota allow, or GAMUT_THREADS");
  app->require_subcommand(1);
  app->fallthrough();  // subcommands inherit it: --threads may stand anywhere
  for (const Command& command : commands()) {
    CLI::App* sub = app->add_subcommand(command.name, command.meaning);
    sub->footer("Examples:\n  " + join(command.examples, "\n  "));
    command.build(*sub, code);
  }
  return app;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string explain_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* deepest = &app;
  std::string full_name = app.get_name();
  while (!deepest->get_subcommands().empty()) {
    deepest = deepest->get_subcommands().front();
    full_name += " " + deepest->get_name();
  }
  const CLI::App& command = *deepest;
  const auto verbs = command.get_subcommands([](const CLI::App*) { return true; });  // all it knows, none of them given
  const std::vector<std::string> rest = app.remaining(true);
  std::string what = error.what(), hint = "see " + full_name + " --help";
  if (!rest.empty() && !rest[0].empty()) {
    std::vector<std::string> known;
    const bool option = rest[0][0] == '-';
    if (option) {
      known = option_names(command);
      for (const std::string& name : option_names(app)) known.push_back(name);
    } else {
      for (const CLI::App* verb : verbs) known.push_back(verb->get_name());
    }
    const std::string name = rest[0].substr(0, option ? rest[0].find('=') : std::string::npos), near = nearest(name, known);
    what = option ? "unknown option '" + name + "'" : !verbs.empty() ? "unknown command '" + name + "'" : "'" + name + "' is one argument too many";
    if (!option && !verbs.empty()) hint = did_you_mean(name, known);
    else if (!near.empty()) hint = "did you mean '" + near + "'?";
  }
  return Error({.who = full_name, .what = what, .hint = hint}).what();
}

}  // namespace gamut
