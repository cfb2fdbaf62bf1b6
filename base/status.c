/* status.c: statuses by value (decision 0002). Name, advice and severity of a code come from the one list PB_CODES: a switch
 * without a default, so that the compiler finds a code that is missing. */
#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pb_status pb_ok(void) { return (pb_status){.code = PB_OK, .rank = -1}; }

/* Room and file ("io/archive.c") are enough to find the line; the build folder is nobody's business. */
static const char *source_tail(const char *file) {
    const char *slash = strrchr(file, '/');
    if (!slash)
        return file;
    while (slash > file && slash[-1] != '/')
        slash--;
    return slash;
}

/* The common part of all failures, with the rank not yet known. */
static pb_status make(pb_code code, const char *file, int line) {
    PB_ASSERT(code != PB_OK);
    pb_status status = {.code = code, .line = line, .rank = -1};
    snprintf(status.file, sizeof status.file, "%s", source_tail(file));
    return status;
}

/* File names may hold any byte but '/' and 0; a newline in one must not make two lines of a message. */
static void keep_one_line(char *message) {
    for (; *message; message++)
        if ((unsigned char)*message < 0x20 || *message == 0x7f)
            *message = '?';
}

/* Kept to one line after formatting, since what was formatted in may hold any byte. */
pb_status pb_fail_at(pb_code code, const char *file, int line, const char *format, ...) {
    pb_status status = make(code, file, line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(status.message, sizeof status.message, format, arguments);
    va_end(arguments);
    keep_one_line(status.message);
    return status;
}

/* Who has to act: the user, for what a path says, or the machine. In doubt the machine: retrying does no harm. */
static pb_code code_of_errno(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case ENAMETOOLONG:
        return PB_E_INPUT;
    default:
        return PB_E_SYSTEM;
    }
}

pb_status pb_fail_errno_at(int error, const char *file, int line, const char *path, const char *what) {
    return pb_fail_at(code_of_errno(error), file, line, "%s: %s: %s", path, what, strerror(error));
}

void pb_keep_first(pb_status *kept, pb_status next) {
    if (kept->code == PB_OK)
        *kept = next;
}

/* The prefix may be as long as a path; it is the rest of the message that is cut then. */
pb_status pb_prefix(pb_status status, const char *prefix) {
    if (status.code == PB_OK)
        return status;
    pb_status prefixed = status;
    int written = snprintf(prefixed.message, sizeof prefixed.message, "%s: ", prefix);
    if (written > 0 && (size_t)written < sizeof prefixed.message)
        snprintf(prefixed.message + written, sizeof prefixed.message - (size_t)written, "%.*s",
                 (int)(sizeof prefixed.message - (size_t)written - 1), status.message);
    keep_one_line(prefixed.message);
    return prefixed;
}

/* Expanded from the list. Codes that come as numbers from elsewhere (a file, another process) may be none of it. */
const char *pb_code_name(pb_code code) {
    switch (code) {
#define PB_CODE_NAME(name, exit_code, severity, meaning, advice) \
    case name:                                                   \
        return #name;
        PB_CODES(PB_CODE_NAME)
#undef PB_CODE_NAME
    }
    return "unknown code";
}

const char *pb_code_advice(pb_code code) {
    switch (code) {
#define PB_CODE_ADVICE(name, exit_code, severity, meaning, advice) \
    case name:                                                     \
        return advice;
        PB_CODES(PB_CODE_ADVICE)
#undef PB_CODE_ADVICE
    }
    return "unknown code";
}

/* By a search, since codes are exit codes and no places in an array. */
int pb_code_severity(pb_code code) {
    static const struct {
        pb_code code;
        int severity;
    } ROWS[] = {
#define PB_CODE_SEVERITY(name, exit_code, severity, meaning, advice) {name, severity},
        PB_CODES(PB_CODE_SEVERITY)
#undef PB_CODE_SEVERITY
    };
    size_t row = 0;
    while (row < sizeof ROWS / sizeof ROWS[0] && ROWS[row].code != code)
        row++;
    PB_ASSERT(row < sizeof ROWS / sizeof ROWS[0]);
    return ROWS[row].severity;
}

/* Straight to standard error, not by the log: its state may be what is wrong. abort() makes Open MPI end all ranks. */
_Noreturn void pb_assert_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "patchbank: defect: %s:%d: assertion failed: %s\n", source_tail(file), line, condition);
    abort();
}
