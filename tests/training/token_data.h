// A dataset of random tokens, without text or tokenizer, for tests of the trainer.
#pragma once

#include <memory>

#include "base/rng.h"
#include "data/dataset.h"
#include "temp_folder.h"

namespace gamut {

// `domains` shards of `tokens` ids each. `likely`: share of tokens that follow from the one before, so that there is something to learn.
inline std::shared_ptr<const Dataset> token_data(const TempFolder& folder, int64_t tokens, int64_t vocab, int domains = 1, double likely = 0) {
  auto data = std::make_shared<Dataset>();
  for (int d = 0; d < domains; ++d) {
    const RandomStream stream(7, "test data", std::to_string(d));
    TokenDocument document{{}, tokens};
    for (int64_t i = 0; i < tokens; ++i) {
      const auto n = static_cast<uint64_t>(i);
      const bool follows = i > 0 && stream.uniform(2 * n) < likely;
      document.ids.push_back(follows ? static_cast<int32_t>((document.ids.back() * 5 + 3) % vocab) : static_cast<int32_t>(stream.below(2 * n + 1, static_cast<uint64_t>(vocab))));
    }
    const std::string name = "d" + std::to_string(d);
    write_token_shard(folder / (name + ".tokens"), std::span(&document, 1), vocab, std::string(32, '0'));
    data->domains.push_back(name);
    data->train.push_back(std::make_shared<TokenShard>(folder / (name + ".tokens")));
    data->hash += std::to_string(data->train.back()->checksum());
  }
  return data;
}

}  // namespace gamut
