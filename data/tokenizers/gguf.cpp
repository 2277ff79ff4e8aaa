#include "data/tokenizers/gguf.h"

#include <algorithm>
#include <unordered_map>

#include "base/log.h"
#include "base/text.h"
#include "data/tokenizers/gguf_pre_tokenizers.h"
#include "data/tokenizers/tokenizer.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

enum TokenType : int { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };  // of SentencePiece; unused and byte tokens are ordinary here

const GgufPreTokenizer& find_pre_tokenizer(const GgufMetadata& metadata) {
  const std::string key = "tokenizer.ggml.pre", name(metadata.text(key, "default"));
  if (name == "default") {  // what files say that were made before the key was
    log::warn("tokenizer: the file does not name its pre-tokenizer; words are cut as GPT-2 cuts them");
    return gguf_pre_tokenizers()[0];
  }
  std::vector<std::string> known;
  for (const GgufPreTokenizer& row : gguf_pre_tokenizers())
    for (std::string& each : split(row.names, ' ')) {
      if (each == name) return row;
      known.push_back(std::move(each));
    }
  metadata.reject(key, "is '" + name + "', a pre-tokenizer this version does not know", did_you_mean(name, known));
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 32) out += "\\u00" + std::string(1, c < 16 ? '0' : '1') + "0123456789abcdef"[c & 15];
    else out += c;
  }
  out += '"';
}

bool is_utf8(std::string_view text) {
  bool good = true;
  for_each_character(text, [&](uint32_t code, std::string_view) { good = good && code != Character::broken; });
  return good;
}

struct Tokens {
  std::vector<std::string> texts;
  std::vector<int> types;
  std::vector<double> scores;  // may be empty
};

Tokens read_tokens(const GgufMetadata& metadata) {
  const std::string key = "tokenizer.ggml.tokens";
  Tokens out;
  for (const std::string_view text : metadata.texts(key)) {
    if (!is_utf8(text)) metadata.reject(key, "holds token " + std::to_string(out.texts.size()) + ", which is not UTF-8");
    out.texts.emplace_back(text);
  }
  out.types.assign(out.texts.size(), kNormal);
  if (metadata.has("tokenizer.ggml.token_type")) {
    const std::vector<double> types = metadata.numbers("tokenizer.ggml.token_type");
    std::transform(types.begin(), types.end(), out.types.begin(), [](double type) { return type >= 0 && type < 16 ? static_cast<int>(type) : 0; });
    out.types.resize(types.size());
  }
  if (metadata.has("tokenizer.ggml.scores")) out.scores = metadata.numbers("tokenizer.ggml.scores");
  if (out.types.size() != out.texts.size()) metadata.reject("tokenizer.ggml.token_type", "has " + std::to_string(out.types.size()) + " entries for " + std::to_string(out.texts.size()) + " tokens");
  if (!out.scores.empty() && out.scores.size() != out.texts.size())
    metadata.reject("tokenizer.ggml.scores", "has " + std::to_string(out.scores.size()) + " entries for " + std::to_string(out.texts.size()) + " tokens");
  return out;
}

// The text of the token with the id that `key` names; "" when nothing does.
std::string named_token(const GgufMetadata& metadata, const Tokens& tokens, const std::string& key, int64_t fallback = -1) {
  const int64_t id = metadata.integer("tokenizer.ggml." + key, fallback);
  if (id < 0 || (id == fallback && id >= static_cast<int64_t>(tokens.texts.size()))) return "";
  if (id >= static_cast<int64_t>(tokens.texts.size())) metadata.reject("tokenizer.ggml." + key, "is " + std::to_string(id) + ", the vocabulary has " + std::to_string(tokens.texts.size()) + " tokens");
  return tokens.texts[static_cast<size_t>(id)];
}

// The merges that SentencePiece's BPE makes: every cut of a token into two tokens, in the order of the whole's score. Of cuts of one token the one with the
// longer left half comes first.
std::string merges_by_score(const Tokens& tokens) {
  struct Merge {
    double score;
    uint32_t characters;  // of the left half
    uint32_t token, cut;  // at this byte
  };
  std::unordered_map<std::string_view, int> ids(2 * tokens.texts.size());
  for (size_t i = 0; i < tokens.texts.size(); ++i) ids.emplace(tokens.texts[i], static_cast<int>(i));
  std::vector<Merge> merges;
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (tokens.types[i] != kNormal && tokens.types[i] != kUserDefined) continue;
    const std::string_view text = tokens.texts[i];
    uint32_t characters = 0;
    for (size_t at = 0; at < text.size(); ++characters) {
      if (at > 0 && ids.contains(text.substr(0, at)) && ids.contains(text.substr(at)))
        merges.push_back({tokens.types[i] == kUserDefined ? 0 : tokens.scores[i], characters, static_cast<uint32_t>(i), static_cast<uint32_t>(at)});
      at += character_at(text, at).bytes;
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [&](const Merge& a, const Merge& b) { return a.score != b.score ? a.score > b.score : a.characters > b.characters; });
  std::string out;
  for (const Merge& merge : merges) {
    const std::string_view text = tokens.texts[merge.token];
    out += out.empty() ? "[" : ",[";
    append_json(out, text.substr(0, merge.cut));
    out += ',';
    append_json(out, text.substr(merge.cut));
    out += ']';
  }
  return out;
}

