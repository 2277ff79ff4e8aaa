// What normalizers, pre-tokenizers, models, post-processors and decoders have in common: each is an object of tokenizer.json with
// a "type", read strictly, and each kind is one file and one row of its folder's registry.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/text.h"

namespace gamut {

template <class Part> struct PartKind {
  const char* type;
  std::unique_ptr<const Part> (*read)(Config& cfg);  // takes the keys beside "type"
};

// Reads the part the object describes. Unknown types and left-over keys are Errors with the nearest name.
template <class Part> std::unique_ptr<const Part> read_part(Config& cfg, std::span<const PartKind<Part>> kinds) {
  const auto type = cfg.take<std::string>("type");
  std::vector<std::string> known;
  for (const PartKind<Part>& kind : kinds) {
    if (type == kind.type) {
      auto part = kind.read(cfg);
      cfg.finish();
      return part;
    }
    known.emplace_back(kind.type);
  }
  cfg.reject("type", "'" + type + "' is not supported", did_you_mean(type, known));
}

// The objects of a list, one configuration each.
inline std::vector<Config> take_objects(Config& cfg, const std::string& key) {
  std::vector<Config> out;
  const Json list = cfg.take_json(key);
  if (!list.is_array()) cfg.reject(key, std::string("must be a list, not ") + list.type_name());
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_object()) cfg.reject(key, "must be a list of objects");
    out.emplace_back(list[i], cfg.origin(), (cfg.prefix().empty() ? "" : cfg.prefix() + ".") + key + "[" + std::to_string(i) + "]");
  }
  return out;
}

}  // namespace gamut
