#include "modules/heads/heads.h"
#include "modules/registry.h"

namespace gamut {

const std::vector<Registered<Head>>& heads() {
  static const std::vector<Registered<Head>> rows{
      {"vocabulary",
       "`logits`: scale·W t(h) + b for every token of the vocabulary; W is the embedding in tied models. transform (an activation) makes t(h) = norm(act(W' h + b')). Options: scale, softcap (c: logits end as c·tanh(logit/c); 0: they do not), "
       "bias (none, trained, fixed), transform (an activation), transform_bias, norm_eps and norm_bias (of the transform's norm). [Devlin et al., BERT, 2019]",
       build_vocabulary_head},
      {"pooled",
       "Of each row's first position: p = act(W h + b), and with classes W' p + b'. Options: name (of the result in files), classes (0: p itself), activation. [Devlin et al., BERT, 2019]",
       build_pooled_head},
  };
  return rows;
}

}  // namespace gamut
