#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizers/pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "data/tokenizers/unicode.h"
#include "data/tokenizers/unicode_tables.h"

namespace gamut {
namespace {

constexpr const char* kSpaces = "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr const char* kNotSpaces =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";

[[noreturn]] void refuse(const std::string& reason) { throw Error({.who = "tokenizer", .what = reason}); }

// Ranges of code points newer than PCRE2's Unicode that belong to a category such as L or Lu.
std::string newer_ranges(std::string_view category) {
  std::string out;
  for (const NewerRange& range : kNewer)
    if (std::string_view(range.category).starts_with(category)) out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", range.first, range.last);
  return out;
}

// Rewrites an expression piece by piece.
class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (in_[at_] == '[') {
        set();
      } else if (in_[at_] == '\\') {
        bool negated = false;
        const std::string members = escape(false, negated);
        out_ += members.empty() ? "" : negated ? "[^" + members + "]" : members.front() == '=' ? members.substr(1) : "[" + members + "]";
      } else {
        out_ += in_[at_++];
      }
    }
    return out_;
  }

 private:
  std::string_view in_;
  size_t at_ = 0;
  std::string out_;

  char take() {
    if (at_ >= in_.size()) refuse("it ends too early");
    return in_[at_++];
  }

  // One escape: the members of the set it stands for, or "=" and text to copy.
  std::string escape(bool in_set, bool& negated) {
    take();  // the backslash
    const char kind = take();
    negated = false;
    switch (kind) {
      case 's': return kSpaces;
      case 'S': return kNotSpaces;
      case 'd': return "\\p{Nd}" + newer_ranges("Nd");
      case 'w': return word();
      case 'D': case 'W':
        if (in_set) refuse(fmt::format("\\{} within a set is not supported", kind));
        negated = true;
        return kind == 'D' ? "\\p{Nd}" + newer_ranges("Nd") : word();
      case 'h': return "0-9A-Fa-f";
      case 'p': case 'P': return property(kind == 'P', in_set, negated);
      case 'u': {
        if (at_ + 4 > in_.size()) refuse("\\u needs four digits");
        at_ += 4;
        return "=\\x{" + std::string(in_.substr(at_ - 4, 4)) + "}";
      }
      default: {
        std::string copy = {'=', '\\', kind};
        if (kind == 'x' && at_ < in_.size() && in_[at_] == '{') {
          const size_t end = in_.find('}', at_);
          if (end == std::string_view::npos) refuse("\\x{ is not closed");
          copy += in_.substr(at_, end + 1 - at_);
          at_ = end + 1;
        }
        return copy;
      }
    }
  }

  static std::string word() {
    return "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}" + newer_ranges("L") + newer_ranges("M") +
           newer_ranges("Nd");
  }

  std::string property(bool capital, bool in_set, bool& negated) {
    std::string name(1, take());
    if (name == "{") {
      name.clear();
      for (char c = take(); c != '}'; c = take()) name += c;
    }
    bool inverse = capital;
    if (name.starts_with('^')) {
      inverse = !inverse;
      name.erase(0, 1);
    }
    if (inverse && in_set) return "\\P{" + name + "}";
    negated = inverse;
    return "\\p{" + name + "}" + (name.size() <= 2 ? newer_ranges(name) : "");
  }

  void set() {
    out_ += take();
    if (at_ < in_.size() && in_[at_] == '^') out_ += take();
    members(true);
    out_ += ']';
  }

  // Up to and with the closing bracket, which is not copied.
  void members(bool first) {
    for (;; first = false) {
      const char c = take();
      if (c == ']' && !first) return;
      if (c == '&' && at_ < in_.size() && in_[at_] == '&') refuse("intersection of sets (&&) is not supported");
      if (c == '[') {
        if (at_ < in_.size() && in_[at_] == ':') {
          const size_t end = in_.find(":]", at_);
          if (end == std::string_view::npos) refuse("[: is not closed");
          out_ += "[" + std::string(in_.substr(at_, end + 2 - at_));
          at_ = end + 2;
        } else {
          if (at_ < in_.size() && in_[at_] == '^') refuse("an inverted set within a set is not supported");
          members(true);
        }
        continue;
      }
      if (c == '\\') {
        --at_;
        bool negated = false;
        const std::string inner = escape(true, negated);
        out_ += inner.front() == '=' ? inner.substr(1) : inner;
        continue;
      }
      out_ += c;
    }
  }
};

