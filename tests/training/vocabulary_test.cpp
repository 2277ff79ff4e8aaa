// What a tokenizer learns from the objective it is to serve.
#include "training/vocabulary.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "base/json.h"
#include "data/tokenizers/bpe_trainer.h"
#include "data/tokenizers/post_processors/post_processor.h"
#include "temp_folder.h"

namespace gamut {
namespace {

std::shared_ptr<const Tokenizer> learned() {
  ThreadPool pool(1);
  const std::vector<std::string_view> texts{"to be or not to be"};
  return train_bpe(texts, {.vocab_size = 262}, pool);
}

// As BERT's: [CLS] A [SEP], and [CLS] A [SEP] B [SEP] with the second text of type 1; also after saving and loading.
TEST(Vocabulary, MaskingObjectivesFrameTexts) {
  for (const char* kind : {"mlm", "mlm+nsp"}) {
    ModelSpec spec;
    spec.objective = {kind};
    const auto plain = learned(), framing = settle_vocabulary(spec, plain);
    EXPECT_EQ(spec.vocab, plain->vocab_size() + 3);
    const int32_t cls = framing->id_of("[CLS]").value(), sep = framing->id_of("[SEP]").value();
    EXPECT_EQ(spec.objective.options["specials"], Json({framing->id_of("[MASK]").value(), cls, sep}));
    ModelSpec resolved = spec;  // a recipe with ids settled before
    EXPECT_EQ(settle_vocabulary(resolved, plain)->hash(), framing->hash());
    EXPECT_TRUE(resolved == spec);
    ModelSpec other = spec;
    other.objective.options["specials"] = {5, 6, 7};
    EXPECT_EQ(settle_vocabulary(other, plain)->hash(), plain->hash());
    const TempFolder folder;
    framing->save(folder.path());
    const auto loaded = Tokenizer::load(folder.path());
    const std::vector<int32_t> a = plain->encode("to be"), b = plain->encode("or not");
    std::vector<int32_t> one{cls}, two;
    one.insert(one.end(), a.begin(), a.end());
    one.push_back(sep);
    two = one;
    two.insert(two.end(), b.begin(), b.end());
    two.push_back(sep);
    for (const auto& tokenizer : {framing, loaded}) {
      EXPECT_EQ(tokenizer->encode("to be"), a) << "encoding alone adds nothing";
      EXPECT_EQ(tokenizer->add_special_tokens(a), one);
      const FramedIds both = tokenizer->frame(a, &b);
      EXPECT_EQ(both.ids, two);
      std::vector<int32_t> types(one.size(), 0);
      types.resize(two.size(), 1);
      EXPECT_EQ(both.type_ids, types);
      EXPECT_EQ(tokenizer->decode(two), "to beor not") << "special tokens are left out";
    }
    const Json about = read_json(folder / "tokenizer_config.json");
    EXPECT_EQ(about["cls_token"], "[CLS]");
    EXPECT_EQ(about["sep_token"], "[SEP]");
    EXPECT_EQ(loaded->with_frame("[SEP]", "[CLS]")->add_special_tokens(a), one) << "what frames already stays";
  }
  EXPECT_THROW(learned()->with_frame("[CLS]", "[SEP]"), Error);
}

TEST(Vocabulary, OthersLeaveTextsAsTheyAre) {
  ModelSpec spec;
  const auto plain = learned();
  EXPECT_EQ(settle_vocabulary(spec, plain)->add_special_tokens({3, 4}), (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(spec.vocab, plain->vocab_size());
}

}  // namespace
}  // namespace gamut
