// Writing by unmasking: quotas, blocks, and the reference's sampler step by step.
#include "generation/unmasking.h"

#include "base/error.h"
#include "families/family.h"
#include "temp_folder.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

TEST(Unmasking, QuotasAreEvenWithTheRemainderFirst) {
  EXPECT_EQ(unmasking_quotas(10, 4), (std::vector<int64_t>{3, 3, 2, 2}));
  EXPECT_EQ(unmasking_quotas(2, 3), (std::vector<int64_t>{1, 1, 0}));
}

class UnmaskingFixture : public testing::TestWithParam<std::string> {};

// canvas.json: a prompt, the settings and the reference's canvas after every step.
TEST_P(UnmaskingFixture, EveryCanvasIsTheReferences) {
  const fs::path folder = fs::path(GAMUT_SOURCE_DIR "/tests/families/fixtures") / GetParam();
  ThreadPool pool(2);
  const Device device = Device::real(pool);
  LoadedModel loaded = load_model(folder, device, {.dtype = "f32"});
  const Json reference = read_json(folder / "canvas.json");
  const auto canvases = reference["canvases"].get<std::vector<std::vector<int32_t>>>();
  GenerateOptions options{.max_new_tokens = reference["length"], .sampling = {.temperature = 0}, .steps = reference["steps"], .block = reference["block"]};
  std::vector<std::vector<int32_t>> seen;
  options.on_canvas = [&](const std::vector<int32_t>& canvas) { seen.push_back(canvas); };
  const auto rows = generate(loaded.model, device, reference["input_ids"].get<std::vector<std::vector<int32_t>>>(), options);
  EXPECT_EQ(seen, canvases);
  EXPECT_EQ(rows[0], canvases.back());

  options.sampling = {.temperature = 1, .seed = 5};
  const auto drawn = generate(loaded.model, device, {rows[0]}, options), again = generate(loaded.model, device, {rows[0]}, options);
  EXPECT_EQ(drawn, again) << "the same seed gives the same text";
  options.steps = 5;
  EXPECT_ERROR(generate(loaded.model, device, {rows[0]}, options), "do not come out even");
}

INSTANTIATE_TEST_SUITE_P(All, UnmaskingFixture, testing::Values("llada", "dream"));

}  // namespace
}  // namespace gamut