// Where the run of well-formed UTF-8 that starts at `from` ends.
size_t valid_end(std::string_view text, size_t from) {
  while (from < text.size()) {
    if (static_cast<unsigned char>(text[from]) < 0x80) {
      ++from;
      continue;
    }
    const Character c = character_at(text, from);
    if (c.code == Character::broken) break;
    from += c.bytes;
  }
  return from;
}

}  // namespace

std::string pcre2_expression(std::string_view oniguruma) { return Translator(oniguruma).run(); }

struct Pattern::Compiled {
  pcre2_code* code = nullptr;
  ~Compiled() { pcre2_code_free(code); }
};

namespace {

// Work space of a thread.
struct Matcher {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, 64 * 1024 * 1024, nullptr);
  Matcher() {
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_match_limit(context, 1'000'000'000);
  }
  ~Matcher() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

}  // namespace

Pattern Pattern::regex(const std::string& expression) {
  const std::string ours = pcre2_expression(expression);
  auto compiled = std::make_shared<Compiled>();
  int error = 0;
  size_t offset = 0;
  // ^ and $ are ends of lines to Oniguruma.
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(ours.data()), ours.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (!compiled->code) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof(text));
    refuse(reinterpret_cast<const char*>(text));
  }
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);  // without it matching is slower, not wrong
  Pattern out;
  out.compiled_ = std::move(compiled);
  return out;
}

Pattern Pattern::literal(std::string text) {
  Pattern out;
  out.literal_ = std::move(text);
  return out;
}

Pattern Pattern::take(Config& cfg, const std::string& key) {
  const Json value = cfg.take_json(key);
  if (!value.is_object() || value.size() != 1 || !value.begin().value().is_string()) cfg.reject(key, "must be {\"String\": …} or {\"Regex\": …}");
  const std::string kind = value.begin().key(), text = value.begin().value().get<std::string>();
  if (kind == "String") return literal(text);
  if (kind != "Regex") cfg.reject(key, "must be {\"String\": …} or {\"Regex\": …}, not '" + kind + "'");
  try {
    return regex(text);
  } catch (const Error& error) {
    cfg.reject(key, "regular expression '" + text + "': " + error.problem().what);
  }
}

size_t Pattern::next_character(std::string_view text, size_t at) { return at + character_at(text, at).bytes; }

size_t Pattern::searchable_end(std::string_view text, size_t begin) const { return compiled_ ? valid_end(text, begin) : text.size(); }

bool Pattern::find(std::string_view text, size_t from, Match& match) const {
  if (!compiled_) {
    const size_t at = literal_.empty() ? std::string_view::npos : text.find(literal_, from);
    match = {at, at + literal_.size()};
    return at != std::string_view::npos;
  }
  thread_local Matcher matcher;
  const int found = pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, PCRE2_NO_UTF_CHECK, matcher.data, matcher.context);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(found, message, sizeof(message));
    throw Error({.who = "tokenizer", .what = std::string("a regular expression gave up: ") + reinterpret_cast<const char*>(message), .hint = "is there a very long text without a break?"});
  }
  const size_t* ends = pcre2_get_ovector_pointer(matcher.data);
  match = {ends[0], ends[1]};
  return true;
}

std::string Pattern::replace_all(std::string_view text, std::string_view content) const {
  std::string out;
  cut(text, [&](size_t begin, size_t end, bool matched) { out += matched ? content : text.substr(begin, end - begin); });
  return out;
}

}  // namespace gamut
