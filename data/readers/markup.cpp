#include "data/readers/markup.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/text.h"
#include "data/tokenizers/unicode.h"

namespace gamut {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

template <size_t N> const Pair* find_pair(const Pair (&table)[N], std::string_view key) {
  const auto at = std::find_if(std::begin(table), std::end(table), [&](const Pair& p) { return p.first == key; });
  return at == std::end(table) ? nullptr : at;
}

bool one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

// ---- HTML ----

constexpr Pair kEntities[] = {
    {"amp", "&"},     {"lt", "<"},      {"gt", ">"},      {"quot", "\""},   {"apos", "'"},    {"nbsp", " "},    {"copy", "©"},
    {"reg", "®"},     {"trade", "™"},   {"hellip", "…"},  {"mdash", "—"},   {"ndash", "–"},   {"lsquo", "‘"},   {"rsquo", "’"},
    {"ldquo", "“"},   {"rdquo", "”"},   {"laquo", "«"},   {"raquo", "»"},   {"middot", "·"},  {"bull", "•"},    {"times", "×"},
    {"eacute", "é"},  {"egrave", "è"},  {"agrave", "à"},  {"aacute", "á"},  {"ccedil", "ç"},  {"ouml", "ö"},    {"uuml", "ü"},
    {"auml", "ä"},    {"szlig", "ß"},   {"ntilde", "ñ"},  {"oacute", "ó"},  {"iacute", "í"},  {"uacute", "ú"},  {"ecirc", "ê"},
    {"ocirc", "ô"},   {"acirc", "â"},   {"icirc", "î"},   {"iuml", "ï"},    {"euml", "ë"},    {"aelig", "æ"},   {"oslash", "ø"},
    {"pound", "£"},   {"euro", "€"},    {"sect", "§"},    {"para", "¶"},    {"deg", "°"},     {"rarr", "→"},    {"larr", "←"}};

// Appends what the entity at html[at] = '&' stands for and returns where it ends.
size_t append_entity(std::string_view html, size_t at, std::string& out) {
  const size_t end = html.substr(at, 12).find(';');
  if (end == std::string_view::npos) {
    out += '&';
    return at + 1;
  }
  const std::string_view name = html.substr(at + 1, end - 1);
  if (name.size() > 1 && name[0] == '#') {
    const bool hexadecimal = name[1] == 'x' || name[1] == 'X';
    uint32_t code = 0;
    bool good = name.size() > (hexadecimal ? 2u : 1u);
    for (const char c : name.substr(hexadecimal ? 2 : 1)) {
      const int digit = c >= '0' && c <= '9' ? c - '0' : hexadecimal && std::isxdigit(static_cast<unsigned char>(c)) ? (c | 32) - 'a' + 10 : -1;
      good = good && digit >= 0 && code < 0x110000;
      code = code * (hexadecimal ? 16 : 10) + static_cast<uint32_t>(std::max(digit, 0));
    }
    if (good && code > 0 && code < 0x110000 && !(code >= 0xd800 && code < 0xe000)) {
      char bytes[4];
      size_t count = 0;
      append_utf8(code == 0xa0 ? ' ' : code, bytes, count);
      out.append(bytes, count);
      return at + end + 1;
    }
  } else if (const Pair* entity = find_pair(kEntities, name)) {
    out += entity->second;
    return at + end + 1;
  }
  out += '&';
  return at + 1;
}

struct Tag {
  std::string name;       // lower case
  std::string attributes;  // as written
  bool closing = false, empty = false;
};

Tag parse_tag(std::string_view inside) {
  Tag tag;
  size_t at = 0;
  if (at < inside.size() && inside[at] == '/') {
    tag.closing = true;
    ++at;
  }
  while (at < inside.size() && std::isalnum(static_cast<unsigned char>(inside[at]))) tag.name += static_cast<char>(std::tolower(inside[at++]));
  tag.attributes = inside.substr(at);
  tag.empty = inside.ends_with('/') || one_of(tag.name, {"br", "img", "hr", "meta", "link", "input", "col", "area", "base", "wbr"});
  return tag;
}

// Where the tag that begins at html[at] = '<' ends (index of '>'): quotes may hide a '>'.
size_t tag_end(std::string_view html, size_t at) {
  char quote = 0;
  for (size_t i = at + 1; i < html.size(); ++i) {
    const char c = html[i];
    if (quote) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '>') {
      return i;
    }
  }
  return std::string_view::npos;
}

