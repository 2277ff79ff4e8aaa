#include <fmt/format.h>

#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "kernels/cpu.h"
#include "kernels/peak.h"
#include "lab/machine.h"

namespace gamut {
namespace {

void doctor(bool json) {
  ThreadPool pool;
  Json machine = describe_machine(pool);
  machine["peak_f32"] = kernels::measure_peak_flops(pool, DType::f32);
  machine["peak_bf16"] = kernels::measure_peak_flops(pool, DType::bf16);
  machine["read_bandwidth"] = kernels::measure_read_bandwidth(pool);
  if (json) {
    std::cout << machine.dump() << '\n';
    return;
  }
  std::cout << fmt::format("processor   {}\ntier        {}{}\nthreads     {} ({})\nmemory      {}\nf32 peak    {}FLOP/s\nbf16 peak   {}FLOP/s\nread        {}B/s\n", machine["cpu"].get<std::string>(),
                           machine["tier"].get<std::string>(), machine["tier_why"].get<std::string>().empty() ? "" : " (" + machine["tier_why"].get<std::string>() + ")", pool.threads(),
                           machine["threads_why"].get<std::string>(), human_bytes(machine["ram_bytes"].get<double>()), human_count(machine["peak_f32"].get<double>()),
                           human_count(machine["peak_bf16"].get<double>()), human_count(machine["read_bandwidth"].get<double>()));
}

}  // namespace

void build_doctor(CLI::App& command, int&) {
  auto json = std::make_shared<bool>(false);
  add_json(command, *json);
  command.callback([json] { doctor(*json); });
}

}  // namespace gamut
