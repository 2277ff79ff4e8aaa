#include <fmt/format.h>

#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "cli/glossary.h"
#include "families/family.h"
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
  for (const Family& family : families()) all.push_back({"family", family.model_type, family.meaning});
  for (const GlossaryEntry& entry : glossary()) all.push_back({entry.kind, entry.name, entry.meaning});
  for (const auto& row : experiments()) all.push_back({"experiment", row.name, row.meaning});
  return all;
}

void explain(const NamedArguments& a) {
  std::vector<std::string> known;
  for (const Meaning& m : meanings()) {
    known.push_back(m.name);
    if (a.name.empty()) std::cout << fmt::format("{:24} {}\n", m.name, m.kind);
    if (m.name != a.name) continue;
    if (a.json) std::cout << Json({{"name", m.name}, {"kind", m.kind}, {"meaning", m.text}}).dump() << '\n';
    else std::cout << m.name << " (" << m.kind << ")\n" << m.text << '\n';
    return;
  }
  if (!a.name.empty()) throw Error({.who = "explain", .what = "nothing is called '" + a.name + "'", .hint = did_you_mean(a.name, known)});
}

}  // namespace

void build_explain(CLI::App& command, int&) {
  auto a = std::make_shared<NamedArguments>();
  take_named(command, *a, "name", "component, metric or setting; none lists all", false);
  command.callback([a] { explain(*a); });
}

}  // namespace gamut
