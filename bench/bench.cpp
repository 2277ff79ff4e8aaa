#include "bench/bench.h"

#include <iostream>

#include "base/text.h"
#include "base/toml.h"
#include "bench/parts.h"

namespace gamut {
namespace {

struct Kind {
  const char* name;
  Json (*run)(BenchRun&);
};
const Kind kKinds[] = {{"peak", bench_peak}, {"gemm", bench_gemm}, {"ffn", bench_ffn}, {"experts", bench_experts}, {"attention", bench_attention},
                       {"optimizer", bench_optimizer}, {"norm", bench_norm}, {"loss", bench_loss}, {"train", bench_train}, {"mixers", bench_mixers}, {"prefill", bench_prefill}, {"decode", bench_decode}};

}  // namespace

const std::vector<std::string>& bench_kinds() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Kind& kind : kKinds) all.emplace_back(kind.name);
    return all;
  }();
  return names;
}

int bench_command(const std::vector<std::string>& arguments, bool json) {
  std::string name, model;
  ConfigDocument settings{Json::object(), {.source = "command line", .lines = {}}};
  for (const std::string& argument : arguments) {
    if (argument.find('=') != std::string::npos) apply_override(settings, argument);
    else if (name.empty()) name = argument;
    else if (model.empty()) model = argument;
    else throw Error({.who = "bench", .what = "'" + argument + "' is one argument too many", .hint = "settings are key=value"});
  }
  const Kind* chosen = nullptr;
  for (const Kind& kind : kKinds)
    if (name == kind.name) chosen = &kind;
  if (!chosen) throw Error({.who = "bench", .what = "cannot measure '" + name + "'", .hint = did_you_mean(name, bench_kinds())});
  ThreadPool pool;
  BenchRun run{pool, model, Config(settings.value, settings.origin), json};
  const Json result = chosen->run(run);
  if (json) std::cout << result.dump() << '\n';
  return run.disagreed ? 1 : 0;
}

}  // namespace gamut
