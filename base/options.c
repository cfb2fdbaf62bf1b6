/* options.c: one walk over the table of options for each thing that is made of it: values (defaults, then words), help, Markdown,
 * and a value as text again.
 *
 * A member of the caller's struct is found by its offset in the row, and what type it has by the row's type; nothing else ties
 * the two together, so a row is only as right as its line in jobs/options.def. Defaults go through the same `set` as words of the
 * user, so one that its own row refuses is found at the first start (set_fallback).
 *
 * getopt_long(3) reads the words. It is asked not to permute them ("+"), to tell a missing value from an unknown option (":"),
 * not to print (opterr), and to begin afresh (optind 0, as glibc has it), since a process may parse more than once.
 */
#include "base/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Most rows of a table, less two, so that arrays of it can be on the stack. What getopt_long returns for --help, and for row 0,
 * from where rows are counted: clear of the '?' and ':' of its errors. */
enum { OPTIONS_MAX = 128, HELP_VALUE = 1, FIRST_ROW_VALUE = 1000 };

/* Where a row's value is in the caller's struct. */
static void *member(const pb_option *row, void *values) { return (char *)values + row->offset; }

static const void *const_member(const pb_option *row, const void *values) { return (const char *)values + row->offset; }

/* "1 to 4096". Bounds of INT are printed in full, not as 9.00719925474099e+15. */
static void range_text(const pb_option *row, char *text, size_t size) {
    snprintf(text, size, row->type == PB_OPTION_INT ? "%.0f to %.0f" : "%.15g to %.15g", row->least, row->most);
}

/* The one message for whatever is no number or outside of the range: it says what would be. */
static pb_status out_of_range(const pb_option *row, const char *text) {
    char range[64];
    range_text(row, range, sizeof range);
    const char *kind = row->type == PB_OPTION_INT ? "whole number" : "number";
    return pb_fail(PB_E_USAGE, "--%s %s: must be a %s from %s", row->name, text, kind, range);
}

/* Decimal, the whole word. Bounds are doubles, since one struct serves both kinds of number; within 2^53 comparing as doubles is
 * exact. */
static pb_status set_int(const pb_option *row, const char *text, void *values) {
    const double exact_most = 0x1p53; /* up to here an integer is exact as a double, so that bounds are, too */
    PB_ASSERT(row->least >= -exact_most && row->most <= exact_most);
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool exact = number >= -(long long)exact_most && number <= (long long)exact_most;
    bool within =
        errno == 0 && end != text && *end == '\0' && exact && (double)number >= row->least && (double)number <= row->most;
    if (!within)
        return out_of_range(row, text);
    *(int64_t *)member(row, values) = number;
    return pb_ok();
}

/* "0.7%" must be the same double as "0.007", which 0.7 / 100 is not: so the decimal point is moved before the conversion, by
 * "e-2" behind the digits. Only plain decimals are taken, no exponents, "inf" or hexadecimal. Gives NAN for what is no number. */
static double percent(const char *text, size_t digits) {
    char shifted[64];
    if (digits == 0 || digits > sizeof shifted - 4 || strspn(text, "+-.0123456789") != digits)
        return NAN;
    snprintf(shifted, sizeof shifted, "%.*se-2", (int)digits, text);
    char *end;
    double number = strtod(shifted, &end);
    return *end == '\0' ? number : NAN;
}

/* The whole text must be the number: "1x" and "" are none. */
double pb_option_number(const char *text) {
    char *end;
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '%')
        return percent(text, length - 1);
    double number = strtod(text, &end);
    return end == text || *end != '\0' ? NAN : number;
}

/* Within the range and finite; NaN is in no range. */
static pb_status set_real(const pb_option *row, const char *text, void *values) {
    double number = pb_option_number(text);
    bool within = isfinite(number) && number >= row->least && number <= row->most;
    if (!within)
        return out_of_range(row, text);
    *(double *)member(row, values) = number;
    return pb_ok();
}

