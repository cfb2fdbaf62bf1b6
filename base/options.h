/* options.h: the engine behind the one table of options.
 *
 * A program describes its options as rows (jobs/options.def). From a row come the command line parser, its range check, the help
 * text with default and unit, the reference in docs/OPTIONS.md, and the name and value recorded in every output file. The
 * command line itself is read by getopt_long(3): "--name value", "--name=value", flags without value, "--" ends options; the last
 * of repeated options counts; a beginning of a name that fits no other name stands for it, but scripts should not rely on
 * that: a new option can take it away. Not collective; not thread safe.
 */
#ifndef PB_BASE_OPTIONS_H
#define PB_BASE_OPTIONS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What a value is, and with it the C type of its member. */
typedef enum pb_option_type {
    PB_OPTION_FLAG,  /* bool; present or not */
    PB_OPTION_INT,   /* int64_t, decimal, within [least, most] */
    PB_OPTION_REAL,  /* double, within [least, most], finite; a trailing % divides by 100: 0.7% is the double of 0.007 */
    PB_OPTION_TEXT,  /* const char *, any text; NULL when absent and without default */
    PB_OPTION_CHOICE /* const char *, one of the words of `choices`, separated by | */
} pb_option_type;

/* One row. Everything in it is static and borrowed. */
typedef struct pb_option {
    const char *name;     /* long option without the dashes; also the key in output files */
    pb_option_type type;  /* decides the member's C type, above */
    size_t offset;        /* of the member in the caller's struct */
    uint32_t jobs;        /* bit set: the jobs that take it */
    uint32_t required;    /* bit set: the jobs that cannot do without */
    bool recorded;        /* it decides the result, so its value is an attribute of the output */
    const char *metavar;  /* what stands after the name in the help ("FILE", "N", "RATIO"); NULL for a flag */
    const char *fallback; /* the default as the user would write it; NULL: none (always of a FLAG; of a number only when all its
                           * jobs require it) */
    double least, most;   /* range of INT (at most -2^53 to 2^53, where a double is exact) and of REAL */
    const char *choices;  /* of CHOICE: "a|b|c" */
    const char *help;     /* one sentence, with the unit, without the default */
} pb_option;

/* Sets every member of `values` to its default and then to the words argv[1 .. argc-1] (argv[0] is skipped); only rows of `job`
 * (one bit) are known. Text members point into argv or into the table, and live as long. Non-option words are an error.
 * `help_wanted` becomes true at --help, and nothing that follows, or is missing, is then checked. count: at most 126 rows
 * (asserted). A table that contradicts itself (a default outside of its range, a default of a flag, an optional number without
 * default) is a defect and fails an assertion. Errors: PB_E_USAGE with the option, what is wrong with it and what is allowed;
 * members are then set as far as the words were read. Not collective, not thread safe (getopt). */
PB_CHECKED pb_status pb_options_parse(const pb_option *rows, size_t count, uint32_t job, int argc, char **argv, void *values,
                                      bool *help_wanted);

/* Writes the options of `job` as aligned help text, one a line in the order of the table, each with its default and range. */
void pb_options_help(const pb_option *rows, size_t count, uint32_t job, FILE *out);

/* Writes the options of `job` as a Markdown table: docs/OPTIONS.md is made of these. */
void pb_options_markdown(const pb_option *rows, size_t count, uint32_t job, FILE *out);

/* A number as REAL options have it ("0.007", "0.7%", the same double); NaN when the text is none, or "nan". May be infinite
 * ("inf", "1e999"). */
double pb_option_number(const char *text);

/* Bytes of a value as text, with the closing 0: a path. */
enum { PB_OPTION_TEXT_MAX = 4096 };

/* The value of a row in `values` as text, in a form that pb_options_parse reads back to the same value ("" for an absent text,
 * "true" or "false" for a flag, which is given or not).
 * text must hold PB_OPTION_TEXT_MAX bytes; longer values are cut. */
void pb_options_value_text(const pb_option *row, const void *values, char *text);

#endif
