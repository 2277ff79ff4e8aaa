// Laws that every registered sequence mixer keeps, with its default options and some others, in a small model: the parallel, chunked and step forms
// agree; a snapshot continues with the same bits; nothing looks ahead; neighbours in a batch and threads change no bit; the gradient
// of the whole model is the slope of its loss.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "modules/model.h"
#include "modules/registry.h"
#include "ops/cross_entropy.h"

namespace gamut {
namespace {

constexpr int64_t kVocab = 37, kWidth = 32, kLength = 70;

struct Mixers {
  std::string name;
  std::vector<Component> layers;
};
// Every kind, and kinds whose options change who sees whom or how strongly.
std::vector<Mixers> mixers() {
  std::vector<Mixers> all;
  for (const auto& row : sequence_mixers()) all.push_back({row.kind, {2, {row.kind}}});
  const auto attention = [](const Json& options) { return Component{"attention", options}; };
  all.push_back({"attention_window_softcap_sinks", {2, attention({{"window", 20}, {"softcap", 2}, {"sinks", true}})}});
  all.push_back({"attention_alibi", {2, attention({{"rope", false}, {"alibi", 8}, {"kv_heads", 2}})}});
  all.push_back({"attention_relative_bias", {attention({{"rope", false}, {"relative_bias", {{"buckets", 8}, {"max_distance", 40}}}}), attention({{"relative_bias", {{"shared", true}}}})}});
  return all;
}

ModelSpec small_model(const Mixers& mixers, const std::string& dtype) {
  ModelSpec spec;
  spec.vocab = kVocab;
  spec.width = kWidth;
  for (const Component& mixer : mixers.layers) spec.layers.push_back({mixer, {"ffn", {{"hidden", 48}}}});
  spec.init_std = 0.2;  // so that mixing shows
  spec.dtype = dtype;
  return spec;
}

std::vector<int32_t> tokens(int64_t rows, uint64_t seed = 1) {
  const RandomStream stream(seed, "mixer laws");
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < rows * kLength; ++i) ids.push_back(static_cast<int32_t>(stream.below(static_cast<uint64_t>(i), kVocab)));
  return ids;
}

// What an encoder may have left, for mixers that look at it: [rows, 9, D], a row like any other call's.
Tensor encoded(Tape& tape, int64_t rows, DType dtype) {
  const RandomStream stream(5, "encoded");
  const Tensor t = tape.empty({rows, 9, kWidth}, dtype);
  with_float_type(dtype, [&]<class T>() {
    for (int64_t i = 0; i < t.elements(); ++i) t.data<T>()[i] = T(static_cast<accumulator<T>>(stream.normal(static_cast<uint64_t>(i))));
  });
  return t;
}

using States = std::vector<std::unique_ptr<MixerState>>;

class MixerLaws : public testing::TestWithParam<Mixers> {
 protected:
  struct Built {
    ThreadPool pool;
    Device device;
    Model model;
    Built(const Mixers& mixer, const std::string& dtype, int threads) : pool(threads), device(Device::real(pool)), model(small_model(mixer, dtype), device) {
      model.parameters().initialise(7, pool);
    }
    // Final hidden states of positions [begin, end) of every row, continuing `states` if given.
    std::vector<float> run(const std::vector<int32_t>& ids, int64_t begin, int64_t end, States* states = nullptr) {
      const int64_t rows = static_cast<int64_t>(ids.size()) / kLength;
      std::vector<int32_t> part;
      for (int64_t r = 0; r < rows; ++r) part.insert(part.end(), ids.begin() + r * kLength + begin, ids.begin() + r * kLength + end);
      Tape tape(device, Tape::Mode::inference);
      Pass pass{.tape = tape, .ids_BT = id_tensor(tape, part, rows, end - begin, kVocab), .offset = begin, .visibility = {.sight = {.causal = true}}, .states = states};
      const Tensor source = encoded(tape, rows, model.dtype());
      pass.encoded_BSD = &source;
      const Tensor hidden = model.hidden(pass);
      std::vector<float> out;
      for (int64_t i = 0; i < hidden.elements(); ++i)
        out.push_back(hidden.dtype() == DType::bf16 ? static_cast<float>(hidden.data<bf16>()[i]) : hidden.data<float>()[i]);
      return out;
    }
    States start(int64_t rows) {
      Tape tape(device, Tape::Mode::inference);
      return model.start(tape, rows, 8);  // less than kLength: states grow
    }
  };
};

TEST_P(MixerLaws, ParallelChunkedAndStepFormsAgree) {
  Built built(GetParam(), "f32", 2);
  const std::vector<int32_t> ids = tokens(1);
  const std::vector<float> whole = built.run(ids, 0, kLength);
  for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{1, 2, 3}, {63}, {64}, {65}, {5, 5 + 17, 69}, {}}) {
    States states = built.start(1);
    std::vector<float> pieces;
    int64_t at = 0;
    std::vector<int64_t> ends = cuts;
    if (cuts.empty())
      for (int64_t t = 1; t < kLength; ++t) ends.push_back(t);  // token by token
    ends.push_back(kLength);
    for (const int64_t end : ends) {
      const std::vector<float> piece = built.run(ids, at, end, &states);
      pieces.insert(pieces.end(), piece.begin(), piece.end());
      at = end;
    }
    ASSERT_EQ(pieces.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(pieces[i], whole[i], 5e-5) << "position " << i / kWidth << ", " << ends.size() << " pieces, first of " << ends[0];
  }
}

