// Operations that carry a state: a sequence in pieces of any length, single tokens among them, is the sequence at once, on every tier.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "kernels/cpu.h"
#include "ops/dplr.h"
#include "ops/linear_attention.h"
#include "ops/wkv.h"

namespace gamut::ops {
namespace {

constexpr int64_t kTokens = 53, kHeads = 2, kKeys = 21, kValues = 19;

struct Stateful {
  const char* name;
  Shape state;
  // Of tokens first … first + count − 1.
  std::function<Tensor(Tape&, int64_t first, int64_t count, const Tensor& state)> run;
};

// Waves over the elements of a sequence [1, T, …], of which this is what begins at token `first`.
Tensor wave(Tape& tape, const Shape& shape, double step, double mean = 0, double height = 1, int64_t first = 0) {
  const Tensor t = tape.empty(shape, DType::f32);
  const int64_t before = first > 0 ? first * t.elements() / shape[1] : 0;
  for (int64_t i = 0; i < t.elements(); ++i) t.data<float>()[i] = static_cast<float>(mean + height * std::sin(step * static_cast<double>(before + i + 1)));
  return t;
}

std::vector<Stateful> operations() {
  const auto dplr_of = [](bool low_rank, bool early) {
    return [=](Tape& tape, int64_t first, int64_t count, const Tensor& state) {
      const Shape keys{1, count, kHeads, kKeys}, values{1, count, kHeads, kValues};
      const auto small = [&](double step) { return wave(tape, keys, step, 0, 0.2, first); };  // so that corrections shrink the state
      return dplr(tape,
                  {.q = wave(tape, keys, 0.7, 0, 1, first),
                   .k = wave(tape, keys, 1.1, 0, 1, first),
                   .v = wave(tape, values, 1.3, 0, 1, first),
                   .a = low_rank ? small(1.7) : Tensor(),
                   .b = low_rank ? small(2.3) : Tensor(),
                   .decay = wave(tape, keys, 0.9, -0.6, 0.5, first),
                   .scale = 0.3,
                   .early = early},
                  state);
    };
  };
  const auto constant_decay = [](Tape& tape, int64_t first, int64_t count, const Tensor& state) {
    const Tensor decay = tape.empty({kHeads}, DType::f32);
    for (int64_t h = 0; h < kHeads; ++h) decay.data<float>()[h] = -0.1f * static_cast<float>(h + 1);
    return linear_attention(tape,
                            {.q = wave(tape, {1, count, kHeads, kKeys}, 0.7, 0, 1, first),
                             .k = wave(tape, {1, count, kHeads, kKeys}, 1.1, 0, 1, first),
                             .v = wave(tape, {1, count, kHeads, kValues}, 1.3, 0, 1, first),
                             .decay = decay},
                            state);
  };
  const auto mean = [](Tape& tape, int64_t first, int64_t count, const Tensor& state) {
    const Shape shape{1, count, kKeys};
    return wkv(tape,
               {.key = wave(tape, shape, 0.7, 0, 40, first),
                .value = wave(tape, shape, 1.3, 0, 1, first),
                .log_rate_C = wave(tape, {kKeys}, 0.3, -1),
                .bonus_C = wave(tape, {kKeys}, 0.5)},
               state);
  };
  const Shape matrix{1, kHeads, kKeys, kValues};
  return {{"dplr, gated", matrix, dplr_of(false, false)}, {"dplr, low rank", matrix, dplr_of(true, false)},       {"dplr, early", matrix, dplr_of(false, true)},
          {"dplr, both", matrix, dplr_of(true, true)},    {"linear_attention, constant", matrix, constant_decay}, {"wkv", {1, 3, kKeys}, mean}};
}

TEST(States, PiecesAreTheWhole) {
  ThreadPool pool(1);
  for (int tier = 0; tier <= static_cast<int>(kernels::machine_tier()); ++tier) {
    const kernels::ForcedTier forced(static_cast<kernels::Tier>(tier));
    for (const Stateful& op : operations()) {
      Tape tape(Device::real(pool), Tape::Mode::inference);
      const Tensor whole = op.run(tape, 0, kTokens, tape.zeros(op.state, DType::f32)), state = tape.zeros(op.state, DType::f32);
      const int64_t row = whole.elements() / kTokens;
      double largest = 0;
      for (int64_t i = 0; i < whole.elements(); ++i) largest = std::max(largest, std::abs(static_cast<double>(whole.data<float>()[i])));
      ASSERT_GT(largest, 0.1) << op.name;
      int64_t first = 0;
      for (const int64_t count : {1, 1, 17, 1, 16, 15, 1, 1}) {
        const Tensor piece = op.run(tape, first, count, state);
        for (int64_t i = 0; i < count * row; ++i)
          ASSERT_NEAR(piece.data<float>()[i], whole.data<float>()[first * row + i], 2e-5 * largest)
              << op.name << " at token " << first + i / row << " on " << kernels::name_of(static_cast<kernels::Tier>(tier));
        first += count;
      }
      ASSERT_EQ(first, kTokens);
    }
  }
}

}  // namespace
}  // namespace gamut::ops
