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

constexpr int kFormat = 1;  // counts up when what a dataset folder holds changes

// Texts of equal bytes from every domain, so that no domain gets all the merges.
std::vector<std::string_view> tokenizer_mix(const Corpus& corpus) {
  constexpr size_t kMost = 4'000'000;  // bytes a domain; more changes a small vocabulary little
  size_t share = kMost;
  for (const auto& [name, domain] : corpus.domains) {
    size_t bytes = 0;
    for (const Document& document : domain.train) bytes += document.text.size();
    share = std::min(share, bytes);
  }
  std::vector<std::string_view> texts;
  for (const auto& [name, domain] : corpus.domains) {
    std::vector<std::pair<uint64_t, const Document*>> order;
    for (const Document& document : domain.train) order.emplace_back(hash64(document.source, 3), &document);
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

std::vector<TokenDocument> encode_all(const std::vector<Document>& documents, const Tokenizer& tokenizer, ThreadPool& pool) {
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

// Writes one shard and adds its numbers to the domain's part of the manifest.
void write_split(const fs::path& folder, const std::string& domain, const std::string& split, const std::vector<Document>& documents,
                 const Tokenizer& tokenizer, ThreadPool& pool, Json& about) {
  const std::vector<TokenDocument> encoded = encode_all(documents, tokenizer, pool);
  int64_t tokens = 0, bytes = 0;
  for (const TokenDocument& document : encoded) {
    tokens += static_cast<int64_t>(document.ids.size());
    bytes += document.text_bytes;
  }
  write_token_shard(folder / (domain + "." + split + ".tokens"), encoded, tokenizer.vocab_size(), tokenizer.hash());
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

struct Plan {
  std::string name;         // of recipe or folder, for people
  std::string corpus_key;   // decides the text
  fs::path cache;
};

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
  StreamHash hash;
  hash.update(tokenizer->hash().data(), tokenizer->hash().size());
  for (const auto& [name, domain] : corpus.domains) {
    Json& about = domains[name] = Json::object();
    write_split(aside, name, "train", domain.train, *tokenizer, pool, about);
    write_split(aside, name, "validation", domain.validation, *tokenizer, pool, about);
    about["bytes_per_token"] = about["train_bytes"].get<double>() / about["train_tokens"].get<double>();
    for (const char* split : {"train", "validation"}) {
      const uint64_t checksum = TokenShard(aside / (name + "." + split + ".tokens")).checksum();
      hash.update(name.data(), name.size());
      hash.update(&checksum, sizeof(checksum));
    }
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

Dataset open_dataset(const fs::path& folder) {
  Dataset out;
  out.folder = folder;
  out.manifest = read_json(folder / "manifest.json");
  out.tokenizer = Tokenizer::load(folder);
  for (const auto& [name, about] : out.manifest.at("domains").items()) out.domains.push_back(name);
  for (const std::string& name : out.domains) {
    out.train.push_back(std::make_shared<TokenShard>(folder / (name + ".train.tokens")));
    out.validation.push_back(std::make_shared<TokenShard>(folder / (name + ".validation.tokens")));
    for (const auto& shard : {out.train.back(), out.validation.back()})
      if (shard->tokenizer_hash() != out.tokenizer->hash())
        throw Error({.who = "data", .what = "shard and tokenizer do not belong together", .where = shard->path().string(), .hint = "delete this folder"});
  }
  out.hash = out.manifest.at("hash").get<std::string>();
  return out;
}

}  // namespace

int64_t Dataset::train_tokens() const {
  return std::accumulate(train.begin(), train.end(), int64_t{0}, [](int64_t sum, const auto& shard) { return sum + shard->tokens(); });
}

Dataset prepare_dataset(const DataOptions& options, ThreadPool& pool) {
  Plan plan{.cache = options.cache.empty() ? cache_root() : options.cache};
  if (options.path.empty()) {
    plan.name = options.recipe;
    plan.corpus_key = recipe_key(text_recipe(options.recipe));
  } else {
    plan.name = "own";
    plan.corpus_key = fingerprint(options.path);
  }
  const std::string tokenizer = options.tokenizer.empty() ? "v" + std::to_string(options.vocab_size)
                                                          : "t" + Tokenizer::load(options.tokenizer)->hash().substr(0, 8);
  const std::string key = hash128_hex(plan.corpus_key + " " + std::to_string(kFormat)).substr(0, 12);
  const fs::path folder = plan.cache / "datasets" / (plan.name + "-" + tokenizer + "-" + key);
  make_once(folder, [&](const fs::path& aside) { make_dataset(options, plan, aside, pool); });
  return open_dataset(folder);
}

}  // namespace gamut
