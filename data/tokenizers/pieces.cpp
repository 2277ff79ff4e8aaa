#include "data/tokenizers/pieces.h"

#include "data/tokenizers/byte_level.h"

namespace gamut {

void Pieces::write_byte_level() {
  if (!std::exchange(byte_level_, false)) return;
  rewrite([this](size_t i, std::string& out) { out += text_of_bytes((*this)[i]); });
}

}  // namespace gamut
