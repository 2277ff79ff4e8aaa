// The fuzz targets without a fuzzer: every seed and every input that once broke something, each also in some hundred variations.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/log.h"
#include "base/rng.h"
#include "targets.h"

namespace gamut::fuzz {
namespace {
namespace fs = std::filesystem;

// Seeds called good-* must be accepted: a target that refuses everything tests nothing.
std::vector<fs::path> seeds_of(const Target& target) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(GAMUT_SOURCE_DIR) / "fuzz/seeds" / target.name)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// One to four small damages; the same for the same seed and index.
std::string damaged(std::string text, const RandomStream& random, uint64_t variation) {
  uint64_t counter = variation * 32;
  const auto below = [&](size_t n) { return static_cast<size_t>(random.below(counter++, std::max<size_t>(n, 1))); };
  for (size_t damages = 1 + below(4); damages > 0; --damages) {
    const size_t at = below(text.size() + 1), length = std::min(below(16) + 1, text.size() - at);
    switch (below(6)) {
      case 0: text.erase(at, length); break;
      case 1: text.resize(at); break;
      case 2: text.insert(at, text.substr(below(text.size()), length)); break;
      case 3: text.insert(at, 1, "0-9.e\"[]{}\\\n\xff"[below(13)]); break;
      case 4: if (at < text.size()) text[at] = static_cast<char>(below(256)); break;
      default: if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
    }
  }
  return text;
}

class Readers : public testing::TestWithParam<Target> {};

TEST_P(Readers, SurviveSeedsAndTheirVariations) {
  log::set_level(log::Level::error);
  const std::vector<fs::path> seeds = seeds_of(GetParam());
  int good = 0;
  for (const fs::path& seed : seeds) {
    const std::string text = read_file(seed);
    const bool must_pass = seed.filename().string().starts_with("good");
    SCOPED_TRACE(seed.string());
    if (must_pass) {
      ASSERT_NO_THROW(GetParam().read(text));
      ++good;
    } else {
      ASSERT_NO_THROW(accepts(GetParam(), text));
    }
    const RandomStream random(1, "fuzz", seed.filename().string());
    for (uint64_t variation = 0; variation < 300; ++variation) {
      const std::string variant = damaged(text, random, variation);
      ASSERT_NO_THROW(accepts(GetParam(), variant)) << "variation " << variation << ":\n" << variant;
    }
  }
  EXPECT_GT(good, 0) << "no seed that is accepted";
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Readers, testing::ValuesIn(targets().begin(), targets().end()), [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace gamut::fuzz
