// Where the tokens went: expert load over training, specialisation by domain, and routers that do not learn.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lab/report/sections.h"

namespace gamut {
namespace {

constexpr size_t kTabs = 12;      // layers drawn; the style sheet knows as many
constexpr size_t kColumns = 56;   // a heatmap's time resolution; finer steps are averaged
constexpr size_t kCells = 16384;  // of all heatmaps together, which bounds the file

struct Load {
  int layer;
  std::vector<double> steps;
  std::vector<std::vector<double>> share;  // [column][expert]
};

Load read_load(const Json& value, size_t most) {
  Load load{.layer = value.at("layer")};
  const Json& steps = value.at("steps");
  const Json& share = value.at("share");
  const size_t n = std::min(steps.size(), share.size()), columns = std::min(n, most);
  for (size_t c = 0; c < columns; ++c) {
    const size_t begin = c * n / columns, end = (c + 1) * n / columns;
    std::vector<double> sum(share[begin].size());
    for (size_t i = begin; i < end; ++i) {
      for (size_t e = 0; e < std::min(sum.size(), share[i].size()); ++e)
        sum[e] += share[i][e].get<double>() / static_cast<double>(end - begin);
    }
    load.steps.push_back(steps[end - 1]);
    load.share.push_back(std::move(sum));
  }
  return load;
}

// Cells of equal ink share one path, which keeps a page with many experts small.
class Ink {
 public:
  void cell(const Box& box, double strength) {
    const int level = static_cast<int>(std::lround(std::clamp(strength, 0.0, 1.0) * 20));
    paths_[level] += "M" + coordinate(box.left) + " " + coordinate(box.top) + "h" + coordinate(box.right - box.left) + "v" +
                     coordinate(box.bottom - box.top) + "h" + coordinate(box.left - box.right) + "z";
  }
  std::string markup(int slot) const {
    std::string all;
    for (const auto& [level, path] : paths_) {
      all +=
          fmt::format("<path class=\"cell {}\" fill-opacity=\"{:.3f}\" d=\"{}\"/>", arm_class(slot), 0.04 + 0.048 * level, path);
    }
    return all;
  }

