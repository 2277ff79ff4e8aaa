// tokenizer.json and tokenizer_config.json → a pipeline.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "data/tokenizers/json_cursor.h"
#include "data/tokenizers/pipeline.h"

namespace gamut {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;

// The parts of the file: large ones read, the others as trees.
struct Contents {
  Json parts = Json::object();  // every other key
  Json model = Json::object();  // "model" without vocab and merges
  ModelData data;
};

void read_vocab(JsonCursor& in, ModelData& data) {
  if (in.peek() == '{') {
    in.object([&](std::string_view token) {
      const int64_t id = in.integer();
      if (id < 0 || id > kMaxId) in.fail("token id " + std::to_string(id) + " is out of range");
      data.vocab.push_back({token, static_cast<int32_t>(id)});
    });
    return;
  }
  in.array([&](size_t i) {  // [[token, score], …]
    if (i > static_cast<size_t>(kMaxId)) in.fail("too many tokens");
    in.array([&](size_t k) {
      if (k == 0) data.vocab.push_back({in.string(), static_cast<int32_t>(i)});
      else if (k == 1) data.scores.push_back(in.number());
      else in.fail("expected [token, score]");
    });
    if (data.scores.size() != i + 1) in.fail("expected [token, score]");
  });
}

void read_merges(JsonCursor& in, ModelData& data) {
  in.array([&](size_t i) {
    if (in.peek() == '"') {  // "a b"
      const std::string_view line = in.string();
      if (i == 0 && line.starts_with("#version")) return;
      const size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) in.fail("expected two tokens and one space between them");
      data.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
      return;
    }
    std::string_view halves[2];
    size_t count = 0;
    in.array([&](size_t k) {
      if (k > 1) in.fail("a merge is of two tokens");
      halves[k] = in.string();
      ++count;
    });
    if (count != 2) in.fail("a merge is of two tokens");
    data.merges.emplace_back(halves[0], halves[1]);
  });
}

Contents read_contents(std::string_view json, std::deque<std::string>& unescaped, const std::string& source) {
  Contents out;
  JsonCursor in(json, source, unescaped);
  if (in.peek() != '{') in.fail("expected a JSON object");
  in.object([&](std::string_view key) {
    if (key != "model" || in.peek() != '{') {
      out.parts[std::string(key)] = parse_json(in.raw(), source + ": " + std::string(key));
      return;
    }
    in.object([&](std::string_view inner) {
      if (inner == "vocab" && (in.peek() == '{' || in.peek() == '[')) read_vocab(in, out.data);
      else if (inner == "merges" && in.peek() == '[') read_merges(in, out.data);
      else out.model[std::string(inner)] = parse_json(in.raw(), source + ": model." + std::string(inner));
    });
  });
  in.finish();
  return out;
}

// An added token keeps its id when the model has its text; else it takes the next free one, whatever the file says.
std::vector<AddedToken> read_added_tokens(Config& cfg, const Vocabulary& vocabulary) {
  std::vector<AddedToken> out;
  if (!cfg.has("added_tokens")) return out;
  std::set<std::string> seen;
  auto next = static_cast<int32_t>(vocabulary.tokens());
  for (Config& item : take_objects(cfg, "added_tokens")) {
    AddedToken token;
    const auto written = item.take_in<int64_t>("id", -1, 0, kMaxId);
    token.content = item.take<std::string>("content");
    token.special = item.take<bool>("special", false);
    token.single_word = item.take<bool>("single_word", false);
    token.lstrip = item.take<bool>("lstrip", false);
    token.rstrip = item.take<bool>("rstrip", false);
    token.normalized = item.take<bool>("normalized", !token.special);
    item.finish();
    if (token.content.empty()) continue;
    if (!seen.insert(token.content).second) item.reject("content", "'" + token.content + "' occurs twice");
    const int32_t known = vocabulary.find(token.content);
    token.id = known >= 0 ? known : next;
    if (token.id != written) log::warn("tokenizer: added token '{}' gets id {}, not {} as written", token.content, token.id, written);
    if (known < 0 && vocabulary.has(token.id))
      item.reject("id", std::to_string(token.id) + " belongs to '" + std::string(vocabulary.text(token.id)) + "' of the model");
    next = std::max(next, token.id + 1);
    out.push_back(std::move(token));
  }
  return out;
}

// "bos_token": null, "<s>" or {"content": "<s>", …}
std::optional<std::string> named_token(const Json& config, const char* key, const std::string& source) {
  if (!config.contains(key) || config[key].is_null()) return std::nullopt;
  const Json& value = config[key];
  const Json& name = value.is_object() && value.contains("content") ? value["content"] : value;
  if (!name.is_string()) throw Error({.who = "tokenizer", .what = std::string(key) + " is neither a string nor an object with \"content\"", .where = source});
  return name.get<std::string>();
}

template <class Read> auto optional_part(Config& cfg, const char* key, Read&& read) -> decltype(read(cfg)) {
  if (!cfg.has(key)) {
    cfg.ignore(key, "absent");
    return nullptr;
  }
  Config part = cfg.sub(key);
  return read(part);
}

}  // namespace

std::unique_ptr<const PipelineDefinition> read_pipeline(std::string json, std::string config, const std::string& source) {
  auto out = std::make_unique<PipelineDefinition>();
  out->json = std::move(json);
  out->config = std::move(config);
  Contents contents = read_contents(out->json, out->unescaped, source);
  const Origin origin{.source = source};
  Config cfg(contents.parts, origin);
  if (const Json version = cfg.has("version") ? cfg.take_json("version") : Json("1.0"); version != "1.0") cfg.reject("version", version.dump() + " is not supported", "expected \"1.0\"");
  cfg.ignore("version", "checked");
  for (const char* key : {"truncation", "padding"}) cfg.ignore(key, "batching cuts and pads");
  Config model(contents.model, origin, "model");
  try {
    out->model = read_model(model, contents.data);
  } catch (const Error& error) {
    Problem problem = error.problem();
    if (problem.where.empty()) problem.where = source;
    throw Error(problem);
  }
  out->normalizer = optional_part(cfg, "normalizer", read_normalizer);
  out->pre_tokenizer = optional_part(cfg, "pre_tokenizer", read_pre_tokenizer);
  out->post_processor = optional_part(cfg, "post_processor", read_post_processor);
  out->decoder = optional_part(cfg, "decoder", read_decoder);
  out->added = read_added_tokens(cfg, out->model->vocabulary());
  cfg.ignore("added_tokens", "read");
  cfg.finish();
  if (!out->config.empty()) {
    const Json about = parse_json(out->config, source + ": tokenizer_config.json");
    if (!about.is_object()) throw Error({.who = "tokenizer", .what = "tokenizer_config.json is not a JSON object", .where = source});
    out->bos = named_token(about, "bos_token", source);
    out->eos = named_token(about, "eos_token", source);
  } else {
    for (const AddedToken& token : out->added)
      if (token.content == "<|endoftext|>") out->bos = out->eos = token.content;
  }
  return out;
}

}  // namespace gamut
