#include "base/options.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN = 1, SCORE = 2 };

typedef struct settings {
    bool dry;
    int64_t count, wide;
    double ratio, limit;
    const char *path, *device, *split, *splitter;
} settings;

static const pb_option ROWS[] = {
    {.name = "dry", .type = PB_OPTION_FLAG, .offset = offsetof(settings, dry), .jobs = TRAIN | SCORE, .help = "only look"},
    {.name = "count", .type = PB_OPTION_INT, .offset = offsetof(settings, count), .jobs = TRAIN, .recorded = true, .metavar = "N",
     .fallback = "16", .least = -5, .most = 4096, .help = "images a call"},
    {.name = "wide", .type = PB_OPTION_INT, .offset = offsetof(settings, wide), .jobs = TRAIN, .metavar = "N", .fallback = "0",
     .least = -0x1p53, .most = 0x1p53, .help = "any integer"},
    {.name = "ratio", .type = PB_OPTION_REAL, .offset = offsetof(settings, ratio), .jobs = TRAIN, .recorded = true,
     .metavar = "RATIO", .fallback = "1%", .least = 1e-9, .most = 1, .help = "share of the patches"},
    {.name = "limit", .type = PB_OPTION_REAL, .offset = offsetof(settings, limit), .jobs = TRAIN, .metavar = "SECONDS",
     .fallback = "0", .least = -INFINITY, .most = INFINITY, .help = "longest wait"},
    {.name = "path", .type = PB_OPTION_TEXT, .offset = offsetof(settings, path), .jobs = TRAIN | SCORE, .required = SCORE,
     .metavar = "FILE", .help = "where it lies"},
    {.name = "device", .type = PB_OPTION_TEXT, .offset = offsetof(settings, device), .jobs = TRAIN, .metavar = "NAME",
     .fallback = "cpu", .help = "cpu|gpu"},
    {.name = "split", .type = PB_OPTION_CHOICE, .offset = offsetof(settings, split), .jobs = SCORE, .metavar = "A|B",
     .fallback = "test", .choices = "train|test|all", .help = "which images"},
    {.name = "splitter", .type = PB_OPTION_CHOICE, .offset = offsetof(settings, splitter), .jobs = SCORE, .metavar = "HOW",
     .choices = "axe", .help = "with what"},
};
enum { COUNT = sizeof ROWS / sizeof ROWS[0], WORDS_MAX = 16 };

