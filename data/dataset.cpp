#include "data/dataset.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "data/cache.h"
#include "data/corpus.h"
#include "data/recipes.h"
#include "data/tokenizers/bpe_trainer.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

constexpr int kFormat = 2;  // counts up when what a dataset folder holds changes

// Texts of equal bytes from every domain, so that no domain gets all the merges.
std::vector<std::string_view> tokenizer_mix(const Corpus& corpus) {
  constexpr size_t kMost = 4'000'000;  // bytes a domain; more changes a small vocabulary little
  size_t share = kMost;
  for (const auto& [name, domain] : corpus.domains) {
    size_t bytes = 0;
    for (const TextDocument& document : domain.train) bytes += document.text.size();
    share = std::min(share, bytes);
  }
  std::vector<std::string_view> texts;
  for (const auto& [name, domain] : corpus.domains) {
    std::vector<std::pair<uint64_t, const TextDocument*>> order;
    for (const TextDocument& document : domain.train) order.emplace_back(hash64(document.source, 3), &document);
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    size_t taken = 0;
    for (const auto& [key, document] : order) {
      if (taken >= share) break;
      texts.push_back(std::string_view(document->text).substr(0, share - taken));
      taken += texts.back().size();
    }
  }
  return texts;
}

std::vector<TokenDocument> encode_all(const std::vector<TextDocument>& documents, const Tokenizer& tokenizer, ThreadPool& pool) {
  std::vector<TokenDocument> out(documents.size());
  pool.parallel_for(static_cast<int64_t>(documents.size()), [&](int64_t i, int) {
    const std::string& text = documents[static_cast<size_t>(i)].text;
    TokenDocument& document = out[static_cast<size_t>(i)];
    document.ids.reserve(text.size() / 2);
    if (const auto eos = tokenizer.eos()) document.ids.push_back(*eos);
    tokenizer.encode_to(text, document.ids, SpecialTokens::as_text);
    document.text_bytes = static_cast<int64_t>(text.size());
  });
  return out;
}

fs::path shard_path(const fs::path& folder, const std::string& domain, const std::string& split) { return folder / (domain + "." + split + ".tokens"); }

// Writes one shard and adds its numbers to the domain's part of the manifest.
void write_split(const fs::path& folder, const std::string& domain, const std::string& split, const std::vector<TextDocument>& documents,
                 const Tokenizer& tokenizer, ThreadPool& pool, Json& about) {
  const std::vector<TokenDocument> encoded = encode_all(documents, tokenizer, pool);
  int64_t tokens = 0, bytes = 0;
  for (const TokenDocument& document : encoded) {
    tokens += static_cast<int64_t>(document.ids.size());
    bytes += document.text_bytes;
  }
  write_token_shard(shard_path(folder, domain, split), encoded, tokenizer.vocab_size(), tokenizer.hash());
  about[split + "_documents"] = documents.size();
  about[split + "_bytes"] = bytes;
  about[split + "_tokens"] = tokens;
}

void stop_if_interrupted() {
  if (const int signal = interrupted())
    throw Error({.who = "data", .what = "interrupted", .exit = static_cast<Exit>(128 + signal)});
}

// Domain names come from folder names: they name files too.
void check_domain_names(const Corpus& corpus) {
  for (const auto& [name, domain] : corpus.domains)
    if (lossy_utf8(name) != name || name.size() > 100)
      throw Error({.who = "data", .what = "folder name '" + lossy_utf8(name) + "' cannot name a domain", .hint = "use a short UTF-8 name"});
}

// The hash of a dataset: of its tokenizer and every shard, in the order of domains.
class DatasetHash {
 public:
  explicit DatasetHash(const Tokenizer& tokenizer) { hash_.update(tokenizer.hash().data(), tokenizer.hash().size()); }
  void add(const std::string& domain, const TokenShard& shard) {
    const uint64_t checksum = shard.checksum();
    hash_.update(domain.data(), domain.size());
    hash_.update(&checksum, sizeof(checksum));
  }
  std::string hex() { return hash_.hex(); }

