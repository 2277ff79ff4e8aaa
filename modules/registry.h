// Registries of components: a kind's name, how to build it, and what its options mean.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "modules/module.h"

namespace gamut {

// What a sequence mixer's positions can see besides themselves: what came before, also what follows where the objective lets them, or an encoded source.
enum class Looks : uint8_t { back, both_ways, at_source };

template <class Interface> struct Registered {
  std::string kind;
  std::string meaning;  // one paragraph: what it computes, equation, source; shown by `gamut explain`
  std::function<std::unique_ptr<Interface>(const BuildContext&, Config&)> build;
  // Options, as JSON, of layers of width 32 that together show all it can do: the laws that every component keeps are tested on them. A list
  // holds the options of the first layer and of the second.
  std::vector<std::string> samples = {"{}"};
  Looks looks = Looks::back;  // of a sequence mixer
};

// The row named `kind`, or an Error with the nearest name.
template <class Row> const Row& find_registered(const std::vector<Row>& rows, const std::string& kind, const std::string& what) {
  std::vector<std::string> known;
  for (const Row& row : rows) {
    if (row.kind == kind) return row;
    known.push_back(row.kind);
  }
  throw Error({.who = "model", .what = "unknown " + what + " '" + kind + "'", .hint = did_you_mean(kind, known)});
}

// A program may add mixers of its own before it builds models.
std::vector<Registered<SequenceMixer>>& sequence_mixers();        // modules/mixers/registry.cpp
const std::vector<Registered<ChannelMixer>>& channel_mixers();    // modules/channels/registry.cpp
const std::vector<Registered<Head>>& heads();                     // modules/heads/registry.cpp

}  // namespace gamut
