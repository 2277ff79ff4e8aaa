#include "checkpoints/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <set>

#include "base/error.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostDimensions = 4;
constexpr uint64_t kMostShards = 10'000;

[[noreturn]] void refuse(const std::string& what, const std::string& where, const std::string& hint = "") {
  throw Error({.who = "gguf", .what = what, .where = where, .hint = hint});
}

size_t size_of(GgufType type) {
  constexpr std::array<size_t, 13> kSizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<size_t>(type)];
}

// ggml's numbers of the types that are not packed in blocks.
std::optional<DType> plain_type(uint32_t id) {
  switch (id) {
    case 0: return DType::f32;
    case 1: return DType::f16;
    case 24: return DType::i8;
    case 25: return DType::i16;
    case 26: return DType::i32;
    case 27: return DType::i64;
    case 28: return DType::f64;
    case 30: return DType::bf16;
    default: return std::nullopt;
  }
}

// Reads from front to back; what would lie beyond the end is refused.
class Cursor {
 public:
  Cursor(std::span<const std::byte> file, const std::string& source) : file_(file), source_(source) {}
  uint64_t offset() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }
  std::string about;  // what is being read, for messages: "key 'a'"

  std::span<const std::byte> bytes(uint64_t count) {
    if (count > left()) fail("needs " + std::to_string(count) + " bytes where " + std::to_string(left()) + " are left; the file is truncated or damaged");
    at_ += count;
    return file_.subspan(at_ - count, count);
  }
  template <class T> T take() {
    T value;
    std::memcpy(&value, bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view text() {
    const auto found = bytes(take<uint64_t>());
    return {reinterpret_cast<const char*>(found.data()), found.size()};
  }
  [[noreturn]] void fail(const std::string& what, const std::string& hint = "") const {
    refuse(what, source_ + (about.empty() ? "" : ", " + about) + ", byte " + std::to_string(at_), hint);
  }

 private:
  std::span<const std::byte> file_;
  const std::string& source_;
  uint64_t at_ = 0;
};

GgufType take_type(Cursor& in) {
  const auto type = in.take<uint32_t>();
  if (type > static_cast<uint32_t>(GgufType::f64)) in.fail("value type " + std::to_string(type) + " is not known");
  return static_cast<GgufType>(type);
}

GgufValue take_value(Cursor& in) {
  GgufValue value{.type = take_type(in), .length = {}, .bytes = {}};
  if (value.type == GgufType::array) {
    value.type = take_type(in);
    if (value.type == GgufType::array) in.fail("arrays of arrays are not supported");
    value.length = in.take<uint64_t>();
  }
  value.offset = in.offset();
  const uint64_t count = value.length.value_or(1);
  if (value.type == GgufType::text) {
    if (count > in.left() / sizeof(uint64_t)) in.fail("an array of " + std::to_string(count) + " strings does not fit into the file");
    Cursor walk = in;
    for (uint64_t i = 0; i < count; ++i) walk.text();
    value.bytes = in.bytes(walk.offset() - in.offset());
    return value;
  }
  if (count > in.left() / size_of(value.type)) in.fail("an array of " + std::to_string(count) + " numbers does not fit into the file");
  value.bytes = in.bytes(count * size_of(value.type));
  if (value.type == GgufType::boolean && std::any_of(value.bytes.begin(), value.bytes.end(), [](std::byte b) { return b > std::byte{1}; }))
    in.fail("a boolean is neither 0 nor 1");
  return value;
}

// What the file says of one tensor, before anything is believed.
struct Claim {
  std::string name;
  std::vector<uint64_t> extents;  // innermost first
  uint32_t type = 0;
  uint64_t offset = 0;  // from the begin of the data
  uint64_t entry = 0;   // byte of the file where the entry lies
};

Claim take_claim(Cursor& in) {
  Claim claim{.name = {}, .extents = {}, .type = 0, .offset = 0, .entry = in.offset()};
  claim.name = std::string(in.text());
  in.about = "tensor " + shown(claim.name);
  const auto rank = in.take<uint32_t>();
  if (rank > kMostDimensions) in.fail(std::to_string(rank) + " dimensions; at most 4 are allowed");
  for (uint32_t i = 0; i < rank; ++i) claim.extents.push_back(in.take<uint64_t>());
  claim.type = in.take<uint32_t>();
  claim.offset = in.take<uint64_t>();
  return claim;
}

// Checks one claim against the data section and makes the view it describes.
TensorView believe(const Claim& claim, std::span<const std::byte> data, uint64_t alignment, const std::string& source) {
  const std::string where = source + ", tensor " + shown(claim.name) + ", byte " + std::to_string(claim.entry);
  TensorView view{.name = claim.name, .dtype = DType::f32, .shape = {}, .bytes = {}};
  const std::optional<DType> plain = plain_type(claim.type);
  view.dtype = plain.value_or(DType::f32);
  view.blocks = plain ? nullptr : find_block_format(claim.type);
  if (!plain && !view.blocks) {
    std::string known = "F32, F16, BF16, F64, I8 to I64";
    for (const BlockFormat& format : block_formats()) known += ", " + std::string(format.name);
    refuse("element type " + std::to_string(claim.type) + " is not supported", where, "known: " + known);
  }
  uint64_t elements = 1;
  for (const uint64_t extent : claim.extents)
    if (extent > INT64_MAX || __builtin_mul_overflow(elements, extent, &elements) || elements > INT64_MAX) refuse("its extents are too large", where);
  view.shape.assign(claim.extents.rbegin(), claim.extents.rend());
  uint64_t bytes = elements;
  if (view.blocks) {
    const auto block = static_cast<uint64_t>(view.blocks->elements);
    if (claim.extents.empty() || claim.extents[0] % block != 0)
      refuse("its rows are no multiple of the " + std::to_string(block) + " numbers in a block of " + std::string(view.blocks->name), where);
    bytes /= block;
  }
  if (__builtin_mul_overflow(bytes, view.blocks ? view.blocks->bytes : gamut::size_of(view.dtype), &bytes)) refuse("its extents are too large", where);
  if (claim.offset % alignment != 0) refuse("its data begin at " + std::to_string(claim.offset) + ", which is no multiple of " + std::to_string(alignment), where);
  if (claim.offset > data.size() || bytes > data.size() - claim.offset)
    refuse(fmt::format("the file is truncated: its {} bytes begin at {} of the data section, which has {}", bytes, claim.offset, data.size()), where, "download or copy the file again");
  view.bytes = data.subspan(claim.offset, bytes);
  return view;
}

template <class T> T element(const GgufValue& value, uint64_t index) {
  T out;
  std::memcpy(&out, value.bytes.data() + index * sizeof(T), sizeof(T));
  return out;
}

// Calls use(x) with the element's value as a C++ number.
template <class Use> auto with_number(const GgufValue& value, uint64_t index, Use use) -> decltype(use(0.0)) {
  switch (value.type) {
    case GgufType::u8: return use(element<uint8_t>(value, index));
    case GgufType::i8: return use(element<int8_t>(value, index));
    case GgufType::u16: return use(element<uint16_t>(value, index));
    case GgufType::i16: return use(element<int16_t>(value, index));
    case GgufType::u32: return use(element<uint32_t>(value, index));
    case GgufType::i32: return use(element<int32_t>(value, index));
    case GgufType::u64: return use(element<uint64_t>(value, index));
    case GgufType::i64: return use(element<int64_t>(value, index));
    case GgufType::f64: return use(element<double>(value, index));
    default: return use(element<float>(value, index));
  }
}

bool is_integer(GgufType type) { return type <= GgufType::i32 || type == GgufType::u64 || type == GgufType::i64; }
bool is_number(GgufType type) { return is_integer(type) || type == GgufType::f32 || type == GgufType::f64; }

// The number of fewest digits that rounds to this float: 1e-5 and not 9.99999974738e-06.
double shortest(float x) {
  std::array<char, 32> digits;
  double out = x;
  std::from_chars(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), x).ptr, out);
  return out;
}

