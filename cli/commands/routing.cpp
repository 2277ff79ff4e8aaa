#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/io.h"
#include "base/text.h"
#include "checkpoints/elements.h"
#include "cli/command.h"
#include "families/family.h"
#include "generation/comparison.h"
#include "generation/score.h"
#include "lab/placement.h"
#include "lab/routing_measures.h"
#include "objectives/objective.h"

namespace gamut {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string model, against, tokens;
  std::vector<std::string> texts;
  int64_t length = 256, limit = 1 << 14;
  int shuffles = 20;
  std::vector<int64_t> place;  // replicas, devices, nodes, groups
  bool json = false;
};

// Tokens of all domains in rows of one length.
struct Text : LabelledTokens {
  Example example;
};

Text read_texts(const Arguments& a, int64_t length) {
  Text text;
  if (!a.tokens.empty()) {
    text.example = read_example(read_json(a.tokens), a.tokens);
    text.domains = {"tokens"};
    text.domain_N.assign(text.example.ids.size(), 0);
    for (size_t i = 0; i < text.domain_N.size(); ++i)
      if (!text.example.mask[i]) text.domain_N[i] = -1;
    return text;
  }
  const auto tokenizer = Tokenizer::load(a.model);
  Json rows = Json::array();
  std::vector<int32_t> domain_of_row;
  for (const std::string& given : a.texts) {
    const size_t sign = given.find('=');
    const std::string file = sign == std::string::npos ? given : given.substr(sign + 1);
    text.domains.push_back(sign == std::string::npos ? fs::path(file).stem().string() : given.substr(0, sign));
    std::vector<int32_t> ids = tokenizer->encode(read_file(file));
    ids.resize(std::min(ids.size(), static_cast<size_t>(a.limit)) / static_cast<size_t>(length) * static_cast<size_t>(length));
    if (ids.empty())
      throw Error({.who = "routing",
                   .what = "has fewer tokens than one row of " + std::to_string(length),
                   .where = file,
                   .hint = "give more text, or a smaller --length"});
    for (auto row = ids.begin(); row != ids.end(); row += length) {
      rows.push_back(std::vector<int32_t>(row, row + length));
      domain_of_row.push_back(static_cast<int32_t>(text.domains.size() - 1));
    }
  }
  text.example = read_example({{"input_ids", rows}}, "text");
  for (const int32_t domain : domain_of_row) text.domain_N.insert(text.domain_N.end(), static_cast<size_t>(length), domain);
  return text;
}

// The weights of a checkpoint folder of the run that made the model.
void load_checkpoint(Model& model, const fs::path& folder) {
  const SafetensorsReader file(folder / "tensors.safetensors");
  for (Parameter& p : model.parameters().all()) {
    const TensorView& view = file.at(p.name);
    if (view.elements() != p.value.elements())
      throw Error(
          {.who = "routing", .what = "is not of this model: " + shape_text(view.shape) + " instead of " + p.value.shape().text(), .where = file.place(view)});
    read_elements(view, 0, view.elements(), p.value.data<float>());
  }
  model.parameters().mark_changed();
}

// Where each layer's experts would lie on devices, by the load they had here.
void add_placement(Json& layer, const std::vector<int64_t>& numbers) {
  const auto number = [&](size_t i) { return i < numbers.size() ? numbers[i] : int64_t{1}; };
  const auto load = layer["load"].get<std::vector<double>>();
  const Placement p = place_experts(load, {.replicas = number(0), .groups = number(3), .nodes = number(2), .devices = number(1)});
  layer["placement"] = {{"experts", p.expert_R}, {"copies", p.copies_E}, {"device_load", p.load_D}, {"imbalance", p.imbalance}};
}

