// Plain text out of marked-up text. All accept any input and never fail.
#pragma once

#include <string>
#include <string_view>

namespace gamut {

// HTML: tags and comments go, blocks become lines, entities become characters; script, style, head, and lists and boxes of
// links for moving about (nav; class docnav, navheader, navfooter, toc) are left out. White space is kept inside pre.
std::string text_of_html(std::string_view html);

// Markdown: headings, emphasis, links, images, rules and tables lose their signs; code keeps its text.
std::string text_of_markdown(std::string_view markdown);

// Manual pages in roff (man and mdoc macros): requests and font changes go, headings and text stay.
std::string text_of_roff(std::string_view roff);

// No control characters but tab and newline (terminal colours go as a whole), no white space at line ends, at most one empty
// line in a row, none at the start and end. CRLF and CR become newline.
std::string tidy(std::string_view text);

}  // namespace gamut
