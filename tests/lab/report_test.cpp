#include "lab/report/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "base/error.h"
#include "base/io.h"
#include "lab/report/comparison.h"
#include "lab/report/sections.h"
#include "lab/statistics.h"
#include "sample_study.h"

namespace gamut {
namespace {

// The first fault of a document as XML, "" if it is well-formed: every element closed in order, attributes quoted, entities
// known.
std::string xml_fault(std::string_view text) {
  std::vector<std::string> open;
  size_t at = 0;
  const auto fault = [&](const std::string& what) {
    return what + " at byte " + std::to_string(at) + ": " + std::string(text.substr(at, 60));
  };
  while (at < text.size()) {
    if (text[at] == '&') {
      const size_t end = text.find(';', at);
      const std::string_view entity = text.substr(at, end - at + 1);
      static const std::set<std::string_view> kKnown{"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
      if (end == std::string_view::npos || !kKnown.count(entity)) return fault("bad entity");
    }
    if (text[at] != '<') {
      ++at;
      continue;
    }
    if (text.substr(at, 9) == "<![CDATA[") {
      at = text.find("]]>", at);
      if (at == std::string_view::npos) return "open CDATA";
      continue;
    }
    if (text.substr(at, 2) == "<!") {
      at = text.find('>', at);
      continue;
    }
    if (text.substr(at, 2) == "</") {
      const size_t end = text.find('>', at);
      const std::string name(text.substr(at + 2, end - at - 2));
      if (open.empty() || open.back() != name)
        return fault("closes " + name + " inside " + (open.empty() ? "nothing" : open.back()));
      open.pop_back();
      at = end + 1;
      continue;
    }
    size_t end = at + 1;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '-')) ++end;
    const std::string name(text.substr(at + 1, end - at - 1));
    if (name.empty()) return fault("bare <");
    std::set<std::string> seen;
    while (end < text.size() && text[end] != '>' && text[end] != '/') {
      if (text[end] == ' ' || text[end] == '\n') {
        ++end;
        continue;
      }
      const size_t equals = text.find('=', end);
      const std::string key(text.substr(end, equals - end));
      if (!seen.insert(key).second) return fault("attribute " + key + " twice");
      if (text[equals + 1] != '"') return fault("unquoted " + key);
      const size_t quote = text.find('"', equals + 2);
      if (text.substr(equals + 2, quote - equals - 2).find('<') != std::string_view::npos) return fault("< in attribute " + key);
      end = quote + 1;
    }
    if (text[end] == '/') {
      end += 2;
    } else {
      open.push_back(name);
      ++end;
    }
    at = end;
  }
  return open.empty() ? "" : "open element " + open.back();
}

Json study_where(double moe_floor, double moe_seconds, int seeds = 3) {
  const std::vector<int> all{17, 18, 19, 20, 21};
  const std::vector<int> chosen(all.begin(), all.begin() + seeds);
  Json study{{"id", "s"}, {"title", "T"}, {"seeds", chosen}, {"domains", {{{"id", "english"}, {"name", "English"}}}}};
  const SampleArm dense{"dense", "baseline", "dense", "稠密模型", "dense", "稠密", 0};
  SampleArm moe{"moe", "treatment", "8 experts", "8 专家", "MoE", "MoE", 1, 905e3, 282e3, 1.915e6, moe_seconds, 456e6};
  moe.floor = moe_floor;
  study["arms"] = Json::array({sample_arm(dense, chosen, 7.7e6), sample_arm(moe, chosen, 7.7e6)});
  study["comparison"] = compare_arms(study);
  return study;
}

Json with_ratios(std::array<double, 3> tokens, std::array<double, 3> seconds) {
  const auto ratio = [](const std::array<double, 3>& r) {
    return Json{{"estimate", r[0]}, {"low", r[1]}, {"high", r[2]}, {"resolved", r[1] > 1 || r[2] < 1}, {"n", 3}};
  };
  Json study = study_where(1.40, 2e-5);
  study["comparison"]["ratios"] = {{"tokens", ratio(tokens)}, {"seconds", ratio(seconds)}};
  study["comparison"]["crossing"] = nullptr;
  return study;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Verdict, TimeNotResolved) {
  const Json study = with_ratios({0.61, 0.55, 0.68}, {0.93, 0.84, 1.03});
  EXPECT_EQ(verdict_sentence(study),
            "For equal loss, MoE needs 0.61× [0.55, 0.68] of the tokens, 0.93× [0.84, 1.03] of the seconds: time not resolved.");
  EXPECT_EQ(verdict_sentence(study, Language::chinese),
            "达到相同损失，MoE 需要 0.61× [0.55, 0.68] 的 token、0.93× [0.84, 1.03] 的时间：时间上尚无定论。");
}

TEST(Verdict, ChineseNamesStandWithoutSpaces) {
  Json study = with_ratios({0.61, 0.55, 0.68}, {0.93, 0.84, 1.03});
  study["arms"][1]["short"]["zh"] = "混合专家";
  EXPECT_EQ(verdict_sentence(study, Language::chinese),
            "达到相同损失，混合专家需要 0.61× [0.55, 0.68] 的 token、0.93× [0.84, 1.03] 的时间：时间上尚无定论。");
  const Text chinese("dense", "稠密"), latin("MoE");
  EXPECT_EQ(say(Say::is_better, {chinese}).zh, "稠密更好");
  EXPECT_EQ(say(Say::is_better, {latin}).zh, "MoE 更好");
}

TEST(Verdict, ResolvedAndUnresolvedAxesAreNamed) {
  EXPECT_EQ(verdict_sentence(with_ratios({0.61, 0.55, 0.68}, {0.8, 0.7, 0.9})),
            "For equal loss, MoE needs 0.61× [0.55, 0.68] of the tokens, 0.80× [0.70, 0.90] of the seconds.");
  EXPECT_TRUE(contains(verdict_sentence(with_ratios({0.98, 0.9, 1.1}, {1.8, 1.6, 2.0})), "of the seconds: tokens not resolved."));
  EXPECT_TRUE(contains(verdict_sentence(with_ratios({0.98, 0.9, 1.1}, {1.0, 0.6, 2.0})), ": neither tokens nor time resolved."));
  EXPECT_TRUE(
      contains(verdict_sentence(with_ratios({12.34, 11, 13.9}, {0.98, 0.9, 0.99})), "12.3× [11.00, 13.90] of the tokens"));
}

TEST(Verdict, MemoryAndCrossingFollow) {
  Json study = sample_study();
  const std::string line = verdict_sentence(study);
  EXPECT_TRUE(contains(line, " MoE holds 2.40× the memory. The curves cross at 4.")) << line;
  EXPECT_TRUE(contains(line, " tokens per active weight; beyond, MoE leads.")) << line;
  study["comparison"]["crossing"].erase("per_active_weight");
  EXPECT_TRUE(contains(verdict_sentence(study), "The curves cross at 1.")) << verdict_sentence(study);
  EXPECT_TRUE(contains(verdict_sentence(study), " M tokens; beyond")) << verdict_sentence(study);
  study["comparison"]["crossing"]["seeds"] = 2;  // not in every seed: the mean curves may cross by chance
  EXPECT_FALSE(contains(verdict_sentence(study), "cross"));
  study["comparison"]["crossing"]["seeds"] = 3;
  study["comparison"]["gap"]["resolved"] = false;  // nobody leads in the end
  EXPECT_FALSE(contains(verdict_sentence(study), "cross"));
}

TEST(Verdict, NeverReaches) {
  const Json study = study_where(1.60, 2.5e-5);
  EXPECT_EQ(study["comparison"]["reached"], 0);
  const std::string line = verdict_sentence(study);
  EXPECT_TRUE(line.starts_with("MoE never reaches the dense model’s final loss within the budget: it ends 0.1")) << line;
  EXPECT_TRUE(contains(line, "bits per byte higher.")) << line;
  EXPECT_TRUE(contains(line, " In turn, dense reaches MoE’s final loss with 0.")) << line;
  const std::string chinese = verdict_sentence(study, Language::chinese);
  EXPECT_TRUE(chinese.starts_with("在预算内，MoE 始终未达到稠密模型的最终损失：最终高出 0.1")) << chinese;

  Json close = study;
  close["comparison"]["gap"] = {{"estimate", 0.004}, {"low", -0.010}, {"high", 0.018}, {"resolved", false}, {"n", 3}};
  close["comparison"]["reverse"] = Json::object();
  EXPECT_EQ(verdict_sentence(close),
            "MoE never reaches the dense model’s final loss within the budget: it ends 0.004 [−0.010, 0.018] bits per byte "
            "higher, which is not resolved. "
            "MoE holds 2.40× the memory.");
}

TEST(Verdict, SomeSeedsReach) {
  Json study = study_where(1.44, 2.5e-5);
  study["comparison"]["ratios"] = Json::object();
  study["comparison"]["reached"] = 2;
  study["comparison"]["gap"] = {{"estimate", -0.002}, {"low", -0.014}, {"high", 0.010}, {"resolved", false}, {"n", 3}};
  EXPECT_EQ(verdict_sentence(study),
            "MoE reaches the dense model’s final loss in 2 of 3 seeds, so no ratio is given: it ends 0.002 [−0.010, 0.014] bits "
            "per byte lower, "
            "which is not resolved.");
}

TEST(Verdict, OneSeedResolvesNothing) {
  const Json study = study_where(1.38, 2.5e-5, 1);
  const std::string line = verdict_sentence(study);
  EXPECT_TRUE(contains(line, "× [one seed] of the tokens, ")) << line;
  EXPECT_TRUE(contains(line, ": one seed resolves nothing.")) << line;
}

TEST(Verdict, WarnsBeforeItIsBelieved) {
  Json study = with_ratios({0.61, 0.55, 0.68}, {0.8, 0.7, 0.9});
  study["null_twin"] = {{"losses", 240}, {"equal", 17}, {"first_difference", 18}};
  study["load"] = {{"tainted", true}};
  study["failed"] = {{{"arm", "moe"}, {"seed", 18}, {"reason", "not a number"}}};
  const std::string line = verdict_sentence(study);
  EXPECT_TRUE(contains(line, "Not to be trusted: the twin with one expert differs from dense from step 18 on.")) << line;
  EXPECT_TRUE(contains(line, "the seconds are tainted")) << line;
  EXPECT_TRUE(contains(line, "One run failed.")) << line;
}

TEST(Verdict, NothingToCompare) {
  Json study = sample_study();
  study.erase("comparison");
  EXPECT_EQ(verdict_sentence(study), "No verdict: MoE and dense share no finished seed.");
  study["arms"].erase(1);
  EXPECT_TRUE(verdict_sentence(study).starts_with("No verdict: the study has no pair"));
  EXPECT_EQ(xml_fault(render_report(study)), "");
}

TEST(Comparison, RecoversWhatTheCurvesWereMadeFrom) {
  // B is A at 0.8 of the tokens, each seed with its own exact factor; B's floor is a little lower so that every seed reaches A's
  // end.
  Json study{{"id", "s"}, {"title", "T"}, {"arms", Json::array()}};
  for (const bool treatment : {false, true}) {
    Json arm{{"id", treatment ? "b" : "a"},
             {"role", treatment ? "treatment" : "baseline"},
             {"curves", Json::array()},
             {"ram_measured", treatment ? 300 : 100}};
    for (const int seed : {1, 2, 3, treatment ? 5 : 4}) {
      const double factor = treatment ? 0.8 + 0.01 * (seed - 2) : 1;
      Json curve{{"seed", seed}, {"tokens", Json::array()}, {"bpb", {{"all", Json::array()}}}};
      for (int i = 0; i <= 60; ++i) {
        const double tokens = 1000 * std::exp(0.1 * i);
        curve["tokens"].push_back(tokens);
        curve["bpb"]["all"].push_back(10 - std::log(tokens / factor));
      }
      arm["curves"].push_back(curve);
    }
    study["arms"].push_back(arm);
  }
  const Json result = compare_arms(study);
  EXPECT_EQ(result["seeds"], 3);  // 4 and 5 have no partner
  EXPECT_NEAR(result["ratios"]["tokens"]["estimate"].get<double>(), std::cbrt(0.79 * 0.80 * 0.81), 1e-6);
  EXPECT_TRUE(result["ratios"]["tokens"]["resolved"]);
  EXPECT_FALSE(result["ratios"].contains("seconds"));
  EXPECT_NEAR(result["ratios"]["memory"]["estimate"].get<double>(), 3, 1e-12);
  EXPECT_NEAR(result["gap"]["estimate"].get<double>(), std::log(std::cbrt(0.79 * 0.80 * 0.81)), 1e-9);
  EXPECT_TRUE(result["crossing"].is_null());
  EXPECT_EQ(result["curve"]["tokens"]["loss"].size(), 64U);
  EXPECT_NEAR(result["noise"]["bpb"].get<double>(), 0, 1e-12);
}

TEST(Comparison, DomainsAreJudgedByFinalNumbersWithHolmsCorrection) {
  // Three seeds, differences b − a: sure in x (p = 0.0003), in y only if it were alone (p = 0.036), none in z.
  const std::map<std::string, std::array<double, 3>> differences{{"x", {-0.10, -0.101, -0.106}}, {"y", {-0.10, -0.14, -0.07}}, {"z", {0.01, -0.02, 0.02}}, {"all", {-0.05, -0.06, -0.055}}};
  Json study{{"id", "s"}, {"title", "T"}, {"arms", Json::array()}, {"domains", {{{"id", "x"}}, {{"id", "y"}}, {{"id", "z"}}}}};
  for (const bool treatment : {false, true}) {
    Json arm{{"id", treatment ? "b" : "a"}, {"role", treatment ? "treatment" : "baseline"}, {"curves", Json::array()}};
    for (size_t seed = 0; seed < 3; ++seed) {
      Json curve{{"seed", seed}, {"tokens", {1, 2}}, {"bpb", {{"all", {9, 8}}}}};
      for (const auto& [domain, value] : differences) curve["final"][domain] = 2 + 0.01 * static_cast<double>(seed) + (treatment ? value[seed] : 0);
      arm["curves"].push_back(curve);
    }
    study["arms"].push_back(arm);
  }
  const Json result = compare_arms(study);
  std::map<std::string, Json> rows;
  for (const Json& row : result["domains"]) rows[row["id"]] = row;
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_NEAR(rows["x"]["difference"]["estimate"].get<double>(), -0.307 / 3, 1e-9);  // of `final`, not of the curves' ends
  EXPECT_NEAR(rows["x"]["p"].get<double>(), 3 * paired_p_value(differences.at("x"), std::array<double, 3>{}), 1e-12);
  EXPECT_LT(paired_p_value(differences.at("y"), std::array<double, 3>{}), 0.05);
  EXPECT_TRUE(rows["x"]["difference"]["resolved"]);
  EXPECT_FALSE(rows["y"]["difference"]["resolved"]);
  EXPECT_LT(rows["y"]["difference"]["high"], 0);  // the interval itself stays as it is
  EXPECT_FALSE(rows["z"]["difference"]["resolved"]);
  EXPECT_TRUE(rows["all"]["difference"]["resolved"]);
  EXPECT_NEAR(result["noise"]["final"].get<double>(), std::sqrt((1 + 1 + 4) / 3.0) * 0.01, 1e-12);

  study["domains"] = Json::array({{{"id", "x"}}});
  const Json one = compare_arms(study);
  ASSERT_EQ(one["domains"].size(), 1U);  // "all" would say the same again
  EXPECT_EQ(one["domains"][0]["id"], "x");
}

TEST(Strings, EveryPhraseIsCompleteInBothLanguages) {
  const auto marks = [](const std::string& text, bool in_order) {
    std::vector<char> found;
    for (size_t i = 0; i + 2 < text.size(); ++i) {
      if (text[i] == '{' && text[i + 2] == '}') found.push_back(text[i + 1]);
    }
    if (!in_order) std::sort(found.begin(), found.end());
    return found;
  };
  for (int key = 0; key < static_cast<int>(Say::count_); ++key) {
    const Text text = say(static_cast<Say>(key));
    EXPECT_FALSE(text.en.empty()) << key;
    EXPECT_FALSE(text.zh.empty()) << text.en;
    const bool verdict = key <= static_cast<int>(Say::verdict_crossing_tokens);
    EXPECT_EQ(marks(text.en, verdict), marks(text.zh, verdict)) << text.en;
    EXPECT_FALSE(contains(text.zh, ", ")) << text.zh;
  }
  EXPECT_EQ(say(Say::trust_failed_run, {"a", "{0}", "c"}).en, "a, seed {0}: c");  // arguments are not patterns
}

TEST(Strings, TextValues) {
  EXPECT_EQ(text_of("x"), Text("x"));
  EXPECT_EQ(text_of({{"en", "a"}, {"zh", "b"}}), Text("a", "b"));
  EXPECT_EQ(text_of({{"en", "a"}}), Text("a", "a"));
  EXPECT_TRUE(text_of(nullptr).empty());
  EXPECT_THROW(text_of(3), Error);
}

TEST(Report, IsOneSmallWellFormedFileWithoutNetwork) {
  const std::string page = render_report(sample_study());
  EXPECT_EQ(xml_fault(page), "");
  EXPECT_LT(page.size(), 1000000U);
  for (const char* forbidden : {"http:", "https:", "src=", "url(http", "@import", "<link", "href="})
    EXPECT_FALSE(contains(page, forbidden)) << forbidden;
  EXPECT_EQ(page, render_report(sample_study()));
  // Every chart names the words that describe it, and those exist.
  for (const char* id : {"prices-words", "speed-up-words", "loads-words", "specialisation-words", "rates-words"}) {
    EXPECT_TRUE(contains(page, std::string("id=\"") + id + "\"")) << id;
    EXPECT_TRUE(contains(page, std::string("aria-labelledby=\"") + id + "\"")) << id;
  }
}

TEST(Report, IdentifiersAreUnique) {
  const std::string page = render_report(sample_study());
  std::set<std::string> seen;
  for (size_t at = page.find(" id=\""); at != std::string::npos; at = page.find(" id=\"", at + 1)) {
    const std::string id = page.substr(at + 5, page.find('"', at + 5) - at - 5);
    EXPECT_TRUE(seen.insert(id).second) << id;
  }
}

TEST(Report, HostileStringsStayText) {
  Json study = sample_study();
  const std::string bad = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x01]]>";
  study["title"] = bad;
  study["arms"][1]["name"] = bad;
  study["arms"][1]["short"] = bad;
  study["domains"][0]["name"] = bad;
  study["limits"] = {bad};
  study["failed"] = {{{"arm", "moe"}, {"seed", 1}, {"reason", bad}}};
  study["provenance"]["config"] = {{bad, bad}};
  study["provenance"]["cpu"] = bad;
  study["provenance"]["rerun"] = bad;
  study["held_equal"][0]["value"] = bad;
  study["literature"][0]["claim"] = bad;
  const std::string page = render_report(study);
  EXPECT_EQ(xml_fault(page), "");
  EXPECT_FALSE(contains(page, "<script>alert"));
  EXPECT_FALSE(contains(page, "<img"));
  EXPECT_FALSE(contains(page, "\x01"));
}