/* Parses the words (NULL-ended) after the program's name. */
static pb_status parse(uint32_t job, settings *values, bool *help, const char *const *words) {
    static char texts[WORDS_MAX][128]; /* texts of `values` point in here */
    char *argv[WORDS_MAX + 1] = {texts[0]};
    int argc = 1;
    memset(texts, 0, sizeof texts);
    for (; words[argc - 1]; argc++) {
        snprintf(texts[argc], sizeof texts[argc], "%s", words[argc - 1]);
        argv[argc] = texts[argc];
    }
    memset(values, 0x5a, sizeof *values);
    return pb_options_parse(ROWS, COUNT, job, argc, argv, values, help);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static settings accepted(uint32_t job, const char *const *words) {
    settings values;
    bool help;
    pb_status status = parse(job, &values, &help, words);
    cr_assert_not(pb_failed(&status), "%s: %s", words[0] ? words[0] : "", status.message);
    cr_assert_not(help);
    return values;
}

/* The words must be refused with a message that holds `said` and `also`. */
static void refused(uint32_t job, const char *said, const char *also, const char *const *words) {
    settings values;
    bool help;
    pb_status status = parse(job, &values, &help, words);
    cr_assert_eq(status.code, PB_E_USAGE, "%s %s was accepted", words[0], words[1] ? words[1] : "");
    cr_assert_not_null(strstr(status.message, said), "\"%s\" lacks \"%s\"", status.message, said);
    cr_assert_not_null(strstr(status.message, also), "\"%s\" lacks \"%s\"", status.message, also);
}

Test(options, defaults_of_every_row) {
    settings values = accepted(TRAIN, WORDS());
    cr_assert_eq(values.dry, false);
    cr_assert_eq(values.count, 16);
    cr_assert_eq(values.ratio, 0.01);
    cr_assert_eq(values.limit, 0);
    cr_assert_null(values.path);
    cr_assert_str_eq(values.device, "cpu");
    cr_assert_str_eq(values.split, "test", "also of rows that are not of the job");
    cr_assert_null(values.splitter);
}

Test(options, both_ways_to_write_a_value) {
    settings values = accepted(TRAIN, WORDS("--count", "7", "--ratio=0.5", "--dry", "--path=a=b", "--device", "--odd"));
    cr_assert_eq(values.dry, true);
    cr_assert_eq(values.count, 7);
    cr_assert_eq(values.ratio, 0.5);
    cr_assert_str_eq(values.path, "a=b");
    cr_assert_str_eq(values.device, "--odd", "a value may look like an option");
    cr_assert_eq(accepted(TRAIN, WORDS("--count", "7", "--count", "8")).count, 8, "the last counts");
}

Test(options, parses_a_second_time_afresh) {
    accepted(TRAIN, WORDS("--count", "7"));
    refused(TRAIN, "--nothing", "unknown", WORDS("--dry", "--nothing"));
    cr_assert_eq(accepted(TRAIN, WORDS("--dry")).count, 16);
}

Test(options, int_bounds) {
    cr_assert_eq(accepted(TRAIN, WORDS("--count", "-5")).count, -5);
    cr_assert_eq(accepted(TRAIN, WORDS("--count=4096")).count, 4096);
    cr_assert_eq(accepted(TRAIN, WORDS("--wide", "9007199254740992")).wide, INT64_C(9007199254740992));
    static const char *const WRONG[] = {"-6", "4097", "", "x", "7x", "7 ", "1.0", "1e2", "0x10", "99999999999999999999", "nan"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        refused(TRAIN, "--count", "whole number from -5 to 4096", WORDS("--count", WRONG[i]));
    refused(TRAIN, "--wide", "-9007199254740992 to 9007199254740992", WORDS("--wide", "9007199254740993"));
    refused(TRAIN, "--wide", "-9007199254740992 to 9007199254740992", WORDS("--wide", "-9007199254740993"));
}

Test(options, real_bounds) {
    cr_assert_eq(accepted(TRAIN, WORDS("--ratio", "1")).ratio, 1);
    cr_assert_eq(accepted(TRAIN, WORDS("--ratio", "1e-9")).ratio, 1e-9);
    cr_assert_eq(accepted(TRAIN, WORDS("--limit", "-2.5e-3")).limit, -0.0025);
    cr_assert_eq(accepted(TRAIN, WORDS("--limit", "5e-324")).limit, 5e-324);
    static const char *const WRONG[] = {"0",    "1.0000001", "-0.5",  "nan", "inf", "",   "x",   "0.5x",    "0.5 ",   "%",
                                        "101%", "0%",        "-1%",   "x%",  "1%%", "1 %", "1%x", "nan%",    "1e-1%",  "0x1%",
                                        "+-1%", "1.2.3%",    "0.0e1", "--",  ".%",  "1,5", "1/2", "1e999999"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        refused(TRAIN, "--ratio", "a number from 1e-09 to 1", WORDS("--ratio", WRONG[i]));
    refused(TRAIN, "--limit", "a number from", WORDS("--limit", "inf"));
    refused(TRAIN, "--limit", "a number from", WORDS("--limit", "1e400"));
}

/* Every share of 1000 written in percent is the double that the fraction is: floor(ratio * n) must not depend on the spelling. */
Test(options, percent_is_exact) {
    for (int i = 1; i <= 1000; i++) {
        char with_percent[32], plain[32];
        snprintf(with_percent, sizeof with_percent, "%d.%d%%", i / 10, i % 10);
        snprintf(plain, sizeof plain, "%d.%03d", i / 1000, i % 1000);
        settings values = accepted(TRAIN, WORDS("--ratio", with_percent));
        cr_assert_eq(values.ratio, strtod(plain, NULL), "%s is %.17g", with_percent, values.ratio);
    }
    cr_assert_eq(accepted(TRAIN, WORDS("--ratio=.5%")).ratio, 0.005);
    cr_assert_eq(accepted(TRAIN, WORDS("--ratio=+100%")).ratio, 1);
}

Test(options, choice) {
    static const char *const WORD[] = {"train", "test", "all"};
    for (int i = 0; i < 3; i++)
        cr_assert_str_eq(accepted(SCORE, WORDS("--path=x", "--split", WORD[i])).split, WORD[i]);
    static const char *const WRONG[] = {"", "tes", "tests", "train|test", "Train", "|", "all "};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        refused(SCORE, "--split", "one of train|test|all", WORDS("--path=x", "--split", WRONG[i]));
}

Test(options, required_is_required) {
    refused(SCORE, "--path FILE is missing", "where it lies", WORDS("--split", "all"));
    cr_assert_str_eq(accepted(SCORE, WORDS("--path", "x")).path, "x");
    accepted(TRAIN, WORDS());
}

Test(options, unknown_words_are_named) {
    refused(TRAIN, "--nothing", "unknown", WORDS("--count", "3", "--nothing", "--dry"));
    refused(TRAIN, "--nothing=3", "unknown", WORDS("--nothing=3"));
    refused(TRAIN, "--split", "unknown", WORDS("--split", "all"));
    refused(TRAIN, "-x", "unknown", WORDS("-x"));
    refused(TRAIN, "-xyz", "unknown", WORDS("--count", "3", "-xyz", "--dry"));
    refused(TRAIN, "--dry=1", "value", WORDS("--count", "3", "--dry=1"));
    refused(TRAIN, "--count", "needs a value", WORDS("--dry", "--count"));
    refused(TRAIN, "word: unexpected", "--name value", WORDS("--dry", "word", "--count", "3"));
    refused(TRAIN, "word: unexpected", "--name value", WORDS("word", "--nothing"));
    refused(TRAIN, "--count: unexpected", "--name value", WORDS("--", "--count"));
    refused(TRAIN, "-: unexpected", "--name value", WORDS("-"));
}

Test(options, unique_beginning_stands_for_a_name) {
    cr_assert_eq(accepted(TRAIN, WORDS("--cou", "7")).count, 7);
    cr_assert_str_eq(accepted(SCORE, WORDS("--path=x", "--split=all")).split, "all", "the whole name wins over --splitter");
    cr_assert_str_eq(accepted(SCORE, WORDS("--path=x", "--splitt=axe")).splitter, "axe");
    refused(SCORE, "--spl", "ambiguous", WORDS("--path=x", "--spl", "all"));
}

Test(options, help_stops_checking) {
    settings values;
    bool help = false;
    pb_status status = parse(SCORE, &values, &help, WORDS("--help", "--nothing", "--split=wrong"));
    cr_assert_not(pb_failed(&status));
    cr_assert(help);
    cr_assert_str_eq(values.split, "test", "values are defaults");
}

static const pb_option FLAG_ON[] = {{.name = "on", .type = PB_OPTION_FLAG, .jobs = 1, .fallback = "yes", .help = "x"}};
static const pb_option BAD_DEFAULT[] = {
    {.name = "n", .type = PB_OPTION_INT, .jobs = 1, .metavar = "N", .fallback = "9", .least = 0, .most = 8, .help = "x"}};
static const pb_option NO_DEFAULT[] = {{.name = "n", .type = PB_OPTION_INT, .jobs = 1, .metavar = "N", .most = 8, .help = "x"}};
static const pb_option INEXACT_BOUND[] = {
    {.name = "n", .type = PB_OPTION_INT, .jobs = 1, .metavar = "N", .fallback = "9", .most = 0x1p60, .help = "x"}};

static void parse_one(const pb_option *row) {
    char *argv[] = {(char[]){"job"}, NULL};
    int64_t value;
    bool help;
    pb_status status = pb_options_parse(row, 1, 1, 1, argv, &value, &help);
    (void)status;
}

Test(options, flag_with_default_is_a_defect, .signal = SIGABRT) { parse_one(FLAG_ON); }

Test(options, default_out_of_range_is_a_defect, .signal = SIGABRT) { parse_one(BAD_DEFAULT); }

Test(options, number_without_default_is_a_defect, .signal = SIGABRT) { parse_one(NO_DEFAULT); }

Test(options, inexact_bound_is_a_defect, .signal = SIGABRT) { parse_one(INEXACT_BOUND); }

Test(options, required_number_needs_no_default) {
    static const pb_option ROW[] = {
        {.name = "n", .type = PB_OPTION_INT, .jobs = 1, .required = 1, .metavar = "N", .most = 8, .help = "x"}};
    char *argv[] = {(char[]){"job"}, (char[]){"--n=8"}, NULL};
    int64_t value;
    bool help;
    pb_status status = pb_options_parse(ROW, 1, 1, 2, argv, &value, &help);
    cr_assert_not(pb_failed(&status));
    cr_assert_eq(value, 8);
    status = pb_options_parse(ROW, 1, 1, 1, argv, &value, &help);
    cr_assert_eq(status.code, PB_E_USAGE);
}

static void text_of(void (*writer)(const pb_option *, size_t, uint32_t, FILE *), uint32_t job, char *text, size_t size) {
    FILE *out = fmemopen(text, size, "w");
    cr_assert_not_null(out);
    writer(ROWS, COUNT, job, out);
    fclose(out);
}

static void assert_holds(const char *text, const char *part) {
    cr_assert_not_null(strstr(text, part), "\"%s\" is not in:\n%s", part, text);
}

Test(options, help_text) {
    char text[4096] = "";
    text_of(pb_options_help, TRAIN, text, sizeof text);
    assert_holds(text, "  --count N        images a call (default 16; -5 to 4096)\n");
    assert_holds(text, "  --ratio RATIO    share of the patches (default 1%; 1e-09 to 1)\n");
    assert_holds(text, "  --wide N         any integer (default 0; -9007199254740992 to 9007199254740992)\n");
    assert_holds(text, "  --dry            only look (default off)\n");
    assert_holds(text, "  --path FILE      where it lies (default none)\n");
    assert_holds(text, "  --device NAME    cpu|gpu (default cpu)\n");
    assert_holds(text, "  --help           print this text\n");
    cr_assert_null(strstr(text, "--split"), "an option of another job");
    text_of(pb_options_help, SCORE, text, sizeof text);
    assert_holds(text, "  --path FILE     where it lies (required)\n");
    assert_holds(text, "  --split A|B     which images (default test; one of train|test|all)\n");
    assert_holds(text, "  --splitter HOW  with what (default none; one of axe)\n");
}

Test(options, markdown_text) {
    char text[4096] = "";
    text_of(pb_options_markdown, SCORE, text, sizeof text);
    cr_assert_str_eq(text, "| option | meaning | default, range | recorded in the output |\n|---|---|---|---|\n"
                           "| `--dry` | only look | default off | no |\n"
                           "| `--path FILE` | where it lies | required | no |\n"
                           "| `--split A\\|B` | which images | default test; one of train\\|test\\|all | no |\n"
                           "| `--splitter HOW` | with what | default none; one of axe | no |\n");
    text_of(pb_options_markdown, TRAIN, text, sizeof text);
    assert_holds(text, "| `--count N` | images a call | default 16; -5 to 4096 | yes |\n");
    assert_holds(text, "| `--device NAME` | cpu\\|gpu | default cpu | no |\n");
}

/* What an output file records, given back, must give the same values. */
Test(options, value_text_is_read_back) {
    static const double RATIOS[] = {0.1, 1.0 / 3, 1e-9, 0.07, 0.30000000000000004, 1, 5e-9};
    for (size_t i = 0; i < sizeof RATIOS / sizeof RATIOS[0]; i++) {
        settings written = {.dry = true, .count = -5, .wide = INT64_C(-9007199254740992), .ratio = RATIOS[i],
                            .limit = -RATIOS[i] * 1e300, .path = "a b/\xc3\xb6=%", .device = "cuda:0"};
        char words[COUNT][PB_OPTION_TEXT_MAX], pairs[COUNT][128];
        for (size_t row = 0; row < COUNT; row++) {
            pb_options_value_text(&ROWS[row], &written, words[row]);
            snprintf(pairs[row], sizeof pairs[row], "--%s=%.100s", ROWS[row].name, words[row]);
        }
        cr_assert_str_eq(words[0], "true");
        settings read = accepted(TRAIN, WORDS("--dry", pairs[1], pairs[2], pairs[3], pairs[4], pairs[5], pairs[6]));
        cr_assert(read.dry);
        cr_assert_eq(read.count, written.count);
        cr_assert_eq(read.wide, written.wide);
        cr_assert_eq(read.ratio, written.ratio);
        cr_assert_eq(read.limit, written.limit);
        cr_assert_str_eq(read.path, written.path);
        cr_assert_str_eq(read.device, written.device);
    }
}

Test(options, value_text_of_nothing_and_of_much) {
    static char large[2 * PB_OPTION_TEXT_MAX];
    memset(large, 'x', sizeof large - 1);
    settings values = {.path = large, .split = "all"};
    char text[PB_OPTION_TEXT_MAX];
    pb_options_value_text(&ROWS[0], &values, text);
    cr_assert_str_eq(text, "false");
    pb_options_value_text(&ROWS[5], &values, text);
    cr_assert_eq(strlen(text), PB_OPTION_TEXT_MAX - 1);
    pb_options_value_text(&ROWS[6], &values, text);
    cr_assert_str_empty(text);
    pb_options_value_text(&ROWS[7], &values, text);
    cr_assert_str_eq(text, "all");
}
