#include "data/corpus.h"

#include <sys/stat.h>

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/text.h"
#include "data/readers/markup.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

constexpr size_t kLongDocument = 64 * 1024;
constexpr size_t kFewDocuments = 16;

size_t bytes_of(const std::vector<TextDocument>& documents) {
  return std::accumulate(documents.begin(), documents.end(), size_t{0}, [](size_t sum, const TextDocument& d) { return sum + d.text.size(); });
}

// What cleaning took away, for the manifest.
struct Removed {
  size_t documents = 0, lines = 0, bytes = 0;
};

// Drops documents and long lines that were seen before, here or in another domain.
class Deduplicator {
 public:
  std::vector<TextDocument> clean(const RawDomain& raw, Removed& removed) {
    std::vector<TextDocument> out;
    for (const TextDocument& document : raw.documents) {
      if (document.text.empty()) continue;
      if (!texts_.insert(hash64(document.text)).second) {
        removed.documents += 1;
        removed.bytes += document.text.size();
        continue;
      }
      if (raw.repeated_line_bytes == 0) {
        out.push_back(document);
        continue;
      }
      std::string kept;
      size_t lines = 0;
      for (const std::string& line : split(document.text, '\n')) {
        const std::string_view bare = trim(line);
        if (bare.size() >= raw.repeated_line_bytes && !lines_.insert(hash64(bare)).second) {
          ++lines;
        } else {
          kept += line + "\n";
        }
      }
      kept = tidy(kept);
      // Where most of a text was seen before, the rest is its headings and short lines: no text on its own.
      if (kept.size() < document.text.size() / 2) {
        removed.documents += 1;
        removed.bytes += document.text.size();
      } else {
        removed.lines += lines;
        removed.bytes += document.text.size() - kept.size();
        out.push_back({document.source, std::move(kept)});
      }
    }
    return out;
  }

 private:
  std::unordered_set<uint64_t> texts_, lines_;
};

