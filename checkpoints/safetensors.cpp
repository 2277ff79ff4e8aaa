#include "checkpoints/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace gamut {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian and are mapped as they are");

constexpr uint64_t kLargestHeader = 100'000'000;
constexpr uint64_t kDataAlignment = 64;
constexpr size_t kMostDimensions = 64;

struct FileType {
  std::string_view name;
  DType type;
};
constexpr std::array kFileTypes{
    FileType{"F64", DType::f64}, FileType{"F32", DType::f32}, FileType{"F16", DType::f16}, FileType{"BF16", DType::bf16},
    FileType{"I64", DType::i64}, FileType{"I32", DType::i32}, FileType{"I16", DType::i16}, FileType{"I8", DType::i8},
    FileType{"U64", DType::u64}, FileType{"U32", DType::u32}, FileType{"U16", DType::u16}, FileType{"U8", DType::u8},
    FileType{"BOOL", DType::boolean}};

std::string_view file_name_of(DType type) {
  return std::find_if(kFileTypes.begin(), kFileTypes.end(), [&](const FileType& t) { return t.type == type; })->name;
}

[[noreturn]] void refuse(const std::string& what, const std::string& where, const std::string& hint = "") {
  throw Error({.who = "safetensors", .what = what, .where = where, .hint = hint});
}

// Elements of a shape times bytes of one; nothing if that exceeds 64 bits.
std::optional<uint64_t> bytes_of(std::span<const int64_t> shape, DType type) {
  uint64_t bytes = size_of(type);
  for (const int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) return std::nullopt;
  return bytes;
}

// What the header says of one tensor, in its own words, before anything is believed.
struct Claim {
  std::string name;
  size_t byte = 0;  // of the file, where the entry follows
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape, offsets;
};

// Walks over the header and leaves its place where messages can find it.
struct Walker {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* at;
  const char** reached;
  const char& operator*() const { return *at; }
  Walker& operator++() {
    *reached = ++at;
    return *this;
  }
  bool operator==(const Walker& other) const { return at == other.at; }
};

// Follows the header event by event: linear in its length at any nesting, and duplicate keys are seen.
class HeaderReader : public Json::json_sax_t {
 public:
  HeaderReader(std::string_view header, std::string source) : source_(std::move(source)), begin_(header.data()), reached_(header.data()) {}
  Walker walker(const char* at) { return {at, &reached_}; }
  size_t byte() const { return 8 + static_cast<size_t>(reached_ - begin_); }
  std::vector<Claim> claims;
  std::map<std::string, std::string> metadata;

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { unexpected("a fraction"); }
  bool binary(binary_t&) override { unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (!list_) unexpected("a number");
    if (list_->size() == kMostDimensions) fail("a list of more than " + std::to_string(kMostDimensions) + " numbers");
    list_->push_back(value);
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ == 2 && !list_ && in_metadata_) {
      metadata[key_] = value;
    } else if (depth_ == 2 && !list_ && key_ == "dtype") {
      claims.back().dtype = value;
    } else {
      unexpected("a string");
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 2 || list_) unexpected("a nested object");
    ++depth_;
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool key(string_t& value) override {
    if (depth_ == 1) {
      if (!names_.insert(value).second) fail("the name " + shown(value) + " occurs twice");
      in_metadata_ = value == "__metadata__";
      if (!in_metadata_) claims.push_back({.name = value, .byte = byte(), .dtype = {}, .shape = {}, .offsets = {}});
    } else if (in_metadata_) {
      if (metadata.contains(value)) fail("the metadata key " + shown(value) + " occurs twice");
    } else {
      const Claim& claim = claims.back();
      if (value != "dtype" && value != "shape" && value != "data_offsets") fail("unknown key " + shown(value));
      if (value == "dtype" ? claim.dtype.has_value() : value == "shape" ? claim.shape.has_value() : claim.offsets.has_value())
        fail("the key '" + value + "' occurs twice");
    }
    key_ = value;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || list_ || in_metadata_ || key_ == "dtype") unexpected("a list");
    list_ = &(key_ == "shape" ? claims.back().shape : claims.back().offsets).emplace();
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse("the header is not valid JSON", source_ + ", byte " + std::to_string(8 + (position ? position - 1 : 0)));
  }

 private:
  std::string source_, key_;
  const char *begin_, *reached_;
  std::set<std::string> names_;
  std::vector<uint64_t>* list_ = nullptr;
  int depth_ = 0;
  bool in_metadata_ = false;

  [[noreturn]] void fail(const std::string& what) const {
    std::string where = source_;
    if (in_metadata_ && depth_ == 2) {
      where += ", __metadata__";
    } else if (!claims.empty()) {
      where += ", tensor " + shown(claims.back().name);
    }
    refuse("the header is malformed: " + what, where + ", byte " + std::to_string(byte()));
  }
  [[noreturn]] void unexpected(const std::string& found) const {
    if (depth_ == 0) fail("it must be an object, not " + found);
    if (depth_ == 1) fail("a tensor's entry is " + found);
    fail("'" + key_ + "' holds " + found);
  }
};