bool for_moving_about(const Tag& tag) {
  if (one_of(tag.name, {"script", "style", "head", "nav", "svg", "select"})) return true;
  if (!one_of(tag.name, {"div", "ul", "ol", "dl", "table", "p", "span"})) return false;
  const size_t at = tag.attributes.find("class=");
  if (at == std::string::npos) return false;
  const std::string_view value = std::string_view(tag.attributes).substr(at + 6, 40);
  for (const char* name : {"docnav", "navheader", "navfooter", "\"toc", "'toc", "list-of-"})
    if (value.find(name) != std::string_view::npos) return true;
  return false;
}

}  // namespace

std::string text_of_html(std::string_view html) {
  std::string out;
  int in_pre = 0;
  std::string skipped;  // name of the element left out, and how deep it is nested in itself
  int skip_depth = 0;
  const auto new_line = [&] {
    while (!out.empty() && out.back() == ' ') out.pop_back();
    if (!out.empty() && out.back() != '\n') out += '\n';
  };
  for (size_t at = 0; at < html.size();) {
    const char c = html[at];
    if (c == '<') {
      if (html.substr(at).starts_with("<!--")) {
        const size_t end = html.find("-->", at + 4);
        at = end == std::string_view::npos ? html.size() : end + 3;
        continue;
      }
      const bool looks_like_tag = at + 1 < html.size() && (std::isalpha(static_cast<unsigned char>(html[at + 1])) || html[at + 1] == '/' ||
                                                           html[at + 1] == '!' || html[at + 1] == '?');
      const size_t end = looks_like_tag ? tag_end(html, at) : std::string_view::npos;
      if (end == std::string_view::npos) {  // not a tag after all
        if (skip_depth == 0) out += c;
        ++at;
        continue;
      }
      const Tag tag = parse_tag(html.substr(at + 1, end - at - 1));
      at = end + 1;
      if (skip_depth > 0) {
        if (tag.name == skipped && !tag.empty) skip_depth += tag.closing ? -1 : 1;
        continue;
      }
      if (!tag.closing && !tag.empty && for_moving_about(tag)) {
        skipped = tag.name;
        skip_depth = 1;
        if (tag.name == "script" || tag.name == "style") {  // their content is not HTML
          const size_t close = html.find("</" + tag.name, at);
          at = close == std::string_view::npos ? html.size() : close;
        }
        continue;
      }
      if (tag.name == "pre") {
        in_pre = std::max(0, in_pre + (tag.closing ? -1 : 1));
        new_line();
      } else if (one_of(tag.name, {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "section", "article"})) {
        new_line();
        if (!out.empty() && !out.ends_with("\n\n")) out += '\n';
      } else if (one_of(tag.name, {"br", "div", "li", "dt", "dd", "tr", "hr", "title", "form", "option", "caption"})) {
        new_line();
      } else if (one_of(tag.name, {"td", "th"}) && !out.empty() && !blank(out.back())) {
        out += ' ';
      }
      continue;
    }
    if (skip_depth > 0) {
      ++at;
    } else if (c == '&') {
      at = append_entity(html, at, out);
    } else {
      if (in_pre || !blank(c)) {
        out += c;
      } else if (!out.empty() && !blank(out.back())) {
        out += ' ';
      }
      ++at;
    }
  }
  return out;
}