std::vector<std::string_view> texts_of(const GgufValue& value) {
  std::vector<std::string_view> out;
  out.reserve(value.length.value_or(1));
  const std::string no_source;
  Cursor in(value.bytes, no_source);
  for (uint64_t i = 0; i < value.length.value_or(1); ++i) out.push_back(in.text());
  return out;
}

}  // namespace

const GgufValue& GgufMetadata::at(const std::string& key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) refuse("the key " + shown(key) + " is missing", source_);
  return found->second;
}

void GgufMetadata::reject(const std::string& key, const std::string& what, const std::string& hint) const {
  refuse(shown(key) + " " + what, source_ + (has(key) ? ", byte " + std::to_string(at(key).offset) : ""), hint);
}

int64_t GgufMetadata::integer(const std::string& key) const {
  const GgufValue& value = at(key);
  if (value.length || !is_integer(value.type)) reject(key, "is not a whole number");
  if (value.type == GgufType::u64 && element<uint64_t>(value, 0) > INT64_MAX) reject(key, "is too large");
  return with_number(value, 0, [](auto x) { return static_cast<int64_t>(x); });
}

bool GgufMetadata::flag(const std::string& key, bool fallback) const {
  if (!has(key)) return fallback;
  const GgufValue& value = at(key);
  if (value.length || value.type != GgufType::boolean) reject(key, "is not a boolean");
  return value.bytes[0] == std::byte{1};
}

