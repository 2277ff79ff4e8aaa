// The record: cost, limits, provenance.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/report/sections.h"

namespace gamut {
namespace {

std::string cell(const Json& arm, const char* key, std::string (*format)(double)) {
  const auto value = number(arm, key);
  return value ? format(*value) : "–";
}
std::string as_count(double v) { return in_both(count_text(v)); }
std::string as_power(double v) { return in_both(power_text(v)); }
std::string as_bytes(double v) { return in_both(bytes_text(v)); }
std::string as_time(double v) { return in_both(duration_text(v)); }
std::string as_percent(double v) { return fixed(100 * v, 1) + " %"; }

std::string plain(const Json& value) {
  if (value.is_string()) return escape_html(value.get<std::string>());
  if (value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_primitive(); })) {
    std::string all;
    for (const Json& v : value) all += (all.empty() ? "" : ", ") + plain(v);
    return all;
  }
  return escape_html(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Text provenance_name(const std::string& key) {
  static const struct {
    const char* key;
    Say name;
  } kNames[] = {{"seeds", Say::p_seeds},     {"git", Say::p_git},
                {"version", Say::p_version}, {"build", Say::p_build},
                {"cpu", Say::p_cpu},         {"tier", Say::p_tier},
                {"threads", Say::p_threads}, {"numa", Say::p_numa},
                {"os", Say::p_os},           {"started", Say::p_started},
                {"ended", Say::p_ended},     {"flops", Say::p_flops},
                {"joules", Say::p_joules},   {"steal", Say::p_steal},
                {"loadavg", Say::p_loadavg}, {"metrics_checksum", Say::p_checksum},
                {"peak_flops", Say::p_peak}, {"rerun", Say::p_rerun}};
  for (const auto& known : kNames) {
    if (key == known.key) return say(known.name);
  }
  return key;
}

}  // namespace

std::string draw_cost(Page& page) {
  Table table({{say(Say::column_arm)},
               {say(Say::cost_total), true},
               {say(Say::cost_active), true},
               {say(Say::cost_per_token), true},
               {say(Say::cost_run_flops), true},
               {say(Say::cost_seconds), true},
               {say(Say::cost_speed), true},
               {say(Say::cost_share), true},
               {say(Say::cost_ram_predicted), true},
               {say(Say::cost_ram_measured), true}});
  bool any = false;
  for (const Json& arm : page.study.at("arms")) {
    if (!arm.contains("params_total") && !arm.contains("seconds")) continue;
    any = true;
    table.row({"<i class=\"dot " + arm_class(slot_of(page.study, arm)) + "\"></i>" + in_both(full_name(arm)),
               cell(arm, "params_total", as_count), cell(arm, "params_active", as_count), cell(arm, "flops_per_token", as_count),
               cell(arm, "flops", as_power), cell(arm, "seconds", as_time), cell(arm, "tokens_per_second", as_count),
               cell(arm, "mfu", as_percent), cell(arm, "ram_predicted", as_bytes), cell(arm, "ram_measured", as_bytes)});
  }
  if (!any) return "";
  Text caption = say(Say::cost_caption);
  if (const auto peak = number(member(page.study, "machine"), "peak_flops"))
    caption += Text(" ") + say(Say::cost_peak, {power_text(*peak)});
  return heading(say(Say::cost_title), caption) + "<div id=\"cost\">" + table.html() +
         "<button type=\"button\" class=\"copy\" data-copy=\"cost\">" + in_both(say(Say::copy_csv)) + "</button></div>";
}

std::string draw_limits(Page& page) {
  const Json& limits = member(page.study, "limits");
  if (limits.empty()) return "";
  std::string html = heading(say(Say::limits_title)) + "<ul>";
  for (const Json& limit : limits) html += "<li>" + in_both(text_of(limit)) + "</li>\n";
  return html + "</ul>\n";
}

std::string draw_provenance(Page& page) {
  const Json& provenance = member(page.study, "provenance");
  if (!provenance.is_object()) return "";
  std::vector<Fact> facts;
  for (const auto& [key, value] : provenance.items()) {
    if (key == "config" || key == "data" || key == "rerun") continue;
    if (key == "git" && value.is_object()) {
      const bool dirty = member(value, "dirty") == true;
      facts.push_back(
          {provenance_name(key),
           "<code>" + escape_html(string_or(value, "hash", "?")) + "</code>" + (dirty ? " " + in_both(say(Say::p_dirty)) : ""),
           dirty});
    } else if ((key == "flops" || key == "peak_flops") && value.is_number()) {
      facts.push_back({provenance_name(key), in_both(power_text(value.get<double>()))});
    } else {
      facts.push_back({provenance_name(key), plain(value)});
    }
  }
  std::string html = heading(say(Say::provenance_title)) + fact_list(facts);
  if (const Json& data = member(provenance, "data"); !data.empty()) {
    Table table({{say(Say::column_data)}, {say(Say::column_bytes), true}, {say(Say::axis_tokens), true}, {say(Say::column_hash)}},
                "prose");
    for (const Json& row : data) {
      const auto bytes = number(row, "bytes"), tokens = number(row, "tokens");
      table.row({escape_html(string_or(row, "name", "")), bytes ? as_bytes(*bytes) : "–", tokens ? as_count(*tokens) : "–",
                 "<code>" + escape_html(string_or(row, "hash", "")) + "</code>"});
    }
    html += table.html();
  }
  if (const Json& config = member(provenance, "config"); !config.is_null()) {
    html +=
        "<details class=\"data\"><summary>" + in_both(say(Say::resolved_config)) + "</summary><pre>" +
        escape_html(config.is_string() ? config.get<std::string>() : config.dump(2, ' ', false, Json::error_handler_t::replace)) +
        "</pre></details>\n";
  }
  if (const std::string rerun = string_or(provenance, "rerun", ""); !rerun.empty()) {
    html += "<p class=\"rerun\">" + in_both(say(Say::rerun)) + " <code>" + escape_html(rerun) + "</code></p>\n";
  }
  return html + "<p class=\"fine\">" + in_both(say(Say::embedded_note)) + "</p>\n";
}

}  // namespace gamut
