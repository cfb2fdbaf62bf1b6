#include "base/log.h"

#include "base/log_terminal.h"
#include "capture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <string.h>

#define STAMP "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static void assert_matches(const char *text, const char *pattern) {
    regex_t compiled;
    cr_assert_eq(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    cr_assert_eq(regexec(&compiled, text, 0, NULL, 0), 0, "\"%s\" does not match %s", text, pattern);
    regfree(&compiled);
}

Test(log, line_before_setup) {
    char text[4096];
    capture of = capture_begin();
    pb_log(PB_LOG_DEBUG, "hidden", "x=%d", 1);
    pb_log(PB_LOG_INFO, "extracted", "images=%d path=\"%s\"", 300, "a b.jpg");
    capture_end(&of, text, sizeof text);
    assert_matches(text, STAMP "info  rank=0 event=extracted images=300 path=\"a b\\.jpg\"\n$");
}

Test(log, line_after_setup) {
    char text[4096];
    pb_log_setup(3, "train", PB_LOG_DEBUG);
    capture of = capture_begin();
    pb_log(PB_LOG_DEBUG, "seen", "x=%d", 1);
    capture_end(&of, text, sizeof text);
    assert_matches(text, STAMP "debug rank=3 job=train event=seen x=1\n$");
}

Test(log, a_job_of_two_words_is_one_value) {
    char text[4096];
    pb_log_setup(0, "bank publish", PB_LOG_INFO);
    capture of = capture_begin();
    pb_log(PB_LOG_INFO, "seen", "x=1");
    capture_end(&of, text, sizeof text);
    assert_matches(text, "rank=0 job=\"bank publish\" event=seen x=1\n$");
}

static char forwarded[200];

__attribute__((format(printf, 4, 0))) static void note(pb_log_level level, bool once, const char *event, const char *format,
                                                       va_list arguments) {
    size_t length = strlen(forwarded);
    length += (size_t)snprintf(forwarded + length, sizeof forwarded - length, "[%d%s %s ", (int)level, once ? " once" : "",
                               event);
    length += (size_t)vsnprintf(forwarded + length, sizeof forwarded - length, format, arguments);
    snprintf(forwarded + length, sizeof forwarded - length, "]");
}

/* Whoever lines are handed to judges level and rank. */
Test(log, lines_are_handed_on) {
    char text[4096];
    pb_log_setup(3, "train", PB_LOG_ERROR);
    pb_log_forward(note);
    capture of = capture_begin();
    pb_log(PB_LOG_DEBUG, "seen", "x=%d", 1);
    pb_log_once(PB_LOG_WARN, "all", "y=%s", "z");
    capture_end(&of, text, sizeof text);
    cr_assert_str_eq(text, "");
    cr_assert_str_eq(forwarded, "[0 seen x=1][2 once all y=z]");
}

Test(log, each_level_filters_those_below) {
    static const char *const NAMES[] = {"debug", "info ", "warn ", "error"};
    for (int least = PB_LOG_DEBUG; least <= PB_LOG_ERROR; least++) {
        char text[4096];
        pb_log_setup(0, "pack", (pb_log_level)least);
        capture of = capture_begin();
        for (int level = PB_LOG_DEBUG; level <= PB_LOG_ERROR; level++) {
            pb_log((pb_log_level)level, "all", "x=1");
            pb_log_once((pb_log_level)level, "once", "x=1");
        }
        capture_end(&of, text, sizeof text);
        int lines = 0;
        for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
            lines++;
        cr_assert_eq(lines, 2 * (PB_LOG_ERROR - least + 1));
        for (int level = PB_LOG_DEBUG; level <= PB_LOG_ERROR; level++)
            cr_assert_eq(strstr(text, NAMES[level]) != NULL, level >= least);
    }
}