TEST(Report, InvalidUtf8DoesNotStopIt) {
  Json study = sample_study();
  study["provenance"]["cpu"] = "caf\xE9";
  study["provenance"]["config"] = {{"name", "\xFF\xFE"}};
  EXPECT_NO_THROW(render_report(study));
}

TEST(Report, HoldsTheEmbeddedFigures) {
  const std::string page = render_report(sample_study());
  const size_t begin = page.find("id=\"study\">") + 11;
  const Json back = Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  EXPECT_EQ(back["id"], "dense-vs-moe");
  EXPECT_EQ(back["arms"][0]["curves"].size(), 3U);
  EXPECT_LE(back["loads"][0]["steps"].size(), 64U);
  EXPECT_EQ(back["loads"][0]["steps"].back(), 2400);
  EXPECT_EQ(back["provenance"]["flops"], 1.18e14);
}

Json big_study() {
  Json study = sample_study();
  const std::vector<int> seeds{1, 2, 3, 4, 5};
  study["arms"] = Json::array();
  for (int i = 0; i < 6; ++i) {
    SampleArm arm{"arm" + std::to_string(i),
                  i == 0   ? "baseline"
                  : i == 1 ? "treatment"
                           : "control",
                  "arm number " + std::to_string(i),
                  "",
                  "a" + std::to_string(i),
                  "",
                  i};
    arm.floor -= 0.02 * i;
    study["arms"].push_back(sample_arm(arm, seeds, 1e8));
  }
  study["comparison"] = compare_arms(study);
  study["controls"] = Json::array();
  study["rates"] = {{"skipped", {{"en", "Skipped at this tier."}, {"zh", "此档略过。"}}}};
  study["loads"] = Json::array();
  study["specialisation"] = Json::array();
  for (int layer = 0; layer < 24; ++layer) {
    Json load{{"arm", "arm1"}, {"layer", layer}, {"steps", Json::array()}, {"share", Json::array()}};
    for (int step = 0; step < 400; ++step) {
      load["steps"].push_back(step);
      std::vector<double> share(64);
      for (size_t e = 0; e < share.size(); ++e)
        share[e] = (1 + 0.9 * std::sin(step / 9.0 + static_cast<double>(e * e + static_cast<size_t>(layer)))) / 64;
      load["share"].push_back(share);
    }
    study["loads"].push_back(load);
    study["specialisation"].push_back({{"arm", "arm1"},
                                       {"layer", layer},
                                       {"domains", {"english", "code", "chinese"}},
                                       {"share", std::vector<std::vector<double>>(3, std::vector<double>(64, 1.0 / 64))},
                                       {"information", 0.001},
                                       {"chance", 0.002}});
  }
  return study;
}

