#include "lab/report/comparison.h"

#include <cmath>
#include <map>

#include "lab/report/study.h"
#include "lab/statistics.h"

namespace gamut {
namespace {

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json ratio_json(const Interval& interval, double neutral) {
  return {{"estimate", number_or_null(interval.estimate)},
          {"low", interval.n > 1 ? number_or_null(interval.low) : Json(nullptr)},
          {"high", interval.n > 1 ? number_or_null(interval.high) : Json(nullptr)},
          {"resolved", interval.resolved(neutral)},
          {"n", interval.n}};
}

// Seeds both arms finished, in the baseline's order, with the position of each one's curve.
struct Pairs {
  std::vector<const Json*> baseline, treatment;
};
Pairs pair_by_seed(const Json& baseline, const Json& treatment) {
  Pairs pairs;
  for (const Json& curve : baseline.at("curves")) {
    for (const Json& other : treatment.at("curves")) {
      if (curve.at("seed") != other.at("seed")) continue;
      pairs.baseline.push_back(&curve);
      pairs.treatment.push_back(&other);
    }
  }
  return pairs;
}

std::vector<Curve> curves_on(const std::vector<const Json*>& runs, const char* axis) {
  std::vector<Curve> curves;
  for (const Json* run : runs) curves.push_back(study_curve(*run, axis));
  return curves;
}

bool all_have(const std::vector<const Json*>& runs, const char* axis) {
  for (const Json* run : runs) {
    if (!run->contains(axis)) return false;
  }
  return true;
}

// bpb at the end of the curves, or nothing unless every run has it.
std::vector<double> curve_ends(const std::vector<const Json*>& runs) {
  std::vector<double> values;
  for (const Json* run : runs) {
    const Json& bpb = member(run->at("bpb"), "all");
    if (bpb.empty() || !bpb.back().is_number()) return {};
    values.push_back(bpb.back().get<double>());
  }
  return values;
}

// The final bpb of a domain, or of "all".
std::vector<double> finals(const std::vector<const Json*>& runs, const std::string& domain) {
  std::vector<double> values;
  for (const Json* run : runs) {
    const Json& bpb = member(run->at("bpb"), domain);
    const auto cooled = number(member(*run, "final"), domain);
    if (!cooled && (bpb.empty() || !bpb.back().is_number())) return {};
    values.push_back(cooled ? *cooled : bpb.back().get<double>());
  }
  return values;
}

double mean_square_difference(const std::vector<double>& values) {
  double square = 0;
  int pairs = 0;
  for (size_t i = 0; i < values.size(); ++i)
    for (size_t j = 0; j < i; ++j, ++pairs) square += (values[i] - values[j]) * (values[i] - values[j]);
  return square / pairs;
}

// The same arm, other seed: root mean square over pairs of seeds, of the final difference and of the log ratio of costs.
Json noise_floor(const Json& arm) {
  std::vector<const Json*> runs;
  for (const Json& run : arm.at("curves")) runs.push_back(&run);
  const std::vector<double> last = curve_ends(runs), cooled = finals(runs, "all");
  if (last.size() < 2 || cooled.size() < 2) return nullptr;
  Json noise{{"bpb", std::sqrt(mean_square_difference(last))},
             {"final", std::sqrt(mean_square_difference(cooled))},
             {"pairs", last.size() * (last.size() - 1) / 2},
             {"ratio", Json::object()}};
  for (const char* axis : kCostAxes) {
    if (!all_have(runs, axis)) continue;
    const std::vector<Curve> curves = curves_on(runs, axis);
    double squares = 0;
    int counted = 0;
    for (size_t i = 0; i < curves.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (curves[i].y.empty() || curves[j].y.empty()) continue;
        const double level = std::max(running_minimum(curves[i]).y.back(), running_minimum(curves[j]).y.back());
        const auto a = first_crossing(curves[i], level), b = first_crossing(curves[j], level);
        if (!a || !b) continue;
        squares += std::log(*a / *b) * std::log(*a / *b);
        ++counted;
      }
    }
    if (counted) noise["ratio"][axis] = std::sqrt(squares / counted);
  }
  return noise;
}

Json crossing_of(const Json& study, const Json& treatment_arm, const Pairs& pairs, const Curve& baseline, const Curve& treatment,
                 const std::string& baseline_id) {
  const auto crossing = last_intersection(baseline, treatment);
  if (!crossing) return nullptr;
  int seeds = 0;
  for (size_t i = 0; i < pairs.baseline.size(); ++i) {
    seeds += last_intersection(study_curve(*pairs.baseline[i], "tokens"), study_curve(*pairs.treatment[i], "tokens")).has_value();
  }
  const bool treatment_leads = treatment.y.back() < baseline.y.back();
  Json found{{"tokens", *crossing},
             {"seeds", seeds},
             {"loss", *value_at(treatment, *crossing)},
             {"leader", treatment_leads ? treatment_arm.at("id").get<std::string>() : baseline_id}};
  if (study.contains("tokens_per_active_weight")) {
    found["per_active_weight"] = study.at("tokens_per_active_weight").get<double>() * *crossing / treatment.x.back();
  } else if (treatment_arm.contains("params_active")) {
    found["per_active_weight"] = *crossing / treatment_arm.at("params_active").get<double>();
  }
  return found;
}

}  // namespace

