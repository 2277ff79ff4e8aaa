#include <fmt/format.h>

#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "cli/glossary.h"
#include "families/family.h"
#include "lab/lab.h"
#include "modules/channels/routers/router.h"
#include "modules/conversions/conversion.h"
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
  for (const auto& row : upcycle_methods()) all.push_back({"method of upcycling", row.kind, row.meaning});
  for (const auto& row : downcycle_methods()) all.push_back({"method of downcycling", row.kind, row.meaning});
  for (const auto& row : objectives()) all.push_back({"objective", row.kind, row.meaning});
  for (const Family& family : families()) all.push_back({"family", family.model_type, family.meaning});
  for (const GlossaryEntry& entry : glossary()) all.push_back({entry.kind, entry.name, entry.meaning});
  for (const auto& row : experiments()) all.push_back({"experiment", row.name, row.meaning});
  return all;
}

// Settings are known by their last part too: lr is optimizer.lr.
std::vector<Meaning> called(const std::string& name) {
  std::vector<Meaning> whole, last;
  for (const Meaning& m : meanings()) {
    if (m.name == name) whole.push_back(m);
    if (m.name.ends_with("." + name)) last.push_back(m);
  }
  return whole.empty() ? last : whole;
}

void explain(const NamedArguments& a) {
  if (a.name.empty()) {
    for (const Meaning& m : meanings()) std::cout << fmt::format("{:24} {}\n", m.name, m.kind);
    return;
  }
  const std::vector<Meaning> found = called(a.name);  // mamba is a mixer and a family
  if (found.empty()) {
    std::vector<std::string> known;
    for (const Meaning& m : meanings()) known.push_back(m.name);
    throw Error({.who = "explain", .what = "nothing is called '" + a.name + "'", .hint = did_you_mean(a.name, known)});
  }
  for (const Meaning& m : found) {
    if (a.json) std::cout << Json({{"name", m.name}, {"kind", m.kind}, {"meaning", m.text}}).dump() << '\n';
    else std::cout << (&m == found.data() ? "" : "\n") << m.name << " (" << m.kind << ")\n" << m.text << '\n';
  }
}

}  // namespace

void build_explain(CLI::App& command, int&) {
  auto a = std::make_shared<NamedArguments>();
  take_named(command, *a, "name", "component, metric or setting; none lists all", false);
  command.callback([a] { explain(*a); });
}

}  // namespace gamut
