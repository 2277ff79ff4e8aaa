// Named corpora from Debian packages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "data/corpus.h"

namespace gamut {

enum class Markup { html, markdown, roff, code, novels };  // novels: character vectors in an R database, cut at chapters

struct TextSource {
  const char* package;
  const char* domain;
  const char* folder;   // within the package
  const char* suffix;   // of the files' names, ".gz" included
  Markup markup;
  const char* licence;
};

struct TextRecipe {
  const char* name;
  const char* about;
  std::vector<TextSource> sources;
  size_t domain_bytes;  // each domain is cut to about so much text
};

std::span<const TextRecipe> text_recipes();
const TextRecipe& text_recipe(const std::string& name);  // Error with the nearest name

// A key of everything in the recipe that decides its text, given the packages.
std::string recipe_key(const TextRecipe& recipe);

// Downloads and cleans. The manifest lists every package with version, licence, bytes of text and hash of the .deb.
Corpus collect(const TextRecipe& recipe, const std::filesystem::path& cache, const std::filesystem::path& scratch, ThreadPool& pool);

}  // namespace gamut
