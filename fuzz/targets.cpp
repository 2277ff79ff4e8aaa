#include "targets.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "base/toml.h"
#include "checkpoints/checkpoint_store.h"
#include "checkpoints/elements.h"
#include "checkpoints/gguf.h"
#include "checkpoints/safetensors.h"
#include "data/corpus.h"
#include "data/readers/inflate.h"
#include "data/readers/markup.h"
#include "data/readers/r_data.h"
#include "data/shard.h"
#include "data/tokenizers/byte_level.h"
#include "data/tokenizers/gguf.h"
#include "data/tokenizers/tokenizer.h"
#include "families/family.h"
#include "training/metrics_log.h"
#include "training/recipe.h"

namespace gamut::fuzz {
namespace fs = std::filesystem;
namespace {

void law(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

// A folder for readers of files, in memory where the system has such a place; emptied by every target that uses it.
const fs::path& scratch() {
  static const struct Folder {
    fs::path path;
    Folder() {
      std::string pattern = (fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) / "gamut-fuzz-XXXXXX";
      if (!::mkdtemp(pattern.data())) throw std::runtime_error("no scratch folder");
      path = pattern;
    }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } folder;
  return folder.path;
}

// A new file of this content in a new folder below scratch(); the older ones are gone.
fs::path file(const std::string& name, std::string_view content) {
  const fs::path folder = scratch() / "case";
  fs::remove_all(folder);
  fs::create_directories(folder);
  AppendFile(folder / name).append(content);
  return folder / name;
}

// The lines up to one of "---" are a TOML recipe, those after it overrides.
void recipe(std::string_view input) {
  const size_t end = input.find("\n---\n");
  ConfigDocument document = parse_toml(input.substr(0, end), "recipe.toml");
  if (end != std::string_view::npos)
    for (const std::string& line : split(input.substr(end + 5), '\n'))
      if (!line.empty()) apply_override(document, line);
  const Recipe read = Recipe::from_document(document);
  const Recipe again = Recipe::from_document(parse_toml(write_toml(read.resolved), "resolved.toml"));
  law(again.resolved == read.resolved, "a resolved recipe reads back as itself");
}

void json(std::string_view input) {
  const Json value = parse_json(input, "x.json");
  law(parse_json(value.dump(), "again.json") == value, "JSON reads back as itself");
}

void safetensors(std::string_view input) {
  const SafetensorsContent content = parse_safetensors(std::as_bytes(std::span(input)), "x.safetensors");
  size_t bytes = 0;
  for (const TensorView& tensor : content.tensors) {
    bytes += tensor.bytes.size();
    hash64(tensor.bytes.data(), tensor.bytes.size());  // reads every byte
  }
  law(bytes < input.size() || bytes == 0, "tensors lie inside the file, without overlap");
}

// Encodes and decodes some texts, `own` among them.
void use_tokenizer(const Tokenizer& made, std::string_view own) {
  for (const std::string_view text : {std::string_view("The cat's 12 dogs\n\n  ran <|endoftext|>  ünï\xff\xe4\xb8"), own.substr(0, 300)})
    for (const SpecialTokens specials : {SpecialTokens::recognise, SpecialTokens::as_text}) {
      const std::vector<int32_t> ids = made.encode(text, specials);
      for (const int32_t id : ids) law(id >= 0 && id < made.vocab_size(), "ids lie in the vocabulary");
      made.decode(ids, true);
      lossy_utf8(made.decode(made.add_special_tokens(ids)));
    }
}

// tokenizer.json, and after a zero byte tokenizer_config.json.
void tokenizer(std::string_view input) {
  const size_t end = input.find('\0');
  const std::string about(end == std::string_view::npos ? "" : input.substr(end + 1));
  const auto made = Tokenizer::from_json(std::string(input.substr(0, end)), about, "tokenizer.json");
  use_tokenizer(*made, input);
  const fs::path folder = file("unused", "").parent_path();
  made->save(folder);
  law(Tokenizer::load(folder)->hash() == made->hash(), "a tokenizer reads back as itself");
}

// Every number of every tensor, every value of the metadata; then vocabulary and architecture.
void gguf(std::string_view input) {
  const GgufContent content = parse_gguf(std::as_bytes(std::span(input)), "x.gguf");
  size_t bytes = 0;
  std::vector<float> numbers;
  for (const TensorView& tensor : content.tensors) {
    bytes += tensor.bytes.size();
    numbers.resize(static_cast<size_t>(tensor.elements()));
    read_elements(tensor, 0, tensor.elements(), numbers.data());
  }
  law(bytes < input.size(), "tensors lie inside the file, without overlap");
  for (const auto& [key, value] : content.metadata.values()) content.metadata.json(key);
  if (content.metadata.has("tokenizer.ggml.model")) {
    const TokenizerFiles files = tokenizer_of(content.metadata);
    use_tokenizer(*Tokenizer::from_json(files.tokenizer, files.config, "x.gguf"), input);
  }
  read_model_config(file("x.gguf", input));
}

// config.json; and what is read can be written down and read again.
void model_config(std::string_view input) {
  const ModelConfig read = read_model_config(file("config.json", input));
  Config spec(read.spec.to_json(), {.source = "spec", .lines = {}});
  law(ModelSpec::from_config(spec) == read.spec, "a model's specification reads back as itself");
  const std::string written = family_for(read.spec).write(read.spec).config.dump();
  law(read_model_config(file("config.json", written)).spec == read.spec, "a model's config.json reads back as itself");
}

void markup(std::string_view input) {
  for (const auto& read : {text_of_html, text_of_markdown, text_of_roff}) read(input);
  const std::string text = tidy(input), utf8 = lossy_utf8(input);
  law(tidy(text) == text, "tidy text stays as it is");
  law(lossy_utf8(utf8) == utf8, "UTF-8 stays as it is");
  for (size_t at = 0; at < input.size();) {
    const size_t end = gpt2_piece_end(input, at);
    law(end > at && end <= input.size(), "pieces are not empty and lie in the text");
    at = end;
  }
  law(bytes_of_text(text_of_bytes(input)) == input, "bytes survive their printable form");
}

// The first byte chooses the kind of the user's file.
void own_text(std::string_view input) {
  constexpr std::array kNames{"a.txt", "a.md", "a.jsonl"};
  const size_t kind = input.empty() ? 0 : static_cast<unsigned char>(input[0]) % kNames.size();
  auto raw = read_own_text(file(kNames[kind], input.substr(std::min<size_t>(1, input.size()))).parent_path());
  const Corpus corpus = make_corpus(std::move(raw));
  law(corpus.domains.size() == 1, "files of one folder are one domain");
}

// manifest.json, and after a zero byte state.json, beside tensors that are as they should be.
void checkpoint(std::string_view input) {
  static const std::string tensors = [] {
    write_safetensors(file("t", ""), {});
    return read_file(scratch() / "case" / "t");
  }();
  const size_t end = input.find('\0');
  const fs::path manifest = file("manifest.json", input.substr(0, end));
  AppendFile(manifest.parent_path() / "tensors.safetensors").append(tensors);
  AppendFile(manifest.parent_path() / "state.json").append(end == std::string_view::npos ? "" : input.substr(end + 1));
  open_checkpoint(manifest.parent_path());
}

void metrics(std::string_view input) {
  const fs::path path = file("metrics.jsonl", input);
  MetricsLog(path, 3).append({{"step", 4}});
  MetricsLog(path, 4);  // the file it left is a good one
  law(read_file(path).ends_with("{\"step\":4}\n"), "the log ends with the line that was appended");
}

// The checksums are made right, so that what lies behind them is reached.
void token_shard(std::string_view input) {
  std::string bytes(input);
  constexpr size_t kHeader = 96, kChecksums = 16;
  if (bytes.size() >= kHeader) {
    const uint64_t rest = hash64(std::string_view(bytes).substr(kHeader));
    std::memcpy(bytes.data() + kHeader - kChecksums, &rest, sizeof rest);
    const uint64_t header = hash64(std::string_view(bytes).substr(0, kHeader - sizeof(uint64_t)));
    std::memcpy(bytes.data() + kHeader - sizeof header, &header, sizeof header);
  }
  const TokenShard shard(file("a.tokens", bytes));
  std::vector<int32_t> ids(static_cast<size_t>(shard.tokens()));
  shard.read(0, ids);
  for (const int32_t id : ids) law(id >= 0 && id < shard.vocab_size(), "ids lie in the vocabulary");
  for (int64_t d = 0; d < shard.documents(); ++d) law(shard.document_start(d) <= shard.tokens(), "documents lie in the shard");
}

// As a database of R, as the content of its one record, and as a compressed file.
void r_data(std::string_view input) {
  std::string packed(::compressBound(input.size()), '\0');
  uLongf size = packed.size();
  ::compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(input.data()), input.size());
  packed.resize(size);
  law(inflate(packed, "packed") == input, "what is packed unpacks to itself");
  std::string record(4, '\0');
  for (int i = 0; i < 4; ++i) record[static_cast<size_t>(i)] = static_cast<char>(input.size() >> (24 - 8 * i));
  for (const auto& read : {+[](std::string_view x) { read_r_strings(x, "a.rdb"); }, +[](std::string_view x) { inflate(x, "a.gz"); }}) {
    try {
      read(input);
    } catch (const Error&) {  // what matters comes next
    }
  }
  read_r_strings(record + packed, "b.rdb");
}

constexpr std::array kTargets{Target{"recipe", recipe},         Target{"json", json},         Target{"safetensors", safetensors}, Target{"gguf", gguf},
                              Target{"tokenizer", tokenizer},   Target{"model_config", model_config}, Target{"markup", markup},
                              Target{"own_text", own_text},     Target{"checkpoint", checkpoint},     Target{"metrics", metrics},
                              Target{"token_shard", token_shard}, Target{"r_data", r_data}};

}  // namespace

std::span<const Target> targets() { return kTargets; }

const Target* find_target(std::string_view name) {
  for (const Target& target : kTargets)
    if (target.name == name) return &target;
  return nullptr;
}

bool accepts(const Target& target, std::string_view input) {
  try {
    target.read(input);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace gamut::fuzz
