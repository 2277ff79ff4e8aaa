#include "data/tokenizers/metaspace.h"

#include "data/tokenizers/unicode.h"

namespace gamut {

Metaspace take_metaspace(Config& cfg) {
  Metaspace out;
  out.replacement = cfg.take<std::string>("replacement", "▁");
  if (out.replacement.empty() || character_at(out.replacement, 0).bytes != out.replacement.size()) cfg.reject("replacement", "must be one character");
  const bool old_style = cfg.has("add_prefix_space");  // files from before prepend_scheme
  const bool prefix = cfg.take<bool>("add_prefix_space", true);
  const std::string scheme = cfg.take_choice("prepend_scheme", old_style && !prefix ? "never" : "always", {"always", "first", "never"});
  out.prepend = scheme == "always" ? Metaspace::Prepend::always : scheme == "first" ? Metaspace::Prepend::first : Metaspace::Prepend::never;
  out.split = cfg.take<bool>("split", true);
  cfg.ignore("str_rep", "says the same as replacement");
  return out;
}

}  // namespace gamut
