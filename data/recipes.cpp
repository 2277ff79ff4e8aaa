#include "data/recipes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "data/packages.h"
#include "data/readers/inflate.h"
#include "data/readers/markup.h"
#include "data/readers/r_data.h"
#include "data/tokenizers/tokenizer.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

// Counts up when cleaning changes, so that no cache holds text cleaned the old way.
constexpr int kCleaning = 1;

constexpr TextSource kNovels = {"r-cran-janeaustenr", "prose", "usr/lib/R/site-library/janeaustenr/data", ".rdb", Markup::novels,
                                "novels in the public domain (Jane Austen, 1811-1818); package MIT"};
constexpr TextSource kAnarchism = {"anarchism", "prose", "usr/share/doc/anarchism/markdown", ".md.gz", Markup::markdown, "GPL-2"};
constexpr TextSource kHandbook = {"debian-handbook", "prose", "usr/share/doc/debian-handbook/html/en-US", ".html", Markup::html,
                                  "GPL-2.0+ or CC-BY-SA-3.0"};
constexpr TextSource kPython = {"libpython3.11-stdlib", "code", "usr/lib/python3.11", ".py", Markup::code, "PSF-2.0"};
constexpr TextSource kPerl = {"perl-modules-5.36", "code", "usr/share/perl", ".pm", Markup::code, "GPL-1+ or Artistic"};
constexpr TextSource kManpages = {"manpages-zh", "chinese", "usr/share/man/zh_CN", ".gz", Markup::roff, "GFDL-1.2+"};
constexpr TextSource kHandbookChinese = {"debian-handbook", "chinese", "usr/share/doc/debian-handbook/html/zh-CN", ".html", Markup::html,
                                         "GPL-2.0+ or CC-BY-SA-3.0"};
constexpr TextSource kReferenceChinese = {"debian-reference-zh-cn", "chinese", "usr/share/debian-reference", ".html", Markup::html, "GPL-2+"};
constexpr TextSource kHelpChinese = {"libreoffice-help-zh-cn", "chinese", "usr/share/libreoffice/help/zh-CN/text", ".html", Markup::html,
                                     "MPL-2.0"};
constexpr TextSource kReference = {"debian-reference-en", "prose", "usr/share/debian-reference", ".html", Markup::html, "GPL-2+"};

std::string plain_text(const TextSource& source, const std::string& content) {
  switch (source.markup) {
    case Markup::html: return tidy(text_of_html(content));
    case Markup::markdown: return tidy(text_of_markdown(content));
    case Markup::roff: return tidy(text_of_roff(content));
    case Markup::code: case Markup::novels: break;
  }
  return tidy(content);
}

bool starts_chapter(std::string_view line) {
  const std::string_view word = trim(line).substr(0, 8);
  return std::equal(word.begin(), word.end(), "chapter ", "chapter " + 8, [](char a, char b) { return std::tolower(a) == b; });
}

std::vector<TextDocument> chapters(const std::string& database, const std::string& name, const std::string& place) {
  std::vector<TextDocument> out;
  int novel = 0;
  for (const std::vector<std::string>& lines : read_r_strings(database, place)) {
    ++novel;
    int chapter = 0;
    std::string text;
    const auto end_chapter = [&] {
      text = tidy(text);
      if (!text.empty()) out.push_back({name + " novel " + std::to_string(novel) + " chapter " + std::to_string(chapter), text});
      text.clear();
    };
    for (const std::string& line : lines) {
      if (starts_chapter(line)) {
        end_chapter();
        ++chapter;
      }
      text += line + "\n";
    }
    end_chapter();
  }
  return out;
}