/* Compares with each word between bars. The value is the user's own text, which lives as long as argv. */
static pb_status set_choice(const pb_option *row, const char *text, void *values) {
    size_t length = strlen(text);
    for (const char *word = row->choices; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        if (length == strcspn(word, "|") && strncmp(word, text, length) == 0) {
            *(const char **)member(row, values) = text;
            return pb_ok();
        }
    return pb_fail(PB_E_USAGE, "--%s %s: must be one of %s", row->name, text, row->choices);
}

/* Sets a member from text, a flag from its being there. A type that is none of these is a defect of the table. */
static pb_status set(const pb_option *row, const char *text, void *values) {
    switch (row->type) {
    case PB_OPTION_FLAG:
        *(bool *)member(row, values) = true;
        return pb_ok();
    case PB_OPTION_INT:
        return set_int(row, text, values);
    case PB_OPTION_REAL:
        return set_real(row, text, values);
    case PB_OPTION_TEXT:
        *(const char **)member(row, values) = text;
        return pb_ok();
    case PB_OPTION_CHOICE:
        return set_choice(row, text, values);
    }
    return pb_fail(PB_E_INTERNAL, "option %s has no type", row->name);
}

/* What a member is before anything is said. Every member is set, so the caller need not zero the struct. */
static void set_empty(const pb_option *row, void *values) {
    switch (row->type) {
    case PB_OPTION_FLAG:
        *(bool *)member(row, values) = false;
        return;
    case PB_OPTION_INT:
        *(int64_t *)member(row, values) = 0;
        return;
    case PB_OPTION_REAL:
        *(double *)member(row, values) = 0;
        return;
    case PB_OPTION_TEXT:
    case PB_OPTION_CHOICE:
        *(const char **)member(row, values) = NULL;
        return;
    }
}

/* A default that its own row refuses, a flag that would always be set, and a number that nobody gives are defects of the table,
 * not of the user. */
static void set_fallback(const pb_option *row, void *values) {
    bool number = row->type == PB_OPTION_INT || row->type == PB_OPTION_REAL;
    set_empty(row, values);
    if (row->fallback) {
        PB_ASSERT(row->type != PB_OPTION_FLAG);
        pb_status status = set(row, row->fallback, values);
        PB_ASSERT(!pb_failed(&status));
    } else {
        PB_ASSERT(!number || row->required == row->jobs);
    }
}

/* The rows of one job as getopt_long wants them; others are unknown words to it. Values say which row it was. */
static void fill_getopt(const pb_option *rows, size_t count, uint32_t job, struct option *known) {
    size_t used = 0;
    known[used++] = (struct option){"help", no_argument, NULL, HELP_VALUE};
    for (size_t i = 0; i < count; i++)
        if (rows[i].jobs & job) {
            int argument = rows[i].type == PB_OPTION_FLAG ? no_argument : required_argument;
            known[used++] = (struct option){rows[i].name, argument, NULL, FIRST_ROW_VALUE + (int)i};
        }
    known[used] = (struct option){NULL, 0, NULL, 0};
}

/* Words in their order; the last of repeated options stays. --help ends the reading at once, since what else stands there does
 * not matter then. The word at fault is named as it was written, which getopt_long itself does not tell. */
static pb_status read_words(const pb_option *rows, const struct option *known, int argc, char **argv, void *values, bool *given,
                            bool *help_wanted) {
    int value, at = 1; /* the word that getopt_long looks at; without permutation it is where the last call stopped */
    optind = 0;        /* glibc: start afresh, also in a second call of this process */
    opterr = 0;
    for (; (value = getopt_long(argc, argv, "+:", known, NULL)) != -1; at = optind) {
        const char *word = argv[at];
        if (value == HELP_VALUE) {
            *help_wanted = true;
            return pb_ok();
        }
        if (value == '?')
            return pb_fail(PB_E_USAGE, "%s: unknown, ambiguous or unwanted value; --help lists the options", word);
        if (value == ':')
            return pb_fail(PB_E_USAGE, "%s: needs a value; --help says which", word);
        const pb_option *row = &rows[value - FIRST_ROW_VALUE];
        PB_TRY(set(row, optarg, values));
        given[value - FIRST_ROW_VALUE] = true;
    }
    if (optind < argc)
        return pb_fail(PB_E_USAGE, "%s: unexpected word; every option is written --name value", argv[optind]);
    return pb_ok();
}

/* "--ratio RATIO" */
static void usage_text(const pb_option *row, char *text, size_t size) {
    snprintf(text, size, "--%s%s%s", row->name, row->metavar ? " " : "", row->metavar ? row->metavar : "");
}

/* The option's own sentence of help is the best message for what it is for. */
static pb_status missing(const pb_option *row) {
    char usage[80];
    usage_text(row, usage, sizeof usage);
    return pb_fail(PB_E_USAGE, "%s is missing: %s", usage, row->help);
}

/* Defaults of all rows first, of other jobs' too: shared code reads members that this job cannot set. */
pb_status pb_options_parse(const pb_option *rows, size_t count, uint32_t job, int argc, char **argv, void *values,
                           bool *help_wanted) {
    PB_ASSERT(count + 2 <= OPTIONS_MAX);
    struct option known[OPTIONS_MAX];
    bool given[OPTIONS_MAX] = {false};
    *help_wanted = false;
    for (size_t i = 0; i < count; i++)
        set_fallback(&rows[i], values);
    fill_getopt(rows, count, job, known);
    PB_TRY(read_words(rows, known, argc, argv, values, given, help_wanted));
    for (size_t i = 0; i < count && !*help_wanted; i++)
        if ((rows[i].required & job) && !given[i])
            return missing(&rows[i]);
    return pb_ok();
}

/* "default 0.01; 0 to 1", "required; one of a|b": what the help adds after the sentence. */
static void limits_text(const pb_option *row, uint32_t job, char *text, size_t size) {
    const char *fallback = row->fallback ? row->fallback : row->type == PB_OPTION_FLAG ? "off" : "none";
    bool required = (row->required & job) != 0;
    char range[64] = "";
    if (row->type == PB_OPTION_INT || row->type == PB_OPTION_REAL)
        range_text(row, range, sizeof range);
    snprintf(text, size, "%s%s%s%s%s%s", required ? "required" : "default ", required ? "" : fallback, *range ? "; " : "", range,
             row->type == PB_OPTION_CHOICE ? "; one of " : "", row->type == PB_OPTION_CHOICE ? row->choices : "");
}

/* Two walks: the width of the longest usage, then the lines. */
void pb_options_help(const pb_option *rows, size_t count, uint32_t job, FILE *out) {
    char usage[80], limits[256];
    int width = (int)strlen("--help");
    for (size_t i = 0; i < count; i++)
        if (rows[i].jobs & job) {
            usage_text(&rows[i], usage, sizeof usage);
            width = (int)strlen(usage) > width ? (int)strlen(usage) : width;
        }
    for (size_t i = 0; i < count; i++)
        if (rows[i].jobs & job) {
            usage_text(&rows[i], usage, sizeof usage);
            limits_text(&rows[i], job, limits, sizeof limits);
            fprintf(out, "  %-*s  %s (%s)\n", width, usage, rows[i].help, limits);
        }
    fprintf(out, "  %-*s  print this text\n", width, "--help");
}

/* A bar would end the cell. */
static void put_markdown_cell(const char *text, FILE *out) {
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

void pb_options_markdown(const pb_option *rows, size_t count, uint32_t job, FILE *out) {
    fprintf(out, "| option | meaning | default, range | recorded in the output |\n|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        if (!(rows[i].jobs & job))
            continue;
        char usage[80], limits[256];
        usage_text(&rows[i], usage, sizeof usage);
        limits_text(&rows[i], job, limits, sizeof limits);
        fprintf(out, "| `");
        put_markdown_cell(usage, out);
        fprintf(out, "` | ");
        put_markdown_cell(rows[i].help, out);
        fprintf(out, " | ");
        put_markdown_cell(limits, out);
        fprintf(out, " | %s |\n", rows[i].recorded ? "yes" : "no");
    }
}

/* 17 digits are every bit of a double. */
void pb_options_value_text(const pb_option *row, const void *values, char *text) {
    const void *from = const_member(row, values);
    const char *words = NULL;
    switch (row->type) {
    case PB_OPTION_FLAG:
        snprintf(text, PB_OPTION_TEXT_MAX, "%s", *(const bool *)from ? "true" : "false");
        return;
    case PB_OPTION_INT:
        snprintf(text, PB_OPTION_TEXT_MAX, "%lld", (long long)*(const int64_t *)from);
        return;
    case PB_OPTION_REAL:
        snprintf(text, PB_OPTION_TEXT_MAX, "%.17g", *(const double *)from);
        return;
    case PB_OPTION_TEXT:
    case PB_OPTION_CHOICE:
        words = *(const char *const *)from;
        snprintf(text, PB_OPTION_TEXT_MAX, "%s", words ? words : "");
        return;
    }
}