Test(log, once_is_for_rank_0) {
    char text[4096];
    pb_log_setup(1, "pack", PB_LOG_INFO);
    capture of = capture_begin();
    pb_log_once(PB_LOG_ERROR, "never", "x=1");
    pb_log(PB_LOG_INFO, "seen", "x=1");
    capture_end(&of, text, sizeof text);
    cr_assert_null(strstr(text, "never"));
    assert_matches(text, "rank=1 job=pack event=seen x=1\n$");
}

/* No pairs, and pairs that end in a blank, leave no blank at the end. */
Test(log, no_trailing_blank) {
    char text[4096];
    capture of = capture_begin();
    pb_log(PB_LOG_INFO, "begun", "%s", "");
    capture_end(&of, text, sizeof text);
    assert_matches(text, "event=begun\n$");
}

static void fill(char *text, size_t size) {
    memset(text, 'x', size - 1);
    text[size - 1] = '\0';
}

Test(log, long_lines_are_cut_and_end) {
    char text[65536], large[10000];
    fill(large, sizeof large);
    capture of = capture_begin();
    pb_log(PB_LOG_INFO, "long", "value=%s", large);
    pb_log(PB_LOG_INFO, large, "value=%d", 1);
    pb_log_setup(0, large, PB_LOG_INFO);
    pb_log(PB_LOG_INFO, "after", "value=%d", 1);
    pb_status failure = pb_fail(PB_E_INPUT, "%s", large);
    pb_log_failure(&failure, 7);
    size_t length = capture_end(&of, text, sizeof text);
    cr_assert_eq(length, 4 * 2048, "%zu", length);
    for (size_t line = 1; line <= 4; line++)
        cr_assert_eq(strchr(text + (line - 1) * 2048, '\n'), text + line * 2048 - 1);
}

Test(log, values_cannot_break_the_line) {
    char text[4096];
    capture of = capture_begin();
    pb_log(PB_LOG_WARN, "rejected", "path=\"%s\"", "a\nb\033[2J\rc\x7f\xc3\xb6");
    capture_end(&of, text, sizeof text);
    assert_matches(text, "event=rejected path=\"a\\?b\\?\\[2J\\?c\\?\xc3\xb6\"\n$");
}

Test(log, failure_for_people) {
    char text[4096];
    pb_status failure = pb_fail_at(PB_E_INPUT, "/x/io/image.c", 120, "a.jpg: truncated JPEG");
    capture of = capture_begin();
    pb_log_failure(&failure, -1);
    capture_end(&of, text, sizeof text);
    cr_assert_str_eq(text, "patchbank: error: a.jpg: truncated JPEG [io/image.c:120, exit 65: never retry: correct the input]\n");
    pb_log_setup(0, "train", PB_LOG_ERROR);
    of = capture_begin();
    pb_log_failure(&failure, 2);
    capture_end(&of, text, sizeof text);
    cr_assert_str_eq(text, "patchbank train: error (rank 2): a.jpg: truncated JPEG "
                           "[io/image.c:120, exit 65: never retry: correct the input]\n");
}

Test(log, line_removes_a_progress_line_once) {
    char text[4096];
    capture of = capture_begin();
    pb_log_progress_shown(true);
    pb_log(PB_LOG_INFO, "one", "x=1");
    pb_log(PB_LOG_INFO, "two", "x=1");
    capture_end(&of, text, sizeof text);
    cr_assert_eq(strncmp(text, "\r\033[K2", 5), 0);
    cr_assert_null(strstr(text + strlen("\r\033[K"), "\033"));
}

/* A full disk or closed pipe under the log ends nothing, and errno is still that of the failure being reported. */
Test(log, that_cannot_be_written_is_ignored) {
    int saved = dup(STDERR_FILENO), full = open("/dev/full", O_WRONLY);
    cr_assert_geq(full, 0);
    dup2(full, STDERR_FILENO);
    errno = EDOM;
    pb_log(PB_LOG_INFO, "lost", "x=%d", 1);
    int after = errno;
    dup2(saved, STDERR_FILENO);
    cr_assert_eq(after, EDOM);
}
