#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "base/text.h"
#include "cli/app.h"
#include "cli/command.h"

namespace gamut {
namespace {

struct Row {
  std::string name, meaning;
  std::vector<std::string> options, verbs;  // verbs: commands of a command, whose options count among its own
};

// The commands of the tree that `root` is, with all their options and the global ones.
std::vector<Row> rows_of(const CLI::App& root) {
  std::vector<Row> rows;
  const std::vector<std::string> global = option_names(root);
  for (const CLI::App* sub : root.get_subcommands([](const CLI::App*) { return true; })) {
    Row row{sub->get_name(), sub->get_description(), {}, {}};
    const auto add = [&](const std::vector<std::string>& more) {
      for (const std::string& name : more)
        if (std::find(row.options.begin(), row.options.end(), name) == row.options.end() && name != "--version") row.options.push_back(name);
    };
    add(option_names(*sub));
    for (const CLI::App* verb : sub->get_subcommands([](const CLI::App*) { return true; })) {
      row.verbs.push_back(verb->get_name());
      add(option_names(*verb));
    }
    add(global);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string quoted(std::string text) {
  for (size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 4) text.replace(at, 1, "'\\''");
  return "'" + text + "'";
}

std::string names(const std::vector<Row>& rows) {
  std::vector<std::string> all;
  for (const Row& row : rows) all.push_back(row.name);
  return join(all, " ");
}

// Options where a word begins with a dash, verbs where a command has them, else files: arguments are recipes, models and settings.
std::string bash(const std::vector<Row>& rows) {
  std::string cases;
  for (const Row& row : rows) cases += fmt::format("    {}) words='{}' verbs='{}' ;;\n", row.name, join(row.options, " "), join(row.verbs, " "));
  return fmt::format("_gamut() {{\n  local word=${{COMP_WORDS[COMP_CWORD]}} words= verbs=\n  if [ \"$COMP_CWORD\" = 1 ]; then\n    COMPREPLY=($(compgen -W '{} --help --version --threads' -- \"$word\"))\n    return\n  fi\n"
                     "  case ${{COMP_WORDS[1]}} in\n{}  esac\n  case $word in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n    *)\n      if [ \"$COMP_CWORD\" = 2 ] && [ -n \"$verbs\" ]; then COMPREPLY=($(compgen -W \"$verbs\" -- \"$word\"))\n      else COMPREPLY=($(compgen -f -- \"$word\")); fi ;;\n  esac\n}}\n"
                     "complete -o filenames -F _gamut gamut ./gamut\n",
                     names(rows), cases);
}

std::string zsh(const std::vector<Row>& rows) {
  std::string described, cases;
  for (const Row& row : rows) {
    described += "    " + quoted(row.name + ":" + row.meaning) + "\n";
    cases += fmt::format("    {}) options=({}) verbs=({}) ;;\n", row.name, join(row.options, " "), join(row.verbs, " "));
  }
  return fmt::format("#compdef gamut\n_gamut() {{\n  local -a commands options verbs\n  commands=(\n{}  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n  case ${{words[2]}} in\n{}  esac\n"
                     "  if [[ ${{words[CURRENT]}} == -* ]]; then compadd -- $options; elif (( CURRENT == 3 && $#verbs )); then compadd -- $verbs; else _files; fi\n}}\ncompdef _gamut gamut\n",
                     described, cases);
}

std::string fish(const std::vector<Row>& rows) {
  std::string out = "complete -c gamut -n __fish_use_subcommand -l threads -x -d 'threads of any command'\n";
  for (const Row& row : rows) {
    out += fmt::format("complete -c gamut -n __fish_use_subcommand -f -a {} -d {}\n", row.name, quoted(row.meaning));
    if (!row.verbs.empty()) out += fmt::format("complete -c gamut -n '__fish_seen_subcommand_from {}' -f -a {}\n", row.name, quoted(join(row.verbs, " ")));
    for (const std::string& option : row.options)
      out += fmt::format("complete -c gamut -n '__fish_seen_subcommand_from {}' {} {}\n", row.name, option.starts_with("--") ? "-l" : "-s", option.substr(option.starts_with("--") ? 2 : 1));
  }
  return out;
}

}  // namespace

void build_completion(CLI::App& command, int&) {
  auto shell = std::make_shared<std::string>();
  command.add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command.callback([shell, &command] {
    const std::vector<Row> rows = rows_of(*command.get_parent());
    std::cout << (*shell == "bash" ? bash(rows) : *shell == "zsh" ? zsh(rows) : fish(rows));
  });
}

}  // namespace gamut
