// Sampling, batches of prompts, and text from tokens.
#include <cmath>
#include <map>

#include "generation/decoder.h"
#include "generation/plan.h"
#include "generation/sampling.h"
#include "generation/score.h"
#include "temp_folder.h"
#include "tiny_models.h"

namespace gamut {
namespace {

TEST(Sampling, EachCutSeesWhatTheOneBeforeLeft) {
  const std::vector<float> logits{std::log(0.5f), std::log(0.2f), std::log(0.2f), std::log(0.1f)};
  const auto near = [](const std::vector<double>& p, const std::vector<double>& want) {
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(p[i], want[i], 1e-7) << i;
  };
  near(sampling_probabilities(logits, {}, {}), {0.5, 0.2, 0.2, 0.1});
  near(sampling_probabilities(logits, {}, {.top_k = 2}), {5.0 / 7, 2.0 / 7, 0, 0});  // of equals the lower id
  near(sampling_probabilities(logits, {}, {.top_p = 0.65}), {5.0 / 7, 2.0 / 7, 0, 0});
  near(sampling_probabilities(logits, {}, {.min_p = 0.3}), {5.0 / 9, 2.0 / 9, 2.0 / 9, 0});
  near(sampling_probabilities(logits, {}, {.top_k = 3, .top_p = 0.6}), {5.0 / 7, 2.0 / 7, 0, 0});  // 0.5/0.9 < 0.6
  near(sampling_probabilities(logits, {}, {.temperature = 0.5}), {0.25 / 0.34, 0.04 / 0.34, 0.04 / 0.34, 0.01 / 0.34});
  const std::vector<int32_t> seen{0, 0};
  near(sampling_probabilities(std::vector<float>{2, 1}, seen, {.repetition_penalty = 2}), {0.5, 0.5});  // once, however often seen
  near(sampling_probabilities(std::vector<float>{-1, -2}, seen, {.repetition_penalty = 2}), {0.5, 0.5});
}

TEST(Sampling, DrawsFollowTheProbabilities) {
  const std::vector<float> logits{std::log(0.6f), std::log(0.3f), std::log(0.1f)};
  std::map<int32_t, int> count;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++count[choose(logits, {}, {.seed = 7}, i)];
  EXPECT_NEAR(count[0], 0.6 * kDraws, 4 * std::sqrt(kDraws * 0.24));
  EXPECT_NEAR(count[2], 0.1 * kDraws, 4 * std::sqrt(kDraws * 0.09));
  EXPECT_EQ(choose(logits, {}, {.seed = 7}, 5), choose(logits, {}, {.seed = 7}, 5));
}

TEST(Sampling, ValuesOutOfRangeAreNamed) {
  EXPECT_ERROR(Sampling{.temperature = -1}.check(), "temperature is -1");
  EXPECT_ERROR(Sampling{.top_p = 0}.check(), "top-p is 0");
  EXPECT_ERROR(Sampling{.min_p = 2}.check(), "min-p is 2");
  EXPECT_ERROR(Sampling{.repetition_penalty = 0}.check(), "repetition penalty is 0");
  EXPECT_ERROR(Sampling{.temperature = NAN}.check(), "temperature");
}

TEST(Generate, RowsOfABatchAreAsAlone) {
  ThreadPool pool(2);
  TinyModel tiny(tiny_moe(Json::object(), {{"dtype", "f32"}}), pool);
  const GenerateOptions options{.max_new_tokens = 12, .sampling = {.temperature = 1.3, .top_k = 9, .seed = 3}};
  const std::vector<std::vector<int32_t>> prompts{{1, 2, 3}, {4, 5}, {3, 1, 2}, {7, 7, 7, 7, 7}};
  const auto together = generate(tiny.model, tiny.device, prompts, options);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(generate(tiny.model, tiny.device, {prompts[i]}, options)[0], together[i]);
    EXPECT_EQ(together[i].size(), prompts[i].size() + 12);
  }
}

TEST(Generate, EndsAtEndOfTextAtTheCallersWordAndAtTheLastPosition) {
  ThreadPool pool(1);
  TinyModel tiny(tiny_spec({{"dtype", "f32"}}), pool);
  GenerateOptions options{.max_new_tokens = 20, .sampling = {.temperature = 0}};
  const auto free = generate(tiny.model, tiny.device, {{1, 2, 3}}, options)[0];
  options.eos = {free[6]};
  const auto first = static_cast<size_t>(std::find(free.begin() + 3, free.end(), free[6]) - free.begin());
  EXPECT_EQ(generate(tiny.model, tiny.device, {{1, 2, 3}}, options)[0], std::vector<int32_t>(free.begin(), free.begin() + static_cast<long>(first) + 1));
  options.eos.clear();
  int calls = 0;
  options.on_token = [&](size_t, int32_t) { return ++calls < 4; };
  EXPECT_EQ(generate(tiny.model, tiny.device, {{1, 2, 3}}, options)[0].size(), 7u);

  TinyModel learned(tiny_spec({{"dtype", "f32"}, {"positions", "learned"}, {"max_positions", 8}, {"mixer", {{"rope", false}}}}), pool);
  options.on_token = nullptr;
  EXPECT_EQ(generate(learned.model, learned.device, {{1, 2, 3}}, options)[0].size(), 9u) << "the last token needs no position of its own";
  EXPECT_ERROR(generate(learned.model, learned.device, {std::vector<int32_t>(9, 1)}, options), "position 8 is beyond the 8 learned ones");
  EXPECT_ERROR(generate(tiny.model, tiny.device, {{}}, options), "prompt 0 is empty");
  EXPECT_ERROR(generate(tiny.model, tiny.device, {{99}}, options), "token id 99");
}

TEST(Plan, FlopsAndStateAreCounted) {
  ThreadPool pool(1);
  const ModelSpec spec = tiny_spec({{"dtype", "f32"}});  // 2 layers, D 8, 2 heads and 1 key/value head of 4, hidden 12, V 13
  const ServingPlan plan = plan_serving(spec, 3, 40, pool);
  EXPECT_EQ(plan.state_bytes_per_token, 2 * 2 * 4 * 4.0);
  EXPECT_EQ(plan.state_bytes_fixed, 0);
  EXPECT_EQ(plan.state_bytes, 40 * plan.state_bytes_per_token);
  const ServingPlan recurrent = plan_serving(tiny_spec({{"dtype", "f32"}, {"mixer", {{"kind", "lstm"}, {"heads", nullptr}, {"kv_heads", nullptr}}}}), 3, 40, pool);
  EXPECT_EQ(recurrent.state_bytes_per_token, 0);
  EXPECT_EQ(recurrent.state_bytes, 2 * 2 * 8 * 4);  // layers × (h, c)
  EXPECT_EQ(recurrent.state_bytes, recurrent.state_bytes_fixed);
  const double matrices = 2 * (8 * 8 + 8 * 4 + 8 * 4 + 8 * 8 + 3 * 8 * 12) + 13 * 8;
  EXPECT_EQ(plan.active_parameters, matrices + 5 * 8);
  // Attention: 2·H·K·keys for the scores and the same for the mix, in each layer.
  EXPECT_EQ(plan.decode.matmul_flops, 2 * matrices + 2 * 2 * 2 * 2 * 4 * 40.0);
  EXPECT_GT(plan.arena_bytes, plan.parameter_bytes);

  TinyModel tiny(spec, pool);
  Decoder decoder(tiny.model, tiny.device, 3, 40);
  decoder.take(random_ids(3 * 39, 13), 512);
  EXPECT_EQ(decoder.state_bytes(), static_cast<size_t>(3 * 39 * plan.state_bytes_per_token));
}

TEST(Example, IsReadStrictly) {
  const auto read = [](const char* text) { return read_example(parse_json(text, "t.json"), "t.json"); };
  const Example in = read(R"({"input_ids": [[1, 2, 3], [4]]})");
  EXPECT_EQ(in.mask, (std::vector<uint8_t>{1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(in.labels, (std::vector<int32_t>{1, 2, 3, 4, -100, -100}));
  EXPECT_ERROR(read(R"({"input_idz": [[1]]})"), "'input_ids' is missing");
  EXPECT_ERROR(read(R"({"input_ids": [[1]], "lables": [[1]]})"), "did you mean 'labels'?");
  EXPECT_ERROR(read(R"({"input_ids": [[1.5]]})"), "whole numbers");
  EXPECT_ERROR(read(R"({"input_ids": []})"), "list of lists");
  EXPECT_ERROR(read(R"({"input_ids": [[]]})"), "no tokens");
  EXPECT_ERROR(read(R"({"input_ids": [[1, 2]], "attention_mask": [[0, 1]]})"), "pad on the right");
  EXPECT_ERROR(read(R"({"input_ids": [[1, 2]], "attention_mask": [[1, 1], [1, 1]]})"), "has 2 rows");
}

}  // namespace
}  // namespace gamut
