// Gamut's own folder format, for models that no published family expresses: config.json is {"model_type": "gamut", "spec": ModelSpec}, tensors have the
// names of the parameters.
#include "families/skeleton.h"

namespace gamut::family {

Family gamut() {
  return {
      "gamut", "Gamut's own folder format, for models that no published family expresses: the ModelSpec as JSON, parameters under their own names.",
      [](Config& cfg) {
        Config inner = cfg.sub("spec");
        const ModelSpec spec = ModelSpec::from_config(inner);
        inner.finish();
        for (const char* key : {"bos_token_id", "eos_token_id"}) cfg.ignore(key, "read for generation");
        return spec;
      },
      [](const ModelSpec& spec) { return Family::Written{{{"model_type", "gamut"}, {"spec", spec.to_json()}}, ""}; },
      [](const Model& model, const TensorNames&) {
        NameMap map(model);
        for (const Parameter& p : model.parameters().all()) map.whole(p.name, p.name);
        return map.take();
      },
      [](const ModelSpec&, const std::string&) { return false; }};
}

}  // namespace gamut::family
