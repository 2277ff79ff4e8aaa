// Controlled comparisons: `gamut lab NAME [key=value …]`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/threads.h"

namespace gamut {

struct LabContext {
  ThreadPool& pool;
  std::string rerun;  // the command as it was given
};

struct Experiment {
  std::string name, meaning;
  // Reads its options, runs, writes report.html and study.json into options' `out`; returns the study (lab/report/report.h).
  std::function<Json(const LabContext&, Config& options)> run;
};
const std::vector<Experiment>& experiments();  // lab/registry.cpp

// Exit code. Prints plan and progress on stderr; verdict and the report's path (or, with `json`, the study) on stdout.
int lab_command(const std::string& name, const std::vector<std::string>& overrides, bool json);

Json run_dense_vs_moe(const LabContext& context, Config& options);
Json run_mixers(const LabContext& context, Config& options);
Json run_objectives(const LabContext& context, Config& options);
Json run_routers(const LabContext& context, Config& options);
Json run_routing_health(const LabContext& context, Config& options);
Json run_upcycling(const LabContext& context, Config& options);
Json run_granularity(const LabContext& context, Config& options);

}  // namespace gamut
