// Laws that every registered router keeps, with its default options in front of a small mixture of experts, according to what it
// declares (RouterTraits).
#include <algorithm>
#include <set>

#include "mixture_bench.h"

namespace gamut {
namespace {

using Bench = MixtureBench;

class RouterLaws : public testing::TestWithParam<std::string> {
 protected:
  const RouterTraits& traits = find_registered(routers(), GetParam(), "router").traits;
  const std::vector<double> x = numbers(kLength * kWidth);
  const std::vector<int32_t> ids = random_ids(kLength, kVocab);
};

TEST_P(RouterLaws, ChoicesAreDistinctAndCounted) {
  for (const Tape::Mode mode : {Tape::Mode::inference, Tape::Mode::training}) {
    Bench bench(GetParam(), "f64");
    const Bench::Result r = bench.run(x, ids, 1, mode);
    const int64_t slots = static_cast<int64_t>(r.record.index_Nk.size()) / kLength;
    std::vector<int64_t> load(kExperts);
    for (int64_t t = 0; t < kLength; ++t) {
      std::set<int32_t> seen;
      for (int64_t j = 0; j < slots; ++j) {
        const int32_t e = r.record.index_Nk[static_cast<size_t>(t * slots + j)];
        if (e < 0) continue;
        ASSERT_LT(e, kExperts);
        ++load[static_cast<size_t>(e)];
        EXPECT_TRUE(seen.insert(e).second) << "token " << t << " takes expert " << e << " twice";
      }
      if (traits.fixed_count) {
        EXPECT_EQ(static_cast<int64_t>(seen.size()), bench.k);
      }
    }
    EXPECT_EQ(load, r.record.load_E);
  }
}

TEST_P(RouterLaws, PermutedTokensPermuteOutputs) {
  if (traits.sight == RouterSight::past) GTEST_SKIP() << "order is what it looks at";
  Bench bench(GetParam(), "f64");
  const std::vector<double> y = bench.run(x, ids).y;
  std::vector<double> moved(x.size());
  std::vector<int32_t> moved_ids(ids.size());
  const auto place = [](int64_t t) { return (5 * t + 3) % kLength; };
  for (int64_t t = 0; t < kLength; ++t) {
    std::copy_n(x.begin() + t * kWidth, kWidth, moved.begin() + place(t) * kWidth);
    moved_ids[static_cast<size_t>(place(t))] = ids[static_cast<size_t>(t)];
  }
  const std::vector<double> z = bench.run(moved, moved_ids).y;
  for (int64_t t = 0; t < kLength; ++t)
    for (int64_t c = 0; c < kWidth; ++c)
      ASSERT_NEAR(z[static_cast<size_t>(place(t) * kWidth + c)], y[static_cast<size_t>(t * kWidth + c)], 1e-12) << "token " << t;
}

// Every parameter that has a row for each expert is permuted alike.
TEST_P(RouterLaws, PermutedExpertsChangeNothing) {
  if (!traits.interchangeable) GTEST_SKIP() << "experts have places";
  Bench bench(GetParam(), "f64");
  const std::vector<double> y = bench.run(x, ids).y;
  for (Parameter& p : bench.parameters.all()) {
    if (p.value.shape()[0] != kExperts) continue;
    const std::vector<double> before = elements(p.value);
    const int64_t each = p.value.elements() / kExperts;
    for (int64_t e = 0; e < kExperts; ++e) std::copy_n(before.begin() + e * each, each, p.value.data<double>() + (3 * e + 1) % kExperts * each);
  }
  bench.parameters.mark_changed();
  const std::vector<double> z = bench.run(x, ids).y;
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(z[i], y[i], 1e-12);
}

TEST_P(RouterLaws, TiesTakeTheLowestExperts) {
  if (GetParam().starts_with("hash")) GTEST_SKIP() << "no choice by score";
  Bench bench(GetParam(), "f64");
  for (Parameter& p : bench.parameters.all())
    if (p.role == Role::router) std::fill_n(p.value.data<double>(), p.value.elements(), 0.0);
  bench.parameters.mark_changed();
  const Bench::Result r = bench.run(x, ids);
  const int64_t slots = static_cast<int64_t>(r.record.index_Nk.size()) / kLength;
  const bool by_expert = traits.sight == RouterSight::batch;  // experts choose: each the first tokens
  const int64_t each = (kLength * bench.k + kExperts - 1) / kExperts;
  for (int64_t t = 0; t < kLength; ++t)
    for (int64_t j = 0; j < slots; ++j) {
      const int64_t expected = by_expert ? (t < each ? j : -1) : GetParam() == "remoe" ? -1 /* none is above zero */ : j;
      ASSERT_EQ(r.record.index_Nk[static_cast<size_t>(t * slots + j)], expected) << "token " << t;
    }
}

// A later token changes no output before it, bit for bit; of routers that look ahead it does (so this probe finds it).
TEST_P(RouterLaws, OnlyDeclaredRoutersLookAhead) {
  for (const Tape::Mode mode : {Tape::Mode::inference, Tape::Mode::training}) {
    Bench bench(GetParam(), "f32");
    const std::vector<double> y = bench.run(x, ids, 1, mode).y;
    bool looked = false;
    for (int64_t t = 1; t < kLength; ++t) {
      std::vector<double> changed = x;
      std::vector<int32_t> changed_ids = ids;
      for (int64_t c = 0; c < kWidth; ++c) changed[static_cast<size_t>(t * kWidth + c)] = 3 - 2 * changed[static_cast<size_t>(t * kWidth + c)];
      changed_ids[static_cast<size_t>(t)] = (ids[static_cast<size_t>(t)] + 1) % kVocab;
      const std::vector<double> z = bench.run(changed, changed_ids, 1, mode).y;
      looked |= !std::equal(y.begin(), y.begin() + t * kWidth, z.begin());
      EXPECT_FALSE(std::equal(y.begin() + t * kWidth, y.begin() + (t + 1) * kWidth, z.begin() + t * kWidth)) << "token " << t << " does not matter to itself";
    }
    const bool declared = traits.sight == RouterSight::batch || (traits.sight == RouterSight::training && mode == Tape::Mode::training);
    EXPECT_EQ(looked, declared) << (mode == Tape::Mode::training ? "in training" : "in inference");
  }
}

// Outside of training a row sees itself alone, as do experts that choose within a sequence.
TEST_P(RouterLaws, NeighboursAndThreadsChangeNoBit) {
  for (const char* dtype : {"f32", "bf16"}) {
    const std::vector<double> all = numbers(32 * kLength * kWidth);
    const std::vector<int32_t> all_ids = random_ids(32 * kLength, kVocab);
    Bench one(GetParam(), dtype, 1), three(GetParam(), dtype, 3);
    const std::vector<double> together = three.run(all, all_ids, 32).y;
    EXPECT_EQ(one.run(all, all_ids, 32).y, together) << "threads, " << dtype;
    for (const int64_t row : {0, 17}) {
      const std::vector<double> alone = one.run({all.begin() + row * kLength * kWidth, all.begin() + (row + 1) * kLength * kWidth},
                                                {all_ids.begin() + row * kLength, all_ids.begin() + (row + 1) * kLength})
                                            .y;
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + row * kLength * kWidth)) << "neighbours, " << dtype;
    }
  }
}

