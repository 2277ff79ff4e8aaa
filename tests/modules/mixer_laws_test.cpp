// Laws that every registered sequence mixer keeps, on each of its samples (modules/registry.h) in a small model: the parallel, chunked and
// step forms agree; a state is a value: snapshots, bytes and truncated states continue with the same bits; nothing looks ahead; neighbours
// in a batch, padding and threads change no bit; the gradient of the whole model is the slope of its loss.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "kernels/cpu.h"
#include "modules/model.h"
#include "modules/registry.h"
#include "ops/cross_entropy.h"
#include "temp_folder.h"

namespace gamut {
namespace {

constexpr int64_t kVocab = 37, kWidth = 32, kLength = 70;

struct Sample {
  std::string name;
  std::vector<Component> layers;
};
std::vector<Sample> samples() {
  std::vector<Sample> all;
  for (const auto& row : sequence_mixers())
    for (size_t i = 0; i < row.samples.size(); ++i) {
      const Json options = Json::parse(row.samples[i]);
      Sample sample{row.kind + (i > 0 ? "_" + std::to_string(i) : ""), {}};
      for (size_t layer = 0; layer < 2; ++layer) sample.layers.push_back({row.kind, options.is_array() ? options.at(layer) : options});
      all.push_back(sample);
    }
  return all;
}
void PrintTo(const Sample& sample, std::ostream* out) { *out << sample.name << ' ' << sample.layers[0].options.dump(); }

ModelSpec small_model(const std::vector<Component>& mixers, const std::string& dtype) {
  ModelSpec spec;
  spec.vocab = kVocab;
  spec.width = kWidth;
  for (const Component& mixer : mixers) spec.layers.push_back({mixer, {"ffn", {{"hidden", 48}}}});
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

class MixerLaws : public testing::TestWithParam<Sample> {
 protected:
  struct Built {
    ThreadPool pool;
    Device device;
    Model model;
    Built(const std::string& dtype, int threads) : pool(threads), device(Device::real(pool)), model(small_model(GetParam().layers, dtype), device) {
      model.parameters().initialise(7, pool);
    }
    // Final hidden states of positions [begin, end) of every row of kLength ids, continuing `states` if given.
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
    // A state that came out of the bytes of another; `used` has already seen other tokens.
    States reread(const States& from, int64_t rows, bool used) {
      States states = start(rows);
      if (used) run(tokens(rows, 9), 0, 20, &states);
      const States snapshot = used ? snapshot_of(states) : States();  // which from_bytes must not write into
      Tape tape(device, Tape::Mode::inference);
      for (size_t i = 0; i < from.size(); ++i)
        if (from[i]) states[i]->from_bytes(tape, from[i]->to_bytes());
      return states;
    }
  };
  static States snapshot_of(const States& states) {
    States copy;
    for (const auto& s : states) copy.push_back(s ? s->clone() : nullptr);
    return copy;
  }
};

// Against the parallel form in float32, relative to numbers of order 1: 5e-5 in f32; in bf16 both forms round, at other places where
// a chunk ends elsewhere: 0.1 for the largest, 0.01 in the mean.
TEST_P(MixerLaws, ParallelChunkedAndStepFormsAgree) {
  const std::vector<int32_t> ids = tokens(1);
  std::vector<std::vector<int64_t>> cuts{{1, 2, 3}, {5, 5 + 17, 69}, {63}, {64}, {65}};
  for (int64_t chunk = 1; chunk < kLength; chunk += chunk < 20 ? 1 : 7) {
    std::vector<int64_t> every;
    for (int64_t t = chunk; t < kLength; t += chunk) every.push_back(t);
    cuts.push_back(every);
  }
  for (int tier = 0; tier <= static_cast<int>(kernels::machine_tier()); ++tier) {
    const kernels::ForcedTier forced(static_cast<kernels::Tier>(tier));
    for (const char* dtype : {"f32", "bf16"}) {
      Built built(dtype, 2);
      const bool half = dtype[0] == 'b';
      const bool chooses = GetParam().layers[0].options.contains("indexer");  // keys: among nearly equal ones a rounding decides
      const double most = !half ? 5e-5 : chooses ? 0.3 : 0.1;
      const std::vector<float> whole = built.run(ids, 0, kLength);
      for (const std::vector<int64_t>& cut : cuts) {
        States states = built.start(1);
        std::vector<float> pieces;
        int64_t at = 0;
        std::vector<int64_t> ends = cut;
        ends.push_back(kLength);
        for (const int64_t end : ends) {
          const std::vector<float> piece = built.run(ids, at, end, &states);
          pieces.insert(pieces.end(), piece.begin(), piece.end());
          at = end;
        }
        ASSERT_EQ(pieces.size(), whole.size());
        double sum = 0;
        size_t other = 0;
        for (size_t i = 0; i < whole.size(); ++i) {
          sum += std::abs(pieces[i] - whole[i]);
          other += std::abs(pieces[i] - whole[i]) > 0.1;
          ASSERT_NEAR(pieces[i], whole[i], most) << dtype << " on " << kernels::name_of(static_cast<kernels::Tier>(tier)) << ", position " << i / kWidth << ", " << ends.size() << " pieces, first of " << ends[0];
        }
        ASSERT_LE(other, whole.size() / 500) << "a choice differs seldom";
        ASSERT_LE(sum / static_cast<double>(whole.size()), half ? 0.01 : 1e-5) << dtype << ", " << ends.size() << " pieces, first of " << ends[0];
      }
    }
  }
}

TEST_P(MixerLaws, StatesAreValues) {
  for (const char* dtype : {"f32", "bf16"}) {
    Built built(dtype, 2);
    const std::vector<int32_t> ids = tokens(2), other = tokens(2, 2);
    States states = built.start(2);
    built.run(ids, 0, 33, &states);
    States snapshot = snapshot_of(states), fresh = built.reread(states, 2, false), used = built.reread(states, 2, true);
    const std::vector<float> first = built.run(ids, 33, kLength, &states);
    States branch = snapshot_of(snapshot);
    built.run(other, 33, 50, &branch);  // must not touch the snapshot
    EXPECT_EQ(built.run(ids, 33, kLength, &snapshot), first) << dtype;
    EXPECT_EQ(built.run(ids, 33, kLength, &fresh), first) << dtype << ": bytes into a new state";
    EXPECT_EQ(built.run(ids, 33, kLength, &used), first) << dtype << ": bytes into a used state";
  }
}

// truncate() says whether it could; then the state is as if it had never seen what was forgotten.
TEST_P(MixerLaws, TruncatedStatesHaveNeverSeenTheRest) {
  Built built("f32", 1);
  const std::vector<int32_t> ids = tokens(2), other = tokens(2, 2);
  States states = built.start(2), before = built.start(2);
  built.run(ids, 0, 33, &states);
  built.run(ids, 0, 33, &before);
  built.run(other, 33, 41, &states);
  bool all = true;
  for (const auto& s : states)
    if (s) {
      EXPECT_EQ(s->length(), 41);
      EXPECT_TRUE(s->truncate(41));
      const bool could = s->truncate(33);
      EXPECT_EQ(s->length(), could ? 33 : 41);
      all &= could;
    }
  if (!all) return;
  EXPECT_EQ(built.run(ids, 33, kLength, &states), built.run(ids, 33, kLength, &before));
}

TEST_P(MixerLaws, BytesOfAnotherStateAreRefused) {
  Built built("f32", 1);
  States states = built.start(2), one_row = built.start(1);
  built.run(tokens(2), 0, 5, &states);
  const std::vector<float> expected = [&] {
    States copy = snapshot_of(states);
    return built.run(tokens(2), 5, 9, &copy);
  }();
  Tape tape(built.device, Tape::Mode::inference);
  for (size_t i = 0; i < states.size(); ++i) {
    if (!states[i]) continue;
    std::vector<std::byte> bytes = states[i]->to_bytes();
    EXPECT_ERROR(one_row[i]->from_bytes(tape, bytes), "not a state of this layer");
    bytes.pop_back();
    EXPECT_ERROR(states[i]->from_bytes(tape, bytes), "not a state of this layer");
    EXPECT_ERROR(states[i]->from_bytes(tape, std::span(bytes).first(3)), "not a state of this layer");
    std::fill_n(bytes.begin(), 8, std::byte{0xff});
    EXPECT_ERROR(states[i]->from_bytes(tape, bytes), "not a state of this layer");
  }
  EXPECT_EQ(built.run(tokens(2), 5, 9, &states), expected) << "a refusal changes nothing";
}

TEST_P(MixerLaws, NothingLooksAhead) {
  Built built("f32", 1);
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
    Built one(dtype, 1), three(dtype, 3);
    const std::vector<int32_t> ids = tokens(3);
    const std::vector<float> alone = one.run({ids.begin(), ids.begin() + kLength}, 0, kLength), together = three.run(ids, 0, kLength);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin())) << dtype;
  }
}

