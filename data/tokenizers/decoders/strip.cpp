#include "data/tokenizers/decoders/decoder.h"

namespace gamut {
namespace {

// Takes up to so many of one character from the ends of every token.
class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      for (int64_t i = 0; i < start_ && token.starts_with(content_); ++i) token.erase(0, content_.size());
      for (int64_t i = 0; i < stop_ && token.ends_with(content_); ++i) token.erase(token.size() - content_.size());
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

}  // namespace

DecoderPtr read_strip_decoder(Config& cfg) {
  const auto content = cfg.take<std::string>("content", " ");
  if (content.empty()) cfg.reject("content", "must be a character");
  const auto start = cfg.take_in<int64_t>("start", 0, 0, INT32_MAX);
  return std::make_unique<StripDecoder>(content, start, cfg.take_in<int64_t>("stop", 0, 0, INT32_MAX));
}

}  // namespace gamut
