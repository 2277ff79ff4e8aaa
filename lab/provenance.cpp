#include "lab/provenance.h"

#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <map>
#include <memory>

#include "base/text.h"

namespace gamut {
namespace {

// What a command prints, or "" when it fails. The commands are constants.
std::string output_of(const char* command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command, "r"), ::pclose);
  std::string text;
  char buffer[512];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get())) text += buffer;
  return std::string(trim(text));
}

}  // namespace

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Json provenance(const std::string& rerun, const Json& machine) {
  const std::string hash = output_of("git -C '" GAMUT_SOURCE_DIR "' rev-parse HEAD 2>/dev/null");
  Json git = nullptr;
  if (!hash.empty()) git = {{"hash", hash}, {"dirty", !output_of("git -C '" GAMUT_SOURCE_DIR "' status --porcelain 2>/dev/null").empty()}};
  return {{"git", git}, {"version", GAMUT_VERSION}, {"build", fmt::format("{} {}, C++{}", GAMUT_BUILD_TYPE, __VERSION__, __cplusplus / 100 % 100)}, {"cpu", machine.at("cpu")}, {"tier", machine.at("tier")},
          {"threads", machine.at("threads")}, {"numa", machine.at("numa")}, {"os", machine.at("os")}, {"rerun", rerun}};
}

Json data_rows(const Dataset& data) {
  Json rows = Json::array();
  for (size_t d = 0; d < data.domains.size(); ++d)
    for (const auto& [part, shard] : {std::pair("train", data.train[d]), std::pair("validation", data.validation[d])})
      rows.push_back({{"name", data.domains[d] + ", " + part}, {"hash", fmt::format("{:016x}", shard->checksum())}, {"bytes", shard->text_bytes()}, {"tokens", shard->tokens()}});
  return rows;
}

Json domain_name(const std::string& domain) {
  static const std::map<std::string, std::pair<const char*, const char*>> kNames{
      {"prose", {"prose", "散文"}}, {"code", {"code", "代码"}}, {"chinese", {"Chinese", "中文"}}, {"text", {"text", "文本"}}};
  const auto it = kNames.find(domain);
  return it == kNames.end() ? Json(domain) : Json({{"en", it->second.first}, {"zh", it->second.second}});
}

}  // namespace gamut