 private:
  StreamHash hash_;
};

struct Plan {
  std::string name;         // of recipe or folder, for people
  std::string corpus_key;   // decides the text
  fs::path cache;
};

Plan make_plan(const DataOptions& options) {
  Plan plan{.cache = options.cache.empty() ? cache_root() : options.cache};
  plan.name = options.path.empty() ? options.recipe : "own";
  plan.corpus_key = options.path.empty() ? recipe_key(text_recipe(options.recipe)) : fingerprint(options.path);
  return plan;
}

Corpus make_or_load_corpus(const DataOptions& options, const Plan& plan, ThreadPool& pool) {
  if (!options.path.empty()) {
    Corpus corpus = make_corpus(read_own_text(options.path));
    corpus.manifest["sources"].push_back({{"path", fs::absolute(options.path).lexically_normal().string()}, {"licence", "the user's own"}});
    return corpus;
  }
  const fs::path folder = plan.cache / "corpora" / (plan.name + "-" + plan.corpus_key.substr(0, 12));
  make_once(folder, [&](const fs::path& aside) {
    const fs::path scratch = aside / "unpacked";
    save_corpus(collect(text_recipe(options.recipe), plan.cache, scratch, pool), aside);
    fs::remove_all(scratch);
  });
  return load_corpus(folder);
}

