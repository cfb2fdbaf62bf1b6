#include "base/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 128, HELP_VALUE = 1, FIRST_ROW_VALUE = 1000 };

static void *member(const pb_option *row, void *values) { return (char *)values + row->offset; }

static const void *const_member(const pb_option *row, const void *values) { return (const char *)values + row->offset; }

static pb_status out_of_range(const pb_option *row, const char *text) {
    return pb_fail(PB_E_USAGE, "--%s %s: must be a number from %.15g to %.15g", row->name, text, row->least, row->most);
}

static pb_status set_int(const pb_option *row, const char *text, void *values) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool within = errno == 0 && end != text && *end == '\0' && (double)number >= row->least && (double)number <= row->most;
    if (!within)
        return out_of_range(row, text);
    *(int64_t *)member(row, values) = number;
    return pb_ok();
}

static pb_status set_real(const pb_option *row, const char *text, void *values) {
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (end != text && end[0] == '%' && end[1] == '\0') {
        number /= 100;
        end++;
    }
    bool within = errno == 0 && end != text && *end == '\0' && number >= row->least && number <= row->most;
    if (!within)
        return out_of_range(row, text);
    *(double *)member(row, values) = number;
    return pb_ok();
}

static pb_status set_choice(const pb_option *row, const char *text, void *values) {
    size_t length = strlen(text);
    for (const char *word = row->choices; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        if (length == strcspn(word, "|") && strncmp(word, text, length) == 0) {
            *(const char **)member(row, values) = text;
            return pb_ok();
        }
    return pb_fail(PB_E_USAGE, "--%s %s: must be one of %s", row->name, text, row->choices);
}

static pb_status set(const pb_option *row, const char *text, void *values) {
    switch (row->type) {
    case PB_OPTION_FLAG:
        *(bool *)member(row, values) = text != NULL;
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

/* A default that its own row refuses is a defect of the table, not of the user. */
static void set_fallback(const pb_option *row, void *values) {
    if (row->fallback) {
        pb_status status = set(row, row->fallback, values);
        PB_ASSERT(!pb_failed(&status));
    } else if (row->type == PB_OPTION_FLAG) {
        *(bool *)member(row, values) = false;
    } else {
        PB_ASSERT(row->type == PB_OPTION_TEXT || row->type == PB_OPTION_CHOICE);
        *(const char **)member(row, values) = NULL;
    }
}

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

static pb_status read_words(const pb_option *rows, const struct option *known, int argc, char **argv, void *values, bool *given,
                            bool *help_wanted) {
    int value;
    optind = 0; /* glibc: start afresh, also in a second call of this process */
    opterr = 0;
    while ((value = getopt_long(argc, argv, "+:", known, NULL)) != -1) {
        const char *word = argv[optind > 1 ? optind - 1 : 1];
        if (value == HELP_VALUE) {
            *help_wanted = true;
            return pb_ok();
        }
        if (value == '?')
            return pb_fail(PB_E_USAGE, "%s: unknown, ambiguous or unwanted value; --help lists the options", word);
        if (value == ':')
            return pb_fail(PB_E_USAGE, "%s: needs a value; --help says which", word);
        const pb_option *row = &rows[value - FIRST_ROW_VALUE];
        PB_TRY(set(row, row->type == PB_OPTION_FLAG ? "" : optarg, values));
        given[value - FIRST_ROW_VALUE] = true;
    }
    if (optind < argc)
        return pb_fail(PB_E_USAGE, "%s: unexpected word; every option is written --name value", argv[optind]);
    return pb_ok();
}

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
            return pb_fail(PB_E_USAGE, "--%s %s is missing: %s", rows[i].name, rows[i].metavar, rows[i].help);
    return pb_ok();
}

/* "default 0.01", "required", "from 1 to 64": what the help adds after the sentence. */
static void limits_text(const pb_option *row, uint32_t job, char *text, size_t size) {
    int length = 0;
    if (row->required & job)
        length = snprintf(text, size, "required");
    else if (row->fallback)
        length = snprintf(text, size, "default %s", row->fallback);
    else
        length = snprintf(text, size, row->type == PB_OPTION_FLAG ? "default off" : "default none");
    if (row->type == PB_OPTION_CHOICE)
        snprintf(text + length, size - (size_t)length, "; one of %s", row->choices);
    else if (row->type == PB_OPTION_INT || row->type == PB_OPTION_REAL)
        snprintf(text + length, size - (size_t)length, "; %.15g to %.15g", row->least, row->most);
}

void pb_options_help(const pb_option *rows, size_t count, uint32_t job, FILE *out) {
    for (size_t i = 0; i < count; i++) {
        if (!(rows[i].jobs & job))
            continue;
        char left[80], limits[256];
        snprintf(left, sizeof left, "--%s %s", rows[i].name, rows[i].metavar ? rows[i].metavar : "");
        limits_text(&rows[i], job, limits, sizeof limits);
        fprintf(out, "  %-26s %s (%s)\n", left, rows[i].help, limits);
    }
    fprintf(out, "  %-26s print this text\n", "--help");
}

static void put_markdown_cell(const char *text, FILE *out) {
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

void pb_options_markdown(const pb_option *rows, size_t count, uint32_t job, FILE *out) {
    fprintf(out, "| option | meaning | default, range | recorded in the output |\n|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        if (!(rows[i].jobs & job))
            continue;
        char limits[256];
        limits_text(&rows[i], job, limits, sizeof limits);
        fprintf(out, "| `--%s%s%s` | ", rows[i].name, rows[i].metavar ? " " : "", rows[i].metavar ? rows[i].metavar : "");
        put_markdown_cell(rows[i].help, out);
        fprintf(out, " | ");
        put_markdown_cell(limits, out);
        fprintf(out, " | %s |\n", rows[i].recorded ? "yes" : "no");
    }
}

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
