// The pieces of the page. Each draws itself from the study's keys and returns "" when they are absent.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "lab/report/parts.h"
#include "lab/report/study.h"

namespace gamut {

struct Page {
  const Json& study;
  Json charts = Json::array();  // read-out data of every chart drawn so far
  const Json& comparison() const { return member(study, "comparison"); }
};

struct Section {
  const char* name;  // in the study's `sections`
  bool half;         // may stand beside another half on a wide screen
  std::string (*draw)(Page& page);
};

// All sections in the default order.
const std::vector<Section>& default_sections();

std::string draw_verdict(Page& page);
std::string draw_held_equal(Page& page);
std::string draw_standings(Page& page);
std::string draw_prices(Page& page);
std::string draw_speed_up(Page& page);
std::string draw_plots(Page& page);
std::string draw_tables(Page& page);
std::string draw_loads(Page& page);
std::string draw_specialisation(Page& page);
std::string draw_controls(Page& page);
std::string draw_domains(Page& page);
std::string draw_rates(Page& page);
std::string draw_trust(Page& page);
std::string draw_literature(Page& page);
std::string draw_cost(Page& page);
std::string draw_limits(Page& page);
std::string draw_provenance(Page& page);

// The arms a comparison is about: baseline and treatment, present or not.
struct Compared {
  const Json* baseline = nullptr;
  const Json* treatment = nullptr;
  int baseline_slot = 0, treatment_slot = 1;
};
Compared compared_arms(const Json& study);
// Spread of the baseline's final loss over seeds, bits per byte; 0 when unknown.
double final_noise(const Page& page);

}  // namespace gamut
