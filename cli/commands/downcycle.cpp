#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "base/io.h"
#include "base/text.h"
#include "cli/conversion.h"
#include "generation/score.h"

namespace gamut {
namespace {

struct Arguments : ConversionArguments {
  std::string text, tokens;
};

// The first `limit` tokens of a text as rows, every token a label.
Example rows_of(const std::string& file, const Parent& parent, int64_t length, int64_t limit) {
  if (!parent.tokenizer)
    throw Error({.who = "downcycle", .what = "the model has no tokenizer, so text cannot be read", .hint = "give --tokens FILE.json instead"});
  std::vector<int32_t> ids = parent.tokenizer->encode(read_file(file));
  ids.resize(std::min(ids.size(), static_cast<size_t>(limit)));
  Json rows = Json::array();
  for (size_t at = 0; at < ids.size(); at += static_cast<size_t>(length))
    rows.push_back(std::vector<int32_t>(ids.begin() + static_cast<int64_t>(at),
                                        ids.begin() + static_cast<int64_t>(std::min(ids.size(), at + static_cast<size_t>(length)))));
  if (rows.empty()) throw Error({.who = "downcycle", .what = "the text is empty", .where = file});
  return read_example({{"input_ids", rows}}, file);
}

void run(const Arguments& a) {
  if (a.text.empty() == a.tokens.empty())
    throw Error({.who = "downcycle", .what = "needs text on which the use of experts is measured", .hint = "either --text FILE or --tokens FILE.json"});
  const ConfigDocument document = settings_document(a.settings);
  Config cfg(document.value, document.origin);
  const auto seed = cfg.take_in<uint64_t>("seed", 1, 0, uint64_t{1} << 53);
  const auto length = cfg.take_in<int64_t>("length", 256, 2, 1 << 20), limit = cfg.take_in<int64_t>("limit", 1 << 14, 2, int64_t{1} << 32);
  Parent parent(a, "downcycle");
  const Example example =
      a.text.empty() ? read_example(read_json(a.tokens), a.tokens) : rows_of(a.text, parent, std::min(length, parent.loaded.model.spec().max_positions), limit);
  const Measurement before = measure(parent.loaded.model, parent.device, example);
  const Conversion conversion = downcycled(parent.loaded.model.spec(), cfg, before.routing);
  cfg.finish();
  Model child(conversion.spec, parent.device);
  conversion.fill(parent.loaded.model.parameters(), child.parameters(), seed, parent.pool);
  const double after = measure(child, parent.device, example).loss;
  save_model(child, parent.tokenizer.get(), a.out, parent.dtype);

  Json result = summary(a, conversion, child);
  result.update({{"loss_before", before.loss}, {"loss_after", after}});
  if (a.json) {
    std::cout << result.dump() << '\n';
    return;
  }
  std::cout << fmt::format("{}: {} parameters, {} used by a token\n", result["family"].get<std::string>(), human_count(result["parameters"].get<double>()),
                           human_count(result["active_parameters"].get<double>()))
            << fmt::format("loss on this text: {:.4f} before, {:.4f} after\n", before.loss, after) << a.out << '\n';
}

}  // namespace

void build_downcycle(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  take_conversion(command, *a);
  command.add_option("--text", a->text, "text file on which the use of experts, and the loss, are measured: its first `limit` tokens in rows of `length`");
  command.add_option("--tokens", a->tokens, "JSON file of token ids instead");
  command.callback([a] { run(*a); });
}

}  // namespace gamut
