// Laws that every operation's cases keep: numeric gradients, parity of types and tiers, the same bits for any number of
// threads, and shapes alone telling cost and memory.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu.h"
#include "ops/cases.h"

namespace gamut::ops {
namespace {

using kernels::ForcedTier;
using kernels::Tier;

const std::vector<Case>& cases() {
  static const std::vector<Case> all = small_cases();
  return all;
}

double largest(std::span<const double> x) {
  double top = 0;
  for (const double v : x) top = std::max(top, std::abs(v));
  return top;
}

std::vector<Tier> tiers_here() {
  std::vector<Tier> out;
  for (int t = 0; t <= static_cast<int>(kernels::machine_tier()); ++t) out.push_back(static_cast<Tier>(t));
  return out;
}

class OpCase : public testing::TestWithParam<size_t> {
 protected:
  const Case& c = cases()[GetParam()];
};

// Central differences of fourth order in f64: error about 1e-16·|objective|/h.
TEST_P(OpCase, GradientsAreNumericallyRight) {
  constexpr double kStep = 1e-4, kBound = 1e-6;
  constexpr int64_t kElements = 160;  // of one input at most, spread evenly
  ThreadPool pool(1);
  CaseBench bench(c, pool, {.type = DType::f64, .fill_with_nan = true});
  {
    const std::vector<Tensor> results = bench.forward();
    bench.backward(results);
  }
  std::vector<std::vector<double>> gradients(bench.input_count());
  for (size_t i = 0; i < bench.input_count(); ++i)
    if (const Tensor& in = bench.input(i); in.needs_grad())
      gradients[i] = in.grad()->value ? to_doubles(in.grad()->value) : std::vector<double>(static_cast<size_t>(in.elements()));
  bench.clear_gradients();
  const double floor = 1e-10 * (1 + std::abs(bench.objective()));
  for (size_t i = 0; i < bench.input_count(); ++i) {
    Tensor in = bench.input(i);
    if (!in.needs_grad()) continue;
    const double scale = largest(gradients[i]);
    const int64_t stride = std::max<int64_t>(1, in.elements() / kElements);
    for (int64_t j = 0; j < in.elements(); j += stride) {
      double& x = in.data<double>()[j];
      const double before = x;
      const auto at = [&](double step) {
        x = before + step;
        in.changed();
        return bench.objective();
      };
      const double numeric = (8 * (at(kStep) - at(-kStep)) - (at(2 * kStep) - at(-2 * kStep))) / (12 * kStep);
      x = before;
      in.changed();
      ASSERT_NEAR(gradients[i][static_cast<size_t>(j)], numeric, kBound * std::max(scale, std::abs(numeric)) + floor)
          << "gradient of " << c.inputs[i].name << ", element " << j;
    }
  }
}

TEST_P(OpCase, TypesAndTiersAgree) {
  ThreadPool pool(1);
  const auto run = [&](Tier tier, DType type) {
    const ForcedTier forced(tier);
    return run_case(c, pool, {.type = type, .fill_with_nan = true});
  };
  const CaseRun reference = run(Tier::ref, DType::f64);
  for (const Tier tier : tiers_here()) {
    std::vector<DType> types = c.types;
    types.push_back(DType::f64);
    for (const DType type : types) {
      const double bound = type == DType::f64 ? 1e-12 : type == DType::f32 ? c.f32_bound : c.bf16_bound;
      const CaseRun tried = run(tier, type);
      ASSERT_EQ(tried.values.size(), reference.values.size());
      for (const auto& [name, expected] : reference.values) {
        const auto& found = tried.values.at(name);
        ASSERT_EQ(found.size(), expected.size()) << name;
        const double scale = largest(expected), allowed = bound * scale + 1e-6 * bound;
        for (size_t i = 0; i < expected.size(); ++i)
          ASSERT_LE(std::abs(found[i] - expected[i]), allowed) << name << " element " << i << ": " << found[i] << " for " << expected[i] << " (largest " << scale
                                                              << ") in " << name_of(type) << " on " << kernels::name_of(tier);
      }
    }
  }
}

TEST_P(OpCase, ThreadsDoNotChangeBits) {
  ThreadPool one(1), two(2), three(3);
  for (const Tier tier : {Tier::ref, kernels::machine_tier()}) {
    const ForcedTier forced(tier);
    for (const DType type : {DType::f32, DType::bf16}) {
      const CaseRun alone = run_case(c, one, {.type = type});
      EXPECT_EQ(run_case(c, two, {.type = type}).values, alone.values) << name_of(type);
      EXPECT_EQ(run_case(c, three, {.type = type}).values, alone.values) << name_of(type);
    }
  }
}

TEST_P(OpCase, ShapesAloneTellCostAndMemory) {
  ThreadPool pool(2);
  for (const DType type : {DType::f32, DType::bf16}) {
    const CaseRun real = run_case(c, pool, {.type = type}), shapes = run_case(c, pool, {.type = type, .backing = Arena::Backing::none});
    ASSERT_EQ(real.ledger.size(), shapes.ledger.size());
    for (const auto& [name, cost] : real.ledger) {
      const Cost& told = shapes.ledger.at(name);
      if (c.data_dependent) {
        EXPECT_LE(cost.matmul_flops, told.matmul_flops) << name;
        EXPECT_LE(cost.other_flops, told.other_flops) << name;
        EXPECT_LE(cost.bytes, told.bytes) << name;
      } else {
        EXPECT_EQ(cost.matmul_flops, told.matmul_flops) << name;
        EXPECT_EQ(cost.other_flops, told.other_flops) << name;
        EXPECT_EQ(cost.bytes, told.bytes) << name;
      }
    }
    if (c.data_dependent) EXPECT_LE(real.peak, shapes.peak);
    else EXPECT_EQ(real.peak, shapes.peak);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OpCase, testing::Range<size_t>(0, cases().size()), [](const auto& which) {
  std::string name = cases()[which.param].name;
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
});

TEST(OpCases, NamesAreUnique) {
  for (const std::vector<Case>& list : {small_cases(), lab_cases(), model_cases()}) {
    std::map<std::string, int> seen;
    for (const Case& c : list) EXPECT_EQ(++seen[c.name], 1) << c.name;
  }
}

TEST(OpCases, EveryModelCaseHasItsSample) {
  const std::vector<Case> cases = model_cases(), samples = model_samples();
  ASSERT_EQ(cases.size(), samples.size());
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(cases[i].name, samples[i].name);
}

}  // namespace
}  // namespace gamut::ops