TEST(Report, StaysBelowThreeMegabytes) {
  const std::string page = render_report(big_study());
  EXPECT_LT(page.size(), 3000000U);
  EXPECT_EQ(xml_fault(page), "");
}

TEST(Report, MissingPartsAreLeftOut) {
  const std::string least = render_report({{"id", "s"}, {"title", "A title"}, {"arms", Json::array()}});
  EXPECT_EQ(xml_fault(least), "");
  EXPECT_TRUE(contains(least, "A title"));
  EXPECT_FALSE(contains(least, "section class=\"prices\""));
  Json chosen = sample_study();
  chosen["sections"] = {"domains", "verdict"};
  const std::string page = render_report(chosen);
  EXPECT_LT(page.find("section class=\"domains\""), page.find("section class=\"verdict\""));
  EXPECT_FALSE(contains(page, "section class=\"cost\""));
}

TEST(Report, BadStudiesAreOneClearLine) {
  EXPECT_THROW(render_report({{"id", "s"}}), Error);
  Json unknown = sample_study();
  unknown["sections"] = {"verdcit"};
  EXPECT_THROW(render_report(unknown), Error);
  Json wrong = sample_study();
  wrong["limits"] = {7};
  EXPECT_THROW(render_report(wrong), Error);
}

TEST(Report, FailedSeedsAndMismatchesAreShown) {
  Json study = sample_study();
  study["failed"] = {
      {{"arm", "moe"}, {"seed", 18}, {"reason", {{"en", "loss is not a number at step 40"}, {"zh", "第 40 步损失不是数"}}}}};
  const std::string page = render_report(study);
  EXPECT_TRUE(contains(page, "MoE, seed 18: loss is not a number at step 40"));
  EXPECT_TRUE(contains(page, "<div class=\"warns\"><dt><span lang=\"en\">active FLOPs a token"));
}