namespace {

// ---- Markdown ----

// The index of the bracket that closes the one at line[open], or npos.
size_t closing_bracket(std::string_view line, size_t open, char left, char right) {
  int depth = 0;
  for (size_t i = open; i < line.size(); ++i) {
    if (line[i] == '\\') {
      ++i;
    } else if (line[i] == left) {
      ++depth;
    } else if (line[i] == right && --depth == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

bool word_byte(char c) { return std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 128; }

std::string inline_text(std::string_view line, int depth = 0) {
  std::string out;
  for (size_t at = 0; at < line.size();) {
    const char c = line[at];
    if (c == '\\' && at + 1 < line.size() && std::ispunct(static_cast<unsigned char>(line[at + 1]))) {
      out += line[at + 1];
      at += 2;
    } else if ((c == '[' || (c == '!' && line.substr(at).starts_with("!["))) && depth < 8) {
      const size_t open = at + (c == '!');
      const size_t close = closing_bracket(line, open, '[', ']');
      const size_t target = close == std::string_view::npos || close + 1 >= line.size() || line[close + 1] != '('
                                ? std::string_view::npos
                                : closing_bracket(line, close + 1, '(', ')');
      if (target == std::string_view::npos) {
        out += c;
        ++at;
      } else {
        if (c == '[') out += inline_text(line.substr(open + 1, close - open - 1), depth + 1);
        at = target + 1;
      }
    } else if (c == '*' || c == '_' || c == '`') {
      size_t end = at;
      while (end < line.size() && line[end] == c) ++end;
      const bool inside_word = c == '_' && at > 0 && end < line.size() && word_byte(line[at - 1]) && word_byte(line[end]);
      const bool alone = c == '*' && (at == 0 || blank(line[at - 1])) && (end == line.size() || blank(line[end]));
      if (inside_word || alone) out.append(line.substr(at, end - at));
      at = end;
    } else if (c == '<' && at + 1 < line.size() && (line[at + 1] == '/' || std::isalpha(static_cast<unsigned char>(line[at + 1])))) {
      const size_t end = line.find('>', at);
      if (end == std::string_view::npos) {
        out += c;
        ++at;
      } else {
        const std::string_view inside = line.substr(at + 1, end - at - 1);
        if (inside.find("://") != std::string_view::npos && inside.find(' ') == std::string_view::npos) out += inside;
        at = end + 1;
      }
    } else if (c == '&') {
      at = append_entity(line, at, out);
    } else {
      out += c;
      ++at;
    }
  }
  return out;
}

}  // namespace

std::string text_of_markdown(std::string_view markdown) {
  std::string out;
  bool in_code = false;
  for (const std::string& full : split(markdown, '\n')) {
    std::string_view line = full;
    const std::string_view bare = trim(line);
    if (bare.starts_with("```") || bare.starts_with("~~~")) {
      in_code = !in_code;
      continue;
    }
    if (in_code) {
      out += full + "\n";
      continue;
    }
    if (bare.size() >= 3 && bare.find_first_not_of("-=*_| :+") == std::string_view::npos) {  // rules, underlines, table borders
      out += '\n';
      continue;
    }
    if (bare.starts_with('#')) {
      line = bare.substr(std::min(bare.find_first_not_of('#'), bare.size()));
      line = trim(line);
      while (line.ends_with('#')) line.remove_suffix(1);
    }
    while (trim(line).starts_with('>')) line = trim(line).substr(1);
    out += inline_text(line) + "\n";
  }
  return out;
}

namespace {

// ---- roff ----

constexpr Pair kGlyphs[] = {{"aq", "'"},  {"dq", "\""}, {"lq", "“"},  {"rq", "”"},  {"oq", "‘"}, {"cq", "’"}, {"em", "—"}, {"en", "–"},
                            {"hy", "-"},  {"bu", "•"},  {"co", "©"},  {"rg", "®"},  {"mu", "×"}, {"->", "→"}, {"<-", "←"}, {"ha", "^"},
                            {"ti", "~"},  {"rs", "\\"}, {"at", "@"},  {"sh", "#"},  {"Do", "$"}, {"ga", "`"}, {"la", "<"}, {"ra", ">"},
                            {">=", "≥"},  {"<=", "≤"},  {"!=", "≠"},  {"de", "°"},  {"sc", "§"}, {"bv", "|"}, {"or", "|"}, {"pl", "+"},
                            {"mi", "-"},  {"eq", "="},  {"*(lq", "“"}, {"tm", "™"}, {"fo", "‹"}, {"fc", "›"}, {"bq", ","}, {"lB", "["},
                            {"rB", "]"},  {"lC", "{"},  {"rC", "}"},  {"sl", "/"},  {"ul", "_"}};

std::string unescape(std::string_view line) {
  std::string out;
  for (size_t at = 0; at < line.size();) {
    if (line[at] != '\\' || at + 1 >= line.size()) {
      out += line[at++];
      continue;
    }
    const char kind = line[at + 1];
    at += 2;
    const auto name = [&]() -> std::string_view {  // X, (XX or [XXX]
      if (at >= line.size()) return {};
      if (line[at] == '(') {
        const auto n = line.substr(at + 1, 2);
        at = std::min(line.size(), at + 3);
        return n;
      }
      if (line[at] == '[') {
        const size_t end = std::min(line.find(']', at), line.size());
        const auto n = line.substr(at + 1, end - at - 1);
        at = std::min(line.size(), end + 1);
        return n;
      }
      return line.substr(at++, 1);
    };
    switch (kind) {
      case '"': case '#': return out;  // comment
      case '-': out += '-'; break;
      case 'e': case '\\': out += '\\'; break;
      case ' ': case '~': case '0': out += ' '; break;
      case '\'': case '`': case '.': out += kind; break;
      case '&': case '|': case '^': case '/': case ',': case '%': case ':': case ')': case 'c': case '{': case '}': case 'p': break;
      case 'f': case 'F': case 'm': case 'M': case 'k': case 'n': name(); break;
      case '*': {
        const std::string_view string = name();
        if (string == "lq" || string == "rq") out += '"';
        if (string == "R") out += "®";
        break;
      }
      case 's':  // size: \s+2, \s0, \s(10
        if (at < line.size() && (line[at] == '+' || line[at] == '-')) ++at;
        name();
        break;
      case '(': case '[': {
        --at;
        const std::string_view glyph = name();
        if (const Pair* known = find_pair(kGlyphs, glyph)) out += known->second;
        break;
      }
      case 'h': case 'v': case 'w': case 'l': case 'L': case 'N': case 'o': case 'z': case 'D': case 'X': {  // with a delimited argument
        if (at >= line.size()) break;
        const size_t end = line.find(line[at], at + 1);
        at = end == std::string_view::npos ? line.size() : end + 1;
        break;
      }
      default: out += kind;
    }
  }
  return out;
}

// The arguments of a macro line; double quotes hold blanks together.
std::vector<std::string> macro_arguments(std::string_view rest) {
  std::vector<std::string> out;
  for (size_t at = 0; at < rest.size();) {
    if (blank(rest[at])) {
      ++at;
      continue;
    }
    std::string word;
    if (rest[at] == '"') {
      for (++at; at < rest.size(); ++at) {
        if (rest[at] == '"') {
          if (at + 1 >= rest.size() || rest[at + 1] != '"') break;
          ++at;
        }
        word += rest[at];
      }
      ++at;
    } else {
      while (at < rest.size() && !blank(rest[at])) {
        if (rest[at] == '\\' && at + 1 < rest.size()) word += rest[at++];
        word += rest[at++];
      }
    }
    out.push_back(std::move(word));
  }
  return out;
}

}  // namespace

std::string text_of_roff(std::string_view roff) {
  std::string out;
  bool ignored = false;  // inside .ig … .. or a macro's definition
  for (const std::string& line : split(roff, '\n')) {
    if (ignored) {
      if (trim(line) == "..") ignored = false;
      continue;
    }
    if (line.empty() || (line[0] != '.' && line[0] != '\'')) {
      out += unescape(line) + "\n";
      continue;
    }
    const std::string_view body = trim(std::string_view(line).substr(1));
    size_t end = 0;
    while (end < body.size() && !blank(body[end]) && body[end] != '\\' && body[end] != '"') ++end;
    const std::string_view macro = body.substr(0, end);
    const std::string_view rest = trim(body.substr(end));
    if (one_of(macro, {"de", "de1", "am", "ig"})) {
      ignored = true;
    } else if (one_of(macro, {"SH", "SS", "Sh", "Ss"})) {
      out += "\n" + unescape(join(macro_arguments(rest), " ")) + "\n";
    } else if (one_of(macro, {"PP", "P", "LP", "Pp", "sp", "TP", "HP"})) {
      out += '\n';
    } else if (macro == "IP") {
      const auto words = macro_arguments(rest);
      out += "\n" + (words.empty() ? "" : unescape(words[0]) + "\n");
    } else if (one_of(macro, {"BR", "RB", "BI", "IB", "IR", "RI"})) {
      out += unescape(join(macro_arguments(rest), "")) + "\n";
    } else if (one_of(macro, {"B", "I", "SM", "SB", "R", "Nm", "Nd", "Ar", "Pa", "Xr", "Op", "Dq", "Sq", "Ql", "Em", "Sy", "Li", "Cm", "Ev", "Va",
                              "Fn", "Ic", "Dl", "D1", "It", "Fl", "Fa", "Ft", "Dv", "Er", "Tn", "Qq", "Pq", "Bq", "No", "UR", "MT"})) {
      const std::string text = unescape(join(macro_arguments(rest), " "));
      if (!text.empty()) out += (macro == "Fl" ? "-" : "") + text + "\n";
    }
  }
  return out;
}

std::string tidy(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto end_line = [&] {
    while (!out.empty() && (out.back() == ' ' || out.back() == '\t')) out.pop_back();
    if (!out.empty() && !out.ends_with("\n\n")) out += '\n';
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == '\n') {
      end_line();
    } else if (c == '\r') {
      if (at + 1 >= text.size() || text[at + 1] != '\n') end_line();
    } else if (c == 0x1b && at + 1 < text.size() && text[at + 1] == '[') {
      at += 2;
      while (at < text.size() && !std::isalpha(static_cast<unsigned char>(text[at]))) ++at;
    } else if (c == '\t' || (c >= 32 && c != 127)) {
      if (c == 0xc2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xa0) {  // C1 controls
        ++at;
        continue;
      }
      out += static_cast<char>(c);
    }
  }
  end_line();
  while (!out.empty() && out.back() == '\n') out.pop_back();
  if (!out.empty()) out += '\n';
  return out;
}

}  // namespace gamut
