// tokenizer.json and tokenizer_config.json of byte-level BPE, both directions.
#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "data/tokenizers/bpe.h"
#include "data/tokenizers/byte_level.h"

namespace gamut {
namespace {

using nlohmann::json;  // keys in order of the alphabet: a vocabulary is looked up, its order means nothing

constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;

// One file being read; every complaint names it.
class Reader {
 public:
  Reader(std::string_view text, std::string source) : source_(std::move(source)) {
    try {
      root_ = json::parse(text);
    } catch (const json::exception& error) {
      std::string what = error.what();
      std::replace_if(what.begin(), what.end(), [](char c) { return static_cast<unsigned char>(c) < 32; }, ' ');
      fail("not valid JSON: " + what.substr(what.find("] ") == std::string::npos ? 0 : what.find("] ") + 2));
    }
    if (!root_.is_object()) fail("expected a JSON object");
  }

  const json& root() const { return root_; }

  [[noreturn]] void fail(const std::string& what, const std::string& hint = "") const {
    throw Error({.who = "tokenizer", .what = what, .where = source_, .hint = hint});
  }

  // The member, or null when it is missing.
  static const json& member(const json& object, const char* key) {
    static const json none;
    const auto at = object.find(key);
    return at == object.end() ? none : *at;
  }

  bool flag(const json& object, const char* key, bool fallback, const std::string& place) const {
    const json& value = member(object, key);
    if (value.is_null()) return fallback;
    if (!value.is_boolean()) fail(place + key + ": expected true or false, found " + value.type_name());
    return value.get<bool>();
  }

  std::string text(const json& value, const std::string& place) const {
    if (!value.is_string()) fail(place + ": expected a string, found " + value.type_name());
    return value.get<std::string>();
  }

  int32_t id(const json& value, const std::string& place) const {
    if (!value.is_number_integer()) fail(place + ": expected a token id, found " + value.type_name());
    if (value.is_number_unsigned() ? value.get<uint64_t>() > uint64_t{kMaxId} : value.get<int64_t>() < 0)
      fail(place + ": token id " + value.dump() + " is out of range");
    return value.get<int32_t>();
  }

  const json& object(const json& parent, const char* key) const {
    const json& value = member(parent, key);
    if (!value.is_object()) fail(std::string(key) + ": expected an object, found " + value.type_name());
    return value;
  }

 private:
  std::string source_;
  json root_;
};

void check_kind(const Reader& in, const char* key, const std::string& expected) {
  const json& part = in.object(in.root(), key);
  const std::string kind = in.text(Reader::member(part, "type"), std::string(key) + ".type");
  if (kind != expected)
    in.fail(std::string(key) + " of type '" + kind + "' is not supported", "byte-level BPE needs '" + expected + "'");
}

void read_vocabulary(const Reader& in, const json& model, BpeDefinition& out) {
  const json& vocab = in.object(model, "vocab");
  if (vocab.empty()) in.fail("model.vocab is empty");
  int64_t highest = 0;
  for (const auto& [token, id] : vocab.items()) highest = std::max<int64_t>(highest, in.id(id, "model.vocab['" + token + "']"));
  if (highest > 4 * static_cast<int64_t>(vocab.size()) + 4096)
    in.fail("model.vocab has " + std::to_string(vocab.size()) + " tokens but ids up to " + std::to_string(highest));
  out.tokens.resize(static_cast<size_t>(highest) + 1);
  for (const auto& [token, id] : vocab.items()) {
    if (token.empty()) in.fail("model.vocab holds an empty token");
    std::string& place = out.tokens[id.get<size_t>()];
    if (!place.empty()) in.fail("model.vocab gives id " + id.dump() + " to '" + place + "' and '" + token + "'");
    place = token;
  }
}

void read_merges(const Reader& in, const json& model, BpeDefinition& out) {
  const json& merges = Reader::member(model, "merges");
  if (!merges.is_array()) in.fail(std::string("model.merges: expected a list, found ") + merges.type_name());
  const json& vocab = model["vocab"];
  for (size_t i = 0; i < merges.size(); ++i) {
    const std::string place = "model.merges[" + std::to_string(i) + "]";
    std::array<std::string, 2> halves;
    const json& merge = merges[i];
    if (merge.is_string()) {  // "a b"
      const auto line = merge.get<std::string>();
      if (i == 0 && line.starts_with("#version")) continue;
      const size_t space = line.find(' ');
      if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) in.fail(place + ": expected two tokens, found '" + line + "'");
      halves = {line.substr(0, space), line.substr(space + 1)};
    } else {
      if (!merge.is_array() || merge.size() != 2) in.fail(place + ": expected two tokens");
      halves = {in.text(merge[0], place), in.text(merge[1], place)};
    }
    std::array<int32_t, 2> ids;
    for (size_t half = 0; half < 2; ++half) {
      const auto at = vocab.find(halves[half]);
      if (at == vocab.end()) in.fail(place + ": '" + halves[half] + "' is not in the vocabulary");
      ids[half] = at->get<int32_t>();
    }
    out.merges.emplace_back(ids[0], ids[1]);
  }
}

void read_model(const Reader& in, BpeDefinition& out) {
  const json& model = in.object(in.root(), "model");
  const json& type = Reader::member(model, "type");
  const std::string kind = type.is_null() ? (model.contains("merges") ? "BPE" : "unknown") : in.text(type, "model.type");
  if (kind != "BPE") in.fail("model of type '" + kind + "' is not supported", "byte-level BPE needs 'BPE'");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json& value = Reader::member(model, affix);
    if (!value.is_null() && !in.text(value, std::string("model.") + affix).empty())
      in.fail(std::string("model.") + affix + " is not supported", "byte-level BPE has none");
  }
  const json& dropout = Reader::member(model, "dropout");
  if (!dropout.is_null() && dropout != 0) in.fail("model.dropout is not supported", "set it to null");
  out.ignore_merges = in.flag(model, "ignore_merges", false, "model.");
  read_vocabulary(in, model, out);
  read_merges(in, model, out);
}

