/* log_terminal.h: private to base/: how the log and the progress display share a terminal. */
#ifndef PB_BASE_LOG_TERMINAL_H
#define PB_BASE_LOG_TERMINAL_H

#include <stdbool.h>

/* Goes to the start of the terminal's line and erases it (ECMA-48: EL). */
#define PB_TERMINAL_ERASE "\r\033[K"

/* Tells the log that a progress line without a newline stands on the terminal; the next log line then erases it, else it would
 * continue it. Thread safe. */
void pb_log_progress_shown(bool shown);

#endif