void make_dataset(const DataOptions& options, const Plan& plan, const fs::path& aside, ThreadPool& pool) {
  const Corpus corpus = make_or_load_corpus(options, plan, pool);
  check_domain_names(corpus);
  stop_if_interrupted();
  std::shared_ptr<const Tokenizer> tokenizer;
  if (options.tokenizer.empty()) {
    log::info("data: training a byte-level BPE tokenizer of {} tokens", options.vocab_size);
    tokenizer = train_bpe(tokenizer_mix(corpus), {.vocab_size = options.vocab_size}, pool);
    if (tokenizer->vocab_size() < options.vocab_size)
      throw Error({.who = "data", .what = "the text has merges for a vocabulary of " + std::to_string(tokenizer->vocab_size()) + " only, not " +
                                          std::to_string(options.vocab_size),
                   .hint = "ask for a smaller vocabulary or add text"});
  } else {
    tokenizer = Tokenizer::load(options.tokenizer);
  }
  tokenizer->save(aside);
  stop_if_interrupted();
  log::info("data: encoding");
  Json domains = Json::object();
  DatasetHash hash(*tokenizer);
  for (const auto& [name, domain] : corpus.domains) {
    Json& about = domains[name] = Json::object();
    write_split(aside, name, "train", domain.train, *tokenizer, pool, about);
    write_split(aside, name, "validation", domain.validation, *tokenizer, pool, about);
    about["bytes_per_token"] = about["train_bytes"].get<double>() / about["train_tokens"].get<double>();
    for (const char* split : {"train", "validation"}) hash.add(name, TokenShard(shard_path(aside, name, split)));
    stop_if_interrupted();
  }
  const Json manifest = {{"format", kFormat},
                         {"recipe", options.path.empty() ? Json(options.recipe) : Json()},
                         {"sources", corpus.manifest.at("sources")},
                         {"cleaning", corpus.manifest.at("cleaning")},
                         {"domains", domains},
                         {"tokenizer", {{"kind", "byte-level BPE"}, {"vocab_size", tokenizer->vocab_size()}, {"hash", tokenizer->hash()},
                                        {"trained_here", options.tokenizer.empty()}}},
                         {"hash", hash.hex()}};
  write_file(aside / "manifest.json", manifest.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

DataOptions DataOptions::take(Config& data) {
  DataOptions out;
  out.recipe = data.take<std::string>("recipe", out.recipe);
  out.path = data.take<std::string>("path", "");
  out.vocab_size = data.take_in<int64_t>("vocab_size", out.vocab_size, 257, 1 << 24);
  out.tokenizer = data.take<std::string>("tokenizer", "");
  out.cache = data.take<std::string>("cache", "");
  return out;
}

int64_t Dataset::train_tokens() const {
  return std::accumulate(train.begin(), train.end(), int64_t{0}, [](int64_t sum, const auto& shard) { return sum + shard->tokens(); });
}

bool is_dataset(const fs::path& folder) { return fs::is_regular_file(folder / "manifest.json") && fs::is_regular_file(folder / "tokenizer.json"); }

Dataset open_dataset(const fs::path& folder) {
  const auto refuse = [](const std::string& what, const fs::path& where) {
    throw Error({.who = "data", .what = what, .where = where.string(), .hint = "delete this folder and prepare the data again"});
  };
  Dataset out;
  out.folder = folder;
  out.manifest = read_json(folder / "manifest.json");
  if (!out.manifest.is_object() || out.manifest.value("format", 0) != kFormat || !out.manifest.value("domains", Json()).is_object() || !out.manifest.value("hash", Json()).is_string())
    refuse("not the manifest of a dataset of format " + std::to_string(kFormat), folder / "manifest.json");
  out.tokenizer = Tokenizer::load(folder);
  DatasetHash hash(*out.tokenizer);
  for (const auto& [name, about] : out.manifest.at("domains").items()) {
    out.domains.push_back(name);
    out.train.push_back(std::make_shared<TokenShard>(shard_path(folder, name, "train")));
    out.validation.push_back(std::make_shared<TokenShard>(shard_path(folder, name, "validation")));
    for (const auto& shard : {out.train.back(), out.validation.back()}) {
      if (shard->tokenizer_hash() != out.tokenizer->hash()) refuse("shard and tokenizer do not belong together", shard->path());
      hash.add(name, *shard);
    }
  }
  out.hash = hash.hex();
  if (const auto said = out.manifest.at("hash").get<std::string>(); said != out.hash)
    refuse("the manifest says hash " + said + ", tokenizer and shards have " + out.hash, folder / "manifest.json");
  return out;
}

void export_dataset(const Dataset& dataset, const fs::path& folder) {
  const bool made = make_once(folder, [&](const fs::path& aside) {
    std::error_code error;
    fs::copy(dataset.folder, aside, fs::copy_options::recursive, error);
    if (error) fail_io("data", "write", folder, error.value());
  });
  std::error_code ignored;
  fs::path lock = folder;
  fs::remove(lock += ".lock", ignored);
  if (!made) throw Error({.who = "data", .what = "the folder exists already", .where = folder.string(), .hint = "name another one, or delete it"});
}

std::vector<TextDocument> tokenizer_texts(const DataOptions& options, ThreadPool& pool) {
  std::vector<TextDocument> out;
  const auto take = [&](std::vector<TextDocument>& documents) { std::move(documents.begin(), documents.end(), std::back_inserter(out)); };
  if (!options.path.empty()) {
    for (auto& [name, domain] : read_own_text(options.path)) take(domain.documents);
  } else {
    Corpus corpus = make_or_load_corpus(options, make_plan(options), pool);
    for (auto& [name, domain] : corpus.domains) take(domain.train);
  }
  return out;
}

Dataset prepare_dataset(const DataOptions& options, ThreadPool& pool) {
  if (!options.path.empty() && is_dataset(options.path)) return open_dataset(options.path);
  const Plan plan = make_plan(options);
  const std::string tokenizer = options.tokenizer.empty() ? "v" + std::to_string(options.vocab_size)
                                                          : "t" + Tokenizer::load(options.tokenizer)->hash().substr(0, 8);
  const std::string key = hash128_hex(plan.corpus_key + " " + std::to_string(kFormat)).substr(0, 12);
  const fs::path folder = plan.cache / "datasets" / (plan.name + "-" + tokenizer + "-" + key);
  make_once(folder, [&](const fs::path& aside) { make_dataset(options, plan, aside, pool); });
  return open_dataset(folder);
}

}  // namespace gamut