// Also the maker of the browser test's pages.
TEST(Report, WritesSamples) {
  const char* folder = std::getenv("GAMUT_REPORT_OUT");
  if (!folder) GTEST_SKIP() << "GAMUT_REPORT_OUT names no folder";
  const std::filesystem::path out = folder;
  write_report(out / "sample.html", sample_study());
  write_report(out / "never.html", study_where(1.60, 2.5e-5));
  write_report(out / "one-seed.html", study_where(1.38, 2.5e-5, 1));
  write_report(out / "two-seeds.html", study_where(1.41, 2.5e-5, 2));
  write_report(out / "big.html", big_study());
}

// A study of more than two arms: standings, its own charts, and a verdict about all of them.
TEST(Report, StandingsAndPlotsAreDrawn) {
  Json study = sample_study();
  const std::string a = study["arms"][0]["id"], b = study["arms"][1]["id"];
  study["standings"] = {{{"arm", a}, {"bpb", 1.5}, {"state_bytes", 4096}},
                        {{"arm", b}, {"bpb", 1.42}, {"difference", {{"estimate", -0.08}, {"low", -0.1}, {"high", -0.06}, {"resolved", true}, {"n", 3}}}, {"state_bytes", 1024}}};
  study["plots"] = {{{"id", "recall"}, {"title", "Recall <test>"}, {"x", {{"name", "bytes"}, {"scale", "log"}}}, {"y", {{"name", "right"}, {"low", 0}, {"high", 100}}},
                     {"series", {{{"arm", a}, {"x", {1000, 4000}}, {"y", {50, 98.5}}}, {{"arm", b}, {"x", {500, nullptr}}, {"y", {20, 30}}}, {{"arm", "unknown"}, {"x", {1}}, {"y", {1}}}}}},
                    {{"id", "other"}, {"title", "Other"}, {"x", {{"name", "n"}}}, {"y", {{"name", "ms"}, {"scale", "log"}}}, {"series", Json::array()}}};
  const std::string page = render_report(study);
  EXPECT_EQ(xml_fault(page), "");
  for (const char* part : {"class=\"standings\"", "id=\"plot-recall\"", "id=\"plot-other\"", "Recall &lt;test&gt;", "98.5"}) EXPECT_NE(page.find(part), std::string::npos) << part;
  const std::string verdict = verdict_sentence(study), chinese = verdict_sentence(study, Language::chinese);
  EXPECT_NE(verdict.find("ends lowest, at 1.420 bits per byte, 0.080 [0.060, 0.100] below"), std::string::npos) << verdict;
  EXPECT_NE(chinese.find("1.420"), std::string::npos) << chinese;
  study["standings"][1]["difference"]["resolved"] = false;
  EXPECT_NE(verdict_sentence(study).find("not resolved"), std::string::npos);
}

}  // namespace
}  // namespace gamut
