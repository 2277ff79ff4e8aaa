#include "objectives/source_target.h"

#include <algorithm>

namespace gamut {
namespace {

// Tokens of row b; padding, which stands at the end, is left out.
int64_t tokens_of(const std::vector<uint8_t>& mask, int64_t length, int64_t b) {
  return mask.empty() ? length : std::count(mask.begin() + b * length, mask.begin() + (b + 1) * length, 1);
}

}  // namespace

Example joined(const Example& e) {
  Example out{.rows = e.rows, .length = e.length + e.target_length};
  const auto elements = static_cast<size_t>(out.rows * out.length);
  out.ids.assign(elements, 0);
  out.mask.assign(elements, 0);
  out.labels.assign(elements, -100);
  for (int64_t b = 0; b < e.rows; ++b) {
    const int64_t source = tokens_of(e.mask, e.length, b), target = tokens_of(e.decoder_mask, e.target_length, b), at = b * out.length;
    std::copy_n(e.ids.begin() + b * e.length, source, out.ids.begin() + at);
    std::copy_n(e.decoder_ids.begin() + b * e.target_length, target, out.ids.begin() + at + source);
    std::copy_n(e.labels.begin() + b * e.target_length, target, out.labels.begin() + at + source);
    std::fill_n(out.mask.begin() + at, source + target, uint8_t{1});
    out.prefix.push_back(static_cast<int32_t>(source));
  }
  return out;
}

SourceTarget::SourceTarget(Config& options, size_t specials, size_t end) : specials_(options.take<std::vector<int32_t>>("specials", {})), end_(end) {
  if (!specials_.empty() && specials_.size() != specials)
    options.reject("specials", "has " + std::to_string(specials_.size()) + " ids for " + std::to_string(specials) + " special tokens");
  for (const int32_t id : specials_)
    if (id < 0) options.reject("specials", "holds " + std::to_string(id) + ", which is no token");
}

Example SourceTarget::rows(const std::vector<Pair>& pairs, int64_t source_length, int64_t target_length) const {
  const int32_t start = special(0), end = special(end_);
  for (const Pair& p : pairs) {
    source_length = std::max(source_length, static_cast<int64_t>(p.source.size()));
    target_length = std::max(target_length, static_cast<int64_t>(p.target.size()) + 1);
  }
  Example e{.rows = static_cast<int64_t>(pairs.size()), .length = source_length, .target_length = target_length};
  for (const Pair& p : pairs) {
    const auto pad = [](auto& list, int64_t length, int64_t used, auto fill) { list.insert(list.end(), static_cast<size_t>(length - used), fill); };
    const auto source = static_cast<int64_t>(p.source.size()), target = static_cast<int64_t>(p.target.size()) + 1;
    e.ids.insert(e.ids.end(), p.source.begin(), p.source.end());
    pad(e.ids, source_length, source, 0);
    e.mask.insert(e.mask.end(), p.source.size(), 1);
    pad(e.mask, source_length, source, uint8_t{0});
    e.decoder_ids.push_back(start);
    e.decoder_ids.insert(e.decoder_ids.end(), p.target.begin(), p.target.end());
    pad(e.decoder_ids, target_length, target, 0);
    e.decoder_mask.insert(e.decoder_mask.end(), static_cast<size_t>(target), 1);
    pad(e.decoder_mask, target_length, target, uint8_t{0});
    e.labels.insert(e.labels.end(), p.target.begin(), p.target.end());
    e.labels.push_back(end);
    pad(e.labels, target_length, target, -100);
  }
  return e;
}

ops::HeadLoss SourceTarget::loss(Model& model, const Pass& settings, const Example& e, double scale) const {
  return Objective::loss(model, settings, model.has_encoder() || e.target_length == 0 ? e : joined(e), scale);
}

}  // namespace gamut
