// Speed of the byte-level BPE trainer and encoder on one core, as one line of JSON; tools/tokenizer_peer.py runs it beside
// Hugging Face `tokenizers` and compares the ids.
//
//   tokenizer_benchmark TEXTS.jsonl VOCABULARY FOLDER [IDS.i32]
//
// TEXTS.jsonl holds one JSON string a line. FOLDER receives the trained tokenizer, IDS.i32 every id of every text.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "data/tokenizers/bpe_trainer.h"

namespace {

template <class F> double seconds(F&& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int count, char** arguments) {
  using namespace gamut;
  if (count < 4) {
    std::fputs("tokenizer_benchmark TEXTS.jsonl VOCABULARY FOLDER [IDS.i32]\n", stderr);
    return 2;
  }
  try {
    const std::string file = read_file(arguments[1]);
    std::vector<std::string> texts;
    for (const std::string& line : split(file, '\n'))
      if (!line.empty()) texts.push_back(parse_json(line, arguments[1]).get<std::string>());
    std::vector<std::string_view> views(texts.begin(), texts.end());
    size_t bytes = 0;
    for (const std::string& text : texts) bytes += text.size();

    ThreadPool pool(1);
    std::shared_ptr<const Tokenizer> tokenizer;
    const double train = seconds([&] { tokenizer = train_bpe(views, {.vocab_size = std::stoll(arguments[2])}, pool); });
    tokenizer->save(arguments[3]);

    double cold = 0, warm = 1e9;
    std::vector<int32_t> ids;
    for (int round = 0; round < 4; ++round) {
      ids.clear();
      const double took = seconds([&] {
        for (const std::string& text : texts) tokenizer->encode_to(text, ids, SpecialTokens::recognise);
      });
      if (round == 0) cold = took;
      if (round > 0) warm = std::min(warm, took);
    }
    if (count > 4) write_file(arguments[4], {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
    const Json line = {{"bytes", bytes}, {"tokens", ids.size()}, {"train_s", train}, {"encode_cold_s", cold}, {"encode_s", warm}};
    std::puts(line.dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
