#include "data/tokenizers/pipeline.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "data/tokenizers/word_cache.h"

namespace gamut {
namespace {

TokenFinder finder(const PipelineDefinition& definition, bool normalized) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> patterns;
  for (const AddedToken& token : definition.added) {
    if (token.normalized != normalized) continue;
    tokens.push_back(token);
    patterns.push_back(token.content);
    if (normalized && definition.normalizer) definition.normalizer->apply(patterns.back());
  }
  return {std::move(tokens), patterns};
}

}  // namespace

struct Pipeline::Scratch {
  WordCache words;
  std::vector<TokenFinder::Stretch> stretches, inner;
  std::string normalized;
  Pieces pieces;
};

Pipeline::Pipeline(std::unique_ptr<const PipelineDefinition> definition)
    : definition_(std::move(definition)), raw_(finder(*definition_, false)), normalized_(finder(*definition_, true)) {
  const Vocabulary& vocabulary = definition_->model->vocabulary();
  size_t ids = static_cast<size_t>(vocabulary.ids());
  for (const AddedToken& token : definition_->added) ids = std::max(ids, static_cast<size_t>(token.id) + 1);
  texts_.resize(ids);
  special_.resize(ids);
  for (int32_t id = 0; id < vocabulary.ids(); ++id) texts_[static_cast<size_t>(id)] = vocabulary.text(id);
  for (const AddedToken& token : definition_->added) {
    texts_[static_cast<size_t>(token.id)] = token.content;
    special_[static_cast<size_t>(token.id)] = token.special;
    added_ids_.emplace(token.content, token.id);
  }
  while (static_cast<size_t>(ordinary_) + 1 < ids && (special_[static_cast<size_t>(ordinary_)] || texts_[static_cast<size_t>(ordinary_)].size() != 1)) ++ordinary_;
  const auto known = [&](const std::optional<std::string>& name, const char* role) -> std::optional<int32_t> {
    if (!name) return std::nullopt;
    const auto id = id_of(*name);
    if (!id) log::warn("tokenizer: {} token '{}' is not in the vocabulary", role, *name);
    return id;
  };
  bos_ = known(definition_->bos, "bos");
  eos_ = known(definition_->eos, "eos");
  StreamHash hash;
  hash.update(definition_->json.data(), definition_->json.size());
  const int32_t ends[2] = {bos_.value_or(-1), eos_.value_or(-1)};
  hash.update(ends, sizeof(ends));
  hash_ = hash.hex();
}

Pipeline::~Pipeline() = default;

void Pipeline::encode_to(std::string_view text, std::vector<int32_t>& ids, SpecialTokens specials) const {
  std::unique_ptr<Scratch> scratch;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      scratch = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!scratch) scratch = std::make_unique<Scratch>();
  scratch->stretches.clear();
  raw_.split(text, specials, scratch->stretches);
  for (const TokenFinder::Stretch& stretch : scratch->stretches) {
    if (stretch.id >= 0) {
      ids.push_back(stretch.id);
      continue;
    }
    std::string_view part = text.substr(stretch.begin, stretch.end - stretch.begin);
    if (definition_->normalizer) {
      scratch->normalized = part;
      definition_->normalizer->apply(scratch->normalized);
      part = scratch->normalized;
    }
    if (normalized_.empty()) {
      encode_stretch(part, stretch.begin == 0, *scratch, ids);
      continue;
    }
    scratch->inner.clear();
    normalized_.split(part, specials, scratch->inner);
    for (const TokenFinder::Stretch& inner : scratch->inner) {
      if (inner.id >= 0) ids.push_back(inner.id);
      else encode_stretch(part.substr(inner.begin, inner.end - inner.begin), stretch.begin == 0 && inner.begin == 0, *scratch, ids);
    }
  }
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(scratch));
}

void Pipeline::encode_stretch(std::string_view text, bool at_start, Scratch& scratch, std::vector<int32_t>& ids) const {
  const Model& model = *definition_->model;
  Pieces& pieces = scratch.pieces;
  pieces.reset(text, at_start);
  if (definition_->pre_tokenizer) definition_->pre_tokenizer->apply(pieces);
  const bool bytes = pieces.byte_level();
  const auto encode = [&](std::string_view piece) {
    const auto now = [&](std::vector<int32_t>& out) { bytes ? model.encode_bytes(piece, out) : model.encode(piece, out); };
    if (piece.size() <= WordCache::kMostBytes) scratch.words.get(piece, ids, now);
    else now(ids);
  };
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::string_view piece = pieces[i];
    if (bytes || piece.size() <= WordCache::kMostBytes) {
      encode(piece);
      continue;
    }
    for (size_t begin = 0; begin < piece.size();) {
      const size_t end = model.part_end(piece, begin);
      encode(piece.substr(begin, end - begin));
      begin = end;
    }
  }
}

