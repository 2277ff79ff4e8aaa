#include "bench/bench.h"

#include "base/text.h"
#include "cli/command.h"

namespace gamut {

void build_bench(CLI::App& command, int& code) {
  struct Arguments {
    std::vector<std::string> words;
    bool json = false;
  };
  auto a = std::make_shared<Arguments>();
  command.add_option("what", a->words, "one of " + join(bench_kinds(), ", ") + "; then config.json or a model folder where one is needed, and key=value …")->required();
  add_json(command, a->json);
  command.callback([a, &code] { code = bench_command(a->words, a->json); });
}

}  // namespace gamut
