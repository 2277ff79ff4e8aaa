#include "modules/channels/routers/router.h"

namespace gamut {

const std::vector<RegisteredRouter>& routers() {
  static const std::vector<RegisteredRouter> rows{
      {"topk",
       "Scores s = softmax(W x) (or sigmoid), the k largest win; gate g = s [/ Σ selected s] · scale. normalise = true divides by the selected "
       "sum (equal to a softmax over the k winners), false does not. balance: none; loss adds α·E·Σ f·P of each layer [Switch loss]; pooled adds it once, with f and P pooled over all layers "
       "[Mixtral in Hugging Face transformers]; bias adds a bias to "
       "selection only and moves it by bias_rate·sign(mean load − load) after every step [Wang et al., Auxiliary-loss-free load balancing, 2024]. "
       "z_loss adds c·mean(logsumexp²) [ST-MoE]. Options: score, normalise, scale, balance, balance_loss, bias_rate, z_loss.",
       build_topk},
      {"switch",
       "Top-1 with the unnormalised softmax probability as gate, so that the router learns from the task: y = p_e·FFN_e(x). Needs k = 1. "
       "Options: balance_loss, z_loss. [Fedus et al., Switch Transformers, 2021]",
       build_switch},
      {"hash",
       "Experts fixed by token id, drawn at random without learning; gates 1/k·scale. A control: capacity without routing. Options: scale. "
       "[Roller et al., Hash Layers, 2021]",
       build_hash},
      {"random",
       "topk with weights frozen as they were drawn: routing by content, but never learned. A control. Options as topk.",
       build_random},
  };
  return rows;
}

}  // namespace gamut