 private:
  std::map<int, std::string> paths_;
};

std::string load_map(const Load& load, int slot, double strongest, const std::string& classes) {
  constexpr double kWidth = 440, kLeft = 58, kRight = 4;
  const size_t experts = load.share.front().size(), columns = load.share.size();
  const double row = experts <= 8 ? 24 : std::max(4.0, 200.0 / static_cast<double>(experts));
  const double gap = row > 10 ? 1 : 0.4, width = (kWidth - kLeft - kRight) / static_cast<double>(columns);
  const double height = row * static_cast<double>(experts);
  Svg svg(kWidth, height + 26, "heat " + classes, alternative_id("loads"));
  Ink ink;
  for (size_t e = 0; e < experts; ++e) {
    const double top = row * static_cast<double>(e);
    if (experts <= 16 || e % 8 == 0) {
      svg.text(say(Say::expert_number, {std::to_string(e)}), {kLeft - 7, top + row / 2 + 3.5, Anchor::end}, 10, "tick");
    }
    for (size_t c = 0; c < columns; ++c) {
      const double left = kLeft + width * static_cast<double>(c);
      ink.cell({left, top, left + width - gap, top + row - gap}, load.share[c][e] / strongest);
    }
  }
  svg.raw(ink.markup(slot));
  svg.text(say(Say::load_axis, {std::to_string(load.layer), fmt::format("1/{}", experts)}), {kLeft, height + 15}, 10, "tick");
  svg.text(say(Say::load_steps, {tick_label(load.steps.back())}), {kWidth - kRight, height + 15, Anchor::end}, 10, "tick");
  return svg.finish();
}

std::string percent(double share) { return fixed(100 * share, share < 0.0995 ? 1 : 0) + " %"; }

}  // namespace

namespace {

struct ArmLoads {
  const Json* arm;
  int slot;
  std::vector<Load> layers;
};

std::vector<ArmLoads> read_loads(const Json& study) {
  const Json& values = member(study, "loads");
  size_t cells = 0;  // of one column
  for (const Json& value : values) cells += value.at("share").empty() ? 0 : value.at("share")[0].size();
  const size_t columns = std::clamp<size_t>(kCells / std::max<size_t>(1, cells), 8, kColumns);
  std::vector<ArmLoads> arms;
  for (const Json& value : values) {
    Load load = read_load(value, columns);
    if (load.share.empty() || load.share.front().empty()) continue;
    if (arms.empty() || arms.back().arm->at("arm") != value.at("arm")) {
      const Json* arm = arm_with_id(study, value.at("arm"));
      arms.push_back({&value, arm ? slot_of(study, *arm) : compared_arms(study).treatment_slot, {}});
    }
    arms.back().layers.push_back(std::move(load));
  }
  return arms;
}

// What a heatmap of one arm shows, in words: its busiest expert at first and at the end, experts without work.
Text loads_words(const std::vector<Load>& layers) {
  double early = 0, late = 0;
  size_t experts = 0;
  int dead = 0;
  for (const Load& load : layers) {
    early = std::max(early, *std::max_element(load.share.front().begin(), load.share.front().end()));
    late = std::max(late, *std::max_element(load.share.back().begin(), load.share.back().end()));
    experts += load.share.back().size();
    for (const double share : load.share.back()) dead += share < 0.1 / static_cast<double>(load.share.back().size());
  }
  Text words = say(Say::loads_caption, {percent(early), percent(late), fmt::format("1/{}", layers.front().share.front().size())});
  words += dead == 0 ? say(Say::loads_none_dead) : say(Say::loads_dead, {std::to_string(dead), std::to_string(experts)});
  return words;
}

}  // namespace

std::string draw_loads(Page& page) {
  const std::vector<ArmLoads> arms = read_loads(page.study);
  if (arms.empty()) return "";
  double strongest = 0;
  for (const ArmLoads& arm : arms)
    for (const Load& load : arm.layers) {
      strongest = std::max(strongest, 3.0 / static_cast<double>(load.share.front().size()));
      for (const auto& column : load.share) strongest = std::max(strongest, *std::max_element(column.begin(), column.end()));
    }
  // Of deeper models every nth layer is drawn; the table holds all.
  const std::vector<Load>& first = arms.front().layers;
  const size_t stride = (first.size() + kTabs - 1) / kTabs, shown = first.size() - 1;
  std::string maps, tabs;
  for (size_t i = 0; i < first.size(); ++i)
    if ((shown - i) % stride == 0) tabs += radio("layer", fmt::format("layer-{}", i / stride), std::to_string(first[i].layer), i == shown);
  Table table({{say(Say::column_arm)}, {say(Say::column_layer), true}, {say(Say::column_step), true}, {say(Say::column_busiest), true}, {say(Say::column_idlest), true}, {say(Say::column_effective), true}});
  Text words;
  for (const ArmLoads& arm : arms) {
    const Json* described = arm_with_id(page.study, arm.arm->at("arm"));
    const Text name = described ? full_name(*described) : Text(arm.arm->at("arm").get<std::string>());
    const Text seen = loads_words(arm.layers);
    words += (words.empty() ? Text() : Text(" ")) + (arms.size() > 1 ? name + Text(": ", "：") + seen : seen);
    std::string own;
    for (size_t i = 0; i < arm.layers.size(); ++i) {
      const Load& load = arm.layers[i];
      if (i <= shown && (shown - i) % stride == 0) own += load_map(load, arm.slot, strongest, first.size() < 2 ? std::string() : fmt::format("layer layer-{}", i / stride));
      for (size_t c = 0; c < load.share.size(); ++c) {
        const auto& share = load.share[c];
        double entropy = 0;
        for (const double p : share) entropy -= p > 0 ? p * std::log(p) : 0;
        table.row({in_both(name), std::to_string(load.layer), fixed(load.steps[c], 0), percent(*std::max_element(share.begin(), share.end())), percent(*std::min_element(share.begin(), share.end())), fixed(std::exp(entropy), 2)});
      }
    }
    if (arms.size() > 1) own = "<h3><span class=\"dot " + arm_class(arm.slot) + "\"></span>" + in_both(name) + "</h3><p class=\"note\">" + in_both(seen) + "</p>" + own;
    maps += arms.size() > 1 ? "<div class=\"panel\">" + own + "</div>" : own;
  }
  const std::string tools = first.size() < 2 ? "" : "<span class=\"group\"><span class=\"of\">" + in_both(say(Say::column_layer)) + "</span>" + tabs + "</span>";
  if (arms.size() > 1) maps = "<div class=\"panels layers\">" + maps + "</div>";
  return heading(say(Say::loads_title), arms.size() > 1 ? say(Say::loads_of_arms) : words, tools) + figure("loads", maps, words, table);
}

std::string draw_specialisation(Page& page) {
  const Json& layers = member(page.study, "specialisation");
  if (layers.empty()) return "";
  double strongest = 0;
  for (const Json& layer : layers) {
    for (const Json& domain : layer.at("share")) {
      if (!domain.empty()) strongest = std::max(strongest, 3.0 / static_cast<double>(domain.size()));
      for (const Json& share : domain) strongest = std::max(strongest, share.get<double>());
    }
  }
  std::string maps;
  std::vector<Table::Column> columns{{say(Say::column_layer), true}, {say(Say::column_domain)}};
  size_t most_experts = 0;
  for (const Json& layer : layers)
    most_experts = std::max(most_experts, layer.at("share").empty() ? 0 : layer.at("share")[0].size());
  for (size_t e = 0; e < most_experts; ++e) columns.push_back({say(Say::expert_number, {std::to_string(e)}), true});
  Table table(columns);
  bool beyond = false;
  const bool several = std::any_of(layers.begin(), layers.end(), [&](const Json& layer) { return layer.at("arm") != layers[0].at("arm"); });
  for (const Json& layer : layers) {
    const Json* arm = arm_with_id(page.study, layer.at("arm"));
    const int slot = arm ? slot_of(page.study, *arm) : 1;
    const Json& shares = layer.at("share");
    const size_t experts = shares.empty() ? 0 : shares[0].size();
    if (experts == 0) continue;
    constexpr double kWidth = 300, kLeft = 84, kRow = 22, kTop = 20;
    const double width = (kWidth - kLeft) / static_cast<double>(experts),
                 height = kTop + kRow * static_cast<double>(shares.size());
    Svg svg(kWidth, height + 22, "heat", alternative_id("specialisation"));
    const Text number_of_layer = say(Say::layer_number, {layer.at("layer").dump()});
    svg.text(arm && several ? short_name(*arm) + Text(", ", "，") + number_of_layer : number_of_layer, {kLeft, 12}, 11, "strong", true);
    Ink ink;
    std::string figures;
    for (size_t d = 0; d < shares.size(); ++d) {
      const std::string domain = layer.at("domains").at(d);
      std::vector<std::string> cells{(arm && several ? in_both(short_name(*arm)) + " " : "") + layer.at("layer").dump(), in_both(domain_name(page.study, domain))};
      svg.text(domain_name(page.study, domain), {kLeft - 7, kTop + kRow * (static_cast<double>(d) + 0.66), Anchor::end}, 10,
               "tick");
      for (size_t e = 0; e < experts; ++e) {
        const double share = shares[d][e], left = kLeft + width * static_cast<double>(e),
                     top = kTop + kRow * static_cast<double>(d);
        ink.cell({left, top, left + width - 1, top + kRow - 1}, share / strongest);
        if (width >= 24) {
          figures += fmt::format("<text class=\"in-cell middle{}\" x=\"{}\" y=\"{}\" font-size=\"9.5\">{}</text>",
                                 share > 0.6 * strongest ? " on-ink" : "", coordinate(left + width / 2), coordinate(top + 14.5),
                                 fixed(100 * share, 0));
        }
        cells.push_back(percent(share));
      }
      table.row(cells);
    }
    svg.raw(ink.markup(slot) + figures);
    const auto information = number(layer, "information"), null = number(layer, "chance");
    if (information) {
      beyond = beyond || (null && *information > *null);
      const std::string null_text = null ? fixed(std::max(0.0, *null), 3) : "–";
      svg.text(say(Say::information_line, {fixed(std::max(0.0, *information), 3), null_text}), {kWidth, height + 13, Anchor::end},
               10, "tick");
    }
    maps += "<div class=\"panel\">" + svg.finish() + "</div>";
  }
  if (maps.empty()) return "";
  const Text caption = say(Say::specialisation_caption) + say(beyond ? Say::specialisation_beyond : Say::specialisation_chance);
  return heading(say(Say::specialisation_title), caption) +
         figure("specialisation", "<div class=\"panels layers\">" + maps + "</div>", caption, table);
}

std::string draw_controls(Page& page) {
  const Json& controls = member(page.study, "controls");
  const Compared compared = compared_arms(page.study);
  if (controls.empty() || !compared.treatment) return "";
  std::vector<const Json*> differences;
  for (const Json& control : controls) differences.push_back(&member(control, "difference"));
  const Forest forest = forest_of(differences, final_noise(page));
  const Text who = short_name(*compared.treatment);
  Table table({{say(Say::column_router)},
               {say(Say::bits_per_byte), true},
               {"", false, "drawn"},
               {say(Say::column_against, {who}), true},
               {say(Say::column_verdict)}},
              "forests");
  for (const Json& control : controls) {
    const Json& difference = member(control, "difference");
    const Json* arm = control.contains("arm") ? arm_with_id(page.study, control.at("arm")) : nullptr;
    table.row({in_both(text_of(control.at("name"))), fixed(number(control, "bpb").value_or(NAN), 3),
               forest_row(forest, difference, arm ? slot_of(page.study, *arm) : compared.treatment_slot),
               signed_fixed(number(difference, "estimate").value_or(NAN), 3) + " " + in_both(interval_text(difference, 3, true)),
               in_both(member(difference, "resolved") != true           ? say(Say::not_resolved)
                       : number(difference, "estimate").value_or(0) > 0 ? say(Say::learning_helps)
                                                                        : say(Say::learning_hurts))});
  }
  return heading(say(Say::controls_title), say(Say::controls_caption)) + table.html();
}

}  // namespace gamut
