#include <map>

#include "data/tokenizers/post_processors/post_processor.h"

namespace gamut {
namespace {

class Template final : public PostProcessor {
 public:
  Template(std::vector<TemplatePiece> single, std::vector<TemplatePiece> pair) : single_(std::move(single)), pair_(std::move(pair)) {}

  FramedIds apply(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const override {
    FramedIds out;
    for (const TemplatePiece& piece : second ? pair_ : single_) out.add(piece.kind == TemplatePiece::tokens ? piece.ids : piece.kind == TemplatePiece::second && second ? *second : first, piece.type);
    return out;
  }

 private:
  std::vector<TemplatePiece> single_, pair_;
};

using SpecialTokens = std::map<std::string, std::vector<int32_t>>;

SpecialTokens take_special_tokens(Config& cfg) {
  SpecialTokens out;
  const Json table = cfg.has("special_tokens") ? cfg.take_json("special_tokens") : Json::object();
  if (!table.is_object()) cfg.reject("special_tokens", "must be an object");
  for (const auto& [name, about] : table.items()) {
    const auto refuse = [&, &name = name] { cfg.reject("special_tokens", "'" + name + "' must have a list of ids"); };
    if (!about.is_object() || !about.contains("ids") || !about["ids"].is_array()) refuse();
    for (const Json& id : about["ids"]) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) refuse();
      out[name].push_back(id.get<int32_t>());
    }
  }
  return out;
}

std::vector<TemplatePiece> take_pieces(Config& cfg, const std::string& key, const SpecialTokens& special, bool two) {
  std::vector<TemplatePiece> out;
  for (Config& item : take_objects(cfg, key)) {
    const bool text = item.has("Sequence");
    Config about = item.sub(text ? "Sequence" : "SpecialToken");
    const auto name = about.take<std::string>("id");
    const auto type = about.take_in<int32_t>("type_id", 0, 0, INT32_MAX);
    about.finish();
    item.finish();
    if (text) {
      if (name != "A" && !(two && name == "B")) about.reject("id", "is '" + name + "'; expected " + (two ? "A or B" : "A"));
      out.push_back({name == "A" ? TemplatePiece::first : TemplatePiece::second, {}, type});
    } else {
      const auto ids = special.find(name);
      if (ids == special.end()) about.reject("id", "'" + name + "' is not among special_tokens");
      out.push_back({TemplatePiece::tokens, ids->second, type});
    }
  }
  return out;
}

}  // namespace

PostProcessorPtr make_template(std::vector<TemplatePiece> single, std::vector<TemplatePiece> pair) { return std::make_unique<Template>(std::move(single), std::move(pair)); }

PostProcessorPtr read_template(Config& cfg) {
  const SpecialTokens special = take_special_tokens(cfg);
  auto single = take_pieces(cfg, "single", special, false);
  return make_template(std::move(single), take_pieces(cfg, "pair", special, true));
}

}  // namespace gamut
