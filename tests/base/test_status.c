#include "base/status.h"

#include "capture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

Test(status, ok_is_empty) {
    pb_status status = pb_ok();
    cr_assert_not(pb_failed(&status));
    cr_assert_eq(status.code, PB_OK);
    cr_assert_eq(status.line, 0);
    cr_assert_eq(status.rank, -1);
    cr_assert_str_empty(status.message);
    cr_assert_str_empty(status.file);
}

Test(status, failure_says_what_and_where) {
    int line = __LINE__ + 1;
    pb_status status = pb_fail(PB_E_INPUT, "%s: %d bytes are missing", "a.jpg", 7);
    cr_assert(pb_failed(&status));
    cr_assert_eq(status.code, PB_E_INPUT);
    cr_assert_eq(status.line, line);
    cr_assert_eq(status.rank, -1);
    cr_assert_str_eq(status.message, "a.jpg: 7 bytes are missing");
    cr_assert_str_eq(status.file, "base/test_status.c", "folder and file, not the path of the build: %s", status.file);
}

Test(status, file_is_the_tail_of_its_path) {
    static const char *const CASES[][2] = {{"/build/x/io/archive.c", "io/archive.c"},
                                           {"io/archive.c", "io/archive.c"},
                                           {"archive.c", "archive.c"},
                                           {"/archive.c", "/archive.c"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        pb_status status = pb_fail_at(PB_E_SYSTEM, CASES[i][0], 1, "x");
        cr_assert_str_eq(status.file, CASES[i][1]);
    }
    pb_status status = pb_fail_at(PB_E_SYSTEM, "room/a_file_name_that_is_much_too_long_for_the_48_bytes_it_has.c", 1, "x");
    cr_assert_eq(strlen(status.file), sizeof status.file - 1);
}

Test(status, long_message_is_cut) {
    char text[3 * PB_MESSAGE_MAX];
    memset(text, 'm', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pb_status status = pb_fail(PB_E_INPUT, "%s", text);
    cr_assert_eq(strlen(status.message), PB_MESSAGE_MAX - 1);
    cr_assert_eq(strspn(status.message, "m"), PB_MESSAGE_MAX - 1);
}

Test(status, message_stays_one_line) {
    pb_status status = pb_fail(PB_E_INPUT, "a\nb\tc\033[2J\x7f: gr\xc3\xb6\xc3\x9f");
    cr_assert_str_eq(status.message, "a?b?c?[2J?: gr\xc3\xb6\xc3\x9f", "%s", status.message);
    cr_assert_str_eq(pb_prefix(status, "x\ny").message, "x?y: a?b?c?[2J?: gr\xc3\xb6\xc3\x9f");
}

Test(status, errno_tells_user_from_machine) {
    static const struct {
        int error;
        pb_code code;
    } CASES[] = {{ENOENT, PB_E_INPUT},       {ENOTDIR, PB_E_INPUT}, {EISDIR, PB_E_INPUT}, {EACCES, PB_E_INPUT},
                 {ENAMETOOLONG, PB_E_INPUT}, {ENOSPC, PB_E_SYSTEM}, {EIO, PB_E_SYSTEM},   {EMFILE, PB_E_SYSTEM},
                 {ENOMEM, PB_E_SYSTEM},      {EDQUOT, PB_E_SYSTEM}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        pb_status status = pb_fail_errno(CASES[i].error, "bank.h5", "cannot be written");
        char expected[256];
        snprintf(expected, sizeof expected, "bank.h5: cannot be written: %s", strerror(CASES[i].error));
        cr_assert_eq(status.code, CASES[i].code, "errno %d", CASES[i].error);
        cr_assert_str_eq(status.message, expected);
        cr_assert_str_eq(status.file, "base/test_status.c");
        cr_assert_gt(status.line, 0);
    }
}

Test(status, first_failure_is_kept) {
    pb_status kept = pb_ok();
    pb_keep_first(&kept, pb_ok());
    cr_assert_eq(kept.code, PB_OK);
    pb_keep_first(&kept, pb_fail(PB_E_INPUT, "first"));
    pb_keep_first(&kept, pb_fail(PB_E_SYSTEM, "second"));
    pb_keep_first(&kept, pb_ok());
    cr_assert_eq(kept.code, PB_E_INPUT);
    cr_assert_str_eq(kept.message, "first");
}

Test(status, prefix_of_success_is_nothing) {
    pb_status status = pb_prefix(pb_ok(), "a.jpg");
    cr_assert_eq(status.code, PB_OK);
    cr_assert_str_empty(status.message);
}

Test(status, prefix_keeps_all_but_the_message) {
    pb_status inner = pb_fail_at(PB_E_UNSUPPORTED, "io/image.c", 12, "16 bits");
    pb_status status = pb_prefix(inner, "a.png");
    cr_assert_str_eq(status.message, "a.png: 16 bits");
    cr_assert_eq(status.code, PB_E_UNSUPPORTED);
    cr_assert_eq(status.line, 12);
    cr_assert_str_eq(status.file, "io/image.c");
}

Test(status, long_prefix_and_message_are_cut) {
    char text[2 * PB_MESSAGE_MAX];
    memset(text, 'p', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pb_status status = pb_prefix(pb_fail(PB_E_INPUT, "%s", text), "a");
    cr_assert_eq(strlen(status.message), PB_MESSAGE_MAX - 1);
    cr_assert_eq(strncmp(status.message, "a: ppp", 6), 0);
    status = pb_prefix(pb_fail(PB_E_INPUT, "lost"), text);
    cr_assert_eq(strspn(status.message, "p"), PB_MESSAGE_MAX - 1);
}

/* The public list (README): batch scripts depend on these numbers. */
Test(status, codes_are_as_published) {
    static const struct {
        pb_code code;
        int exit_code;
        const char *name, *advice;
    } CODES[] = {{PB_OK, 0, "PB_OK", "go on"},
                 {PB_E_NO, 1, "PB_E_NO", "look at the report"},
                 {PB_E_USAGE, 64, "PB_E_USAGE", "never retry"},
                 {PB_E_INPUT, 65, "PB_E_INPUT", "never retry"},
                 {PB_E_UNSUPPORTED, 69, "PB_E_UNSUPPORTED", "never retry"},
                 {PB_E_INTERNAL, 70, "PB_E_INTERNAL", "never retry"},
                 {PB_E_SYSTEM, 74, "PB_E_SYSTEM", "retry"},
                 {PB_E_REQUEUE, 75, "PB_E_REQUEUE", "requeue"}};
    for (size_t i = 0; i < sizeof CODES / sizeof CODES[0]; i++) {
        cr_assert_eq((int)CODES[i].code, CODES[i].exit_code);
        cr_assert_str_eq(pb_code_name(CODES[i].code), CODES[i].name);
        cr_assert_eq(strncmp(pb_code_advice(CODES[i].code), CODES[i].advice, strlen(CODES[i].advice)), 0);
    }
}

Test(status, unknown_code_has_a_text) {
    cr_assert_str_eq(pb_code_name((pb_code)99), "unknown code");
    cr_assert_str_eq(pb_code_advice((pb_code)99), "unknown code");
}

/* What may be retried gives way to what may not: a batch script acts on the one code that the job ends with. */
Test(status, severity_puts_what_is_never_retried_first) {
    static const pb_code WORST_FIRST[] = {PB_E_INTERNAL, PB_E_INPUT, PB_E_SYSTEM, PB_E_REQUEUE, PB_E_NO, PB_OK};
    for (size_t i = 1; i < sizeof WORST_FIRST / sizeof WORST_FIRST[0]; i++)
        cr_assert_gt(pb_code_severity(WORST_FIRST[i - 1]), pb_code_severity(WORST_FIRST[i]), "%s, %s",
                     pb_code_name(WORST_FIRST[i - 1]), pb_code_name(WORST_FIRST[i]));
    cr_assert_eq(pb_code_severity(PB_E_USAGE), pb_code_severity(PB_E_INPUT));
    cr_assert_eq(pb_code_severity(PB_E_UNSUPPORTED), pb_code_severity(PB_E_INPUT));
    cr_assert_eq(pb_code_severity(PB_OK), 0);
}

Test(status, severity_of_no_code_is_a_defect, .signal = SIGABRT) { pb_code_severity((pb_code)99); }

static pb_status try_it(pb_code code, bool *went_on) {
    PB_TRY(code == PB_OK ? pb_ok() : pb_fail(code, "inner"));
    *went_on = true;
    return pb_ok();
}

Test(status, try_returns_the_failure) {
    bool went_on = false;
    pb_status status = try_it(PB_E_NO, &went_on);
    cr_assert_eq(status.code, PB_E_NO);
    cr_assert_str_eq(status.message, "inner");
    cr_assert_not(went_on);
    status = try_it(PB_OK, &went_on);
    cr_assert_eq(status.code, PB_OK);
    cr_assert(went_on);
}

Test(status, assertion_that_holds_does_nothing) { PB_ASSERT(1 + 1 == 2); }

Test(status, assertion_aborts_and_names_itself) {
    char text[512];
    capture of = capture_begin();
    pid_t child = fork();
    if (child == 0)
        PB_ASSERT(1 + 1 == 3);
    int ended;
    cr_assert_eq(waitpid(child, &ended, 0), child);
    capture_end(&of, text, sizeof text);
    cr_assert(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGABRT);
    cr_assert_not_null(strstr(text, "defect: base/test_status.c:"), "%s", text);
    cr_assert_not_null(strstr(text, "assertion failed: 1 + 1 == 3"), "%s", text);
}

Test(status, failing_with_ok_is_a_defect, .signal = SIGABRT) {
    pb_status status = pb_fail(PB_OK, "no failure");
    (void)status;
}
