/* generation.c: generations as text. JOB.RESTART, because Slurm has two numbers: a job that it requeues keeps the first and
 * counts the second. */
#include "io/generation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t GENERATION_MOST = INT64_C(1) << 53; /* what JSON readers keep exactly */

/* Digits alone: no sign, no blank, which strtoll would take. *end: behind them. */
static bool parse_digits(const char *text, char **end, int64_t *number) {
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoll(text, end, 10);
    return errno == 0 && *number <= GENERATION_MOST;
}

/* Reads job, then perhaps a dot and restart, and then nothing more. */
pb_status pb_generation_parse(const char *text, pb_generation *generation) {
    char *end;
    *generation = (pb_generation){0};
    bool fits = parse_digits(text, &end, &generation->job);
    if (fits && *end == '.')
        fits = parse_digits(end + 1, &end, &generation->restart);
    if (!fits || *end != '\0')
        return pb_fail(PB_E_USAGE, "--generation %s: must be JOB or JOB.RESTART, whole numbers, as 4711.2", text);
    return pb_ok();
}

void pb_generation_text(pb_generation generation, char text[PB_GENERATION_TEXT]) {
    snprintf(text, PB_GENERATION_TEXT, "%" PRId64 ".%" PRId64, generation.job, generation.restart);
}

int pb_generation_compare(pb_generation a, pb_generation b) {
    return a.job != b.job ? (a.job > b.job) - (a.job < b.job) : (a.restart > b.restart) - (a.restart < b.restart);
}