// An added token keeps its id when the model has its text; else it takes the next free one, whatever the file says.
void read_added_tokens(const Reader& in, BpeDefinition& out) {
  const json& list = Reader::member(in.root(), "added_tokens");
  if (list.is_null()) return;
  if (!list.is_array()) in.fail(std::string("added_tokens: expected a list, found ") + list.type_name());
  const json& vocab = in.root()["model"]["vocab"];
  auto next = static_cast<int32_t>(vocab.size());
  std::set<std::string> seen;
  std::vector<std::pair<int32_t, const json*>> ordered;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = "added_tokens[" + std::to_string(i) + "]";
    if (!list[i].is_object()) in.fail(place + ": expected an object, found " + list[i].type_name());
    ordered.emplace_back(in.id(Reader::member(list[i], "id"), place + ".id"), &list[i]);
  }
  for (size_t i = 0; i < ordered.size(); ++i) {
    const auto& [written, entry] = ordered[i];
    const std::string place = "added_tokens[" + std::to_string(i) + "].";
    AddedToken token;
    token.content = in.text(Reader::member(*entry, "content"), place + "content");
    if (token.content.empty()) continue;
    if (!seen.insert(token.content).second) in.fail(place + "content: '" + token.content + "' occurs twice");
    token.special = in.flag(*entry, "special", false, place);
    token.single_word = in.flag(*entry, "single_word", false, place);
    token.lstrip = in.flag(*entry, "lstrip", false, place);
    token.rstrip = in.flag(*entry, "rstrip", false, place);
    token.normalized = in.flag(*entry, "normalized", !token.special, place);
    if (const auto at = vocab.find(token.content); at != vocab.end()) {
      token.id = at->get<int32_t>();
    } else {
      token.id = next;
    }
    if (token.id != written)
      log::warn("tokenizer: added token '{}' gets id {}, not {} as written", token.content, token.id, written);
    next = std::max(next, token.id + 1);
    if (static_cast<size_t>(token.id) < out.tokens.size()) {
      const std::string& there = out.tokens[static_cast<size_t>(token.id)];
      if (!there.empty() && there != token.content)
        in.fail(place + "id " + std::to_string(token.id) + " belongs to '" + there + "' of the model");
    }
    out.added.push_back(std::move(token));
  }
}

std::optional<std::string> named_token(const Reader& in, const char* key) {
  const json& value = Reader::member(in.root(), key);
  if (value.is_null()) return std::nullopt;
  if (value.is_object()) return in.text(Reader::member(value, "content"), std::string(key) + ".content");
  return in.text(value, key);
}

