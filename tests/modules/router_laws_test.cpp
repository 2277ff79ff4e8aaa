// Laws that every registered router keeps, with its default options in front of a small mixture of experts, according to what it
// declares (RouterTraits).
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "modules/channels/channels.h"
#include "modules/channels/routers/router.h"
#include "tiny_models.h"

namespace gamut {
namespace {

constexpr int64_t kExperts = 7, kHidden = 5, kWidth = 8, kVocab = 13, kLength = 12;  // 7: no other dimension is

// The channel mixer with the first number of choices that the router takes.
struct Bench {
  Bench(const std::string& router, const std::string& dtype, int threads = 1, Json options = Json::object(), bool shapes = false)
      : pool(threads),
        device(shapes ? Device::shapes_only(pool) : Device::real(pool)),
        spec(tiny_spec({{"dtype", dtype}})),
        parameters(device.arena, parameter_dtype(dtype_named(dtype))) {
    const Json base = {{"experts", kExperts}, {"hidden", kHidden}, {"allow_lookahead", true}, {"router", {{"kind", router}}}};
    for (const int64_t choices : {int64_t{2}, int64_t{1}, kExperts}) {
      Json table = base;
      table["top_k"] = choices;
      table.merge_patch(options);
      k = table["top_k"];
      try {
        Config cfg(table, {.source = "test"});
        channel = build_moe({parameters, spec, "channel", 0}, cfg);
        cfg.finish();
        break;
      } catch (const Error&) {
        if (choices == kExperts) throw;
        parameters = Parameters(device.arena, parameter_dtype(dtype_named(dtype)));
      }
    }
    if (!shapes) {
      parameters.initialise(3, pool);
      for (Parameter& p : parameters.all())  // routers that start at zero would choose by place alone
        if (p.role == Role::router && p.init.kind == Init::Kind::constant)
          with_float_type(p.value.dtype(), [&]<class P>() {
            for (int64_t i = 0; i < p.value.elements(); ++i)
              p.value.data<P>()[i] = P(static_cast<float>(0.3 * RandomStream(7, "start", p.name).normal(static_cast<uint64_t>(i))));
          });
    }
    parameters.allocate_gradients();
  }

  Tensor input(Tape& tape, const std::vector<double>& values, int64_t rows) {
    const Tensor x = tape.empty({rows, static_cast<int64_t>(values.size()) / rows / kWidth, kWidth}, dtype_named(spec.dtype));
    if (tape.runs())
      with_float_type(x.dtype(), [&]<class T>() {
        for (size_t i = 0; i < values.size(); ++i) x.data<T>()[i] = T(static_cast<accumulator<T>>(values[i]));
      });
    return x;
  }

  struct Result {
    std::vector<double> y;
    RoutingRecord record;
  };
  Result run(const std::vector<double>& values, const std::vector<int32_t>& ids, int64_t rows = 1, Tape::Mode mode = Tape::Mode::inference,
             std::vector<RouterChoices>* made = nullptr, const std::vector<RouterChoices>* given = nullptr) {
    Tape tape(device, mode);
    std::vector<RoutingRecord> records;
    Pass pass{.tape = tape,
              .ids_BT = id_tensor(tape, ids, rows, static_cast<int64_t>(ids.size()) / rows, kVocab),
              .seed = 5,
              .routing = &records,
              .routing_choices = true,
              .choices_made = made,
              .choices_given = given};
    Result r{elements(channel->forward(pass, input(tape, values, rows))), {}};
    r.record = records.at(0);
    tape.forget();
    return r;
  }

  ThreadPool pool;
  Device device;
  ModelSpec spec;
  Parameters parameters;
  std::unique_ptr<ChannelMixer> channel;
  int64_t k = 0;
};

std::vector<double> numbers(int64_t count, uint64_t seed = 1) {
  const RandomStream stream(seed, "router laws");
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(stream.normal(static_cast<uint64_t>(i)));
  return out;
}

// Along random directions, in double; parameters that learn by a rule of their own are left out.
void expect_slope(Bench& bench, bool own_rule, const std::vector<double>& x, const std::vector<int32_t>& ids) {
  const std::vector<double> c = numbers(kLength * kWidth, 9), dx = numbers(kLength * kWidth, 10);
  const auto loss = [&](const std::vector<double>& values, std::vector<double>* x_gradient) {
    Tape tape(bench.device, Tape::Mode::training);
    Tensor in = bench.input(tape, values, 2);
    in.require_grad();
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, 2, kLength / 2, kVocab), .seed = 5};
    const Tensor y = bench.channel->forward(pass, in), dy = tape.empty(y.shape(), y.dtype());
    double value = tape.total_loss();
    for (int64_t i = 0; i < y.elements(); ++i) {
      value += c[static_cast<size_t>(i)] * y.data<double>()[i];
      dy.data<double>()[i] = c[static_cast<size_t>(i)];
    }
    if (!x_gradient) {
      tape.forget();
      return value;
    }
    tape.give(y.grad(), dy);
    tape.backward();
    *x_gradient = elements(in.grad()->value);
    return value;
  };
  std::vector<double> gx;
  loss(x, &gx);
  double slope = 0;
  for (size_t i = 0; i < gx.size(); ++i) slope += own_rule ? 0 : gx[i] * dx[i];
  std::vector<std::vector<double>> directions;
  for (Parameter& p : bench.parameters.all()) {
    const bool moves = p.trained && !(own_rule && p.role == Role::router);
    directions.push_back(moves ? numbers(p.value.elements(), std::hash<std::string>{}(p.name)) : std::vector<double>(static_cast<size_t>(p.value.elements())));
    if (moves)
      for (int64_t i = 0; i < p.value.elements(); ++i) slope += directions.back()[static_cast<size_t>(i)] * p.value.grad()->value.data<double>()[i];
  }
  const auto moved = [&](double step) {
    const auto shift = [&](double by) {
      size_t k = 0;
      for (Parameter& p : bench.parameters.all()) {
        for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<double>()[i] += by * directions[k][static_cast<size_t>(i)];
        ++k;
      }
      bench.parameters.mark_changed();
    };
    std::vector<double> values = x;
    for (size_t i = 0; i < values.size() && !own_rule; ++i) values[i] += step * dx[i];
    shift(step);
    const double value = loss(values, nullptr);
    shift(-step);
    return value;
  };
  constexpr double h = 1e-6;
  const double numeric = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
  EXPECT_NEAR(slope, numeric, 1e-6 * std::abs(numeric) + 1e-8);
}

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

// The same of options that change what a mixture computes, and of every loss.
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
