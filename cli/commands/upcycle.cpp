#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "base/text.h"
#include "cli/conversion.h"
#include "generation/score.h"
#include "modules/channels/routers/router.h"

namespace gamut {
namespace {

struct Arguments : ConversionArguments {
  std::string experts, top_k, method, tokens;
};

// moe.router.table=clustered, of the router hash: by the parent's embedding.
void settle_clusters(Json& settings, const Model& parent) {
  const auto table = "/moe/router/table"_json_pointer;
  if (!settings.contains(table) || settings[table] != "clustered") return;
  const auto number = [&](const char* key, int64_t fallback) {
    return settings.contains(key) && settings[key].is_number_integer() ? settings[key].get<int64_t>() : fallback;
  };
  const int64_t experts = std::max<int64_t>(number("experts", 8), 1), k = std::clamp<int64_t>(number("top_k", 2), 1, experts);
  for (const Parameter& p : parent.parameters().all())
    if (p.name == "embedding") settings["/moe/router/experts_of"_json_pointer] = clustered_table(p.value.span<float>(), p.value.width(), experts, k, 1);
  settings[table] = "given";
}

// As they will lie in the file.
void round_to_bf16(Parameters& parameters) {
  for (Parameter& p : parameters.all())
    if (p.role != Role::buffer)
      for (float& w : p.value.span<float>()) w = static_cast<float>(bf16(w));
  parameters.mark_changed();
}

void run(Arguments a) {
  for (const auto& [key, value] : {std::pair("experts", &a.experts), std::pair("top_k", &a.top_k), std::pair("method", &a.method)})
    if (!value->empty()) a.settings.push_back(std::string(key) + "=" + *value);
  ConfigDocument document = settings_document(a.settings);
  Parent parent(a, "upcycle");
  settle_clusters(document.value, parent.loaded.model);
  Config cfg(document.value, document.origin);
  const auto seed = cfg.take_in<uint64_t>("seed", 1, 0, uint64_t{1} << 53);
  const Conversion conversion = upcycled(parent.loaded.model.spec(), cfg);
  cfg.finish();
  ModelSpec spec = conversion.spec;
  spec.dtype = "f32";
  Model child(spec, parent.device);
  conversion.fill(parent.loaded.model.parameters(), child.parameters(), seed, parent.pool);

  const Example example = a.tokens.empty() ? random_example(child, 2, std::min<int64_t>(32, spec.max_positions)) : read_example(read_json(a.tokens), a.tokens);
  const Agreement found = compare_results(parent.loaded.model, child, parent.device, example);
  const bool promised = conversion.changes.empty(), equal = found.difference <= kRounding * std::max(1.0, found.largest);
  if (promised && !equal)
    throw Error({.who = "upcycle",
                 .what = fmt::format("the mixture should compute what its parent does, but a logit differs by {:.3g}", found.difference),
                 .where = a.model,
                 .hint = "logits of a parent that are not finite cannot be kept; else this is a mistake of the program: nothing was written",
                 .exit = Exit::failed});
  double written = found.difference;
  if (parent.dtype == "bf16") {
    round_to_bf16(child.parameters());
    written = compare_results(parent.loaded.model, child, parent.device, example).difference;
  }
  save_model(child, parent.tokenizer.get(), a.out, parent.dtype);

  Json result = summary(a, conversion, child);
  result["identity"] = {{"promised", promised}, {"equal", equal}, {"difference", found.difference}, {"written", written}, {"largest", found.largest}};
  if (!promised) result["identity"]["because"] = conversion.changes;
  if (a.json) {
    std::cout << result.dump() << '\n';
    return;
  }
  std::cout << fmt::format("{}: {} mixtures, {} parameters, {} used by a token\n", result["family"].get<std::string>(), conversion.layers.size(),
                           human_count(result["parameters"].get<double>()), human_count(result["active_parameters"].get<double>()))
            << fmt::format("logits differ from the parent's by {:.3g} at most (the largest is {:.3g}){}\n", found.difference, found.largest,
                           promised ? ": rounding, as promised" : "; equality is not promised: " + conversion.changes)
            << (parent.dtype == "bf16" ? fmt::format("rounded to bf16 as they are written: by {:.3g}\n", written) : "") << a.out << '\n';
}

}  // namespace

void build_upcycle(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  take_conversion(command, *a);
  command.add_option("--experts", a->experts, "experts of each layer; the same as experts=N");
  command.add_option("--top-k", a->top_k, "experts a token takes; top_k=N");
  command.add_option("--method", a->method, "how experts are made to differ; method=NAME");
  command.add_option("--tokens", a->tokens, "JSON file of token ids on which the result is compared with its parent; default: random ones");
  command.callback([a] { run(*a); });
}

}  // namespace gamut
