#include "base/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "capture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <string.h>

static void assert_duration(double seconds, const char *expected) {
    char text[16];
    memset(text, 'x', sizeof text);
    pb_progress_duration(seconds, text);
    cr_assert_str_eq(text, expected, "%g: %s", seconds, text);
}

Test(progress, duration_text) {
    assert_duration(0, "0:00");
    assert_duration(7, "0:07");
    assert_duration(59.4, "0:59");
    assert_duration(59.6, "1:00");
    assert_duration(60, "1:00");
    assert_duration(3599, "59:59");
    assert_duration(3599.5, "1:00:00");
    assert_duration(3723, "1:02:03");
    assert_duration(360000, "100:00:00");
    assert_duration(9e7, "25000:00:00");
}

Test(progress, duration_that_is_none) {
    assert_duration(-0.1, "?");
    assert_duration(-1e300, "?");
    assert_duration(NAN, "?");
    assert_duration(INFINITY, "?");
    assert_duration(-INFINITY, "?");
    assert_duration(1e10, "?");
}

Test(progress, log_is_silent_for_a_minute) {
    char text[4096];
    pb_progress progress;
    capture of = capture_begin();
    pb_progress_begin(&progress, "extract", 100, "images", true);
    for (uint64_t done = 0; done <= 50; done++)
        pb_progress_update(&progress, done);
    progress.begun -= 40; /* as if the step had begun 40 seconds ago; 20 are left for a busy machine */
    progress.shown -= 40;
    pb_progress_update(&progress, 51);
    double seconds = pb_progress_end(&progress);
    cr_assert_eq(capture_end(&of, text, sizeof text), 0, "%s", text);
    cr_assert(seconds >= 40 && seconds < 60);
}

Test(progress, log_speaks_once_a_minute) {
    char text[4096];
    pb_progress progress;
    capture of = capture_begin();
    pb_progress_begin(&progress, "extract", 300, "images", true);
    progress.begun -= 100;
    progress.shown -= 60;
    pb_progress_update(&progress, 100);
    pb_progress_update(&progress, 101);
    capture_end(&of, text, sizeof text);
    char *line = strstr(text, "event=progress step=extract done=100 total=300 unit=images per_s=1.0 left=3:2");
    cr_assert_not_null(line, "%s", text); /* 3:20, or a little more on a busy machine */
    cr_assert_null(strstr(line, "done=101"));
}

Test(progress, other_ranks_say_nothing) {
    char text[4096];
    pb_progress progress;
    capture of = capture_begin();
    pb_progress_begin(&progress, "extract", 300, "images", false);
    progress.begun -= 1000;
    progress.shown -= 1000;
    pb_progress_update(&progress, 100);
    cr_assert_eq(progress.done, 100);
    pb_progress_end(&progress);
    cr_assert_eq(capture_end(&of, text, sizeof text), 0);
}

