// Text ↔ token ids. One interface for every kind of tokenizer; `load` reads what `save` or Hugging Face `tokenizers` wrote.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gamut {

struct FramedIds;

// What encoding does with the text of a special token ("<|endoftext|>") inside ordinary text. Untrusted text and training
// corpora need as_text: a user must not be able to type a control token.
enum class SpecialTokens { recognise, as_text };

// Immutable and safe to use from many threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Reads a tokenizer.json file, or a folder holding one (beside it, tokenizer_config.json may name the bos and eos tokens), or the
  // vocabulary of a .gguf file.
  // Anything unreadable, inconsistent or of a kind not supported is one Error naming the file.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& path);
  // The same from the texts of the two files; the second may be empty. `source` names the first in Errors.
  static std::shared_ptr<const Tokenizer> from_json(std::string json, std::string config, const std::string& source);

  // Appends the ids of `text` to `ids`. No bos or eos is added. Any byte string is accepted.
  virtual void encode_to(std::string_view text, std::vector<int32_t>& ids, SpecialTokens specials) const = 0;
  std::vector<int32_t> encode(std::string_view text, SpecialTokens specials = SpecialTokens::recognise) const;

  // The ids of one text, or of two, with the special tokens around them that the tokenizer's post-processor names ([CLS] … [SEP]).
  virtual FramedIds frame(const std::vector<int32_t>& first, const std::vector<int32_t>* second = nullptr) const = 0;
  std::vector<int32_t> add_special_tokens(const std::vector<int32_t>& ids) const;

  // The bytes the ids stand for, special tokens left out unless asked for. May cut a UTF-8 character: see lossy_utf8.
  // An id outside 0 … vocab_size()−1 is an Error.
  virtual std::string decode(std::span<const int32_t> ids, bool keep_specials = false) const = 0;

  virtual int64_t vocab_size() const = 0;           // ids are 0 … vocab_size()−1, special tokens included
  virtual int token_bytes(int32_t id) const = 0;    // bytes the token adds to a text it stands in; 0 for a special token
  virtual bool is_special(int32_t id) const = 0;
  virtual std::string token_text(int32_t id) const = 0;  // as written in tokenizer.json ("Ġthe"); "" where no token has the id
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  virtual std::optional<int32_t> bos() const = 0;
  virtual std::optional<int32_t> eos() const = 0;

  // The same tokenizer with these special tokens, at the end of the vocabulary where it lacks them.
  virtual std::shared_ptr<const Tokenizer> with_special_tokens(std::span<const std::string> tokens) const = 0;
  // The same tokenizer with a post-processor that puts a text between two of its special tokens, and a second one (of type 1) before
  // another `last`: as BERT's, [CLS] A [SEP] B [SEP]. One that adds special tokens already stays as it is.
  virtual std::shared_ptr<const Tokenizer> with_frame(const std::string& first, const std::string& last) const = 0;

  // Writes tokenizer.json and tokenizer_config.json, which Hugging Face `tokenizers` and `transformers` open.
  virtual void save(const std::filesystem::path& folder) const = 0;

  // 32 hexadecimal digits of the files' content: equal hash, equal ids.
  virtual const std::string& hash() const = 0;
};

// `bytes` with every invalid UTF-8 sequence replaced by U+FFFD (one for each maximal broken part), as decoders show text.
std::string lossy_utf8(std::string_view bytes);

}  // namespace gamut