Json compare_arms(const Json& study, double confidence) {
  const Json* baseline = arm_with_role(study, "baseline");
  const Json* treatment = arm_with_role(study, "treatment");
  if (!baseline || !treatment) return nullptr;
  const Pairs pairs = pair_by_seed(*baseline, *treatment);
  const std::vector<double> final_baseline = curve_ends(pairs.baseline), final_treatment = curve_ends(pairs.treatment);
  if (final_baseline.empty() || final_treatment.empty()) return nullptr;

  const std::string baseline_id = baseline->at("id");
  Json result{
      {"baseline", baseline_id}, {"treatment", treatment->at("id")}, {"loss", mean(final_baseline)}, {"confidence", confidence}};
  result["seeds"] = pairs.baseline.size();
  result["reached"] = 0;
  result["ratios"] = Json::object();
  result["reverse"] = Json::object();
  result["curve"] = Json::object();
  for (const char* axis : kCostAxes) {
    if (!all_have(pairs.baseline, axis) || !all_have(pairs.treatment, axis)) continue;
    const std::vector<Curve> a = curves_on(pairs.baseline, axis), b = curves_on(pairs.treatment, axis);
    const FinalRatio forward = cost_ratio_at_final(a, b, Scale::log, confidence);
    if (axis == std::string("tokens")) result["reached"] = forward.reached;
    if (forward.ratio) {
      result["ratios"][axis] = ratio_json(*forward.ratio, 1);
    } else if (const FinalRatio backward = cost_ratio_at_final(b, a, Scale::log, confidence); backward.ratio) {
      result["reverse"][axis] = ratio_json(*backward.ratio, 1);
    }
    Json levels{{"loss", Json::array()}, {"ratio", Json::array()}, {"low", Json::array()}, {"high", Json::array()}};
    for (const CostRatioPoint& point : cost_ratio_curve(a, b, 64, Scale::log, confidence)) {
      levels["loss"].push_back(point.level);
      levels["ratio"].push_back(point.ratio.estimate);
      const Json ratio = ratio_json(point.ratio, 1);
      levels["low"].push_back(ratio.at("low"));
      levels["high"].push_back(ratio.at("high"));
    }
    result["curve"][axis] = levels;
  }
  for (const char* key : {"ram_measured", "ram_predicted"}) {
    if (result["ratios"].contains("memory") || !baseline->contains(key) || !treatment->contains(key)) continue;
    const double ratio = treatment->at(key).get<double>() / baseline->at(key).get<double>();
    // Memory is planned, the same for every seed: one exact number. Within 2 % counts as equal.
    result["ratios"]["memory"] = {
        {"estimate", ratio}, {"low", ratio}, {"high", ratio}, {"resolved", std::abs(ratio - 1) > 0.02}, {"n", 1},
        {"source", key}};
  }
  result["gap"] = ratio_json(paired_difference(final_treatment, final_baseline, confidence), 0);
  result["crossing"] =
      crossing_of(study, *treatment, pairs, mean_curve(*baseline, "tokens"), mean_curve(*treatment, "tokens"), baseline_id);
  result["domains"] = Json::array();
  std::vector<std::string> domains;
  if (study.contains("domains")) {
    for (const Json& domain : study.at("domains")) domains.push_back(domain.at("id"));
  }
  std::vector<double> p_values;
  if (domains.size() != 1) domains.push_back("all");
  for (const std::string& domain : domains) {
    const std::vector<double> a = finals(pairs.baseline, domain), b = finals(pairs.treatment, domain);
    if (a.empty() || b.empty()) continue;
    if (domain != "all") p_values.push_back(paired_p_value(b, a));
    result["domains"].push_back({{"id", domain},
                                 {"baseline", mean(a)},
                                 {"treatment", mean(b)},
                                 {"difference", ratio_json(paired_difference(b, a, confidence), 0)},
                                 {"p", paired_p_value(b, a)}});
  }
  const std::vector<double> corrected = holm(p_values);
  for (size_t d = 0; d < corrected.size(); ++d) {
    Json& row = result["domains"][d];
    row["p"] = corrected[d];
    row["difference"]["resolved"] = row["difference"].at("resolved") == true && corrected[d] < 1 - confidence;
  }
  result["noise"] = noise_floor(*baseline);
  return result;
}

}  // namespace gamut
