#include "data/tokenizers/pattern.h"

#include "data/tokenizers/unicode.h"
#include "temp_folder.h"

namespace gamut {
namespace {

// Matches in brackets.
std::string marked(const Pattern& pattern, std::string_view text) {
  std::string out;
  pattern.cut(text, [&](size_t begin, size_t end, bool matched) { out += (matched ? "[" : "") + std::string(text.substr(begin, end - begin)) + (matched ? "]" : ""); });
  return out;
}
std::string marked(const std::string& expression, std::string_view text) { return marked(Pattern::regex(expression), text); }

TEST(Pattern, CutsTextWithoutLosingAny) {
  EXPECT_EQ(marked(R"(\p{L}+|\p{N}{1,3})", "abc 12345 中文!"), "[abc] [123][45] [中文]!");
  EXPECT_EQ(marked(R"((?i:'s|'ll)|\s+(?!\S)|\s+)", "it'S  x  "), "it['S][ ][ ]x[  ]");
  EXPECT_EQ(marked(Pattern::literal("aa"), "aaaxaa"), "[aa]ax[aa]");
  EXPECT_EQ(marked("", "abc"), "abc") << "empty matches cut, and are nothing themselves";
  EXPECT_EQ(marked("x", ""), "");
}

TEST(Pattern, SetsAndEscapesMeanWhatOnigurumaSays) {
  EXPECT_EQ(marked(R"([^(\s|[.,!?])]+)", "one, (two)|three"), "[one], ([two])|[three]");
  EXPECT_EQ(marked(R"(\h+)", "xAf09 g"), "x[Af09] g");
  EXPECT_EQ(marked(R"(\s+)", "a\xc2\xa0\xe1\xa0\x8e"), "a[\xc2\xa0]\xe1\xa0\x8e") << "U+180E is no white space";
  EXPECT_EQ(marked(R"([\S]+)", "a b"), "[a] [b]");
  EXPECT_EQ(marked("b$", "ab\nab"), "a[b]\na[b]") << "$ is the end of a line";
  EXPECT_EQ(marked(R"(\p{Lu}+)", "A\xea\x9f\x8b" "b"), "[A\xea\x9f\x8b]b") << "U+A7CB came with Unicode 16";
  EXPECT_EQ(marked(R"(\P{L}+)", "a1b"), "a[1]b");
}

TEST(Pattern, BytesThatAreNotUtf8MatchNothing) {
  EXPECT_EQ(marked(R"(\p{L}+|[^\p{L}]+)", "ab\xff" "cd\xe4\xb8"), "[ab]\xff[cd]\xe4\xb8");
}

TEST(Pattern, ReplacesEveryMatch) { EXPECT_EQ(Pattern::regex(R"(\s+)").replace_all(" a \n b", "_"), "_a_b"); }

TEST(Pattern, WhatCannotBeSaidIsAnError) {
  for (const char* bad : {"(", "[a", "[a&&b]", "[a[^b]]", R"(\p{Nonsense})", R"([\W])", "\\"}) EXPECT_ERROR(Pattern::regex(bad), "tokenizer: ");
}

TEST(Unicode, NormalForms) {
  const auto normal = [](std::string text, NormalForm form) {
    normalize(text, form);
    return text;
  };
  EXPECT_EQ(normal("abc e\u0301 \u1112\u1161\u11ab x\u0323\u0307", NormalForm::nfc), "abc é 한 ẋ̣");
  EXPECT_EQ(normal("é한", NormalForm::nfd), "e\u0301\u1112\u1161\u11ab");
  EXPECT_EQ(normal("ﬁ ½ Ａ 株", NormalForm::nfkc), "fi 1⁄2 A 株");
  EXPECT_EQ(normal("\u0307\u0323", NormalForm::nfc), "\u0323\u0307") << "marks are put in order, also at the start";
  EXPECT_EQ(normal("a\xff\u0301", NormalForm::nfc), "a\xff\u0301") << "broken bytes stay, and part what they stand between";
  EXPECT_EQ(normal("㋿", NormalForm::nfkc), "㋿") << "younger than Unicode 9";
}

TEST(Unicode, Graphemes) {
  const std::string family = "👨‍👩‍👧";
  EXPECT_EQ(grapheme_end(family + "x", 0), family.size());
  EXPECT_EQ(grapheme_end("e\u0301x", 0), 3u);
  EXPECT_EQ(grapheme_end("\r\nx", 0), 2u);
  EXPECT_EQ(grapheme_end("ab", 0), 1u);
}

TEST(Unicode, Lowercase) {
  std::string out;
  for (const uint32_t code : {0x41u, 0x130u, 0xdfu, 0x3a3u, 0x10d50u}) append_lowercase(code, out);
  EXPECT_EQ(out, "ai\u0307ßσ\U00010d70");
}

}  // namespace
}  // namespace gamut
