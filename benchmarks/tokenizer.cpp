// Speed of tokenizers on one core, as one line of JSON; tools/tokenizer_peer.py runs it beside Hugging Face `tokenizers` and
// compares the ids.
//
//   bench_tokenizer train TEXTS.jsonl FOLDER VOCABULARY     learn a byte-level BPE into FOLDER
//   bench_tokenizer encode TEXTS.jsonl FOLDER [IDS.i32]     load FOLDER's tokenizer, encode every text
//
// TEXTS.jsonl holds one JSON string a line. IDS.i32 receives every id of every text.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "data/tokenizers/bpe_trainer.h"

namespace {

using namespace gamut;

// Of the processor: others may share the core.
template <class F> double seconds(F&& run) {
  const std::clock_t start = std::clock();
  run();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

std::vector<std::string> read_texts(const std::string& path) {
  std::vector<std::string> texts;
  for (const std::string& line : split(read_file(path), '\n'))
    if (!line.empty()) texts.push_back(parse_json(line, path).get<std::string>());
  return texts;
}

Json train(const std::vector<std::string>& texts, const std::string& folder, int64_t vocabulary) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  ThreadPool pool(1);
  std::shared_ptr<const Tokenizer> tokenizer;
  const double took = seconds([&] { tokenizer = train_bpe(views, {.vocab_size = vocabulary}, pool); });
  tokenizer->save(folder);
  return {{"train_s", took}};
}

Json encode(const std::vector<std::string>& texts, const std::string& folder, const std::string& ids_file) {
  std::shared_ptr<const Tokenizer> tokenizer;
  const double load = seconds([&] { tokenizer = Tokenizer::load(folder); });
  double first = 0, best = 1e9;
  std::vector<int32_t> ids;
  for (int round = 0; round < 3; ++round) {
    ids.clear();
    const double took = seconds([&] {
      for (const std::string& text : texts) tokenizer->encode_to(text, ids, SpecialTokens::recognise);
    });
    if (round == 0) first = took;
    best = std::min(best, took);
  }
  if (!ids_file.empty()) write_file(ids_file, {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
  return {{"load_s", load}, {"tokens", ids.size()}, {"first_s", first}, {"encode_s", best}};
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  try {
    if (words.size() == 4 && words[0] == "train") std::puts(train(read_texts(words[1]), words[2], std::stoll(words[3])).dump().c_str());
    else if (words.size() >= 3 && words[0] == "encode") std::puts(encode(read_texts(words[1]), words[2], words.size() > 3 ? words[3] : "").dump().c_str());
    else throw Error({.who = "bench_tokenizer", .what = "expected train TEXTS.jsonl FOLDER VOCABULARY, or encode TEXTS.jsonl FOLDER [IDS.i32]"});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