TEST_P(RouterLaws, CapacityIsNeverExceeded) {
  for (const char* rule : {"position", "probability", "prioritised", "random"})
    for (const char* order : {"token", "choice"})
      for (const char* group : {"batch", "sequence"}) {
        Bench bench(GetParam(), "f64", 1, {{"capacity", 2}, {"drop", rule}, {"drop_order", order}, {"capacity_group", group}, {"drop_when", "always"}});
        const std::vector<double> wide = numbers(2 * kLength * kWidth);
        const Bench::Result r = bench.run(wide, random_ids(2 * kLength, kVocab), 2);
        const int64_t rows = 2 * kLength, slots = static_cast<int64_t>(r.record.index_Nk.size()) / rows, each = std::string(group) == "batch" ? rows : kLength;
        int64_t kept = 0;
        std::vector<int64_t> taken(static_cast<size_t>(rows / each * kExperts));
        for (int64_t s = 0; s < rows * slots; ++s)
          if (const int32_t e = r.record.index_Nk[static_cast<size_t>(s)]; e >= 0) ++kept, ++taken[static_cast<size_t>(s / slots / each * kExperts + e)];
        for (const int64_t n : taken) EXPECT_LE(n, 2) << rule << ' ' << order << ' ' << group;
        int64_t chosen = 0;
        for (const int64_t n : r.record.load_E) chosen += n;
        EXPECT_EQ(kept + r.record.dropped, chosen);
        EXPECT_GT(r.record.dropped, 0) << rule << ' ' << order << ' ' << group;
      }
}

// The experts of a device share one limit: by the same formula, with devices for experts.
TEST_P(RouterLaws, CapacityOfDevicesIsNeverExceeded) {
  Json options = {{"zero_experts", 1}, {"capacity_devices", 4}, {"capacity_factor", 0.5}, {"drop", "probability"}, {"drop_when", "always"}};
  if (GetParam() == "dense") options["top_k"] = kExperts + 1;
  Bench bench(GetParam(), "f64", 1, options);
  const Bench::Result r = bench.run(x, ids);
  const int64_t slots = static_cast<int64_t>(r.record.index_Nk.size()) / kLength, limit = (kLength * bench.k + 7) / 8;  // ⌈0.5·T·k/4⌉
  int64_t taken[4] = {}, kept = 0, chosen = 0;
  for (int64_t s = 0; s < kLength * slots; ++s)
    if (const int32_t e = r.record.index_Nk[static_cast<size_t>(s)]; e >= 0) ++taken[e / 2], ++kept;
  for (const int64_t n : taken) EXPECT_LE(n, limit);
  for (const int64_t n : r.record.load_E) chosen += n;
  EXPECT_EQ(kept + r.record.dropped, chosen);
  EXPECT_GT(r.record.dropped, 0);
}

