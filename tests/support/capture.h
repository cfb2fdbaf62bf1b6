/* capture.h: what a piece of code writes to standard error, as text. Criterion runs each test in a process of its own, so that
 * nothing else is redirected. Texts must fit into a pipe (64 KiB), since nobody reads before the end. */
#ifndef PB_TESTS_SUPPORT_CAPTURE_H
#define PB_TESTS_SUPPORT_CAPTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

typedef struct capture {
    int saved, reader;
} capture;

static inline capture capture_begin(void) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    capture made = {.saved = dup(STDERR_FILENO), .reader = ends[0]};
    cr_assert_geq(made.saved, 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    return made;
}

/* Restores standard error and gives what was written meanwhile, 0-terminated. Returns its length. */
static inline size_t capture_end(capture *ending, char *text, size_t size) {
    fflush(stderr);
    dup2(ending->saved, STDERR_FILENO); /* closes the pipe's last writing end, so that read sees the end */
    close(ending->saved);
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 && (got = read(ending->reader, text + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(ending->reader);
    text[length] = '\0';
    return length;
}

#endif
