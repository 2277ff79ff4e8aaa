#include "lab/report/verdict.h"

#include <cmath>

#include "lab/report/parts.h"
#include "lab/report/report.h"
#include "lab/report/study.h"

namespace gamut {
namespace {

class Sentence {
 public:
  void say(const Text& text, Phrase::Kind kind = Phrase::plain, int slot = 0) { phrases.push_back({text, kind, slot}); }
  // A pattern whose {0}, {1}, … are phrases.
  void pattern(Say key, const std::vector<std::vector<Phrase>>& arguments) {
    // Both languages must place the arguments in the same order; a test checks the table for it.
    const Text whole = gamut::say(key);
    size_t english = 0, chinese = 0;
    for (size_t i = 0; i < arguments.size(); ++i) {
      const std::string mark = "{" + std::to_string(i) + "}";
      const size_t e = whole.en.find(mark, english), c = whole.zh.find(mark, chinese);
      say({whole.en.substr(english, e - english), whole.zh.substr(chinese, c - chinese)});
      phrases.insert(phrases.end(), arguments[i].begin(), arguments[i].end());
      english = e + mark.size();
      chinese = c + mark.size();
    }
    say({whole.en.substr(english), whole.zh.substr(chinese)});
  }
  std::vector<Phrase> phrases;
};

struct Names {
  Text treatment, baseline;
  int slot;
};

std::vector<Phrase> ratio_phrases(const Json& ratio, int slot) {
  const bool resolved = member(ratio, "resolved") == true;
  return {{ratio_text(*number(ratio, "estimate")), resolved ? Phrase::number : Phrase::unresolved, slot},
          {Text(" ") + interval_text(ratio, 2), Phrase::interval}};
}

// "0.61× [0.55, 0.68] of the tokens, 0.93× [0.84, 1.03] of the seconds"; `unresolved` gathers the axes whose interval includes 1.
void price_list(Sentence& sentence, const Json& ratios, int slot, std::vector<Text>& unresolved, int& shown) {
  static constexpr struct {
    const char* axis;
    Say part, name;
  } kAxes[] = {{"tokens", Say::verdict_of_tokens, Say::verdict_axis_tokens},
               {"seconds", Say::verdict_of_seconds, Say::verdict_axis_time}};
  for (const auto& axis : kAxes) {
    const Json& ratio = member(ratios, axis.axis);
    if (!number(ratio, "estimate")) continue;
    if (shown++) sentence.say(say(Say::verdict_comma));
    sentence.pattern(axis.part, {ratio_phrases(ratio, slot)});
    if (member(ratio, "resolved") != true) unresolved.push_back(say(axis.name));
  }
}

void close_prices(Sentence& sentence, const std::vector<Text>& unresolved, int seeds) {
  if (unresolved.empty()) {
    sentence.say(say(Say::verdict_stop));
    return;
  }
  sentence.say(say(Say::verdict_colon));
  if (seeds < 2) {
    sentence.say(say(Say::verdict_one_seed), Phrase::unresolved);
  } else if (unresolved.size() == 2) {
    sentence.say(say(Say::verdict_both_unresolved, {unresolved[0], unresolved[1]}), Phrase::unresolved);
  } else {
    sentence.say(say(Say::verdict_unresolved, {unresolved[0]}), Phrase::unresolved);
  }
  sentence.say(say(Say::verdict_stop));
}

std::vector<Phrase> gap_phrases(const Json& gap, int slot) {
  const double estimate = *number(gap, "estimate");
  const bool resolved = member(gap, "resolved") == true;
  Json positive = gap;  // the sentence says "higher" or "lower", so the number has no sign
  if (estimate < 0) {
    positive["estimate"] = -estimate;
    for (const auto& [to, from] : {std::pair{"low", "high"}, std::pair{"high", "low"}}) {
      const auto bound = number(gap, from);
      positive[to] = bound ? Json(-*bound) : Json(nullptr);
    }
  }
  return {{fixed(std::abs(estimate), 3), resolved ? Phrase::number : Phrase::unresolved, slot},
          {Text(" ") + interval_text(positive, 3), Phrase::interval}};
}

void say_gap(Sentence& sentence, const Json& gap, int slot) {
  const bool higher = *number(gap, "estimate") >= 0;
  sentence.pattern(higher ? Say::verdict_ends_higher : Say::verdict_ends_lower, {gap_phrases(gap, slot)});
  if (member(gap, "resolved") != true) sentence.say(say(Say::verdict_gap_unresolved), Phrase::unresolved);
  sentence.say(say(Say::verdict_stop));
}

void say_crossing(Sentence& sentence, const Json& study, const Json& comparison) {
  const Json& crossing = member(comparison, "crossing");
  const auto tokens = number(crossing, "tokens");
  if (!tokens || member(member(comparison, "gap"), "resolved") != true) return;
  // The mean curves of a few noisy seeds may cross where no seed's do.
  if (number(crossing, "seeds").value_or(0) < number(comparison, "seeds").value_or(0)) return;
  const Json* leader = arm_with_id(study, crossing.at("leader"));
  const std::vector<Phrase> name = {{leader ? short_name(*leader) : Text(crossing.at("leader").get<std::string>()), Phrase::arm,
                                     leader ? slot_of(study, *leader) : 0}};
  if (const auto per_weight = number(crossing, "per_active_weight")) {
    sentence.pattern(Say::verdict_crossing_weights, {{{fixed(*per_weight, *per_weight < 10 ? 1 : 0)}}, name});
  } else {
    sentence.pattern(Say::verdict_crossing_tokens, {{{count_text(*tokens)}}, name});
  }
}

void say_warnings(Sentence& sentence, const Json& study, const Names& names) {
  const Json& twin = member(study, "null_twin");
  if (twin.is_object() && number(twin, "equal") != number(twin, "losses")) {
    const auto step = number(twin, "first_difference");
    sentence.say(step ? say(Say::verdict_null_twin_step, {names.baseline, tick_label(*step)})
                      : say(Say::verdict_null_twin, {names.baseline}),
                 Phrase::warning);
  }
  if (member(member(study, "load"), "tainted") == true) sentence.say(say(Say::verdict_tainted), Phrase::warning);
  if (const size_t failed = member(study, "failed").size()) {
    sentence.say(say(failed == 1 ? Say::verdict_failed_one : Say::verdict_failed, {std::to_string(failed)}), Phrase::warning);
  }
}

// Patterns set names off by spaces, as Latin ones want it; between Chinese characters they are closed up.
std::vector<Phrase> closed_up(std::vector<Phrase> phrases) {
  for (size_t i = 0; i + 1 < phrases.size(); ++i) {
    std::string &before = phrases[i].text.zh, &after = phrases[i + 1].text.zh;
    if (before.ends_with(' ') && ends_wide(before.substr(0, before.size() - 1)) && begins_wide(after)) before.pop_back();
    if (after.starts_with(' ') && ends_wide(before) && begins_wide(after.substr(1))) after.erase(0, 1);
  }
  return phrases;
}

// Of more than two arms: which ends lowest, and whether that is known.
void say_standings(Sentence& sentence, const Json& study, const Json& standings) {
  const Json* best = nullptr;
  const Json* baseline = nullptr;
  for (const Json& row : standings) {
    if (!best || row.at("bpb") < best->at("bpb")) best = &row;
    if (!row.contains("difference")) baseline = &row;
  }
  const auto name = [&](const Json& row) {
    const Json* arm = arm_with_id(study, row.at("arm"));
    return std::pair{arm ? short_name(*arm) : Text(row.at("arm").get<std::string>()), arm ? slot_of(study, *arm) : 0};
  };
  const auto [who, slot] = name(*best);
  sentence.pattern(Say::verdict_lowest, {{{who, Phrase::arm, slot}}, {{fixed(*number(*best, "bpb"), 3), Phrase::number, slot}}});
  if (best != baseline && baseline && number(member(*best, "difference"), "estimate")) {
    const Json& difference = best->at("difference");
    sentence.pattern(Say::verdict_lowest_against, {gap_phrases(difference, slot), {{name(*baseline).first}}});
    if (member(difference, "resolved") != true) sentence.say(say(Say::verdict_lowest_unresolved), Phrase::unresolved);
  }
  sentence.say(say(Say::verdict_stop));
}

}  // namespace

std::vector<Phrase> verdict_phrases(const Json& study) {
  Sentence sentence;
  const Json* baseline = arm_with_role(study, "baseline");
  const Json* treatment = arm_with_role(study, "treatment");
  if (!baseline || !treatment) {
    sentence.say(say(Say::verdict_no_arms), Phrase::unresolved);
    return closed_up(std::move(sentence.phrases));
  }
  const Names names{short_name(*treatment), short_name(*baseline), slot_of(study, *treatment)};
  if (const Json& standings = member(study, "standings"); !standings.empty()) {
    say_standings(sentence, study, standings);
    say_warnings(sentence, study, names);
    return closed_up(std::move(sentence.phrases));
  }
  const std::vector<Phrase> who = {{names.treatment, Phrase::arm, names.slot}};
  const Json& comparison = member(study, "comparison");
  const Json& gap = member(comparison, "gap");
  if (!number(gap, "estimate")) {
    sentence.say(say(Say::verdict_no_pairs, {names.treatment, names.baseline}), Phrase::unresolved);
    say_warnings(sentence, study, names);
    return closed_up(std::move(sentence.phrases));
  }

  const Json& ratios = member(comparison, "ratios");
  const int seeds = static_cast<int>(number(comparison, "seeds").value_or(0));
  const int reached = static_cast<int>(number(comparison, "reached").value_or(0));
  std::vector<Text> unresolved;
  int shown = 0;
  if (number(member(ratios, "tokens"), "estimate") || number(member(ratios, "seconds"), "estimate")) {
    sentence.pattern(Say::verdict_needs, {who});
    price_list(sentence, ratios, names.slot, unresolved, shown);
    close_prices(sentence, unresolved, seeds);
  } else if (reached > 0) {
    sentence.pattern(Say::verdict_some_reach, {who, {{names.baseline}}, {{std::to_string(reached)}}, {{std::to_string(seeds)}}});
    say_gap(sentence, gap, names.slot);
  } else {
    sentence.pattern(Say::verdict_never_reaches, {who, {{names.baseline}}});
    say_gap(sentence, gap, names.slot);
    const Json& reverse = member(comparison, "reverse");
    if (number(member(reverse, "tokens"), "estimate") || number(member(reverse, "seconds"), "estimate")) {
      const int slot = slot_of(study, *baseline);
      sentence.pattern(Say::verdict_reverse, {{{names.baseline, Phrase::arm, slot}}, {{names.treatment}}});
      price_list(sentence, reverse, slot, unresolved, shown);
      close_prices(sentence, unresolved, seeds);
    }
  }
  if (const auto memory = number(member(ratios, "memory"), "estimate")) {
    const bool differs = member(member(ratios, "memory"), "resolved") == true;
    sentence.pattern(Say::verdict_memory,
                     {{{names.treatment}}, {{ratio_text(*memory), differs ? Phrase::number : Phrase::unresolved, names.slot}}});
  }
  say_crossing(sentence, study, comparison);
  say_warnings(sentence, study, names);
  return closed_up(std::move(sentence.phrases));
}

std::string verdict_sentence(const Json& study, Language language) {
  std::string line;
  for (const Phrase& phrase : verdict_phrases(study)) line += phrase.text.in(language);
  return line;
}

}  // namespace gamut