std::vector<fs::path> files_of(const TextSource& source, const fs::path& root) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(root / source.folder, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file() && !at->is_symlink() && at->path().filename().string().ends_with(source.suffix)) files.push_back(at->path());
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<TextDocument> read_source(const TextSource& source, const fs::path& root, const std::string& package_file, ThreadPool& pool) {
  const std::vector<fs::path> files = files_of(source, root);
  std::vector<std::vector<TextDocument>> found(files.size());
  pool.parallel_for(static_cast<int64_t>(files.size()), [&](int64_t i, int) {
    const fs::path& file = files[static_cast<size_t>(i)];
    const std::string name = std::string(source.package) + ": " + file.lexically_relative(root / source.folder).string();
    const std::string place = package_file + ": " + file.lexically_relative(root).string();
    std::string content = read_file(file);
    if (file.extension() == ".gz") content = inflate(content, place);
    auto& out = found[static_cast<size_t>(i)];
    if (source.markup == Markup::novels) {
      out = chapters(content, name, place);
    } else if (lossy_utf8(content) == content) {  // a few old files are in another encoding: left out
      out.push_back({name, plain_text(source, content)});
    }
  });
  std::vector<TextDocument> out;
  for (auto& documents : found)
    for (TextDocument& document : documents)
      if (document.text.size() >= 200) out.push_back(std::move(document));  // redirections, empty modules
  if (out.empty())
    throw Error({.who = "data", .what = std::string("package '") + source.package + "' holds no text in " + source.folder,
                 .where = package_file, .hint = "this recipe is made for Debian 12; use your own text with data.path=FOLDER"});
  return out;
}

}  // namespace

std::span<const TextRecipe> text_recipes() {
  static const std::array<TextRecipe, 2> recipes = {{
      {"tiny", "about 20 MB: English prose, Python and Perl code, Chinese manuals",
       {kNovels, kAnarchism, kHandbook, kPython, kPerl, kManpages, kHandbookChinese, kReferenceChinese, kHelpChinese},
       7'500'000},
      {"full", "about 35 MB: the same domains, everything there is",
       {kNovels, kAnarchism, kHandbook, kReference, kPython, kPerl, kManpages, kHandbookChinese, kReferenceChinese, kHelpChinese},
       16'000'000},
  }};
  return recipes;
}

const TextRecipe& text_recipe(const std::string& name) {
  std::vector<std::string> known;
  for (const TextRecipe& recipe : text_recipes()) {
    if (recipe.name == name) return recipe;
    known.emplace_back(recipe.name);
  }
  throw Error({.who = "data", .what = "no text recipe '" + name + "'", .hint = did_you_mean(name, known) + "; or data.path=FOLDER for your own text"});
}

std::string recipe_key(const TextRecipe& recipe) {
  std::string all = std::to_string(kCleaning) + " " + std::to_string(recipe.domain_bytes);
  for (const TextSource& s : recipe.sources)
    all += std::string("\n") + s.package + " " + s.domain + " " + s.folder + " " + s.suffix + " " + std::to_string(static_cast<int>(s.markup));
  return hash128_hex(all);
}

Corpus collect(const TextRecipe& recipe, const fs::path& cache, const fs::path& scratch, ThreadPool& pool) {
  std::map<std::string, RawDomain> raw;
  Json sources = Json::array();
  std::set<std::string> done;
  for (const TextSource& first : recipe.sources) {
    if (!done.insert(first.package).second) continue;
    const DebianPackage package = fetch_package(first.package, cache);
    StreamHash hash;
    const MappedFile file(package.file);
    hash.update(file.bytes().data(), file.bytes().size());
    with_unpacked(package, scratch, [&](const fs::path& root) {
      for (const TextSource& source : recipe.sources) {
        if (std::string_view(source.package) != first.package) continue;
        std::vector<TextDocument> documents = read_source(source, root, package.file.filename().string(), pool);
        size_t bytes = 0;
        for (const TextDocument& document : documents) bytes += document.text.size();
        sources.push_back({{"package", package.name}, {"version", package.version}, {"domain", source.domain}, {"licence", source.licence},
                           {"folder", source.folder}, {"documents", documents.size()}, {"bytes", bytes}, {"package_hash", hash.hex()}});
        RawDomain& domain = raw[source.domain];
        domain.limit_bytes = recipe.domain_bytes;
        if (source.markup == Markup::code) domain.repeated_line_bytes = 40;  // shorter lines of code repeat for good reasons
        std::move(documents.begin(), documents.end(), std::back_inserter(domain.documents));
      }
    });
  }
  Corpus corpus = make_corpus(std::move(raw));
  corpus.manifest["sources"] = std::move(sources);
  return corpus;
}

}  // namespace gamut