// A row that ends early, padded to the length of its neighbour, gives what it gives alone.
TEST_P(MixerLaws, PaddingChangesNoBit) {
  constexpr int64_t kShort = 41;
  for (const char* dtype : {"f32", "bf16"}) {
    Built built(dtype, 2);
    std::vector<int32_t> ids = tokens(2);
    const std::vector<float> alone = built.run({ids.begin(), ids.begin() + kLength}, 0, kShort);
    for (int64_t t = kShort; t < kLength; ++t) ids[static_cast<size_t>(t)] = 0;
    const std::vector<float> padded = built.run(ids, 0, kLength);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), padded.begin())) << dtype;
  }
}

// Along a random direction in the space of all parameters, in double.
TEST_P(MixerLaws, GradientIsTheSlopeOfTheLoss) {
  ThreadPool pool(2);
  const Device device = Device::real(pool);
  Model model(small_model(GetParam().layers, "f64"), device);
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

INSTANTIATE_TEST_SUITE_P(Registry, MixerLaws, testing::ValuesIn(samples()), [](const auto& which) { return which.param.name; });

TEST(Attention, SharingABiasThatNoLayerHasIsAnError) {
  ThreadPool pool(1);
  const Device device = Device::shapes_only(pool);
  Model model(small_model({Component{"attention", {{"relative_bias", {{"shared", true}}}}}}, "f32"), device);
  Tape tape(device, Tape::Mode::inference);
  Pass pass{.tape = tape, .ids_BT = id_tensor(tape, {}, 1, 3, kVocab)};
  EXPECT_THROW(model.hidden(pass), Error);
}

}  // namespace
}  // namespace gamut
