// Recurrent language models in a format of our own: embed, torch.nn's names of a stack of RNN, GRU or LSTM under rnn., head with bias.
#include <algorithm>

#include "families/skeleton.h"
#include "modules/mixers/mixers.h"

namespace gamut::family {
namespace {

const char* const kCells[] = {"lstm", "gru", "rnn"};  // torch.nn's modes are our kinds

std::vector<Component> heads() { return {Component{"vocabulary", {{"bias", "trained"}}}}; }

ModelSpec read(Config& cfg) {
  ModelSpec spec;
  spec.vocab = cfg.take_in<int64_t>("vocab_size", 10000, 1, int64_t{1} << 31);
  spec.width = cfg.take_in<int64_t>("hidden_size", 512, 1, 1 << 20);
  take_common(cfg, spec, false);
  spec.placement = NormPlacement::none;
  spec.heads = heads();
  const auto narrow = cfg.take_in<int64_t>("embedding_size", spec.width, 1, 1 << 20);
  if (narrow != spec.width) spec.embedding_width = narrow;
  if (spec.tied && narrow != spec.width) cfg.reject("tie_word_embeddings", "needs embedding_size and hidden_size alike, not " + std::to_string(narrow) + " and " + std::to_string(spec.width));
  const Component mixer{cfg.take_choice("cell", "lstm", {std::begin(kCells), std::end(kCells)}), {{"bias", cfg.take<bool>("bias", true)}}};
  spec.layers.assign(static_cast<size_t>(cfg.take_in<int64_t>("num_hidden_layers", 2, 1, 4096)), {mixer, {"none"}});
  cfg.ignore("dropout", "training of the original");
  return spec;
}

Family::Written write(const ModelSpec& spec) {
  const auto cannot = [](const std::string& why) { return Family::Written{{}, why}; };
  if (spec.placement != NormPlacement::none || spec.embedding_norm) return cannot("layers with norms or residual");
  ModelSpec plain = spec;
  plain.heads = ModelSpec{}.heads;
  if (spec.heads != heads()) return cannot("other heads than one with bias for the vocabulary");
  if (const std::string more = beyond_decoder(plain); !more.empty()) return cannot(more);
  if (spec.embedding_scale != 1 || spec.positions != "none") return cannot("positions or scales");
  const std::string& cell = spec.layers[0].mixer.kind;
  if (std::find(std::begin(kCells), std::end(kCells), cell) == std::end(kCells)) return cannot("the mixer " + cell);
  for (const LayerSpec& layer : spec.layers)
    if (layer.channel.kind != "none" || !(layer == spec.layers[0])) return cannot("layers other than " + cell + " alone, all alike");
  Config cfg(spec.layers[0].mixer.options, {.source = "model"});
  const RnnOptions o = RnnOptions::take(cfg, spec, kernels::Cell::lstm);
  if (o.output) return cannot("a map after the cell");
  return {{{"architectures", {"RnnForCausalLM"}}, {"model_type", "rnn_lm"}, {"vocab_size", spec.vocab}, {"embedding_size", spec.embedding_width > 0 ? spec.embedding_width : spec.width},
           {"hidden_size", spec.width}, {"num_hidden_layers", spec.layers.size()}, {"cell", cell}, {"bias", o.bias}, {"initializer_range", spec.init_std}, {"tie_word_embeddings", spec.tied},
           {"torch_dtype", dtype_key(spec.dtype)}},
          ""};
}

std::vector<StoredTensor> tensors(const Model& model, const TensorNames&) {
  NameMap map(model);
  map.whole("embed.weight", "embedding");
  for (size_t i = 0; i < model.spec().layers.size(); ++i) {
    const std::string ours = "layers." + std::to_string(i) + ".mixer.", layer = "_l" + std::to_string(i);
    for (const auto& [theirs, name] : {std::pair("ih", "input"), std::pair("hh", "recurrent")}) {
      map.whole(std::string("rnn.weight_") + theirs + layer, ours + name);
      map.optional(std::string("rnn.bias_") + theirs + layer, ours + name + "_bias");
    }
  }
  if (!model.spec().tied) map.whole("head.weight", "head");
  map.whole("head.bias", "head.bias");
  return map.take();
}

}  // namespace

Family rnn_lm() {
  return {
      "rnn_lm", "A stack of recurrent layers (cell: lstm, gru, rnn) between embedding and head, without norms or residual, in a format of our own with torch.nn's names. [Mikolov et al. 2010; Zaremba et al. 2014]",
      read, write, tensors, [](const ModelSpec& spec, const std::string& tensor) { return spec.tied && tensor == "head.weight"; }};
}

}  // namespace gamut::family
