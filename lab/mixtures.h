// Contests whose arms are mixtures of experts: what every one of them measures of its routers.
#pragma once

#include "lab/contest.h"

namespace gamut {

Component mixture(int64_t experts, int64_t top_k, int64_t hidden, const Json& router);

class MixtureContest : public Contest {
 public:
  MixtureContest(std::string id, const LabContext& context, TieredSettings<ContestTier> settings, std::vector<Arm> arms, ContestRules rules);

 protected:
  // Mean over layers and finished seeds of a measure of held-out text; NaN without any. `of`: of a row of routing_json.
  double measured(const std::string& arm, const std::function<double(const Json& layer)>& of) const;
  double measured(const std::string& arm, const char* key) const;
  // Bits a slot that domains tell beyond chance, or what is left of them given the token's id.
  double domain_information(const std::string& arm, const char* key = "domain") const;

  // The report's parts: a table of every arm, heatmaps of some, and curves of what was watched, by tokens, mean of the seeds.
  Json routing_table() const;
  void add_heatmaps(Json& study, const std::vector<std::string>& of) const;
  Json watched_plot(const std::string& key, const Json& title, const Json& caption, const std::vector<std::string>& of) const;
  Json saturation_plot(const std::vector<std::string>& of) const;

 private:
  Json plot_of(const std::string& id, const Json& title, const Json& caption, const Json& axis, const std::vector<std::string>& of, const std::function<std::vector<double>(const Outcome&)>& values) const;
};

}  // namespace gamut