// Checks one claim against the size of the data section and makes the view it describes.
TensorView believe(const Claim& claim, std::span<const std::byte> data, const std::string& source) {
  const std::string where = source + ", tensor " + shown(claim.name) + ", byte " + std::to_string(claim.byte);
  if (!claim.dtype || !claim.shape || !claim.offsets)
    refuse(std::string("the header lacks its ") + (!claim.dtype ? "dtype" : !claim.shape ? "shape" : "data_offsets"), where);
  TensorView view{.name = claim.name, .dtype = {}, .shape = {}, .bytes = {}};
  const auto type = std::find_if(kFileTypes.begin(), kFileTypes.end(), [&](const FileType& t) { return t.name == *claim.dtype; });
  if (type == kFileTypes.end()) {
    std::vector<std::string> known;
    for (const FileType& t : kFileTypes) known.emplace_back(t.name);
    refuse("element type " + shown(*claim.dtype) + " is not supported", where, did_you_mean(*claim.dtype, known));
  }
  view.dtype = type->type;
  for (const uint64_t extent : *claim.shape) {
    if (extent > INT64_MAX) refuse("an extent of " + std::to_string(extent) + " is too large", where);
    view.shape.push_back(static_cast<int64_t>(extent));
  }
  if (claim.offsets->size() != 2) refuse("data_offsets must be two numbers, not " + std::to_string(claim.offsets->size()), where);
  const uint64_t begin = (*claim.offsets)[0], end = (*claim.offsets)[1];
  if (begin > end) refuse("its data end at byte " + std::to_string(end) + " before they begin at " + std::to_string(begin), where);
  if (end > data.size())
    refuse("the file is truncated: its data end at byte " + std::to_string(end) + " of the data section, which has " +
               std::to_string(data.size()),
           where, "download or copy the file again");
  const std::optional<uint64_t> bytes = bytes_of(view.shape, view.dtype);
  if (!bytes || *bytes != end - begin)
    refuse("its shape takes " + (bytes ? std::to_string(*bytes) : std::string("more than 2^64")) + " bytes, its place has " +
               std::to_string(end - begin),
           where);
  view.bytes = data.subspan(begin, end - begin);
  return view;
}

}  // namespace