// Σ over the chosen of weight·FFN is what an expert's rows give; an expert that nobody chose has a gradient of exact zeros.
TEST_P(RouterLaws, EmptyExpertsCostNothing) {
  Bench bench(GetParam(), "f64");
  Tape tape(bench.device, Tape::Mode::training);
  std::vector<RoutingRecord> records;
  const std::vector<int32_t> two = {1, 4};
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, two, 1, 2, kVocab), .seed = 5, .routing = &records};
  const Tensor y = bench.channel->forward(pass, bench.input(tape, numbers(2 * kWidth), 1));
  const Tensor dy = tape.empty(y.shape(), y.dtype());
  std::fill_n(dy.data<double>(), dy.elements(), 1.0);
  tape.give(y.grad(), dy);
  tape.backward();
  int64_t empty = 0;
  for (int64_t e = 0; e < kExperts; ++e) {
    const bool chosen = records[0].load_E[static_cast<size_t>(e)] > 0;
    empty += !chosen;
    for (const char* name : {"channel.gate", "channel.up", "channel.down"}) {
      const Parameter* p = bench.parameters.find(name);
      const int64_t each = p->value.elements() / kExperts;
      const double* g = p->value.grad()->value.data<double>() + e * each;
      EXPECT_EQ(std::any_of(g, g + each, [](double v) { return v != 0; }), chosen) << name << " of expert " << e;
    }
  }
  if (traits.fixed_count) {
    EXPECT_GE(empty, kExperts - 2 * bench.k);
  }
}

// A record of choices is enforced: on the same weights it changes no bit, on others the choices stay as they were.
TEST_P(RouterLaws, RecordedChoicesAreEnforced) {
  for (const Tape::Mode mode : {Tape::Mode::inference, Tape::Mode::training}) {
    Bench bench(GetParam(), "f32");
    std::vector<RouterChoices> made, again, moved;
    const Bench::Result first = bench.run(x, ids, 1, mode, &made);
    ASSERT_EQ(made.size(), 1u);
    EXPECT_EQ(made[0].router, "channel");
    EXPECT_EQ(made[0].tokens(), kLength);
    EXPECT_EQ(bench.run(x, ids, 1, mode, &again, &made).y, first.y);
    EXPECT_EQ(again[0].index_Nk, made[0].index_Nk);
    for (Parameter& p : bench.parameters.all())
      if (p.role == Role::router)
        for (int64_t i = 0; i < p.value.elements(); ++i)
          p.value.data<float>()[i] += static_cast<float>(RandomStream(8, "moved").normal(static_cast<uint64_t>(i)));
    bench.parameters.mark_changed();
    if (traits.needs_ids) continue;  // learns nothing that could choose otherwise
    moved.clear();
    bench.run(x, ids, 1, mode, &moved);
    const bool differs = moved[0].index_Nk != made[0].index_Nk || bench.k == kExperts;
    EXPECT_TRUE(differs) << "moved weights choose alike: nothing would be seen";
    moved.clear();
    const Bench::Result enforced = bench.run(x, ids, 1, mode, &moved, &made);
    EXPECT_EQ(moved[0].index_Nk, made[0].index_Nk);
    if (bench.k < kExperts && !traits.own_rule) {
      EXPECT_NE(enforced.y, first.y) << "gates come from the scores";
    }
  }
}

TEST_P(RouterLaws, GradientIsTheSlope) {
  Bench bench(GetParam(), "f64", 2);
  expect_slope(bench, traits.own_rule, x, ids);
}

// What a plan says of memory and products is not exceeded.
TEST_P(RouterLaws, ShapesAloneBoundCostAndMemory) {
  const auto measure = [&](bool shapes) {
    Bench bench(GetParam(), "f32", 1, Json::object(), shapes);
    Tape tape(bench.device, Tape::Mode::training);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, 1, kLength, kVocab), .seed = 5};
    Tensor in = bench.input(tape, x, 1);
    in.require_grad();
    const Tensor y = bench.channel->forward(pass, in), dy = tape.zeros(y.shape(), y.dtype());
    tape.give(y.grad(), dy);
    tape.backward();
    double flops = 0;
    for (const auto& [name, cost] : tape.ledger()) flops += cost.matmul_flops;
    return std::pair(flops, bench.device.arena->peak());
  };
  const auto real = measure(false), shapes = measure(true);
  EXPECT_LE(real.first, shapes.first);
  EXPECT_LE(real.second, shapes.second);
  if (traits.fixed_count) {
    EXPECT_EQ(real.first, shapes.first);
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, RouterLaws, testing::ValuesIn([] {
                           std::vector<std::string> kinds;
                           for (const auto& row : routers()) kinds.push_back(row.kind);
                           return kinds;
                         }()),
                         [](const auto& which) { return which.param; });

}  // namespace
}  // namespace gamut