json describe(const AddedToken& token) {
  return {{"id", token.id}, {"content", token.content}, {"single_word", token.single_word}, {"lstrip", token.lstrip},
          {"rstrip", token.rstrip}, {"normalized", token.normalized}, {"special", token.special}};
}

}  // namespace

BpeDefinition read_bpe(std::string_view text, const std::string& source, std::string_view config, const std::string& config_source) {
  const Reader in(text, source);
  BpeDefinition out;
  const json& version = Reader::member(in.root(), "version");
  if (!version.is_null() && version != "1.0") in.fail("version " + version.dump() + " is not supported", "expected \"1.0\"");
  if (!Reader::member(in.root(), "normalizer").is_null()) in.fail("a normalizer is not supported", "byte-level BPE takes text as it is");
  for (const char* key : {"truncation", "padding"})
    if (!Reader::member(in.root(), key).is_null()) log::warn("tokenizer: {} in {} is not applied", key, source);
  check_kind(in, "pre_tokenizer", "ByteLevel");
  check_kind(in, "decoder", "ByteLevel");
  const json& split = in.root()["pre_tokenizer"];
  out.add_prefix_space = in.flag(split, "add_prefix_space", true, "pre_tokenizer.");
  out.use_regex = in.flag(split, "use_regex", true, "pre_tokenizer.");
  out.post_processor = Reader::member(in.root(), "post_processor");
  if (!out.post_processor.is_null() && !out.post_processor.is_object())
    in.fail(std::string("post_processor: expected an object, found ") + out.post_processor.type_name());
  read_model(in, out);
  read_added_tokens(in, out);
  if (!config.empty()) {
    const Reader about(config, config_source);
    out.bos = named_token(about, "bos_token");
    out.eos = named_token(about, "eos_token");
  } else {
    for (const AddedToken& token : out.added)
      if (token.content == "<|endoftext|>") out.bos = out.eos = token.content;
  }
  return out;
}

std::string write_bpe(const BpeDefinition& definition) {
  // By hand, so that vocabulary and merges stand in their order, one a line.
  const auto quoted = [](const std::string& s) { return json(s).dump(); };
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  for (size_t i = 0; i < definition.added.size(); ++i) out += (i ? ",\n    " : "\n    ") + describe(definition.added[i]).dump();
  out += definition.added.empty() ? "],\n" : "\n  ],\n";
  const json split = {{"type", "ByteLevel"}, {"add_prefix_space", definition.add_prefix_space}, {"trim_offsets", true},
                      {"use_regex", definition.use_regex}};
  const json decoder = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  out += "  \"normalizer\": null,\n  \"pre_tokenizer\": " + split.dump() + ",\n";
  out += "  \"post_processor\": " + definition.post_processor.dump() + ",\n  \"decoder\": " + decoder.dump() + ",\n";
  out += "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n";
  out += "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": ";
  out += definition.ignore_merges ? "true,\n    \"vocab\": {" : "false,\n    \"vocab\": {";
  const char* separator = "\n      ";
  for (size_t id = 0; id < definition.tokens.size(); ++id) {
    if (definition.tokens[id].empty()) continue;
    out += separator + quoted(definition.tokens[id]) + ": " + std::to_string(id);
    separator = ",\n      ";
  }
  out += "\n    },\n    \"merges\": [";
  separator = "\n      ";
  for (const auto& [left, right] : definition.merges) {
    const json pair = {definition.tokens[static_cast<size_t>(left)], definition.tokens[static_cast<size_t>(right)]};
    out += separator + pair.dump();
    separator = ",\n      ";
  }
  out += definition.merges.empty() ? "]\n  }\n}\n" : "\n    ]\n  }\n}\n";
  return out;
}

std::string write_tokenizer_config(const BpeDefinition& definition) {
  nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                                   {"clean_up_tokenization_spaces", false},
                                   {"add_prefix_space", definition.add_prefix_space},
                                   {"model_max_length", 1000000000000000019884624838656.0}};
  if (definition.bos) config["bos_token"] = *definition.bos;
  if (definition.eos) config["eos_token"] = *definition.eos;
  return config.dump(2) + "\n";
}

}  // namespace gamut
