// Writing after a source: rows beside each other, what the target begins with, and sources in a model of one stack.
#include <algorithm>

#include "checkpoints/safetensors.h"
#include "families/family.h"
#include "generation/decoder.h"
#include "generation/plan.h"
#include "objectives/source_target.h"
#include "temp_folder.h"
#include "tiny_models.h"

namespace gamut {
namespace {

using Rows = std::vector<std::vector<int32_t>>;
const GenerateOptions kGreedy{.max_new_tokens = 8, .sampling = {.temperature = 0}};

TEST(EncoderDecoder, RowsWithSourcesOfDifferentLengthsAreAsAlone) {
  ThreadPool pool(2);
  const Device device = Device::real(pool);
  for (const char* name : {"t5", "bart"}) {
    LoadedModel loaded = load_model(std::string(GAMUT_SOURCE_DIR "/tests/families/fixtures/") + name, device, {.dtype = "f32"});
    const Rows sources{{5, 9, 17}, {30, 4, 8, 22, 11, 6, 39}, {12}, {7, 7, 7, 25, 3}};
    const Rows together = generate(loaded.model, device, {}, kGreedy, sources);
    for (size_t i = 0; i < sources.size(); ++i) {
      EXPECT_EQ(generate(loaded.model, device, {}, kGreedy, {sources[i]})[0], together[i]) << name << " row " << i;
      EXPECT_EQ(together[i][0], name == std::string("t5") ? 0 : 2) << "decoder_start_token_id";
    }
    // What the target begins with may be given, of different lengths; going on from what was written writes the same.
    const auto begin = [&](size_t i, std::ptrdiff_t n) { return std::vector<int32_t>(together[i].begin(), together[i].begin() + n); };
    const Rows again = generate(loaded.model, device, {begin(0, 3), begin(1, 1), begin(2, 5), begin(3, 3)}, kGreedy, sources);
    for (size_t i = 0; i < sources.size(); ++i) EXPECT_TRUE(std::equal(together[i].begin(), together[i].end(), again[i].begin())) << name << " row " << i;
    EXPECT_ERROR(generate(loaded.model, device, {{2}}, kGreedy), "needs a source");
    EXPECT_ERROR(generate(loaded.model, device, {}, kGreedy, {{}}), "source 0 is empty");
    EXPECT_ERROR(generate(loaded.model, device, {{2}}, kGreedy, {{3}, {4}}), "1 prompts for 2 sources");
  }
}

TEST(EncoderDecoder, OneStackReadsAPromptAsItWasTrained) {
  ThreadPool pool(1);
  const ModelSpec spec = tiny_spec({{"objective", {{"kind", "span_corruption"}, {"sentinels", 1}, {"specials", {0, 1, 12}}}}});
  TinyModel tiny(spec, pool, 3);
  const auto objective = build_objective(spec.objective);
  const std::vector<int32_t> source{3, 9, 12, 5, 1};
  const Rows written = generate(tiny.model, tiny.device, {source}, kGreedy);
  ASSERT_EQ(written[0].size(), source.size() + 1 + 8);
  std::vector<int32_t> target{0};
  for (int i = 0; i < 8; ++i) {  // the same, all at once as in training
    Example e{.rows = 1, .length = 5, .ids = source, .target_length = static_cast<int64_t>(target.size()), .decoder_ids = target, .labels = target};
    Tape tape(tiny.device, Tape::Mode::inference);
    ExampleRun run(tiny.model, {.tape = tape}, objective->sight(), joined(e));
    const std::vector<double> logits = elements(tiny.model.logits(run.pass(), run.hidden()));
    const auto last = logits.end() - spec.vocab;
    target.push_back(static_cast<int32_t>(std::max_element(last, logits.end()) - last));
  }
  EXPECT_TRUE(std::equal(target.begin(), target.end(), written[0].begin() + static_cast<std::ptrdiff_t>(source.size())));
  EXPECT_ERROR(generate(tiny.model, tiny.device, {{2}}, kGreedy, {{3}}), "no encoder");
}

TEST(EncoderDecoder, PlanKnowsTheEncoder) {
  ThreadPool pool(1);
  const ModelSpec spec = tiny_encoder_decoder({{"objective", "seq2seq"}});
  const ServingPlan plan = plan_serving(spec, 2, 32, pool);
  // An encoder layer of a source token: q, k, v and output, three projections of 10, and at most the scores of 32 positions.
  const double layer = 2.0 * (8 * 8 + 2 * 8 * 8 + 8 * 8 + 3 * 8 * 10), scores = 2.0 * 2 * 32 * 8;
  EXPECT_GE(plan.prefill.matmul_flops, 2 * layer);
  EXPECT_LE(plan.prefill.matmul_flops, 2 * (layer + scores) + 1);
  // Of the source two layers' keys and values stay; of every new token, those of the grouped attention.
  EXPECT_EQ(plan.state_bytes_per_token, 2 * 2 * 4 * 8);
  EXPECT_EQ(plan.state_bytes_fixed, 2 * 2 * 32 * 8 * 8);
}

TEST(EncoderDecoder, EmbeddingsOfItsOwnAreRefusedACopyIsNot) {
  ThreadPool pool(1);
  const Device device = Device::real(pool);
  const std::filesystem::path fixture = GAMUT_SOURCE_DIR "/tests/families/fixtures/t5";
  const SafetensorsReader file(fixture / "model.safetensors");
  std::vector<std::byte> table(file.at("shared.weight").bytes.begin(), file.at("shared.weight").bytes.end());
  TempFolder folder;
  std::filesystem::copy_file(fixture / "config.json", folder.path() / "config.json");
  const auto save = [&] {
    std::vector<TensorView> tensors = file.tensors();
    tensors.push_back({"decoder.embed_tokens.weight", file.at("shared.weight").dtype, file.at("shared.weight").shape, table});
    write_safetensors(folder.path() / "model.safetensors", tensors);
  };
  save();
  EXPECT_NO_THROW(load_model(folder.path(), device));
  table[5] ^= std::byte{1};
  save();
  EXPECT_ERROR(load_model(folder.path(), device), "decoder.embed_tokens.weight differs from shared.weight");
}

}  // namespace
}  // namespace gamut
