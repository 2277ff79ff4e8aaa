#include "data/tokenizers/json_cursor.h"

#include <cmath>

#include "temp_folder.h"

namespace gamut {
namespace {

double number(const std::string& text) {
  std::deque<std::string> unescaped;
  JsonCursor in(text, "x.json", unescaped);
  const double value = in.number();
  in.finish();
  return value;
}

// What Hugging Face `tokenizers` makes of these scores: where it is off the nearest double, so are we.
TEST(JsonCursor, NumbersAreThePeers) {
  EXPECT_EQ(number("-3.2188758248682006"), -3.218875824868201);
  EXPECT_EQ(number("-3.4965075614664802"), -3.49650756146648);
  EXPECT_EQ(number("-2.0122928619384766"), -2.012292861938477);
  EXPECT_EQ(number("0.1"), 0.1);
  EXPECT_EQ(number("-0.0"), 0.0);
  EXPECT_TRUE(std::signbit(number("-0.0")));
  EXPECT_EQ(number("12"), 12);
  EXPECT_EQ(number("1.5e3"), 1500);
  EXPECT_EQ(number("2E-2"), 0.02);
  EXPECT_EQ(number("1e+2"), 100);
  EXPECT_EQ(number("123456789012345678901234567890"), 12345678901234567890.0 * 1e10);
  EXPECT_EQ(number("0.000000000000000000000000000001"), 1 / 1e30);
  EXPECT_EQ(number("1e-308"), 1e-308);
  for (const char* bad : {"-inf", "nan", "-nan", "+1", ".5", "x", "1e999"}) EXPECT_ERROR(number(bad), "not valid");
}

}  // namespace
}  // namespace gamut
