#include "generation/embed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include <iostream>

#include "cli/command.h"

namespace gamut {
namespace {

struct Arguments {
  std::string model, out, dtype;
  std::vector<std::string> texts;
  bool json = false;
};

void run(Arguments a) {
  if (a.texts.empty())
    for (std::string line; std::getline(std::cin, line);) a.texts.push_back(line);
  if (a.texts.empty()) throw Error({.who = "embed", .what = "there is no text", .hint = "give --text, or one text a line on stdin"});
  ThreadPool pool;
  const Device device = Device::real(pool);
  SentenceEncoder encoder(a.model, device, a.dtype);
  const std::vector<std::vector<float>> embeddings = encoder.embed(a.texts);
  if (!a.out.empty()) {
    std::vector<float> all;
    for (const auto& row : embeddings) all.insert(all.end(), row.begin(), row.end());
    const TensorView view{"embeddings", DType::f32, {static_cast<int64_t>(embeddings.size()), encoder.width()}, std::as_bytes(std::span(all))};
    write_safetensors(a.out, std::span(&view, 1));
  }
  if (a.json) {
    Json result = {{"texts", embeddings.size()}, {"width", encoder.width()}};
    if (a.out.empty()) result["embeddings"] = embeddings;
    else result["embeddings"] = a.out;
    std::cout << result.dump() << '\n';
  } else if (a.out.empty()) {
    for (const auto& row : embeddings) std::cout << fmt::format("{}\n", fmt::join(row, " "));
  } else {
    std::cout << a.out << '\n';
  }
}

}  // namespace

void build_embed(CLI::App& command, int&) {
  auto a = std::make_shared<Arguments>();
  command.add_option("model", a->model, "model folder; modules.json in it says how its vectors become one, else it is their mean")->required();
  command.add_option("--text", a->texts, "a text; may be given several times. Without it every line on stdin is one")->allow_extra_args(false);
  command.add_option("--out", a->out, "safetensors file to write instead: embeddings f32 [texts, width]");
  add_dtype(command, a->dtype);
  add_json(command, a->json);
  command.callback([a] { run(*a); });
}

}  // namespace gamut
