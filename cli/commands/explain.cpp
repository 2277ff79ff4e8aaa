#include <fmt/format.h>

#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "lab/lab.h"
#include "modules/channels/routers/router.h"
#include "modules/registry.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

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

void explain(const NamedArguments& a) {
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

}  // namespace

void build_explain(CLI::App& command, int&) {
  auto a = take_named(command, "name", "component; none lists all", false);
  command.callback([a] { explain(*a); });
}

}  // namespace gamut