FramedIds Pipeline::frame(const std::vector<int32_t>& first, const std::vector<int32_t>* second) const {
  return definition_->post_processor ? definition_->post_processor->apply(first, second) : unframed(first, second);
}

void Pipeline::check_id(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= texts_.size())
    throw Error({.who = "tokenizer", .what = "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(texts_.size())});
}

std::string Pipeline::decode(std::span<const int32_t> ids, bool keep_specials) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    check_id(id);
    const std::string_view text = texts_[static_cast<size_t>(id)];
    if (text.data() != nullptr && (keep_specials || !special_[static_cast<size_t>(id)])) tokens.emplace_back(text);
  }
  if (definition_->decoder) definition_->decoder->apply(tokens);
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && !definition_->decoder) out += ' ';
    out += tokens[i];
  }
  return out;
}

int Pipeline::token_bytes(int32_t id) const {
  if (is_special(id)) return 0;
  const std::string_view text = texts_[static_cast<size_t>(id)];
  if (definition_->model->has_byte_fallback() && text.size() == 6 && text.starts_with("<0x") && text.back() == '>') return 1;
  const int32_t pair[] = {ordinary_, id};
  const size_t both = decode(pair, true).size(), before = decode(std::span(pair, 1), true).size();
  return static_cast<int>(both - std::min(both, before));
}

bool Pipeline::is_special(int32_t id) const {
  check_id(id);
  return special_[static_cast<size_t>(id)];
}

std::string Pipeline::token_text(int32_t id) const {
  check_id(id);
  return std::string(texts_[static_cast<size_t>(id)]);
}

std::optional<int32_t> Pipeline::id_of(std::string_view token) const {
  if (const auto at = added_ids_.find(token); at != added_ids_.end()) return at->second;
  const int32_t id = definition_->model->vocabulary().find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::shared_ptr<const Tokenizer> Pipeline::with_special_tokens(std::span<const std::string> tokens) const {
  Json document = parse_json(definition_->json, "tokenizer.json");
  Json& added = document["added_tokens"];
  if (added.is_null()) added = Json::array();
  int64_t next = vocab_size();
  for (const std::string& token : tokens)
    if (!id_of(token)) added.push_back({{"id", next++}, {"content", token}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}});
  return from_json(document.dump(), definition_->config, "tokenizer.json");
}

std::shared_ptr<const Tokenizer> Pipeline::with_frame(const std::string& first, const std::string& last) const {
  if (definition_->post_processor && definition_->post_processor->frames()) return from_json(definition_->json, definition_->config, "tokenizer.json");
  const auto token = [](const std::string& name, int type) { return Json({{"SpecialToken", {{"id", name}, {"type_id", type}}}}); };
  const auto text = [](const char* name, int type) { return Json({{"Sequence", {{"id", name}, {"type_id", type}}}}); };
  Json special = Json::object();
  for (const std::string& name : {first, last}) {
    const auto id = id_of(name);
    if (!id) throw Error({.who = "tokenizer", .what = "has no token '" + name + "' to frame texts with"});
    special[name] = {{"id", name}, {"ids", {*id}}, {"tokens", {name}}};
  }
  const Json frame = {{"type", "TemplateProcessing"},
                      {"single", {token(first, 0), text("A", 0), token(last, 0)}},
                      {"pair", {token(first, 0), text("A", 0), token(last, 0), text("B", 1), token(last, 1)}},
                      {"special_tokens", special}};
  Json document = parse_json(definition_->json, "tokenizer.json");
  Json& processor = document["post_processor"];  // what trims offsets alone stays
  processor = processor.is_null() ? frame : Json({{"type", "Sequence"}, {"processors", {processor, frame}}});
  Json config = definition_->config.empty() ? Json::object() : parse_json(definition_->config, "tokenizer_config.json");
  config["cls_token"] = first;
  config["sep_token"] = last;
  return from_json(document.dump(), definition_->config.empty() ? "" : config.dump(2) + "\n", "tokenizer.json");
}

void Pipeline::save(const std::filesystem::path& folder) const {
  make_folder(folder);
  write_file(folder / "tokenizer.json", definition_->json);
  std::string config = definition_->config;
  if (config.empty()) {
    Json about = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
    if (bos_) about["bos_token"] = token_text(*bos_);
    if (eos_) about["eos_token"] = token_text(*eos_);
    config = about.dump(2) + "\n";
  }
  write_file(folder / "tokenizer_config.json", config);
}

}  // namespace gamut
