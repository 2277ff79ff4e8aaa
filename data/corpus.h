// Clean documents by domain, split into training and validation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace gamut {

struct TextDocument {
  std::string source;  // where it came from: "anarchism: secA2.md", "notes/a.txt"
  std::string text;
};

struct Domain {
  std::vector<TextDocument> train, validation;
};

struct Corpus {
  std::map<std::string, Domain> domains;
  Json manifest;  // sources, and what cleaning removed
};

// Documents before the split, and how their domain is cleaned.
struct RawDomain {
  std::vector<TextDocument> documents;
  size_t repeated_line_bytes = 24;  // a line of at least so many bytes is dropped where it comes again, anywhere in the corpus
  size_t limit_bytes = 0;           // keep only about so much text (0: all)
};

// Drops repeated documents and lines, cuts long documents at empty lines, limits each domain, and sets whole documents aside
// for validation: a fixed pseudo-random choice by name of about 1/8 of a domain, between 0.3 and 1 MB where it is large enough.
// Where a domain has fewer than 16 documents, their parts are dealt out instead. Error when a domain is left empty.
Corpus make_corpus(std::map<std::string, RawDomain> raw);

// The user's own text: a folder or file of plain text, Markdown and JSONL (one object a line with a string "text"). A
// sub-folder is a domain; files at the top are domain "text". Hidden files are passed over. Error, naming the file, for what
// is not text, and when there is none.
std::map<std::string, RawDomain> read_own_text(const std::filesystem::path& path);

// A key of all files below path (names, sizes, times of change) without reading them.
std::string fingerprint(const std::filesystem::path& path);

// A corpus as files <domain>.train.jsonl, <domain>.validation.jsonl and manifest.json.
void save_corpus(const Corpus& corpus, const std::filesystem::path& folder);
Corpus load_corpus(const std::filesystem::path& folder);

}  // namespace gamut
