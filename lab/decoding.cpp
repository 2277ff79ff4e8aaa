#include "lab/decoding.h"

#include <algorithm>
#include <chrono>

#include "base/rng.h"
#include "generation/decoder.h"
#include "generation/plan.h"
#include "lab/race.h"

namespace gamut {

DecodeCost measure_decode(ModelSpec spec, const std::vector<int64_t>& contexts, ThreadPool& pool, uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  constexpr int kTimed = 24;
  spec.max_positions = *std::max_element(contexts.begin(), contexts.end()) + kTimed;
  const Device device = Device::real(pool);
  Model model(spec, device);
  model.parameters().initialise(seed, pool);
  const RandomStream stream(seed, "decode");
  const auto ids = [&](int64_t n) {
    std::vector<int32_t> all;
    for (int64_t i = 0; i < n; ++i) all.push_back(static_cast<int32_t>(stream.below(static_cast<uint64_t>(i), static_cast<uint64_t>(spec.vocab))));
    return all;
  };
  DecodeCost cost;
  for (const int64_t context : contexts) {
    stop_if_interrupted();
    Decoder decoder(model, device, 1, context + kTimed);
    decoder.take(ids(context), 256);
    cost.state.push_back(static_cast<double>(decoder.state_bytes()));
    std::vector<double> took;
    for (int i = 0; i < kTimed; ++i) {
      const auto before = Clock::now();
      decoder.take(ids(1), 1);
      took.push_back(1e3 * std::chrono::duration<double>(Clock::now() - before).count());
    }
    cost.context.push_back(static_cast<double>(context));
    cost.milliseconds.push_back(median(took));
    cost.bytes.push_back(plan_serving(spec, 1, context, pool).decode.bytes);
  }
  return cost;
}

}  // namespace gamut