TEST_P(MixerLaws, SnapshotContinuesWithTheSameBits) {
  for (const char* dtype : {"f32", "bf16"}) {
    Built built(GetParam(), dtype, 2);
    const std::vector<int32_t> ids = tokens(2), other = tokens(2, 2);
    States states = built.start(2);
    built.run(ids, 0, 33, &states);
    States snapshot;
    for (const auto& s : states) snapshot.push_back(s ? s->clone() : nullptr);
    const std::vector<float> first = built.run(ids, 33, kLength, &states);
    for (size_t i = 0; i < snapshot.size(); ++i) states[i] = snapshot[i] ? snapshot[i]->clone() : nullptr;
    built.run(other, 33, 50, &states);  // a branch that must not touch the snapshot
    EXPECT_EQ(built.run(ids, 33, kLength, &snapshot), first) << dtype;
  }
}

TEST_P(MixerLaws, NothingLooksAhead) {
  Built built(GetParam(), "f32", 1);
  std::vector<int32_t> ids = tokens(1);
  const std::vector<float> before = built.run(ids, 0, kLength);
  for (const int64_t changed : {1, 20, 64, 69}) {
    std::vector<int32_t> others = ids;
    others[static_cast<size_t>(changed)] = (others[static_cast<size_t>(changed)] + 1) % kVocab;
    const std::vector<float> after = built.run(others, 0, kLength);
    for (int64_t i = 0; i < changed * kWidth; ++i) ASSERT_EQ(before[static_cast<size_t>(i)], after[static_cast<size_t>(i)]) << "position " << i / kWidth << " saw position " << changed;
    EXPECT_FALSE(std::equal(before.begin() + changed * kWidth, before.begin() + (changed + 1) * kWidth, after.begin() + changed * kWidth));
  }
}

TEST_P(MixerLaws, NeighboursAndThreadsChangeNoBit) {
  for (const char* dtype : {"f32", "bf16"}) {
    Built one(GetParam(), dtype, 1), three(GetParam(), dtype, 3);
    const std::vector<int32_t> ids = tokens(3);
    const std::vector<float> alone = one.run({ids.begin(), ids.begin() + kLength}, 0, kLength), together = three.run(ids, 0, kLength);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin())) << dtype;
  }
}

// Along a random direction in the space of all parameters, in double.
TEST_P(MixerLaws, GradientIsTheSlopeOfTheLoss) {
  ThreadPool pool(2);
  const Device device = Device::real(pool);
  Model model(small_model(GetParam(), "f64"), device);
  model.parameters().initialise(7, pool);
  model.parameters().allocate_gradients();
  const std::vector<int32_t> ids = tokens(2);
  const auto loss = [&](bool gradients) {
    Tape tape(device, Tape::Mode::training);
    Pass pass{.tape = tape, .ids_BT = id_tensor(tape, ids, 2, kLength, kVocab), .visibility = {.sight = {.causal = true}}};
    const Tensor source = encoded(tape, 2, model.dtype());
    pass.encoded_BSD = &source;
    const Tensor hidden = model.hidden(pass), target = tape.empty({2, kLength}, DType::i32);
    for (size_t i = 0; i < ids.size(); ++i) target.data<int32_t>()[i] = static_cast<int64_t>(i + 1) % kLength ? ids[(i + 1) % ids.size()] : -100;
    ops::cross_entropy(tape, hidden, model.head("logits").classifier(), target, 0.01);
    const double value = tape.total_loss();
    if (gradients) tape.backward();
    else tape.forget();
    return value;
  };
  loss(true);
  std::vector<std::vector<double>> directions;
  double slope = 0;
  for (Parameter& p : model.parameters().all()) {
    const RandomStream stream(3, "direction", p.name);
    auto& direction = directions.emplace_back();
    for (int64_t i = 0; i < p.value.elements(); ++i) {
      direction.push_back(p.trained ? stream.normal(static_cast<uint64_t>(i)) : 0.0);
      if (p.trained) slope += direction.back() * p.value.grad()->value.data<double>()[i];
    }
  }
  const auto moved = [&](double step) {
    size_t k = 0;
    for (Parameter& p : model.parameters().all()) {
      for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<double>()[i] += step * directions[k][static_cast<size_t>(i)];
      ++k;
    }
    model.parameters().mark_changed();
    const double value = loss(false);
    k = 0;
    for (Parameter& p : model.parameters().all()) {
      for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<double>()[i] -= step * directions[k][static_cast<size_t>(i)];
      ++k;
    }
    return value;
  };
  constexpr double h = 1e-5;
  const double numeric = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
  EXPECT_NEAR(slope, numeric, 1e-6 * std::abs(numeric) + 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Registry, MixerLaws, testing::ValuesIn(mixers()), [](const auto& which) { return which.param.name; });

TEST(Attention, SharingABiasThatNoLayerHasIsAnError) {
  ThreadPool pool(1);
  const Device device = Device::shapes_only(pool);
  Model model(small_model({"", {Component{"attention", {{"relative_bias", {{"shared", true}}}}}}}, "f32"), device);
  Tape tape(device, Tape::Mode::inference);
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, {}, 1, 3, kVocab)};
  EXPECT_THROW(model.hidden(pass), Error);
}

}  // namespace
}  // namespace gamut