/* No time passed, nothing done, nothing left, total unknown: rate and time left must stay numbers or "?". */
Test(progress, never_divides_by_zero) {
    static const struct {
        uint64_t total, done;
        double age_s;
        const char *expected;
    } CASES[] = {{100, 50, 0, "done=50 total=100 unit=x per_s=0.0 left=?"},
                 {100, 50, -10, "done=50 total=100 unit=x per_s=0.0 left=?"},
                 {100, 0, 10000, "done=0 total=100 unit=x per_s=0.0 left=?"},
                 {0, 50000, 10000, "done=50000 total=0 unit=x per_s=5.0 left=?"},
                 {0, 0, 10000, "done=0 total=0 unit=x per_s=0.0 left=?"},
                 {100000, 100000, 10000, "per_s=10.0 left=0:00"},
                 {100000, 999999, 10000, "done=100000 total=100000 unit=x per_s=10.0 left=0:00"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[4096];
        pb_progress progress;
        capture of = capture_begin();
        pb_progress_begin(&progress, "s", CASES[i].total, "x", true);
        progress.shown -= 100;
        progress.begun = CASES[i].age_s == 0 ? INFINITY : progress.begun - CASES[i].age_s; /* INFINITY: never elapsed > 0 */
        pb_progress_update(&progress, CASES[i].done);
        capture_end(&of, text, sizeof text);
        cr_assert_not_null(strstr(text, CASES[i].expected), "case %zu: %s", i, text);
    }
}

static void note_done(void *context, const pb_progress *progress) {
    uint64_t *seen = context;
    seen[0]++;
    seen[1] = progress->done;
    seen[2] = progress->total;
}

Test(progress, who_listens_hears_of_every_update_of_rank_0) {
    uint64_t seen[3] = {0};
    pb_progress progress;
    pb_progress_listen(note_done, seen);
    pb_progress_begin(&progress, "extract", 30, "images", true);
    cr_assert(seen[0] == 1 && seen[1] == 0 && seen[2] == 30);
    pb_progress_update(&progress, 10);
    pb_progress_update(&progress, 50);
    cr_assert(seen[0] == 3 && seen[1] == 30);
    pb_progress_begin(&progress, "extract", 30, "images", false);
    pb_progress_update(&progress, 20);
    pb_progress_listen(NULL, NULL);
    pb_progress_begin(&progress, "extract", 30, "images", true);
    cr_assert_eq(seen[0], 3);
}

Test(progress, rate_and_time_left) {
    pb_progress progress;
    pb_progress_begin(&progress, "extract", 300, "images", false);
    progress.begun -= 100;
    pb_progress_update(&progress, 100);
    cr_assert(fabs(pb_progress_rate(&progress) - 1) < 0.2 && fabs(pb_progress_left(&progress) - 200) < 40);
    pb_progress_begin(&progress, "extract", 0, "images", false);
    pb_progress_update(&progress, 100);
    cr_assert(pb_progress_left(&progress) == -1);
}

/* Standard error on a terminal of our own; returns its other end. */
static int terminal_begin(int *saved) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert_geq(master, 0);
    cr_assert_eq(grantpt(master), 0);
    cr_assert_eq(unlockpt(master), 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_geq(terminal, 0);
    *saved = dup(STDERR_FILENO);
    dup2(terminal, STDERR_FILENO);
    close(terminal);
    return master;
}

/* A terminal hands on what was written in pieces, so reading goes on until it is quiet. */
static void terminal_end(int master, int saved, char *text, size_t size) {
    size_t length = 0;
    struct pollfd ready = {.fd = master, .events = POLLIN};
    while (length < size - 1 && poll(&ready, 1, 500) == 1) {
        ssize_t got = read(master, text + length, size - 1 - length);
        cr_assert_gt(got, 0);
        length += (size_t)got;
    }
    text[length] = '\0';
    dup2(saved, STDERR_FILENO);
    close(master);
    close(saved);
}

Test(progress, terminal_line_is_redrawn_and_removed) {
    char text[4096];
    int saved, master = terminal_begin(&saved);
    pb_progress progress;
    pb_progress_begin(&progress, "extract", 100, "images", true);
    progress.shown = pb_clock_seconds() + 10; /* on a busy machine too the next one comes too early */
    pb_progress_update(&progress, 1);
    progress.shown = pb_clock_seconds() - 0.17;
    pb_progress_update(&progress, 2);
    progress.shown = pb_clock_seconds() + 10;
    pb_progress_update(&progress, 3);
    pb_log(PB_LOG_INFO, "between", "x=1");
    pb_progress_end(&progress);
    terminal_end(master, saved, text, sizeof text);
    cr_assert_eq(strncmp(text, "\r\033[Kextract 2/100 images, ", 26), 0, "%s", text);
    cr_assert_not_null(strstr(text, " left\r\033[K2"), "the log line takes the place of the progress line: %s", text);
    cr_assert_null(strstr(text, "1/100"));
    cr_assert_null(strstr(text, "3/100"));
    cr_assert_str_eq(text + strlen(text) - 4, "\r\033[K");
}

Test(progress, terminal_without_total) {
    char text[4096];
    int saved, master = terminal_begin(&saved);
    pb_progress progress;
    pb_progress_begin(&progress, "walk", 0, "files", true);
    progress.shown -= 0.17;
    pb_progress_update(&progress, 12);
    pb_progress_end(&progress);
    terminal_end(master, saved, text, sizeof text);
    cr_assert_eq(strncmp(text, "\r\033[Kwalk 12 files, ", 19), 0, "%s", text);
    cr_assert_null(strstr(text, "left"));
}
