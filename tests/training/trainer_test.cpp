// What training promises: it learns, its bits depend on nothing but the seed, and it goes on after a stop as if there had been none.
#include "training/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "checkpoints/checkpoint_store.h"
#include "families/routing_file.h"
#include "kernels/cpu.h"
#include "modules/registry.h"
#include "tiny_models.h"
#include "token_data.h"

namespace gamut {
namespace {

constexpr int64_t kVocab = 96;

// Two layers of width 32: small, but with more rows and columns than one block of any kernel.
ModelSpec small_dense(const std::string& dtype, const Json& changes = Json::object()) {
  Json all = {{"vocab", kVocab}, {"width", 32}, {"dtype", dtype}, {"init_std", 0.05}, {"mixer", {{"heads", 4}, {"kv_heads", 2}}}, {"channel", {{"hidden", 80}}}};
  all.merge_patch(changes);
  return tiny_spec(all);
}

ModelSpec small_moe(const std::string& dtype, const Json& options = Json::object()) {
  Json channel = {{"kind", "moe"}, {"experts", 4}, {"top_k", 2}, {"hidden", 40}};
  channel.merge_patch(options);
  return small_dense(dtype, {{"channel", channel}});
}

// A mixture of experts that learns to uncover what is hidden behind its last token.
ModelSpec small_diffusion(const std::string& dtype) {
  ModelSpec spec = small_moe(dtype);
  spec.vocab = kVocab + 1;
  spec.objective = {"masked_diffusion", {{"specials", {kVocab}}}};
  return spec;
}

// Models that learn to fill in spans, with two sentinels: an encoder-decoder of mixtures of experts, and one stack of a state space, attention and a mixture.
ModelSpec small_spans(ModelSpec spec) {
  spec.vocab = kVocab + 4;
  spec.objective = {"span_corruption", {{"sentinels", 2}, {"specials", {kVocab, kVocab + 1, kVocab + 2, kVocab + 3}}}};
  return spec;
}
ModelSpec small_encoder_decoder(const std::string& dtype) {
  ModelSpec spec = small_moe(dtype);
  spec.encoder = spec.layers;
  for (LayerSpec& layer : spec.layers) layer.cross = {"cross_attention", {{"heads", 4}}};
  return small_spans(spec);
}
ModelSpec small_hybrid(const std::string& dtype) {
  ModelSpec spec = small_moe(dtype);
  spec.layers[0] = {{"mamba", {{"state", 4}}}, {"ffn", {{"hidden", 80}}}};
  return small_spans(spec);
}

// Every sample of every registered sequence mixer that a text alone can train.
std::vector<ModelSpec> small_mixers(const std::string& dtype) {
  std::vector<ModelSpec> specs;
  for (const auto& row : sequence_mixers())
    for (const std::string& sample : row.samples) {
      if (row.looks == Looks::at_source) continue;
      ModelSpec spec = small_dense(dtype);
      const Json options = Json::parse(sample);
      for (size_t i = 0; i < spec.layers.size(); ++i) spec.layers[i].mixer = {row.kind, options.is_array() ? options.at(i) : options};
      specs.push_back(spec);
    }
  return specs;
}

const Json kSigmoidBias = {{"shared_hidden", 24}, {"router", {{"score", "sigmoid"}, {"balance", "bias"}, {"scale", 2.0}}}};
const Json kSwitch = {{"top_k", 1}, {"capacity_factor", 1.25}, {"router", {{"kind", "switch"}, {"z_loss", 0.001}}}};

// A mixture under masked words and pairs of texts; three special tokens behind the text's.
ModelSpec small_moe_bert(const std::string& dtype) {
  return small_dense(dtype, {{"vocab", kVocab + 3}, {"norm", "layer"}, {"norm_placement", "post"}, {"positions", "learned"}, {"embedding_norm", true}, {"token_types", 2}, {"tied", true},
                             {"mixer", {{"kv_heads", 4}, {"rope", false}, {"bias", true}}},
                             {"channel", {{"kind", "moe"}, {"experts", 4}, {"top_k", 2}, {"hidden", 40}, {"gated", false}, {"activation", "gelu"}, {"router", {{"scale", 2.0}, {"balance_loss", 0.01}}}}},
                             {"heads", {{{"kind", "vocabulary"}, {"transform", "gelu"}, {"bias", "trained"}}, {{"kind", "pooled"}, {"name", "seq_relationship_logits"}, {"classes", 2}}}},
                             {"objective", {{"kind", "mlm+nsp"}, {"specials", {kVocab, kVocab + 1, kVocab + 2}}}}});
}

TrainerOptions small_options(int64_t rows = 4, int64_t length = 48) {
  return {.seed = 5, .length = length, .batch_rows = rows, .steps = 40, .optimizer = {.lr = 3e-3}, .schedule = {.warmup = 0.1}};
}

// Every bit of weights, buffers and moments.
std::vector<std::vector<std::byte>> bits_of(const Trainer& trainer) {
  std::vector<std::vector<std::byte>> out;
  for (const TensorView& t : trainer.tensors()) out.emplace_back(t.bytes.begin(), t.bytes.end());
  return out;
}

class TrainerTest : public testing::Test {
 protected:
  TempFolder folder;
  std::shared_ptr<const Dataset> data = token_data(folder, 6000, kVocab, 2, 0.7);
  ThreadPool pool{1};
};

TEST_F(TrainerTest, OverfitsOneBatch) {
  TempFolder own;
  // Four windows, all in every step; random tokens, so that only memory helps.
  const auto one_batch = token_data(own, 4 * 24 + 1, kVocab);
  for (const std::string dtype : {"f32", "bf16"})
    for (const ModelSpec& spec : {small_dense(dtype), small_moe(dtype), small_moe(dtype, kSigmoidBias)}) {
      TrainerOptions o = small_options(4, 24);
      o.steps = 160;
      o.optimizer = {.lr = 2e-2, .weight_decay = 0};
      o.schedule = {.kind = "linear", .warmup = 0.05, .floor = 0};
      Trainer trainer(spec, o, one_batch, pool);
      StepResult last;
      while (!trainer.finished()) last = trainer.step();
      EXPECT_LT(last.loss, 0.01) << dtype << " " << spec.layers[0].channel.kind;
      EXPECT_LT(last.gradient_norm, 0.5);
    }
}

TEST_F(TrainerTest, AMixtureLearnsToUncover) {
  const TempFolder little;
  const auto few = token_data(little, 4 * 48 + 1, kVocab);  // four rows, by heart
  for (const char* dtype : {"f32", "bf16"}) {
    TrainerOptions o = small_options();
    o.steps = 300;
    o.optimizer.lr = 1e-2;
    Trainer trainer(small_diffusion(dtype), o, few, pool);
    double first = 0, last = 0;
    for (int i = 0; i < 300; ++i) {
      const double loss = trainer.step().loss / 30;
      if (i < 30) first += loss;
      if (i >= 270) last += loss;
    }
    EXPECT_LT(last, 0.6 * first) << dtype;  // where all is hidden, nobody knows which row it is
  }
}

TEST_F(TrainerTest, MixturesLearnToFillInSpans) {
  const TempFolder little;
  const auto few = token_data(little, 4 * 48 + 1, kVocab);  // four rows, by heart: the source says which, the decoder what was there
  for (const std::string dtype : {"f32", "bf16"})
    for (const ModelSpec& spec : {small_encoder_decoder(dtype), small_hybrid(dtype)}) {
      TrainerOptions o = small_options();
      o.steps = 300;
      o.optimizer.lr = 1e-2;
      Trainer trainer(spec, o, few, pool);
      double first = 0, last = 0;
      for (int i = 0; i < 300; ++i) {
        const double loss = trainer.step().loss / 30;
        if (i < 30) first += loss;
        if (i >= 270) last += loss;
      }
      EXPECT_LT(last, 0.5 * first) << dtype << " " << spec.layers[0].mixer.kind;
    }
}

TEST_F(TrainerTest, AMixtureLearnsMaskedWordsAndPairs) {
  const TempFolder little;
  const auto few = token_data(little, 4 * 48 + 1, kVocab);  // four rows, by heart
  for (const std::string dtype : {"f32", "bf16"}) {
    TrainerOptions o = small_options();
    o.steps = 300;
    o.optimizer.lr = 1e-2;
    Trainer trainer(small_moe_bert(dtype), o, few, pool);
    double first = 0, last = 0;
    for (int i = 0; i < 300; ++i) {
      const double loss = trainer.step().loss / 30;
      if (i < 30) first += loss;
      if (i >= 270) last += loss;
    }
    EXPECT_LT(last, 0.6 * first) << dtype;
  }
}

// One expert that takes every token is the dense model: the same bits for 200 steps (20 on the lower tiers of this machine).
TEST_F(TrainerTest, NullTwinEqualsDenseBitForBit) {
  for (int tier = 0; tier <= static_cast<int>(kernels::machine_tier()); ++tier) {
    const kernels::ForcedTier forced(static_cast<kernels::Tier>(tier));
    for (const std::string dtype : {"f32", "bf16"}) {
      TrainerOptions o = small_options(2, 20);
      o.steps = tier == static_cast<int>(kernels::machine_tier()) ? 200 : 20;
      Trainer dense(small_dense(dtype), o, data, pool);
      Trainer twin(small_moe(dtype, {{"experts", 1}, {"top_k", 1}, {"hidden", 80}}), o, data, pool);
      for (int step = 1; !dense.finished(); ++step) {
        const StepResult a = dense.step(), b = twin.step();
        ASSERT_EQ(a.loss, b.loss) << dtype << " step " << step << " on " << kernels::name_of(static_cast<kernels::Tier>(tier));
        ASSERT_EQ(a.gradient_norm, b.gradient_norm) << dtype << " step " << step;
      }
      for (const Parameter& p : dense.model().parameters().all()) {
        const Parameter* q = twin.model().parameters().find(p.name);
        ASSERT_TRUE(q) << p.name;
        EXPECT_EQ(std::memcmp(p.value.raw(), q->value.raw(), p.value.bytes()), 0) << p.name;
      }
    }
  }
}

TEST_F(TrainerTest, ThreadsDoNotChangeBits) {
  for (const std::string dtype : {"f32", "bf16"}) {
    std::vector<ModelSpec> specs = small_mixers(dtype);
    specs.insert(specs.end(), {small_moe(dtype), small_moe(dtype, kSigmoidBias), small_moe(dtype, kSwitch), small_moe_bert(dtype)});
    for (const ModelSpec& spec : specs) {
      TrainerOptions o = small_options(9);
      o.micro_rows = 6;  // 6 rows, then 3
      std::vector<std::vector<std::byte>> alone;
      for (const int threads : {1, 2, 3}) {
        ThreadPool some(threads);
        Trainer trainer(spec, o, data, some);
        for (int step = 0; step < 6; ++step) trainer.step();
        if (threads == 1) alone = bits_of(trainer);
        else EXPECT_EQ(bits_of(trainer), alone) << dtype << " " << spec.layers[0].mixer.kind << " " << spec.layers[0].channel.options.dump() << " on " << threads << " threads";
      }
    }
  }
}

// k micro-batches are one large batch: losses and gradients are sums over tokens. (A balancing loss is not: it is measured per pass.)
TEST_F(TrainerTest, MicroBatchesAddUpToTheBatch) {
  const Json router = {{"router", {{"balance", "none"}, {"z_loss", 0.01}}}};
  for (const ModelSpec& spec : {small_dense("f64"), small_moe("f64", router)}) {
    const auto run = [&](int64_t micro) {
      TrainerOptions o = small_options(7, 24);
      o.micro_rows = micro;
      Trainer trainer(spec, o, data, pool);
      std::vector<double> numbers;
      for (int step = 0; step < 4; ++step) {
        const StepResult r = trainer.step();
        for (const double x : {r.loss, r.auxiliary, r.gradient_norm}) numbers.push_back(x);
        for (const RoutingRecord& record : r.routing)
          for (const int64_t n : record.load_E) numbers.push_back(static_cast<double>(n));
      }
      for (const Parameter& p : trainer.model().parameters().all())
        for (const double x : elements(p.value)) numbers.push_back(x);
      return numbers;
    };
    const std::vector<double> whole = run(0);
    for (const int64_t micro : {1, 2, 5}) {
      const std::vector<double> parts = run(micro);
      ASSERT_EQ(parts.size(), whole.size());
      for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(parts[i], whole[i], 1e-9 * (1 + std::abs(whole[i]))) << "micro-batches of " << micro << ", number " << i;
    }
  }
}

// A balancing loss over unequal micro-batches weighs each by its share of the rows.
TEST_F(TrainerTest, AuxiliaryLossesAreWeightedByShare) {
  TrainerOptions o = small_options(6, 24);
  o.micro_rows = 4;
  Trainer trainer(small_moe("f64", {{"router", {{"balance_loss", 0.5}}}}), o, data, pool);
  const StepResult r = trainer.step();
  double sum = 0;
  for (const RoutingRecord& record : r.routing) {
    EXPECT_EQ(record.tokens, 6 * 24);
    sum += 0.5 * record.balance;
  }
  EXPECT_NEAR(r.auxiliary, sum, 1e-12);
  EXPECT_GE(r.routing[0].balance, 0.9);  // 1 for perfect balance
}

TEST_F(TrainerTest, GoesOnFromACheckpointWithTheSameBits) {
  for (const std::string dtype : {"f32", "bf16"}) {
    std::vector<ModelSpec> specs = small_mixers(dtype);
    specs.insert(specs.end(), {small_moe(dtype, kSigmoidBias), small_diffusion(dtype), small_encoder_decoder(dtype), small_hybrid(dtype), small_moe_bert(dtype)});
    for (const ModelSpec& spec : specs) {
      const TrainerOptions o = small_options();
      Trainer undisturbed(spec, o, data, pool);
      TempFolder run;
      for (int step = 0; step < 7; ++step) undisturbed.step();
      CheckpointStore(run.path()).save(undisturbed.steps_done(), undisturbed.tensors(), {{"trainer", undisturbed.state()}});
      std::vector<double> expected;
      for (int step = 0; step < 5; ++step) expected.push_back(undisturbed.step().loss);

      Trainer resumed(spec, o, data, pool);
      resumed.step();  // whatever it did before is forgotten
      const auto checkpoint = CheckpointStore(run.path()).latest_valid();
      ASSERT_TRUE(checkpoint);
      resumed.restore(checkpoint->tensors.tensors(), checkpoint->state.at("trainer"));
      EXPECT_EQ(resumed.steps_done(), 7);
      for (const double loss : expected) EXPECT_EQ(resumed.step().loss, loss);
      EXPECT_EQ(bits_of(resumed), bits_of(undisturbed)) << dtype << " " << spec.layers[0].mixer.kind << " " << spec.layers[0].channel.kind;
    }
  }
}

TEST_F(TrainerTest, RefusesAnotherModelsCheckpointNamingEveryTensor) {
  Trainer dense(small_dense("f32"), small_options(), data, pool), wide(small_dense("f32", {{"channel", {{"hidden", 96}}}}), small_options(), data, pool);
  Trainer moe(small_moe("f32"), small_options(), data, pool);
  const std::string shape = error_of([&] { wide.restore(dense.tensors(), dense.state()); });
  EXPECT_TRUE(contains(shape, "layers.0.channel.gate") && contains(shape, "layers.1.channel.down") && contains(shape, "[80, 32]")) << shape;
  const std::string kind = error_of([&] { moe.restore(dense.tensors(), dense.state()); });
  EXPECT_TRUE(contains(kind, "layers.0.channel.router is missing")) << kind;
  TempFolder own;
  Trainer elsewhere(small_dense("f32"), small_options(), token_data(own, 5000, kVocab), pool);
  EXPECT_ERROR(elsewhere.restore(dense.tensors(), dense.state()), "other data");
}

// A number that is not finite: the step, the tensor where it began and the batch are named, and nothing has changed.
TEST_F(TrainerTest, StopsAtANumberThatIsNotFinite) {
  for (const std::string dtype : {"f32", "bf16"}) {
    Trainer trainer(small_moe(dtype), small_options(), data, pool);
    trainer.step();
    trainer.step();
    Parameter* p = trainer.model().parameters().find("layers.1.channel.down");
    const float before = p->value.data<float>()[100];
    p->value.data<float>()[100] = std::numeric_limits<float>::infinity();
    p->value.changed();
    const auto bits = bits_of(trainer);
    try {
      trainer.step();
      FAIL() << "expected an Error";
    } catch (const Error& error) {
      const std::string line = error.what();
      EXPECT_TRUE(contains(line, "step 3") && contains(line, "layers.1.channel.down") && contains(line, "rows 8 to 11")) << line;
      EXPECT_EQ(error.problem().exit, Exit::failed);
    }
    EXPECT_EQ(trainer.steps_done(), 2);
    EXPECT_EQ(bits_of(trainer), bits);
    EXPECT_ERROR(trainer.check_finite(), "layers.1.channel.down");
    p->value.data<float>()[100] = before;
    EXPECT_NO_THROW(trainer.check_finite());
  }
}

TEST_F(TrainerTest, RatesFollowTheSchedule) {
  TrainerOptions o = small_options();
  o.steps = 10;
  o.schedule = {.kind = "linear", .warmup = 0.2, .floor = 0};
  Trainer trainer(small_dense("f32"), o, data, pool);
  std::vector<double> rates;
  while (!trainer.finished()) rates.push_back(trainer.step().rate);
  const std::vector<double> shares{0.5, 1, 7 / 8.0, 6 / 8.0, 5 / 8.0, 4 / 8.0, 3 / 8.0, 2 / 8.0, 1 / 8.0, 0};
  for (size_t i = 0; i < shares.size(); ++i) EXPECT_NEAR(rates[i], 3e-3 * shares[i], 1e-12) << "step " << i + 1;
}

// Memory predicted on shapes alone is what the arena really reaches.
// What is frozen keeps its bits, selection biases included, and has no moments; the rest moves.
TEST_F(TrainerTest, PartsOfMixturesCanBeFrozen) {
  const ModelSpec spec = small_moe("f32", {{"bias", true}, {"shared_hidden", 8}, {"shared_gate", true}, {"router", {{"score", "sigmoid"}, {"balance", "bias"}, {"linear_bias", true}}}});

  const auto is_router = [](const std::string& name) { return name.find("channel.router") != std::string::npos || name.find("shared_router") != std::string::npos; };
  const auto is_expert = [](const std::string& name) {
    const std::string leaf = name.substr(name.rfind('.') + 1);
    return name.find("channel.") != std::string::npos && (leaf.starts_with("gate") || leaf.starts_with("up") || leaf.starts_with("down"));
  };
  const std::vector<std::pair<Json, std::function<bool(const std::string&)>>> cases{
      {{{"train", "experts"}}, is_expert},
      {{{"train", "mixtures"}}, [&](const std::string& n) { return is_expert(n) || is_router(n); }},
      {{{"train", "non_experts"}}, [&](const std::string& n) { return !is_expert(n); }},
      {{{"group", {{"router", {{"frozen", true}}}}}}, [&](const std::string& n) { return !is_router(n); }},
      {{{"group", {{"matrix", {{"frozen", true}}}, {"expert", {{"lr_scale", 1}}}}}}, [&](const std::string& n) { return is_expert(n) || is_router(n) || n.find("norm") != std::string::npos || n.ends_with("_bias") || n == "embedding" || n.starts_with("head"); }},
  };
  for (const auto& [table, moves] : cases) {
    TrainerOptions options{.length = 16, .batch_rows = 4, .steps = 4};
    Config cfg(table, {.source = "test"});
    options.optimizer = OptimizerOptions::take(cfg);

    Trainer trainer(spec, options, data, pool);
    std::map<std::string, std::vector<double>> before;
    for (const Parameter& p : trainer.model().parameters().all()) before[p.name] = elements(p.value);
    for (int i = 0; i < 3; ++i) trainer.step();
    for (const Parameter& p : trainer.model().parameters().all()) {
      EXPECT_EQ(elements(p.value) != before[p.name], moves(p.name)) << p.name << ' ' << table;
      if (p.role != Role::buffer) {
        EXPECT_EQ(p.trained, moves(p.name)) << p.name;
      }
    }
    EXPECT_LE(trainer.arena_peak(), plan_step(spec, options, pool).arena_bytes) << table;
  }
  TrainerOptions options{.length = 16, .batch_rows = 4, .steps = 4};
  options.optimizer.train = "experts";

  EXPECT_THROW(Trainer(small_dense("f32"), options, data, pool), Error);
}

// The record of a run makes another with other routers choose alike; with the same it changes no bit.
TEST_F(TrainerTest, RecordedRoutingIsReplayed) {


  for (const Json& options_of : {Json::object(), Json{{"router", {{"kind", "noisy_topk"}, {"start", "normal"}}}}, kSwitch}) {
    const ModelSpec spec = small_moe("f32", options_of);
    TrainerOptions options{.length = 16, .batch_rows = 6, .micro_rows = 2, .steps = 4};
    const auto run = [&](const std::string& record, const std::string& replay, double lr) {
      options.record_routing = record.empty() ? "" : folder / record;
      options.replay_routing = replay.empty() ? "" : folder / replay;
      options.optimizer.lr = lr;
      Trainer trainer(spec, options, data, pool);
      for (int i = 0; i < 4; ++i) trainer.step();
      return elements(trainer.model().parameters().find("layers.1.channel.router")->value);
    };
    const std::vector<double> first = run("first", "", 0.02);
    EXPECT_EQ(run("", "first", 0.02), first);
    EXPECT_NE(run("other", "", 0.05), first);
    run("enforced", "first", 0.05);
    const auto choices = [&](const std::string& name, int step) {
      const auto all = read_routing(folder / name / ("step-" + std::to_string(step) + ".safetensors"));
      EXPECT_EQ(all.size(), 2u);
      EXPECT_EQ(all[1].tokens(), 96);
      return all[1].index_Nk;
    };
    bool otherwise = false;
    for (int step = 1; step <= 4; ++step) {
      EXPECT_EQ(choices("enforced", step), choices("first", step));
      otherwise |= choices("other", step) != choices("first", step);
    }
    EXPECT_TRUE(otherwise) << "another rate chooses alike: nothing would be seen";
    for (const char* name : {"first", "other", "enforced"}) std::filesystem::remove_all(folder / name);
  }
}

TEST_F(TrainerTest, PlanTellsThePeakOfTensors) {
  for (const std::string dtype : {"f32", "bf16"})
    for (const ModelSpec& spec : {small_dense(dtype), small_moe(dtype), small_moe(dtype, kSigmoidBias), small_diffusion(dtype), small_encoder_decoder(dtype), small_hybrid(dtype), small_moe_bert(dtype)})
      for (const int64_t micro : {0, 3}) {
        TrainerOptions o = small_options(8);
        o.micro_rows = micro;
        const StepPlan plan = plan_step(spec, o, pool);
        Trainer trainer(spec, o, data, pool);
        for (int step = 0; step < 5; ++step) trainer.step();
        EXPECT_NEAR(static_cast<double>(trainer.arena_peak()), static_cast<double>(plan.arena_bytes), 0.02 * static_cast<double>(plan.arena_bytes)) << dtype << " " << spec.layers[0].channel.options.dump() << " micro " << micro;
        EXPECT_EQ(plan.parameters, trainer.model().parameters().total());
      }
}

TEST_F(TrainerTest, RefusesRowsLongerThanPositions) {
  EXPECT_ERROR(Trainer(small_dense("f32", {{"max_positions", 16}}), small_options(), data, pool), "max_positions of 16");
}

}  // namespace
}  // namespace gamut