std::string_view GgufMetadata::text(const std::string& key) const {
  const GgufValue& value = at(key);
  if (value.length || value.type != GgufType::text) reject(key, "is not a string");
  return texts_of(value)[0];
}

std::vector<std::string_view> GgufMetadata::texts(const std::string& key) const {
  const GgufValue& value = at(key);
  if (!value.length || value.type != GgufType::text) reject(key, "is not an array of strings");
  return texts_of(value);
}

std::vector<double> GgufMetadata::numbers(const std::string& key) const {
  const GgufValue& value = at(key);
  if (!value.length || !is_number(value.type)) reject(key, "is not an array of numbers");
  std::vector<double> out(*value.length);
  for (uint64_t i = 0; i < out.size(); ++i) out[i] = with_number(value, i, [](auto x) { return static_cast<double>(x); });
  return out;
}

Json GgufMetadata::json(const std::string& key) const {
  const GgufValue& value = at(key);
  const auto one = [&](uint64_t i) {
    if (value.type == GgufType::boolean) return Json(value.bytes[i] == std::byte{1});
    if (value.type == GgufType::f32) return Json(shortest(element<float>(value, i)));
    return with_number(value, i, [](auto x) { return Json(x); });
  };
  Json out = Json::array();
  if (value.type == GgufType::text) {
    for (const std::string_view text : texts_of(value)) out.push_back(text);
  } else {
    for (uint64_t i = 0; i < value.length.value_or(1); ++i) out.push_back(one(i));
  }
  return value.length ? out : out[0];
}

