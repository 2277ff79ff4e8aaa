#include "modules/heads/heads.h"
#include "modules/registry.h"

namespace gamut {

const std::vector<Registered<Head>>& heads() {
  static const std::vector<Registered<Head>> rows{
      {"vocabulary",
       "`logits`: scale·W t(h) + b for every token of the vocabulary; W is the embedding in tied models. transform (an activation) makes t(h) = norm(act(W' h + b')), narrow takes it to embedding_width. Options: scale, softcap (c: logits end as c·tanh(logit/c); 0: they do not), "
       "bias (none, trained, fixed), transform (an activation), transform_bias, norm_eps and norm_bias (of the transform's norm), narrow. [Devlin et al., BERT, 2019]",
       build_vocabulary_head},
      {"pooled",
       "Of each row's first position: p = act(W h + b), and with classes W' p + b'. Options: name (of the result in files), classes (0: p itself), activation. [Devlin et al., BERT, 2019]",
       build_pooled_head},
      {"further",
       "`further_logits.N`: the token N places beyond the next, by one more layer and the classifier of `vocabulary`. chained: the layer reads the embedding of the last token known by then beside what the module "
       "before it gave [DeepSeek-AI, DeepSeek-V3, 2024]; else the last hidden states alone [Gloeckle et al., multi-token prediction, 2024]. For the objective multi_token, and as drafts (gamut score --drafts). "
       "Options: depth (N), chained, mixer, channel (tables, as of a layer).",
       build_further_head},
  };
  return rows;
}

}  // namespace gamut
