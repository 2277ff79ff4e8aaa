#include <fmt/format.h>

#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"
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
  const auto number = [&](const char* key) { return machine[key].get<double>(); };
  const auto row = [](const char* name, const std::string& value) { std::cout << fmt::format("{:11} {}\n", name, value); };
  const std::string why = machine["tier_why"];
  row("processor", machine["cpu"]);
  row("tier", machine["tier"].get<std::string>() + (why.empty() ? "" : " (" + why + ")"));
  row("threads", fmt::format("{} ({})", pool.threads(), machine["threads_why"].get<std::string>()));
  row("cgroup", fmt::format("{}, {}", machine["cgroup_cores"].is_null() ? "no CPU quota" : fmt::format("{:.3g} cores", number("cgroup_cores")),
                            machine["cgroup_bytes"].is_null() ? "no memory limit" : human_bytes(number("cgroup_bytes")) + " of memory"));
  row("memory", human_bytes(number("ram_bytes")) + ", " + human_bytes(number("ram_available")) + " of it free");
  row("load", fmt::format("{:.1f} in the last minute", number("loadavg")));
  row("f32 peak", in_units(number("peak_f32"), "FLOP/s"));
  row("bf16 peak", in_units(number("peak_bf16"), "FLOP/s"));
  row("reading", in_units(number("read_bandwidth"), "B/s"));
}

}  // namespace

void build_doctor(CLI::App& command, int&) {
  auto json = std::make_shared<bool>(false);
  add_json(command, *json);
  command.callback([json] { doctor(*json); });
}

}  // namespace gamut
