#include <fmt/format.h>

#include <iostream>

#include "base/text.h"
#include "base/toml.h"
#include "cli/command.h"
#include "cli/table.h"
#include "data/dataset.h"
#include "data/recipes.h"

namespace gamut {
namespace {

std::string bytes_text(const Json& n) { return human_bytes(n.get<double>()); }
std::string count_text(const Json& n) { return human_count(n.get<double>()); }

void list(bool json) {
  Json result = Json::array();
  std::vector<std::vector<std::string>> rows = {{"recipe", "packages", "most text"}};
  std::string about;
  for (const TextRecipe& recipe : text_recipes()) {
    Json sources = Json::array();
    std::vector<std::string> domains;
    for (const TextSource& s : recipe.sources) {
      sources.push_back({{"package", s.package}, {"domain", s.domain}, {"licence", s.licence}});
      if (std::find(domains.begin(), domains.end(), s.domain) == domains.end()) domains.emplace_back(s.domain);
    }
    result.push_back({{"name", recipe.name}, {"about", recipe.about}, {"domain_bytes", recipe.domain_bytes}, {"sources", sources}});
    rows.push_back({recipe.name, std::to_string(recipe.sources.size()), human_bytes(static_cast<double>(recipe.domain_bytes * domains.size()))});
    about += fmt::format("{}: {}\n", recipe.name, recipe.about);
  }
  if (json) std::cout << result.dump() << '\n';
  else std::cout << format_table(rows) << '\n' << about;
}

void print_dataset(const Dataset& dataset, bool json) {
  const Json& m = dataset.manifest;
  if (json) {
    Json result = m;
    result["folder"] = dataset.folder.string();
    std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"domain", "split", "documents", "text", "tokens", "bytes/token"}};
  for (const auto& [name, about] : m.at("domains").items())
    for (const std::string split : {"train", "validation"})
      rows.push_back({split == "train" ? name : "", split, count_text(about.at(split + "_documents")), bytes_text(about.at(split + "_bytes")), count_text(about.at(split + "_tokens")),
                      fmt::format("{:.2f}", about.at(split + "_bytes").get<double>() / std::max(1.0, about.at(split + "_tokens").get<double>()))});
  std::cout << format_table(rows) << '\n';
  rows = {{"source", "version", "domain", "text"}};
  for (const Json& s : m.at("sources"))
    if (s.contains("package")) rows.push_back({s.at("package").get<std::string>(), s.at("version").get<std::string>(), s.at("domain").get<std::string>(), bytes_text(s.at("bytes"))});
  if (rows.size() > 1) std::cout << format_table(rows) << '\n';
  std::cout << fmt::format("vocabulary {}, hash {}\n{}\n", m.at("tokenizer").at("vocab_size").get<int64_t>(), dataset.hash, dataset.folder.string());
}

// What a folder of the user's text holds, before anything is done with it.
void print_own_text(const std::string& folder, bool json) {
  Json domains = Json::object();
  std::vector<std::vector<std::string>> rows = {{"domain", "documents", "text", "lines", "characters", "bytes/char"}};
  for (const auto& [name, domain] : read_own_text(folder)) {
    size_t bytes = 0, lines = 0, characters = 0;
    for (const TextDocument& document : domain.documents) {
      bytes += document.text.size();
      for (const char c : document.text) {
        lines += c == '\n';
        characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
      }
    }
    domains[name] = {{"documents", domain.documents.size()}, {"bytes", bytes}, {"lines", lines}, {"characters", characters}};
    rows.push_back({name, human_count(static_cast<double>(domain.documents.size())), human_bytes(static_cast<double>(bytes)), human_count(static_cast<double>(lines)),
                    human_count(static_cast<double>(characters)), fmt::format("{:.2f}", static_cast<double>(bytes) / static_cast<double>(std::max<size_t>(1, characters)))});
  }
  if (json) std::cout << Json({{"folder", folder}, {"domains", domains}}).dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  else std::cout << format_table(rows);
}

struct Arguments {
  std::string folder;
  std::vector<std::string> settings;
  bool json = false;
};

void prepare(const Arguments& a) {
  if (std::filesystem::exists(a.folder)) throw Error({.who = "data", .what = "the folder exists already", .where = a.folder, .hint = "name another one, or delete it"});
  ThreadPool pool;
  export_dataset(prepare_dataset(take_data_settings(a.settings), pool), a.folder);
  print_dataset(open_dataset(a.folder), a.json);
}

}  // namespace

void build_data(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  command.require_subcommand(0, 1);
  add_json(command, a->json);
  CLI::App* listing = command.add_subcommand("list", "Recipes and where their text comes from (what `gamut data` alone does).");
  CLI::App* preparing = command.add_subcommand("prepare", "Download, clean, split, tokenize: token shards, tokenizer and manifest in FOLDER.");
  preparing->add_option("folder", a->folder, "new folder; data.path=FOLDER then uses it anywhere")->required();
  preparing->add_option("settings", a->settings, "data.recipe=NAME or data.path=TEXT, data.vocab_size=N, data.tokenizer=FILE …");
  CLI::App* counting = command.add_subcommand("stats", "What a prepared dataset (verified) or a folder of text holds.");
  counting->add_option("folder", a->folder, "prepared dataset, or folder or file of text")->required();
  for (CLI::App* sub : {listing, preparing, counting}) add_json(*sub, a->json);
  command.callback([a, preparing, counting] {
    if (preparing->parsed()) return prepare(*a);
    if (!counting->parsed()) return list(a->json);
    if (is_dataset(a->folder)) print_dataset(open_dataset(a->folder), a->json);
    else print_own_text(a->folder, a->json);
  });
}

}  // namespace gamut
