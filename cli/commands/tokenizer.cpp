#include <fmt/format.h>

#include <iostream>

#include "base/io.h"
#include "base/text.h"
#include "cli/command.h"
#include "data/dataset.h"
#include "data/tokenizers/bpe_trainer.h"

namespace gamut {
namespace {

struct Arguments {
  std::string folder;
  std::vector<std::string> settings, special = {kEndOfText};
  int64_t min_frequency = 0;
  bool no_special = false, skip_special = false, json = false;
};

void train(const Arguments& a) {
  const DataOptions data = take_data_settings(a.settings);
  if (!data.tokenizer.empty()) throw Error({.who = "tokenizer", .what = "data.tokenizer names a tokenizer that exists; train makes a new one", .hint = "leave data.tokenizer out"});
  ThreadPool pool;
  const std::vector<TextDocument> documents = tokenizer_texts(data, pool);
  std::vector<std::string_view> texts;
  size_t bytes = 0;
  for (const TextDocument& document : documents) {
    texts.push_back(document.text);
    bytes += document.text.size();
  }
  const auto tokenizer = train_bpe(texts, {.vocab_size = data.vocab_size, .min_frequency = a.min_frequency, .special_tokens = a.special}, pool);
  tokenizer->save(a.folder);
  const Json result = {{"folder", a.folder}, {"vocab_size", tokenizer->vocab_size()}, {"asked_vocab_size", data.vocab_size}, {"documents", documents.size()}, {"bytes", bytes}, {"hash", tokenizer->hash()}};
  if (a.json) {
    std::cout << result.dump() << '\n';
    return;
  }
  std::cout << fmt::format("{} tokens from {} of text in {} documents\n", tokenizer->vocab_size(), human_bytes(static_cast<double>(bytes)), documents.size());
  if (tokenizer->vocab_size() < data.vocab_size) std::cout << fmt::format("fewer than the {} asked for: the text has no more pairs to merge\n", data.vocab_size);
  std::cout << a.folder << '\n';
}

// Calls answer(value, place) for the JSON value of every line of standard input and prints what it returns, in
// ASCII: U+2028 and its like would end a line for some readers.
template <class Answer> void answer_lines(Answer&& answer) {
  std::string line;
  for (size_t number = 1; std::getline(std::cin, line); ++number) {
    if (trim(line).empty()) continue;
    const std::string place = "standard input, line " + std::to_string(number);
    std::cout << answer(parse_json(line, place), place).dump(-1, ' ', true, Json::error_handler_t::replace) << '\n';
  }
}

void encode(const Arguments& a) {
  const auto tokenizer = Tokenizer::load(a.folder);
  answer_lines([&](const Json& text, const std::string& place) {
    if (!text.is_string()) throw Error({.who = "tokenizer", .what = std::string("expected one JSON string a line, found ") + text.type_name(), .where = place});
    std::vector<int32_t> ids = tokenizer->encode(text.get_ref<const std::string&>());
    return Json(a.no_special ? ids : tokenizer->add_special_tokens(ids));
  });
}

void decode(const Arguments& a) {
  const auto tokenizer = Tokenizer::load(a.folder);
  answer_lines([&](const Json& ids, const std::string& place) {
    bool good = ids.is_array();
    for (const Json& id : good ? ids : Json::array()) good = good && id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < tokenizer->vocab_size();
    if (!good) throw Error({.who = "tokenizer", .what = fmt::format("expected one JSON array of ids from 0 to {} a line", tokenizer->vocab_size() - 1), .where = place});
    return Json(lossy_utf8(tokenizer->decode(ids.get<std::vector<int32_t>>(), !a.skip_special)));
  });
}

}  // namespace

void build_tokenizer(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  command.require_subcommand(1);
  const auto sub = [&](const char* name, const char* meaning, void (*run)(const Arguments&), const char* folder) {
    CLI::App* verb = command.add_subcommand(name, meaning);
    verb->add_option("folder", a->folder, folder)->required();
    verb->callback([a, run] { run(*a); });
    return verb;
  };
  CLI::App* training = sub("train", "Learn a byte-level BPE vocabulary from text; writes tokenizer.json.", train, "folder to write");
  training->add_option("settings", a->settings, "data.path=TEXT or data.recipe=NAME, data.vocab_size=N");
  training->add_option("--special", a->special, "special tokens, ids 0, 1, …; the first is bos and eos")->capture_default_str();
  training->add_option("--min-frequency", a->min_frequency, "a pair seen less often is not merged")->capture_default_str()->check(CLI::NonNegativeNumber);
  add_json(*training, a->json);
  CLI::App* encoding = sub("encode", "One JSON string a line on stdin → one JSON array of ids a line.", encode, "tokenizer.json, a folder holding one, or a .gguf file");
  encoding->add_flag("--no-special", a->no_special, "add no special tokens");
  CLI::App* decoding = sub("decode", "One JSON array of ids a line on stdin → one JSON string a line.", decode, "tokenizer.json, a folder holding one, or a .gguf file");
  decoding->add_flag("--skip-special", a->skip_special, "leave special tokens out of the text");
}

}  // namespace gamut