GgufContent parse_gguf(std::span<const std::byte> file, const std::string& source) {
  Cursor in(file, source);
  if (file.size() < 24 || std::memcmp(in.bytes(4).data(), "GGUF", 4) != 0) refuse("this is not a GGUF file", source + ", byte 0");
  const auto version = in.take<uint32_t>();
  if (version != 2 && version != 3)
    in.fail("version " + std::to_string(version) + " is not supported; expected 2 or 3", version == 0x2000000 || version == 0x3000000 ? "the file is big-endian" : "");
  const auto tensors = in.take<uint64_t>(), keys = in.take<uint64_t>();

  GgufContent content{.metadata = GgufMetadata(source), .tensors = {}};
  for (uint64_t i = 0; i < keys; ++i) {
    in.about = "metadata entry " + std::to_string(i + 1) + " of " + std::to_string(keys);
    const std::string key(in.text());
    in.about = "key " + shown(key);
    const GgufValue value = take_value(in);
    if (!content.metadata.insert(key, value)) in.fail("the key occurs twice");
  }
  const int64_t alignment = content.metadata.integer("general.alignment", 32);
  if (alignment < 1 || alignment > 1 << 20 || (alignment & (alignment - 1)) != 0) content.metadata.reject("general.alignment", "must be a power of two up to 1048576, not " + std::to_string(alignment));

  std::vector<Claim> claims;
  std::set<std::string> names;
  for (uint64_t i = 0; i < tensors; ++i) {
    in.about = "tensor " + std::to_string(i + 1) + " of " + std::to_string(tensors);
    claims.push_back(take_claim(in));
    if (!names.insert(claims.back().name).second) in.fail("the name occurs twice");
  }
  const auto step = static_cast<uint64_t>(alignment);
  const uint64_t begin = (in.offset() + step - 1) / step * step;
  const std::span<const std::byte> data = file.subspan(std::min<uint64_t>(begin, file.size()));
  for (const Claim& claim : claims) content.tensors.push_back(believe(claim, data, step, source));

  std::stable_sort(content.tensors.begin(), content.tensors.end(), [](const TensorView& a, const TensorView& b) {
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  uint64_t used = 0;  // of the data, with padding
  for (const TensorView& view : content.tensors) {
    const auto at = static_cast<uint64_t>(view.bytes.data() - data.data());
    const uint64_t expected = (used + step - 1) / step * step;
    if (at != expected && !view.bytes.empty())
      refuse(at > expected ? "there is a hole before its data" : "its data overlap another tensor's", source + ", tensor " + shown(view.name) + ", byte " + std::to_string(begin + at));
    used = std::max(used, at + view.bytes.size());
  }
  if (data.size() - used >= step) refuse(std::to_string(data.size() - used) + " bytes follow the last tensor", source + ", byte " + std::to_string(begin + used));
  return content;
}

bool is_gguf(const fs::path& path) { return path.extension() == ".gguf" && !fs::is_directory(path); }

GgufReader::GgufReader(const fs::path& file) : TensorFile(file) {
  GgufContent content = parse_gguf(map(file), file.string());
  metadata_ = std::move(content.metadata);
  add(std::move(content.tensors));
  const int64_t count = metadata_.integer("split.count", 1);
  if (count <= 1) return;
  const std::string name = file.filename().string(), end = fmt::format("-00001-of-{:05}.gguf", count);
  if (metadata_.integer("split.no", 0) != 0 || count > static_cast<int64_t>(kMostShards) || !name.ends_with(end))
    refuse(fmt::format("shard {} of {}: a model of several files is opened by its first, whose name ends in {}", metadata_.integer("split.no", 0) + 1, count, end), file.string());
  for (int64_t i = 2; i <= count; ++i) {
    const fs::path shard = file.parent_path() / (name.substr(0, name.size() - end.size()) + fmt::format("-{:05}-of-{:05}.gguf", i, count));
    GgufContent more = parse_gguf(map(shard), shard.string());
    if (more.metadata.integer("split.no", -1) != i - 1) more.metadata.reject("split.no", "should be " + std::to_string(i - 1));
    for (const TensorView& view : more.tensors)
      if (find(view.name)) refuse("a shard before it holds the tensor too", shard.string() + ", tensor " + shown(view.name));
    add(std::move(more.tensors));
  }
  if (const auto all = metadata_.integer("split.tensors.count", static_cast<int64_t>(tensors().size())); all != static_cast<int64_t>(tensors().size()))
    metadata_.reject("split.tensors.count", fmt::format("says {}, the shards hold {}", all, tensors().size()));
}

}  // namespace gamut
