// A text cut into pieces: what pre-tokenizers work on and models then encode piece by piece.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gamut {

class Pieces {
 public:
  struct Piece {
    size_t begin, end;
  };

  // One piece: the whole text. `at_start`: it begins where the user's text begins. The text must outlive this.
  void reset(std::string_view text, bool at_start) {
    text_ = text;
    at_start_ = at_start;
    byte_level_ = false;
    list_.clear();
    if (!text.empty()) list_.push_back({0, text.size()});
  }

  size_t size() const { return list_.size(); }
  const std::vector<Piece>& list() const { return list_; }
  std::string_view operator[](size_t i) const { return text_.substr(list_[i].begin, list_[i].end - list_[i].begin); }
  bool starts_text(size_t i) const { return at_start_ && list_[i].begin == 0; }

  // Calls cut(piece, keep) for every piece; keep(begin, end) adds that part of the piece, if it is not empty, to the new pieces.
  template <class Cut> void split(Cut&& cut) {
    write_byte_level();
    spare_.clear();
    for (size_t i = 0; i < list_.size(); ++i) {
      const size_t from = list_[i].begin;
      cut((*this)[i], [&](size_t begin, size_t end) {
        if (begin < end) spare_.push_back({from + begin, from + end});
      });
    }
    list_.swap(spare_);
  }

  // Replaces the text of every piece: change(i, out) appends piece i's new text to out.
  template <class Change> void rewrite(Change&& change) {
    std::string out;
    out.reserve(text_.size() + text_.size() / 8 + 16);
    spare_.clear();
    for (size_t i = 0; i < list_.size(); ++i) {
      const size_t begin = out.size();
      change(i, out);
      if (out.size() > begin) spare_.push_back({begin, out.size()});
    }
    storage_ = std::move(out);
    text_ = storage_;
    list_.swap(spare_);
  }

  // From here on the text counts as written in byte-level characters (data/tokenizers/byte_level.h). It is written so only if
  // something splits it further: models take the bytes directly.
  void set_byte_level() {
    write_byte_level();
    byte_level_ = true;
  }
  bool byte_level() const { return byte_level_; }

 private:
  std::string_view text_;
  std::string storage_;  // of text_, once rewritten
  std::vector<Piece> list_, spare_;
  bool at_start_ = false, byte_level_ = false;

  void write_byte_level();
};

}  // namespace gamut
