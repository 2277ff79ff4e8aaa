#include "data/tokenizers/normalizers/normalizer.h"

namespace gamut {
namespace {

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

}  // namespace

NormalizerPtr read_prepend(Config& cfg) { return std::make_unique<Prepend>(cfg.take<std::string>("prepend")); }

}  // namespace gamut
