#include "data/tokenizers/gguf_pre_tokenizers.h"

namespace gamut {
namespace {

Json cut_at(const std::string& regex) { return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}}; }
Json byte_level(bool regex) { return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", regex}}; }
Json digits(bool each) { return {{"type", "Digits"}, {"individual_digits", each}}; }

const std::string kContractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const std::string kBeforeLetters = R"([^\r\n\p{L}\p{N}]?)";
const std::string kSpaces = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kBloom = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";

// Llama 3 and kin: contractions in either case, letters with one sign before them, numbers of some digits, signs with line ends after them.
std::string words(const std::string& number, const std::string& signs = R"( ?[^\s\p{L}\p{N}]+[\r\n]*)", const std::string& letters = R"(\p{L}+)") {
  return kContractions + "|" + kBeforeLetters + letters + "|" + number + "|" + signs + kSpaces;
}

// o200k and kin: words end where capitals begin.
std::string cased_words(const std::string& after, const std::string& number) {
  const std::string upper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])", lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
  return kBeforeLetters + upper + "*" + lower + "+" + after + "|" + kBeforeLetters + upper + "+" + lower + "*" + after + "|" + number + R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kSpaces;
}

}  // namespace

const std::vector<GgufPreTokenizer>& gguf_pre_tokenizers() {
  static const std::vector<GgufPreTokenizer> rows{
      {"gpt-2 mpt olmo jais phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum modern-bert roberta-bpe trillion granite-docling", {byte_level(true)}},
      {"smollm starcoder refact command-r codeshell exaone minerva-7b", {digits(true), byte_level(true)}},
      {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", {cut_at(words(R"(\p{N}{1,3})")), byte_level(false)}, false, true, true},
      {"dbrx smaug-bpe chatglm-bpe glm4", {cut_at(words(R"(\p{N}{1,3})")), byte_level(false)}},
      {"qwen2 deepseek-r1-qwen megrez kormo", {cut_at(words(R"(\p{N})")), byte_level(false)}, true},
      {"stablelm2 hunyuan grok-2", {cut_at(words(R"(\p{N})")), byte_level(false)}},
      {"qwen35", {cut_at(words(R"(\p{N})", R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)", R"([\p{L}\p{M}]+)")), byte_level(false)}, true},
      {"seed-coder", {cut_at(words(R"(\p{N}{1})", R"( ?[^\s\p{L}\p{N}\r\n]+)")), byte_level(false)}},
      {"gpt-4o llama4 kanana2 minimax-m2", {cut_at(cased_words(kContractions + "?", R"(\p{N}{1,3})")), byte_level(false)}},
      {"tekken", {cut_at(cased_words("", R"(\p{N})")), byte_level(false)}, false, true, true},
      {"deepseek-v3",
       {cut_at(R"(\p{N}{1,3})"), cut_at("[一-龥぀-ゟ゠-ヿ]+"),
        cut_at("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*" + kSpaces), byte_level(false)}},
      {"falcon", {{{"type", "Punctuation"}, {"behavior", "Contiguous"}}, byte_level(true), digits(false), cut_at("[0-9][0-9][0-9]")}},
      {"bloom gpt3-finnish poro-chat", {cut_at(kBloom), byte_level(false)}},
      {"viking", {cut_at(kBloom), digits(true), byte_level(false)}}};
  return rows;
}

}  // namespace gamut
