// SIGINT and SIGTERM as a flag that long work looks at between steps.
#pragma once

namespace gamut {

void install_interrupt_handlers();  // once, from main; a second Ctrl-C ends the process at once
int interrupted();                  // 0, SIGINT or SIGTERM
void request_interrupt(int signal);  // as if the signal had come; for tests
void clear_interrupt();

}  // namespace gamut