// Indices in a fixed pseudo-random order that depends on each document's name alone.
std::vector<size_t> shuffled(const std::vector<TextDocument>& documents, uint64_t seed) {
  std::vector<size_t> order(documents.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<uint64_t> keys;
  for (const TextDocument& document : documents) keys.push_back(hash64(document.source, seed));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  return order;
}

std::vector<TextDocument> limited(std::vector<TextDocument> documents, size_t limit) {
  if (limit == 0 || bytes_of(documents) <= limit) return documents;
  std::vector<bool> keep(documents.size());
  size_t taken = 0;
  for (const size_t i : shuffled(documents, 1)) {
    if (taken + documents[i].text.size() > limit + limit / 50) continue;
    taken += documents[i].text.size();
    keep[i] = true;
  }
  std::vector<TextDocument> out;
  for (size_t i = 0; i < documents.size(); ++i)
    if (keep[i]) out.push_back(std::move(documents[i]));
  return out;
}

// Where to cut text so that the first part has at most `limit` bytes: after an empty line, else a line, else a character.
size_t cut_at(std::string_view text, size_t limit) {
  const std::string_view head = text.substr(0, limit);
  if (const size_t at = head.rfind("\n\n"); at != std::string_view::npos && at > limit / 4) return at + 2;
  if (const size_t at = head.rfind('\n'); at != std::string_view::npos && at > 0) return at + 1;
  size_t at = limit;
  while (at > limit / 2 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

std::vector<TextDocument> cut(const std::vector<TextDocument>& documents, size_t limit) {
  std::vector<TextDocument> out;
  for (const TextDocument& document : documents) {
    std::string_view rest = document.text;
    for (size_t part = 1; rest.size() > limit + limit / 2; ++part) {
      const size_t at = cut_at(rest, limit);
      out.push_back({document.source + " #" + std::to_string(part), std::string(rest.substr(0, at))});
      rest.remove_prefix(at);
    }
    const bool whole = rest.size() == document.text.size();
    if (!rest.empty()) out.push_back({whole ? document.source : document.source + " #last", std::string(rest)});
  }
  return out;
}

// Which documents are held out. None larger than a third of the target, so that the choice stays a mixture.
std::vector<bool> held_out(const std::vector<TextDocument>& documents) {
  const size_t all = bytes_of(documents);
  const size_t target = std::min(std::clamp<size_t>(all / 8, 300'000, 1'000'000), all / 4);
  std::vector<bool> out(documents.size());
  size_t taken = 0;
  for (const size_t i : shuffled(documents, 2)) {
    const size_t bytes = documents[i].text.size();
    if (taken >= target) break;
    if (bytes > target / 3 + 1 || taken + bytes > target + target / 10) continue;
    taken += bytes;
    out[i] = true;
  }
  return out;
}

void check_text(std::string_view text, const fs::path& path) {
  const auto refuse = [&](const std::string& what) {
    throw Error({.who = "data", .what = what, .where = path.string(),
                 .hint = "data.path takes UTF-8 text: .txt, .md, .jsonl; convert other encodings with iconv, leave other files out"});
  };
  if (const size_t at = text.find('\0'); at != std::string_view::npos) refuse("binary file as text: a zero byte at offset " + std::to_string(at));
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (c.code == Character::broken) refuse("binary file as text: not UTF-8 at offset " + std::to_string(at));
    at += c.bytes;
  }
}

std::string own_text(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return tidy(text);
}

void read_own_file(const fs::path& path, const std::string& name, std::vector<TextDocument>& out) {
  const std::string content = read_file(path);
  check_text(content, path);
  if (path.extension() != ".jsonl") {
    out.push_back({name, own_text(content)});
    return;
  }
  size_t number = 0;
  for (const std::string& line : split(content, '\n')) {
    ++number;
    if (trim(line).empty()) continue;
    const std::string place = path.string() + ":" + std::to_string(number);
    const nlohmann::json value = [&] {
      try {
        return nlohmann::json::parse(line);
      } catch (const nlohmann::json::exception&) {
        throw Error({.who = "data", .what = "not a line of JSON", .where = place});
      }
    }();
    const auto text = value.is_object() ? value.find("text") : value.end();
    if (!value.is_object() || text == value.end() || !text->is_string())
      throw Error({.who = "data", .what = "expected an object with a string \"text\"", .where = place});
    out.push_back({name + ":" + std::to_string(number), own_text(text->get_ref<const std::string&>())});
  }
}

// Regular files below path, by relative name in order; hidden ones left out.
std::vector<fs::path> own_files(const fs::path& path) {
  if (!fs::exists(path))
    throw Error({.who = "data", .what = "no such file or folder", .where = path.string(), .hint = "check data.path"});
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename().string().starts_with('.')) {
      if (at->is_directory()) at.disable_recursion_pending();
    } else if (at->is_regular_file()) {
      files.push_back(at->path());
    }
  }
  if (error) fail_io("data", "read", path, error.value());
  std::sort(files.begin(), files.end());
  return files;
}

void write_documents(const fs::path& path, const std::vector<TextDocument>& documents) {
  FileWriter file(path);
  for (const TextDocument& document : documents) {
    const Json line = {{"source", document.source}, {"text", document.text}};
    file.write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  file.commit();
}

std::vector<TextDocument> read_documents(const fs::path& path) {
  std::vector<TextDocument> out;
  const std::string content = read_file(path);
  for (std::string_view rest = content; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const Json line = parse_json(rest.substr(0, end), path.string());
    out.push_back({line.at("source").get<std::string>(), line.at("text").get<std::string>()});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

}  // namespace

Corpus make_corpus(std::map<std::string, RawDomain> raw) {
  Corpus corpus;
  corpus.manifest = {{"sources", Json::array()}, {"cleaning", Json::object()}};
  Deduplicator deduplicator;
  for (const auto& [name, domain] : raw) {
    Removed removed;
    std::vector<TextDocument> documents = limited(deduplicator.clean(domain, removed), domain.limit_bytes);
    const size_t bytes = bytes_of(documents);
    const bool by_parts = documents.size() < kFewDocuments;
    const size_t longest = by_parts ? std::clamp<size_t>(bytes / 64, 512, kLongDocument) : kLongDocument;
    if (by_parts) documents = cut(documents, longest);
    const std::vector<bool> held = held_out(documents);
    Domain& out = corpus.domains[name];
    for (size_t i = 0; i < documents.size(); ++i) (held[i] ? out.validation : out.train).push_back(std::move(documents[i]));
    if (out.train.empty() || out.validation.empty())
      throw Error({.who = "data", .what = bytes == 0 ? "domain '" + name + "' has no text"
                                                     : "domain '" + name + "' has only " + std::to_string(bytes) + " bytes of text, too little to train and validate",
                   .hint = "add text to it or leave it out"});
    out.train = cut(out.train, longest);
    out.validation = cut(out.validation, longest);
    corpus.manifest["cleaning"][name] = {{"repeated_documents", removed.documents}, {"repeated_lines", removed.lines},
                                         {"removed_bytes", removed.bytes}, {"split", by_parts ? "parts of documents" : "documents"}};
  }
  return corpus;
}

std::map<std::string, RawDomain> read_own_text(const fs::path& path) {
  std::map<std::string, RawDomain> out;
  for (const fs::path& file : own_files(path)) {
    const fs::path name = fs::is_directory(path) ? file.lexically_relative(path) : file.filename();
    const bool inside = std::distance(name.begin(), name.end()) > 1;
    RawDomain& domain = out[inside ? name.begin()->string() : "text"];
    domain.repeated_line_bytes = 0;  // what the user repeats is the user's choice
    read_own_file(file, name.string(), domain.documents);
  }
  size_t bytes = 0;
  for (const auto& [name, domain] : out) bytes += bytes_of(domain.documents);
  if (bytes == 0)
    throw Error({.who = "data", .what = "empty corpus: no text found", .where = path.string(),
                 .hint = "data.path is a folder of .txt, .md or .jsonl files"});
  return out;
}

std::string fingerprint(const fs::path& path) {
  std::string all = fs::weakly_canonical(path).string();
  for (const fs::path& file : own_files(path)) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) fail_io("data", "read", file, errno);
    all += "\n" + file.lexically_relative(path).string() + " " + std::to_string(status.st_size) + " " +
           std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec);
  }
  return hash128_hex(all);
}

void save_corpus(const Corpus& corpus, const fs::path& folder) {
  for (const auto& [name, domain] : corpus.domains) {
    write_documents(folder / (name + ".train.jsonl"), domain.train);
    write_documents(folder / (name + ".validation.jsonl"), domain.validation);
  }
  Json manifest = corpus.manifest;
  manifest["domains"] = Json::array();
  for (const auto& [name, domain] : corpus.domains) manifest["domains"].push_back(name);
  write_file(folder / "manifest.json", manifest.dump(2) + "\n");
}

Corpus load_corpus(const fs::path& folder) {
  Corpus corpus;
  corpus.manifest = read_json(folder / "manifest.json");
  for (const Json& name : corpus.manifest.at("domains")) {
    Domain& domain = corpus.domains[name.get<std::string>()];
    domain.train = read_documents(folder / (name.get<std::string>() + ".train.jsonl"));
    domain.validation = read_documents(folder / (name.get<std::string>() + ".validation.jsonl"));
  }
  return corpus;
}

}  // namespace gamut
