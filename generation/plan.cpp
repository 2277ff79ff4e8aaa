#include "generation/plan.h"

#include <algorithm>

#include "generation/decoder.h"

namespace gamut {
namespace {

Cost per_token(Cost cost, double tokens) { return {cost.matmul_flops / tokens, cost.other_flops / tokens, cost.bytes / tokens}; }

}  // namespace

ServingPlan plan_serving(const ModelSpec& spec, int64_t rows, int64_t context, ThreadPool& pool) {
  const Device device = Device::shapes_only(pool);
  Model model(spec, device);
  ServingPlan plan{.parameters = model.parameters().total(), .active_parameters = model.parameters().active(), .parameter_bytes = device.arena->in_use()};
  const GenerateOptions defaults;
  const auto row_count = static_cast<double>(rows);
  const auto tokens = [&](int64_t n) { return std::vector<int32_t>(static_cast<size_t>(rows * n)); };

  // The growth of the states between half the context and all of it.
  const int64_t prompt = std::max<int64_t>(1, context - 1), half = std::max<int64_t>(1, prompt / 2);
  Decoder decoder(model, device, rows, prompt + 1);
  if (model.has_encoder()) {
    decoder.read(tokens(context));
    plan.prefill = per_token(decoder.cost(), row_count * static_cast<double>(context));
  }
  decoder.take(tokens(half), defaults.chunk);
  const auto at_half = static_cast<double>(decoder.state_bytes());
  if (prompt > half) decoder.take(tokens(prompt - half), defaults.chunk);
  const auto at_prompt = static_cast<double>(decoder.state_bytes());
  if (!model.has_encoder()) plan.prefill = per_token(decoder.cost(), row_count * static_cast<double>(prompt));
  const Cost before = decoder.cost();
  decoder.take(tokens(1), defaults.chunk);
  const Cost& after = decoder.cost();
  plan.decode = per_token({after.matmul_flops - before.matmul_flops, after.other_flops - before.other_flops, after.bytes - before.bytes}, row_count);
  plan.state_bytes = static_cast<double>(decoder.state_bytes()) / row_count;
  plan.state_bytes_per_token = (static_cast<double>(decoder.state_bytes()) - at_half) / static_cast<double>(prompt + 1 - half) / row_count;
  plan.state_bytes_fixed = at_prompt / row_count - plan.state_bytes_per_token * static_cast<double>(prompt);
  plan.arena_bytes = device.arena->peak();
  return plan;
}

}  // namespace gamut
