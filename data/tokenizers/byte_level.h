// Byte-level text: GPT-2's split into pieces, and its way of writing any byte as a printable character.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gamut {

// Where the piece starting at text[begin] ends, by the pattern of GPT-2 ("Language Models are Unsupervised Multitask Learners",
// 2019), leftmost alternative first:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// A byte that is not UTF-8 counts as a character that is neither letter, number nor space. begin < text.size().
size_t gpt2_piece_end(std::string_view text, size_t begin);

// Bytes 21–7E, A1–AC, AE–FF stand for themselves as code points, the other 68 in order for U+0100, U+0101, …
uint32_t code_of_byte(uint8_t byte);
int byte_of_code(uint32_t code);  // −1: stands for no byte

std::string text_of_bytes(std::string_view bytes);  // " a" → "Ġa"
void append_text_of_bytes(std::string_view bytes, std::string& out);
std::string bytes_of_text(std::string_view text);   // the way back; a text with a character that stands for no byte is left as it is

}  // namespace gamut
