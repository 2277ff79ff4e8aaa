// The choice of keys against sorting all scores.
#include "ops/sparse_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace gamut::ops {
namespace {

struct Choice {
  int64_t batch = 2, queries = 5, heads = 3, width = 4, keys = 11, capacity = 14, offset = 6, most = 4;
};

std::vector<int32_t> chosen(const Choice& c, Tape& tape, const Tensor& q, const Tensor& weight, const Tensor& keys, const Visibility& visibility) {
  const Tensor y = choose_keys(tape, q, weight, keys, c.keys, visibility, c.offset, c.most);
  return {y.data<int32_t>(), y.data<int32_t>() + y.elements()};
}

Tensor wave(Tape& tape, const Shape& shape, double step) {
  const Tensor t = tape.empty(shape, DType::f32);
  for (int64_t i = 0; i < t.elements(); ++i) t.data<float>()[i] = static_cast<float>(std::sin(step * static_cast<double>(i + 1)));
  return t;
}

TEST(ChooseKeys, TakesTheLargestVisibleScoresInOrder) {
  ThreadPool pool(2);
  const Choice c;
  Tape tape(Device::real(pool), Tape::Mode::inference);
  const Tensor q = wave(tape, {c.batch, c.queries, c.heads, c.width}, 0.7), w = wave(tape, {c.batch, c.queries, c.heads}, 1.9),
               keys = wave(tape, {c.batch, c.capacity, 1, c.width}, 1.1);
  Visibility visibility{.sight = {.causal = true}};
  visibility.first_B = tape.zeros({c.batch}, DType::i32);
  visibility.first_B.data<int32_t>()[1] = 3;  // padding on the left of the second row
  const std::vector<int32_t> got = chosen(c, tape, q, w, keys, visibility);
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t t = 0; t < c.queries; ++t) {
      std::vector<std::pair<double, int32_t>> all;
      for (int64_t s = b == 1 ? 3 : 0; s <= c.offset + t && s < c.keys; ++s) {
        double score = 0;
        for (int64_t h = 0; h < c.heads; ++h) {
          double dot = 0;
          for (int64_t k = 0; k < c.width; ++k)
            dot += static_cast<double>(q.data<float>()[((b * c.queries + t) * c.heads + h) * c.width + k]) *
                   static_cast<double>(keys.data<float>()[(b * c.capacity + s) * c.width + k]);
          score += static_cast<double>(w.data<float>()[(b * c.queries + t) * c.heads + h]) * std::max(dot, 0.0);
        }
        all.emplace_back(-score, static_cast<int32_t>(s));
      }
      std::sort(all.begin(), all.end());
      std::vector<int32_t> want;
      for (size_t i = 0; i < std::min(all.size(), static_cast<size_t>(c.most)); ++i) want.push_back(all[i].second);
      std::sort(want.begin(), want.end());
      want.resize(static_cast<size_t>(c.most), -1);
      EXPECT_EQ(std::vector<int32_t>(got.begin() + (b * c.queries + t) * c.most, got.begin() + (b * c.queries + t + 1) * c.most), want)
          << "row " << b << ", query " << t;
    }
}

TEST(ChooseKeys, OfEqualKeysTheEarlierOnesAndAllWhenThereAreFew) {
  ThreadPool pool(1);
  const Choice c{.batch = 1, .queries = 6, .keys = 6, .capacity = 6, .offset = 0, .most = 3};
  Tape tape(Device::real(pool), Tape::Mode::inference);
  const Tensor q = wave(tape, {1, 6, c.heads, c.width}, 0.7), w = wave(tape, {1, 6, c.heads}, 1.9), keys = tape.zeros({1, 6, 1, c.width}, DType::f32);
  const std::vector<int32_t> want{0, -1, -1, 0, 1, -1, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2};
  EXPECT_EQ(chosen(c, tape, q, w, keys, {.sight = {.causal = true}}), want);
}

}  // namespace
}  // namespace gamut::ops
