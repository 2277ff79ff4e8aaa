#include "lab/lab.h"

#include <iostream>

#include "base/log.h"
#include "base/text.h"
#include "base/toml.h"
#include "lab/report/report.h"

namespace gamut {

int lab_command(const std::string& name, const std::vector<std::string>& overrides, bool json) {
  std::vector<std::string> known;
  for (const Experiment& experiment : experiments()) {
    known.push_back(experiment.name);
    if (experiment.name != name) continue;
    ConfigDocument document{Json::object(), {.source = "command line"}};
    std::string rerun = "./gamut lab " + name;
    for (const std::string& o : overrides) {
      apply_override(document, o);
      rerun += " " + o;
    }
    Config options(document.value, document.origin);
    ThreadPool pool;
    const Json study = experiment.run({pool, rerun}, options);
    if (json) {
      std::cout << study.dump() << '\n';
    } else {
      std::cout << verdict_sentence(study) << '\n' << study.at("report").get<std::string>() << '\n';
    }
    return 0;
  }
  throw Error({.who = "lab", .what = "unknown experiment '" + name + "'", .hint = did_you_mean(name, known)});
}

}  // namespace gamut