void run(const Arguments& a) {
  if (a.texts.empty() == a.tokens.empty())
    throw Error({.who = "routing", .what = "needs text to route", .hint = "--text FILE for each domain, or --tokens FILE.json"});
  ThreadPool pool;
  const Device device = Device::real(pool);
  LoadedModel loaded = load_model(a.model, device, {.dtype = "f32"});
  if (loaded.model.has_encoder()) throw Error({.who = "routing", .what = "takes decoders and encoders, not both in one", .where = a.model});
  Text text = read_texts(a, std::min(a.length, loaded.model.spec().max_positions));
  const Measurement measured = measure(loaded.model, device, text.example);
  if (measured.routing.empty()) throw Error({.who = "routing", .what = "the model has no mixture of experts", .where = a.model});
  Measurement earlier;
  if (!a.against.empty()) {
    if (fs::exists(fs::path(a.against) / "tensors.safetensors")) {
      load_checkpoint(loaded.model, a.against);
      earlier = measure(loaded.model, device, text.example);
    } else {
      LoadedModel other = load_model(a.against, device, {.dtype = "f32"});
      earlier = measure(other.model, device, text.example);
    }
  }
  text.id_N = text.example.ids;
  Json layers = routing_json(measured, text, a.shuffles, a.against.empty() ? nullptr : &earlier);
  if (!a.place.empty())
    for (Json& layer : layers) add_placement(layer, a.place);
  if (a.json) {
    std::cout << Json({{"domains", text.domains}, {"tokens", text.domain_N.size()}, {"loss", measured.loss}, {"layers", layers}}).dump() << '\n';
    return;
  }
  std::cout << fmt::format("{} tokens of {} domains; information in bits a slot, in brackets the 95th percentile with labels shuffled\n", text.domain_N.size(),
                           text.domains.size());
  std::cout << "layer  max_violation  entropy  logit_rms  co-activated        I(domain)          given token        I(token)           saturation\n";
  for (const Json& row : layers) {
    const auto cell = [&](const char* key) {
      return row.contains(key) ? fmt::format("{:.4f} ({:.4f})", row[key]["information"].get<double>(), row[key]["shuffled_high"].get<double>())
                               : std::string("-");
    };
    std::string pair = "-";
    if (row.contains("coactivation")) {
      const auto m = row["coactivation"].get<std::vector<double>>();
      const auto best = std::max_element(m.begin(), m.end()) - m.begin(), e = static_cast<int64_t>(row["load"].size());
      if (m[static_cast<size_t>(best)] > 0) pair = fmt::format("{}→{} {:.0f} %", best / e, best % e, 100 * m[static_cast<size_t>(best)]);
    }
    std::cout << fmt::format("{:>5}  {:>13.3f}  {:>7.3f}  {:>9.3f}  {:<18}  {:<17}  {:<17}  {:<17}  {}\n", row["layer"].get<int>(),
                             row["max_violation"].get<double>(), row["router_entropy"].get<double>(), row["logit_rms"].get<double>(), pair, cell("domain"),
                             cell("domain_given_token"), cell("token"),
                             row.contains("saturation") ? fmt::format("{:.3f}", row["saturation"].get<double>()) : "-");
  }
  for (const Json& row : layers) {
    if (!row.contains("placement")) continue;
    const auto experts = row["placement"]["experts"].get<std::vector<int32_t>>();
    const size_t devices = row["placement"]["device_load"].size(), each = experts.size() / devices;
    std::cout << fmt::format("layer {}: the fullest device has {:.2f}× the mean load;", row["layer"].get<int>(), 1 + row["placement"]["imbalance"].get<double>());
    for (size_t d = 0; d < devices; ++d)
      std::cout << fmt::format(" {}: {}", d, fmt::join(experts.begin() + static_cast<std::ptrdiff_t>(d * each), experts.begin() + static_cast<std::ptrdiff_t>((d + 1) * each), ","));
    std::cout << '\n';
  }
}

}  // namespace

void build_routing(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  command.add_option("model", a->model, "model folder or .gguf file")->required();
  command.add_option("--text", a->texts, "text of one domain, FILE or NAME=FILE; several times for several domains")->allow_extra_args(false);
  command.add_option("--tokens", a->tokens, "JSON file of token ids instead: one domain");
  command.add_option("--against", a->against,
                     "an earlier state of the model, a folder or a run's checkpoint: which share of the experts stayed the same (saturation)");
  command.add_option("--length", a->length, "tokens of a row")->capture_default_str()->check(CLI::Range(int64_t{2}, int64_t{1} << 20));
  command.add_option("--limit", a->limit, "tokens of each domain, at most")->capture_default_str()->check(CLI::Range(int64_t{2}, int64_t{1} << 32));
  command.add_option("--shuffles", a->shuffles, "how often labels are shuffled to see what chance gives")->capture_default_str()->check(CLI::Range(1, 10000));
  command.add_option("--place", a->place, "REPLICAS DEVICES [NODES [GROUPS]]: where experts, the busy ones more than once, should lie on devices, by the load they have here")->expected(2, 4);
  add_json(command, a->json);
  command.callback([a] { run(*a); });
}

}  // namespace gamut
