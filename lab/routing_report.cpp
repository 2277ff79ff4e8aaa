#include "lab/routing_report.h"

#include <algorithm>

#include "lab/statistics.h"

namespace gamut {

void add_routing(Json& study, const std::string& arm, const Outcome& run, const std::vector<std::string>& domains) {
  for (const Outcome::Load& load : run.loads) {
    study["loads"].push_back({{"arm", arm}, {"layer", load.layer}, {"steps", load.step}, {"share", load.share}});
    std::vector<double> counts;
    Json share = Json::array();
    for (const auto& row : load.by_domain) {
      double sum = 0;
      for (const int64_t n : row) sum += static_cast<double>(n);
      Json shares = Json::array();
      for (const int64_t n : row) {
        counts.push_back(static_cast<double>(n));
        shares.push_back(static_cast<double>(n) / std::max(sum, 1.0));
      }
      share.push_back(shares);
    }
    if (domains.size() < 2) continue;  // one domain: nothing to specialise in
    const int rows = static_cast<int>(load.by_domain.size()), columns = static_cast<int>(load.by_domain[0].size());
    study["specialisation"].push_back({{"arm", arm}, {"layer", load.layer}, {"domains", domains}, {"share", share}, {"information", mutual_information_miller_madow(counts, rows, columns)},
                                       {"chance", mutual_information_chance(counts, rows, columns)}});
  }
}

}  // namespace gamut
