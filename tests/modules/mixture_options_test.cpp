// Options of mixtures of experts: their gradients, what is refused.
#include "mixture_bench.h"

namespace gamut {
namespace {

using Bench = MixtureBench;

// Of options that change what a mixture computes, and of every loss.
TEST(MixtureOptions, GradientIsTheSlope) {
  for (const Json& options : std::vector<Json>{
           {{"latent", 3}},
           {{"latent", 3}, {"weigh", "input"}, {"shared_hidden", 4}},
           {{"constant_experts", 2}, {"top_k", 5}},
           {{"constant_experts", 1}, {"identity_experts", 1}, {"zero_experts", 1}, {"top_k", 5}, {"bias", true}},
           {{"router", {{"orthogonal_loss", 0.3}}}},
           {{"router", {{"variance_loss", 0.3}}}},
           {{"router", {{"variance_loss", 0.3}, {"score", "sigmoid"}}}},
           {{"router", {{"entropy_loss", 0.3}}}},
           {{"router", {{"entropy_loss", -0.3}, {"score", "sigmoid"}}}},
           {{"router", {{"importance_loss", 0.3}, {"variance", "sample"}}}},
           {{"router", {{"sequence_loss", 0.3}, {"score", "sigmoid"}}}},
           {{"experts", 8}, {"router", {{"device_loss", 0.3}, {"communication_loss", 0.2}, {"devices", 4}, {"device_reach", 2}}}},
           {{"router", {{"balance_loss", 0.3}, {"balance_count", "tokens"}}}},
           {{"router", {{"score", "sqrt_softplus"}, {"balance_loss", 0.3}}}},
           {{"experts", 8}, {"router", {{"score", "sigmoid"}, {"balance", "bias"}, {"groups", 4}, {"kept_groups", 2}, {"group_mask", "zero"}}}},
           {{"router", {{"kind", "hash"}, {"gates", "scores"}, {"score", "sqrt_softplus"}}}},
           {{"router", {{"kind", "noisy_topk"}, {"noise", "constant"}, {"importance_loss", 0.3}, {"variance", "sample"}}}},
           {{"router", {{"kind", "expert_choice"}, {"score", "sigmoid"}}}},
           {{"experts", 8}, {"top_k", 4}, {"router", {{"kind", "hierarchical"}, {"groups", 4}, {"load_loss", 0.3}, {"importance_loss", 0.2}}}},
           {{"experts", 8}, {"router", {{"kind", "hierarchical"}, {"groups", 4}, {"noise", "constant"}, {"load_loss", 0.3}, {"variance", "sample"}}}},
           {{"experts", 8}, {"top_k", 4}, {"router", {{"kind", "hierarchical"}, {"groups", 2}, {"load_loss", 0.3}, {"balance_loss", 0.2}}}},
           {{"experts", 9}, {"top_k", 3}, {"router", {{"kind", "hierarchical"}, {"gating", "gshard"}, {"balance_loss", 0.3}}}},
           {{"output_orthogonality", 0.7}},
           {{"output_orthogonality", 0.7}, {"weigh", "input"}, {"latent", 3}, {"top_k", 3}},
           {{"output_orthogonality", 0.7}, {"capacity", 2}},
       }) {
    SCOPED_TRACE(options.dump());
    Bench bench("topk", "f64", 2, options);
    expect_slope(bench, false, numbers(kLength * kWidth), random_ids(kLength, kVocab));
  }
}

// Within a sequence they do not, bit for bit.
TEST(MixtureOptions, ExpertsThatChooseFromTheBatchFeelNeighbours) {
  const std::vector<double> all = numbers(32 * kLength * kWidth), first(all.begin(), all.begin() + kLength * kWidth);
  const std::vector<int32_t> ids = random_ids(32 * kLength, kVocab);
  for (const char* group : {"sequence", "batch"}) {
    Bench bench("expert_choice", "f32", 1, {{"router", {{"group", group}}}});
    const std::vector<double> together = bench.run(all, ids, 32).y, alone = bench.run(first, {ids.begin(), ids.begin() + kLength}).y;
    EXPECT_EQ(std::equal(alone.begin(), alone.end(), together.begin()), std::string(group) == "sequence") << group;
  }
}

TEST(RecordedChoices, RefuseWhatDoesNotFit) {
  Bench bench("topk", "f32");
  const std::vector<double> x = numbers(kLength * kWidth);
  const std::vector<int32_t> ids = random_ids(kLength, kVocab);
  std::vector<RouterChoices> made;
  bench.run(x, ids, 1, Tape::Mode::inference, &made);
  const auto refused = [&](const std::string& part, auto&& change) {
    std::vector<RouterChoices> given = made;
    change(given[0]);
    try {
      bench.run(x, ids, 1, Tape::Mode::inference, nullptr, &given);
      ADD_FAILURE() << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused("have none of channel", [](RouterChoices& c) { c.router = "layers.9.channel"; });
  refused("[11, 2], not [12, 2]", [](RouterChoices& c) { c.index_Nk.resize(22); });
  refused("[24, 1], not [12, 2]", [](RouterChoices& c) { c.slots = 1; });
  refused("name expert 7 for token 3", [](RouterChoices& c) { c.index_Nk[6] = 7; });
  refused("name expert -1 for token 0", [](RouterChoices& c) { c.index_Nk[0] = -1; });
  refused("each once", [](RouterChoices& c) { c.index_Nk[1] = c.index_Nk[0]; });
}

// A causal model takes no router and no drop rule that looks ahead, unless told to.
TEST(Soundness, CausalModelsRefuseWhatLooksAhead) {
  ThreadPool pool(1);
  const auto builds = [&](const Json& options) {
    try {
      const Model model(tiny_moe(options), Device::shapes_only(pool));
      return true;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("later tokens"), std::string::npos) << error.what();
      return false;
    }
  };
  for (const auto& row : routers()) {
    if (row.traits.sight != RouterSight::batch) continue;
    EXPECT_FALSE(builds({{"router", {{"kind", row.kind}}}})) << row.kind;
    EXPECT_TRUE(builds({{"router", {{"kind", row.kind}}}, {"allow_lookahead", true}})) << row.kind;
  }
  const Json dropping = {{"capacity_factor", 1}, {"drop_when", "always"}};
  EXPECT_TRUE(builds(dropping));
  for (const Json& rule : {Json{{"drop", "probability"}}, Json{{"drop", "random"}}, Json{{"drop", "prioritised"}}, Json{{"drop_order", "choice"}}}) {
    Json options = dropping;
    options.update(rule);
    EXPECT_FALSE(builds(options)) << rule.dump();
    options["drop_when"] = "training";
    EXPECT_TRUE(builds(options)) << rule.dump();
  }
}

}  // namespace
}  // namespace gamut