SafetensorsContent parse_safetensors(std::span<const std::byte> file, const std::string& source) {
  if (file.size() < 8) refuse("the file has " + std::to_string(file.size()) + " bytes, not even a header length", source);
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > kLargestHeader)
    refuse("the header claims " + std::to_string(length) + " bytes; at most 100000000 are allowed", source, "is this a safetensors file?");
  if (length > file.size() - 8)
    refuse("the file is truncated: its header needs " + std::to_string(length) + " bytes, " + std::to_string(file.size() - 8) + " follow",
           source, "download or copy the file again");
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + 8, length);
  if (header.empty() || header.front() != '{') refuse("the header does not begin with '{'", source + ", byte 8", "is this a safetensors file?");

  HeaderReader reader(header, source);
  try {
    Json::sax_parse(reader.walker(header.data()), reader.walker(header.data() + header.size()), &reader);
  } catch (const Json::exception& error) {  // a number beyond 64 bits
    refuse(std::string("the header is malformed: ") + error.what(), source + ", byte " + std::to_string(reader.byte()));
  }

  const std::span<const std::byte> data = file.subspan(8 + length);
  SafetensorsContent content{.tensors = {}, .metadata = std::move(reader.metadata)};
  content.tensors.reserve(reader.claims.size());
  for (const Claim& claim : reader.claims) content.tensors.push_back(believe(claim, data, source));
  std::stable_sort(content.tensors.begin(), content.tensors.end(), [](const TensorView& a, const TensorView& b) {
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  const std::byte* expected = data.data();
  for (const TensorView& view : content.tensors) {
    if (view.bytes.data() != expected)
      refuse(std::string(view.bytes.data() > expected ? "there is a hole before its data" : "its data overlap another tensor's") +
                 ", which begin at byte " + std::to_string(view.bytes.data() - data.data()) + " instead of " +
                 std::to_string(expected - data.data()),
             source + ", tensor " + shown(view.name) + ", byte " + std::to_string(view.bytes.data() - file.data()));
    expected += view.bytes.size();
  }
  const auto used = static_cast<uint64_t>(expected - data.data());
  if (used != data.size())
    refuse(std::to_string(data.size() - used) + " bytes follow the last tensor", source + ", byte " + std::to_string(8 + length + used));
  return content;
}

SafetensorsReader::SafetensorsReader(const fs::path& file_or_folder) : TensorFile(file_or_folder) {
  std::error_code ignored;
  if (!fs::is_directory(path(), ignored)) {
    add_file(path());
  } else if (fs::exists(path() / "model.safetensors", ignored)) {
    add_file(path() / "model.safetensors");
  } else if (fs::exists(path() / "model.safetensors.index.json", ignored)) {
    add_shards(path() / "model.safetensors.index.json");
  } else {
    refuse("the folder holds neither model.safetensors nor model.safetensors.index.json", path().string());
  }
}

void SafetensorsReader::add_file(const fs::path& file) {
  SafetensorsContent content = parse_safetensors(map(file), file.string());
  if (metadata_.empty()) metadata_ = std::move(content.metadata);
  add(std::move(content.tensors));
}

void SafetensorsReader::add_shards(const fs::path& index) {
  // Sorted maps: an index of a large model has a hundred thousand names, and ordered_json looks each up from the front.
  std::map<std::string, std::set<std::string>> names_of;  // by shard
  try {
    const nlohmann::json document = nlohmann::json::parse(read_file(index));
    const auto& map = document.at("weight_map").get_ref<const nlohmann::json::object_t&>();
    for (const auto& [name, shard] : map) names_of[shard.get<std::string>()].insert(name);
  } catch (const nlohmann::json::exception& error) {
    refuse(std::string("not a valid index: ") + error.what(), index.string());
  }
  for (auto& [shard, names] : names_of) {
    if (shard.empty() || shard == "." || shard == ".." || shard.find('/') != std::string::npos || shard.find('\0') != std::string::npos)
      refuse("the index names the shard " + shown(shard) + ", which is not a file of the same folder", index.string());
    const size_t before = tensors().size();
    add_file(index.parent_path() / shard);
    std::vector<std::string> surplus;
    for (size_t i = before; i < tensors().size(); ++i)
      if (names.erase(tensors()[i].name) == 0) surplus.push_back(tensors()[i].name);
    const std::vector<std::string> missing(names.begin(), names.end());
    if (!missing.empty() || !surplus.empty())
      refuse("the shard does not hold what the index says" + (missing.empty() ? "" : "; missing: " + join(missing, ", ")) +
                 (surplus.empty() ? "" : "; not in the index for it: " + join(surplus, ", ")),
             (index.parent_path() / shard).string());
  }
}

WrittenFile write_safetensors(const fs::path& path, std::span<const TensorView> tensors, const std::map<std::string, std::string>& metadata) {
  return write_safetensors(path, tensors, metadata, [](const TensorView& view) { return view.bytes; });
}

WrittenFile write_safetensors(const fs::path& path, std::span<const TensorView> tensors, const std::map<std::string, std::string>& metadata,
                              const std::function<std::span<const std::byte>(const TensorView&)>& bytes) {
  std::vector<const TensorView*> order;
  for (const TensorView& view : tensors) order.push_back(&view);
  std::stable_sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) { return size_of(a->dtype) > size_of(b->dtype); });

  std::string header = "{";
  const auto append = [&](const std::string& key, const Json& value) {
    header += (header.size() > 1 ? "," : "") + Json(key).dump() + ":" + value.dump();
  };
  if (!metadata.empty()) append("__metadata__", metadata);
  std::set<std::string_view> names{"__metadata__"};
  uint64_t offset = 0;
  const auto where = [&](const TensorView& view) { return path.string() + ", tensor " + shown(view.name); };
  for (const TensorView* view : order) {
    if (!names.insert(view->name).second) refuse("the name occurs twice or is reserved", where(*view));
    const std::optional<uint64_t> size = bytes_of(view->shape, view->dtype);
    if (!size) refuse("its shape is no shape of a file", where(*view));
    const uint64_t end = offset + *size;
    append(view->name, {{"dtype", file_name_of(view->dtype)}, {"shape", view->shape}, {"data_offsets", {offset, end}}});
    offset = end;
  }
  header += "}";
  header.append((kDataAlignment - (8 + header.size()) % kDataAlignment) % kDataAlignment, ' ');
  if (header.size() > kLargestHeader) refuse("the header would exceed 100000000 bytes", path.string());

  FileWriter file(path);
  StreamHash hash;
  const auto put = [&](const void* data, size_t size) {
    file.write(data, size);
    hash.update(data, size);
  };
  const uint64_t length = header.size();
  put(&length, sizeof length);
  put(header.data(), header.size());
  for (const TensorView* view : order) {
    const std::span<const std::byte> data = bytes(*view);
    if (bytes_of(view->shape, view->dtype) != data.size()) refuse("its shape does not match its " + std::to_string(data.size()) + " bytes", where(*view));
    put(data.data(), data.size());
  }
  file.commit();
  return {.bytes = file.written(), .xxh3_128 = hash.hex()};
}

}  // namespace gamut