std::string merges_of_pairs(const GgufMetadata& metadata) {
  std::string out;
  for (const std::string_view merge : metadata.texts("tokenizer.ggml.merges")) {
    if (!is_utf8(merge)) metadata.reject("tokenizer.ggml.merges", "is not UTF-8");
    if (!out.empty()) out += ',';
    append_json(out, merge);
  }
  return out;
}

std::string vocabulary(const Tokens& tokens) {
  std::string out;
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (i > 0) out += ',';
    append_json(out, tokens.texts[i]);
    out += ':' + std::to_string(i);
  }
  return out;
}

Json added_tokens(const Tokens& tokens) {
  Json out = Json::array();
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    const bool special = tokens.types[i] == kControl || tokens.types[i] == kUnknown;
    if ((!special && tokens.types[i] != kUserDefined) || tokens.texts[i].empty()) continue;
    out.push_back({{"id", i}, {"content", tokens.texts[i]}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", special}});
  }
  return out;
}

// [bos] A [eos], as far as they are to be added.
Json template_of(const std::string& bos, const std::string& eos, const Tokens& tokens) {
  Json single = Json::array(), pair = Json::array(), specials = Json::object();
  const auto special = [&](Json& list, const std::string& token, int type) {
    if (token.empty()) return;
    const auto id = std::find(tokens.texts.begin(), tokens.texts.end(), token) - tokens.texts.begin();
    specials[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    list.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
  };
  for (Json* list : {&single, &pair})
    for (int type = 0; type < (list == &pair ? 2 : 1); ++type) {
      special(*list, bos, type);
      list->push_back({{"Sequence", {{"id", type == 0 ? "A" : "B"}, {"type_id", type}}}});
      special(*list, eos, type);
    }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

}  // namespace

TokenizerFiles tokenizer_of(const GgufMetadata& metadata) {
  const std::string kind_key = "tokenizer.ggml.model", kind(metadata.text(kind_key));
  const bool sentencepiece = kind == "llama";
  if (!sentencepiece && kind != "gpt2") metadata.reject(kind_key, "is '" + kind + "', a kind of vocabulary this version does not read", "known: gpt2, llama");
  Tokens tokens = read_tokens(metadata);
  const GgufPreTokenizer* pre = sentencepiece ? nullptr : &find_pre_tokenizer(metadata);
  const std::string bos = named_token(metadata, tokens, "bos_token_id", sentencepiece ? 1 : -1), eos = named_token(metadata, tokens, "eos_token_id", sentencepiece ? 2 : -1);
  const std::string unknown = named_token(metadata, tokens, "unknown_token_id", sentencepiece ? 0 : -1);

  std::string model = R"({"type":"BPE","dropout":null,"unk_token":)";
  Json normalizer, pre_tokenizer, decoder;
  if (sentencepiece) {
    if (tokens.scores.empty()) metadata.reject("tokenizer.ggml.scores", "is missing; they order the merges");
    for (size_t i = 0; i < tokens.texts.size(); ++i)  // runs of spaces are written as such where SentencePiece has its own sign for them
      if (tokens.types[i] == kUserDefined && tokens.texts[i].find_first_not_of(' ') == std::string::npos) {
        std::string spaces;
        for (size_t n = tokens.texts[i].size(); n > 0; --n) spaces += "▁";
        tokens.texts[i] = spaces;
      }
    append_json(model, unknown);
    model += R"(,"fuse_unk":true,"byte_fallback":true,"ignore_merges":false,"vocab":{)" + vocabulary(tokens) + R"(},"merges":[)" + merges_by_score(tokens) + "]}";
    const Json spaces = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
    Json back = {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}}, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
    normalizer = spaces;
    if (metadata.flag("tokenizer.ggml.add_space_prefix", true)) {
      normalizer = {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}, {"prepend", "▁"}}, spaces}}};
      back.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    }
    decoder = {{"type", "Sequence"}, {"decoders", back}};
  } else {
    model += std::string(R"(null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":)") + (pre->ignore_merges ? "true" : "false");
    model += R"(,"vocab":{)" + vocabulary(tokens) + R"(},"merges":[)" + merges_of_pairs(metadata) + "]}";
    if (pre->nfc) normalizer = {{"type", "NFC"}};
    pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", pre->parts}};
    decoder = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  }
  const bool add_bos = metadata.flag("tokenizer.ggml.add_bos_token", sentencepiece || pre->bos), add_eos = metadata.flag("tokenizer.ggml.add_eos_token", false);
  Json post_processor;
  if ((add_bos && !bos.empty()) || (add_eos && !eos.empty())) post_processor = template_of(add_bos ? bos : "", add_eos ? eos : "", tokens);

  TokenizerFiles out;
  out.tokenizer = R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" + added_tokens(tokens).dump() + R"(,"normalizer":)" + normalizer.dump() + R"(,"pre_tokenizer":)" +
                  pre_tokenizer.dump() + R"(,"post_processor":)" + post_processor.dump() + R"(,"decoder":)" + decoder.dump() + R"(,"model":)" + model + "}\n";
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  for (const auto& [key, token] : {std::pair("bos_token", bos), std::pair("eos_token", eos), std::pair("unk_token", unknown), std::pair("pad_token", named_token(metadata, tokens, "padding_token_id"))})
    if (!token.empty()) config[key] = token;
  if (metadata.has("tokenizer.chat_template")) config["chat_template"] = lossy_utf8(metadata.text("tokenizer.chat_template"));
  out.config = config.dump(2) + "\n";
  return out;
}

}  // namespace gamut
