// How often what a model drafts is what it says itself.
#include <gtest/gtest.h>

#include "generation/score.h"
#include "tiny_models.h"

namespace gamut {
namespace {

TEST(Drafts, CountsWhereAllBeforeIsTheText) {
  ThreadPool pool(1);
  Json heads = {{{"kind", "vocabulary"}}};
  for (const int64_t depth : {1, 2}) heads.push_back({{"kind", "further"}, {"depth", depth}, {"mixer", {{"kind", "attention"}, {"heads", 2}}}});
  TinyModel tiny(tiny_spec({{"vocab", 4}, {"heads", heads}}), pool);
  // What heads say at each place, as tokens; made up.
  const Example e{.rows = 1, .length = 6, .ids = {0, 1, 2, 3, 1, 2}, .mask = {1, 1, 1, 1, 1, 1}};
  Scores scores;
  Tape tape(tiny.device, Tape::Mode::inference);
  const auto says = [&](const std::string& name, const std::vector<int>& tokens) {
    const Tensor t = tape.zeros({1, 6, 4}, DType::f32);
    for (size_t i = 0; i < tokens.size(); ++i) t.data<float>()[i * 4 + static_cast<size_t>(tokens[i])] = 1;
    scores.tensors[name] = t;
  };
  says("logits", {1, 2, 0, 1, 2, 3});            // the text follows at places 0, 1, 3, 4
  says("further_logits.1", {2, 3, 3, 2, 0, 0});  // next[i + 1]: 2, 0, –, 2, 3
  says("further_logits.2", {0, 1, 1, 1, 1, 1});
  const std::vector<Drafts> d = count_drafts(tiny.model, scores, e);
  ASSERT_EQ(d.size(), 2u);
  EXPECT_EQ(d[0].depth, 1);
  EXPECT_EQ(d[0].drafted, 4);   // 0, 1, 3, 4
  EXPECT_EQ(d[0].accepted, 2);  // 0 and 3; 4 drafts 0 where the model says 3
  // Those of 0 and 3 were accepted and are the text; what depth 2 drafts there is compared with next[i + 2], 0 and 3.
  EXPECT_EQ(d[1].drafted, 2);
  EXPECT_EQ(d[1].accepted, 1);
}

}  // namespace
}  // namespace gamut
