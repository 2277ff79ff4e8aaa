#include "cli/conversion.h"

#include <filesystem>

#include "checkpoints/gguf.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

void check_output(const ConversionArguments& a, const char* who) {
  if (fs::exists(fs::path(a.out) / "config.json"))
    throw Error({.who = who, .what = "the folder holds a model already", .where = a.out, .hint = "name another folder, or delete this one"});
}

}  // namespace

void take_conversion(CLI::App& command, ConversionArguments& a) {
  command.add_option("model", a.model, "model folder or .gguf file")->required();
  command.add_option("out", a.out, "folder to write")->required();
  command.add_option("settings", a.settings, "key=value …");
  add_json(command, a.json);
}

ConfigDocument settings_document(const std::vector<std::string>& settings) {
  ConfigDocument document{Json::object(), {.source = "command line"}};
  for (const std::string& setting : settings) apply_override(document, setting);
  return document;
}

Parent::Parent(const ConversionArguments& a, const char* who)
    : dtype((check_output(a, who), read_model_config(a.model).spec.dtype)), device(Device::real(pool)), loaded(load_model(a.model, device, {.dtype = "f32"})) {
  if (is_gguf(a.model) || fs::exists(fs::path(a.model) / "tokenizer.json")) tokenizer = Tokenizer::load(a.model);
}

Json summary(const ConversionArguments& a, const Conversion& conversion, const Model& child) {
  Json layers = Json::array();
  for (const Conversion::Layer& layer : conversion.layers) layers.push_back(layer.prefix);
  return {{"model", a.out},
          {"family", family_for(child.spec()).model_type},
          {"layers", layers},
          {"parameters", child.parameters().total()},
          {"active_parameters", child.parameters().active()}};
}

}  // namespace gamut
