// Tables of results: domains, learning rates, what may be trusted, literature.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/report/sections.h"

namespace gamut {

Compared compared_arms(const Json& study) {
  Compared compared{arm_with_role(study, "baseline"), arm_with_role(study, "treatment")};
  if (compared.baseline) compared.baseline_slot = slot_of(study, *compared.baseline);
  if (compared.treatment) compared.treatment_slot = slot_of(study, *compared.treatment);
  return compared;
}

double final_noise(const Page& page) { return number(member(page.comparison(), "noise"), "final").value_or(0); }

std::string draw_domains(Page& page) {
  const Json& domains = member(page.comparison(), "domains");
  const Compared compared = compared_arms(page.study);
  if (domains.empty() || !compared.baseline || !compared.treatment) return "";
  std::vector<const Json*> differences;
  for (const Json& domain : domains) differences.push_back(&domain.at("difference"));
  const Forest forest = forest_of(differences, final_noise(page));
  const Text who = short_name(*compared.treatment), whom = short_name(*compared.baseline);
  Table table({{say(Say::column_domain)},
               {whom, true, "roomy"},
               {who, true, "roomy"},
               {"", false, "drawn"},
               {say(Say::column_difference), true},
               {say(Say::column_verdict)}},
              "forests");
  for (const Json& domain : domains) {
    const Json& difference = domain.at("difference");
    const bool all = domain.at("id") == "all";
    table.row({in_both(domain_name(page.study, domain.at("id"))), fixed(number(domain, "baseline").value_or(NAN), 3),
               fixed(number(domain, "treatment").value_or(NAN), 3), forest_row(forest, difference, compared.treatment_slot),
               signed_fixed(number(difference, "estimate").value_or(NAN), 3) + " " + in_both(interval_text(difference, 3, true)),
               in_both(better_or_worse(difference, who))},
              all ? "total" : "");
  }
  Text caption = say(Say::domains_caption, {who, whom});
  if (domains.size() > 1) caption += say(Say::domains_holm);
  return heading(say(Say::domains_title), caption) + "<div id=\"domains\">" + table.html() +
         "<button type=\"button\" class=\"copy\" data-copy=\"domains\">" + in_both(say(Say::copy_csv)) + "</button></div>";
}

std::string draw_rates(Page& page) {
  const Json& rates = member(page.study, "rates");
  if (rates.is_null()) return "";
  if (const Text skipped = text_of(member(rates, "skipped")); !skipped.empty()) {
    return heading(say(Say::rates_title), skipped);
  }
  std::vector<double> grid;  // every rate tried: the ticks, while they keep apart
  double low = INFINITY, high = -INFINITY, slowest = INFINITY, fastest = 0;
  for (const Json& arm : member(rates, "arms")) {
    for (size_t i = 0; i < arm.at("rate").size(); ++i) {
      const double rate = arm.at("rate")[i];
      if (std::find(grid.begin(), grid.end(), rate) == grid.end()) grid.push_back(rate);
      slowest = std::min(slowest, rate);
      fastest = std::max(fastest, rate);
      if (!arm.at("bpb")[i].is_number()) continue;
      low = std::min(low, arm.at("bpb")[i].get<double>());
      high = std::max(high, arm.at("bpb")[i].get<double>());
    }
  }
  if (!(high >= low)) return "";
  high = std::max(high, low + 0.01);
  // A diverged rate would flatten the valley that matters.
  high = std::min(high, low * 1.3);
  PlotFrame frame{.id = "rates-chart",
                  .classes = "",
                  .described_by = alternative_id("rates"),
                  .width = 440,
                  .height = 230,
                  .left = 40,
                  .right = 14,
                  .top = 12,
                  .bottom = 40,
                  .x = {slowest / 1.15, fastest * 1.15},
                  .y = {low - 0.12 * (high - low), high + 0.08 * (high - low)},
                  .font = 10.5};
  Plot plot(frame);
  plot.y_grid(tick_label);
  Table table({{say(Say::column_arm)}, {say(Say::column_rate), true}, {say(Say::bits_per_byte), true}, {say(Say::column_best)}});
  Text words = say(Say::rates_words);
  bool interior = true;
  struct Drawn {
    Text name;
    int slot;
    std::vector<double> rate, bpb;
  };
  std::vector<Drawn> drawn;
  for (const Json& row : member(rates, "arms")) {
    const Json* arm = arm_with_id(page.study, row.at("arm"));
    Drawn series{arm ? short_name(*arm) : Text(row.at("arm").get<std::string>()), arm ? slot_of(page.study, *arm) : 6};
    const auto best = static_cast<size_t>(number(row, "best").value_or(-1));
    for (size_t i = 0; i < row.at("rate").size(); ++i) {
      series.rate.push_back(row.at("rate")[i]);
      series.bpb.push_back(row.at("bpb")[i].is_number() ? row.at("bpb")[i].get<double>() : NAN);
      table.row({in_both(series.name), fmt::format("{:.3g}", series.rate[i]), fixed(series.bpb[i], 4),
                 i == best ? in_both(say(Say::best)) : ""});
    }
    plot.line(series.rate, series.bpb, arm_class(series.slot));
    plot.read_out(series.name, arm_class(series.slot), series.rate, series.bpb);
    for (size_t i = 0; i < series.rate.size(); ++i) {
      if (std::isfinite(series.bpb[i]))
        plot.svg().marker(plot.at(series.rate[i], std::min(series.bpb[i], frame.y.high)), series.slot, i == best ? 4.5 : 2.4,
                          i == best ? "" : "hollow");
    }
    if (best < series.rate.size()) {
      words += Text(" ") +
               say(Say::rates_words_arm, {series.name, fmt::format("{:.3g}", series.rate[best]), fixed(series.bpb[best], 3)});
    }
    interior = interior && member(row, "interior") == true;
    drawn.push_back(std::move(series));
  }
  plot.x_ticks([](double v) { return fmt::format("{:.3g}", v); }, say(Say::column_rate),
               grid.size() <= 6 ? grid : std::vector<double>{});
  for (const Drawn& series : drawn) plot.direct_label(series.name, series.rate, series.bpb, 0.0, arm_class(series.slot));
  page.charts.push_back(plot.script_data(""));
  return heading(say(Say::rates_title), say(interior ? Say::rates_interior : Say::rates_at_edge)) +
         figure("rates", plot.finish(), words, table);
}

std::string draw_trust(Page& page) {
  const Json& study = page.study;
  std::vector<Fact> facts;
  if (const Json& twin = member(study, "null_twin"); twin.is_object()) {
    const auto losses = number(twin, "losses"), equal = number(twin, "equal");
    facts.push_back({say(Say::trust_null_twin),
                     in_both(say(Say::trust_bit_equal, {fixed(equal.value_or(0), 0), fixed(losses.value_or(0), 0)})),
                     losses != equal});
  }
  if (const double noise = final_noise(page)) {
    facts.push_back({say(Say::trust_noise), "±" + fixed(noise, 4) + " " + in_both(say(Say::bits_per_byte))});
  }
  const Json& failed = member(study, "failed");
  std::string names;
  for (const Json& run : failed) {
    const Json* arm = arm_with_id(study, run.at("arm"));
    names += (names.empty() ? "" : "<br/>") +
             in_both(say(Say::trust_failed_run, {arm ? short_name(*arm) : Text(run.at("arm").get<std::string>()),
                                                 run.at("seed").dump(), text_of(member(run, "reason"))}));
  }
  facts.push_back({say(Say::trust_failed), names.empty() ? in_both(say(Say::none)) : names, !names.empty()});
  if (const Json& load = member(study, "load"); load.is_object()) {
    const bool tainted = member(load, "tainted") == true;
    Text value = say(tainted ? Say::trust_tainted : Say::trust_not_tainted);
    if (const auto other = number(load, "other")) value = Text(fixed(100 * *other, 1) + " %") + say(Say::list_comma) + value;
    facts.push_back({say(Say::trust_load), in_both(value), tainted});
  }
  if (const auto pairs = number(page.comparison(), "seeds")) {
    const double confidence = number(page.comparison(), "confidence").value_or(0.95);
    facts.push_back(
        {say(Say::trust_interval), in_both(say(Say::trust_interval_how, {fixed(100 * confidence, 0), fixed(*pairs, 0)}))});
  }
  return heading(say(Say::trust_title)) + fact_list(facts, "single");
}

std::string draw_literature(Page& page) {
  const Json& rows = member(page.study, "literature");
  if (rows.empty()) return "";
  Table table({{say(Say::column_claim)}, {say(Say::column_expected)}, {say(Say::column_measured)}, {say(Say::column_verdict)}},
              "prose");
  for (const Json& row : rows) {
    const std::string verdict = string_or(row, "verdict", "unresolved");
    const bool agrees = verdict == "agrees", differs = verdict == "differs";
    std::string claim = in_both(text_of(row.at("claim")));
    if (const Text source = text_of(member(row, "source")); !source.empty()) claim += "<small>" + in_both(source) + "</small>";
    table.row({claim, in_both(text_of(row.at("expected"))), in_both(text_of(row.at("measured"))),
               "<b class=\"" +
                   std::string(agrees    ? "strong"
                               : differs ? "amber"
                                         : "grey") +
                   "\">" +
                   in_both(say(agrees    ? Say::agrees
                               : differs ? Say::differs
                                         : Say::not_resolved)) +
                   "</b>"});
  }
  return heading(say(Say::literature_title), say(Say::literature_caption)) + table.html();
}

}  // namespace gamut
