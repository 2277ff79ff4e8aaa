#include "modules/registry.h"
#include "objectives/objective.h"

namespace gamut {

const std::vector<RegisteredObjective>& objectives() {
  static const std::vector<RegisteredObjective> rows{
      {"causal", "Next-token prediction: every position sees itself and what came before, and predicts the next token; the mean of −log p. [Bengio et al. 2003]", build_causal},
      {"multi_token",
       "Several next tokens: the loss of causal, and weight/D times that of each of the model's D heads for tokens further on (kind further), every sum divided by the number of next tokens; weight = D adds them "
       "as they are. Option: weight (0.3). [Gloeckle et al., multi-token prediction, 2024; DeepSeek-AI, DeepSeek-V3, 2024]",
       build_multi_token},
      {"prefix", "Prefix language model: the first tokens of a row see each other, the rest is predicted from left to right and bears the loss; rows are cut at a random place. [Raffel et al., T5, 2020]",
       build_prefix},
      {"masked_diffusion",
       "Every row hides each token behind the mask with probability p = (1 − ε)·t + ε for a time t of its own (evenly spread over rows) and predicts the hidden ones from all others: Σ −log p(x)/p, an upper "
       "bound of the negative log-likelihood in expectation. Options: specials (the mask's id), shift (a token is predicted at the position before it), epsilon. [Sahoo et al., MDLM, 2024; Nie et al., LLaDA, 2025]",
       build_masked_diffusion},
      {"seq2seq",
       "Sequence to sequence: a decoder writes the target after an encoder has read the source; −log p of the target's tokens, its end included. Rows of text are cut: the share `source` (0.5) of "
       "each is its source; or at the token `separator` (an id), the first of a row after a source, and rows without one bear no loss. In a model of one stack the target follows the source, which "
       "all positions see. Option: specials (ids of <pad>, which starts a target, and </s>, which ends both sides). [Sutskever et al. 2014; Vaswani et al. 2017]",
       build_seq2seq},
      {"span_corruption",
       "Runs of tokens are cut out of the source, a sentinel <extra_id_j> in place of run j; the target is each sentinel with the tokens it stands for. Of T tokens N = round(rate·T) go, in "
       "round(N/mean_span) runs. The target follows its source in a model of one stack. Options: rate (0.15), mean_span (3), sentinels (100), specials (ids of <pad>, which starts a target, </s>, which ends "
       "source and target, and the sentinels). [Raffel et al., T5, 2020]",
       build_span_corruption},
      {"denoising",
       "The source is the text with its sentences in another order and runs of tokens replaced by one <mask> each; the target is the whole text. Options: rate (0.3, tokens replaced), mean_span (3, of "
       "a Poisson distribution; spans of length 0 insert a mask), random (0.1, masks that are a random token of the row instead), permute (1, share of sentences that change places), sentence_ends (ids of tokens "
       "that end a sentence), specials (ids of </s>, which starts the decoder and ends both sides, <s>, which begins both, and <mask>). [Lewis et al., BART, 2020]",
       build_denoising},
      {"mlm",
       "Masked language modelling: [CLS] text [SEP] in which `rate` of the tokens are chosen; `masked` of these become [MASK], `random` any token, the rest stays; all positions see each other and the chosen "
       "ones are predicted. The number is no likelihood: it compares with its own kind alone. Options: rate, masked, random, specials (ids of [MASK], [CLS], [SEP], then of any others that are never chosen). "
       "[Devlin et al., BERT, 2019]",
       build_mlm},
      {"mlm+nsp",
       "Masked language modelling of [CLS] A [SEP] B [SEP], and next-sentence prediction: whether B follows A (class 0) or comes from elsewhere (class 1, `random_next` of the rows); the sum of the two mean "
       "losses. Options: those of mlm, random_next, short (share of rows of any shorter length). [Devlin et al., BERT, 2019]",
       build_mlm_nsp},
      {"classification", "The class of a whole row: the mean of −log p(class). All positions see each other. Needs rows with labels. [Devlin et al., BERT, 2019]", build_classification},
  };
  return rows;
}

std::unique_ptr<Objective> build_objective(const Component& component) {
  Config options(component.options, {.source = "model"}, "objective");
  auto built = find_registered(objectives(), component.kind, "objective").build(options);
  options.finish();
  return built;
}

}  // namespace gamut
