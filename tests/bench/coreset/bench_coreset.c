/* bench_coreset: one way of selecting a coreset, timed over any number of ranks.
 *
 *   mpiexec -n RANKS bench_coreset --points FILE|uniform|mixture [options; --help lists them]
 *
 * Rank 0 prints one JSON line: median and best of the repetitions, slowest rank, from points in the device's own layout to picks
 * and radii on every rank; processor seconds are summed over ranks (a rank that waits in MPI is busy). What is checked is the
 * output of the timed repetitions: all must be equal, equal to --expected, and with --certify every pick is proved
 * (certificate.h). Exit status 1 when the row is not ok.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/version.h"
#include "certificate.h"
#include "coreset/greedy.h"
#include "coreset/greedy_step.h"
#include "mpi/partition.h"
#include "points.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { REPEATS_MOST = 64, CHUNK = 4096 };

typedef struct options {
    const char *part, *points, *how, *expected, *picks_to, *points_to;
    int64_t dim, total, picks, timed, repeats, threads, candidates, seed, start;
    double ratio, noise;
    bool certify;
} options;

#define ROW(type_, name_, member, metavar_, fallback_, least_, most_, choices_, help_)                                     \
    {                                                                                                                      \
        .name = (name_), .type = PB_OPTION_##type_, .offset = offsetof(options, member), .jobs = 1, .metavar = (metavar_), \
        .fallback = (fallback_), .least = (least_), .most = (most_), .choices = (choices_), .help = (help_)                \
    }

static const pb_option ROWS[] = {
    ROW(TEXT, "points", points, "FILE", "mixture", 0, 0, NULL, "raw float32 rows, or uniform, or mixture (points.h)"),
    ROW(INT, "dim", dim, "N", "128", 1, 4096, NULL, "values of a row"),
    ROW(INT, "total", total, "N", "0", 0, 4294967294.0, NULL, "points; of a file: drawn from its rows, 0: the rows as they are"),
    ROW(REAL, "noise", noise, "SHARE", "5%", 0, 1, NULL, "of drawn rows: largest relative change of a value"),
    ROW(INT, "seed", seed, "N", "1", 0, 9007199254740992.0, NULL, "of the points that are drawn or made"),
    ROW(CHOICE, "how", how, "HOW", "greedy", 0, 0, "greedy|greedy-step|random", "the way of selecting"),
    ROW(REAL, "ratio", ratio, "RATIO", "1%", 0, 1, NULL, "picks as a share of the points"),
    ROW(INT, "picks", picks, "N", "0", 0, 4294967294.0, NULL, "picks instead of a ratio"),
    ROW(INT, "timed", timed, "N", "0", 0, 4294967294.0, NULL,
        "make only so many of the picks and scale the seconds; 0: make all"),
    ROW(INT, "start", start, "N", "0", 0, 4294967294.0, NULL, "the first pick"),
    ROW(INT, "candidates", candidates, "N", "8192", 1, 1e9, NULL, "of greedy: most candidates that are gathered in a round"),
    ROW(INT, "threads", threads, "N", "1", 1, 1024, NULL, "threads a rank"),
    ROW(INT, "repeats", repeats, "N", "3", 1, REPEATS_MOST, NULL, "timed repetitions"),
    ROW(TEXT, "part", part, "NAME", "", 0, 0, NULL, "what the row is for; printed with it"),
    ROW(FLAG, "certify", certify, NULL, NULL, 0, 0, NULL, "prove every pick"),
    ROW(TEXT, "expected", expected, "FILE", NULL, 0, 0, NULL, "picks (raw uint64) that the output must equal as far as both go"),
    ROW(TEXT, "picks-to", picks_to, "FILE", NULL, 0, 0, NULL, "write the picks (raw uint64)"),
    ROW(TEXT, "points-to", points_to, "FILE", NULL, 0, 0, NULL, "write the points (raw float32), on rank 0, and select nothing"),
};

/* Of a repetition, over all ranks. */
typedef struct timing {
    double wall, processor, load; /* slowest rank; sum; slowest rank's putting points into place */
} timing;

typedef struct bench {
    pb_comm *comm;
    pb_device *device;
    pb_device_comm *devices;
    options ask;
    bench_points points;
    pb_range mine;
    size_t picks; /* of the ratio; as many are made, or ask.timed */
    pb_cover *cover;
    pb_points *plain;
    pb_coreset coreset, first; /* of the latest repetition; picks of the first one */
    pb_greedy_cost cost;
    pb_comm_counters sent; /* by this rank in one selection */
    long base_kib, peak_kib;
    timing times[REPEATS_MOST];
    bool equal;                 /* all repetitions */
    uint64_t compared, differs; /* picks beside --expected */
    bench_certificate certificate;
} bench;

static long peak_kib(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss;
}

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double sum_real(pb_comm *comm, double value) {
    double *all, sum = 0;
    bench_must(pb_allocate(&all, (size_t)pb_comm_size(comm), sizeof *all, "sum"));
    pb_comm_allgather(comm, &value, sizeof value, all, "sum");
    for (int rank = 0; rank < pb_comm_size(comm); rank++)
        sum += all[rank];
    pb_release(&all);
    return sum;
}

static size_t wanted(const bench *b) { return b->ask.timed > 0 ? (size_t)b->ask.timed : b->picks; }

static bool is(const bench *b, const char *how) { return strcmp(b->ask.how, how) == 0; }

/* Puts rows into the device's layout, as they come from extraction: a piece at a time. Returns the seconds that this took without
 * the making of the rows. */
static double load(bench *b, float *rows) {
    size_t count = (size_t)pb_range_size(b->mine);
    int64_t not_finite = -1;
    double seconds = 0;
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t part = count - at < CHUNK ? count - at : CHUNK;
        bench_points_rows(&b->points, b->mine.first + at, part, rows);
        double begun = pb_clock_seconds();
        bench_must(b->plain ? pb_device_points_write(b->device, b->plain, at, part, rows, &not_finite)
                            : pb_device_cover_write(b->device, b->cover, at, part, rows, &not_finite));
        seconds += pb_clock_seconds() - begun;
        if (not_finite != -1)
            bench_must(pb_fail(PB_E_INPUT, "a point is not finite"));
    }
    return seconds;
}

static pb_greedy_input rounds_input(const bench *b) {
    return (pb_greedy_input){.cover = b->cover, .count = pb_range_size(b->mine), .first = b->mine.first, .total = b->points.total,
                             .dim = b->points.dim, .start = (uint64_t)b->ask.start, .picks = wanted(b),
                             .candidates_most = (size_t)b->ask.candidates};
}

static void select_once(bench *b) {
    pb_greedy_input rounds = rounds_input(b);
    pb_greedy_step_input steps = {.points = b->plain, .count = rounds.count, .first = rounds.first, .total = rounds.total,
                                  .dim = rounds.dim, .start = rounds.start, .picks = rounds.picks};
    size_t last = rounds.picks - 1;
    if (is(b, "greedy")) {
        bench_must(pb_greedy_select(b->devices, &rounds, &b->coreset, NULL, &b->cost));
    } else if (is(b, "greedy-step")) {
        bench_must(pb_greedy_step_select(b->devices, &steps, &b->coreset));
    } else {
        pb_coreset_free(&b->coreset);
        bench_must(pb_coreset_random((uint64_t)b->ask.seed, rounds.total, rounds.picks, &b->coreset));
        bench_must(pb_greedy_radii(b->devices, &rounds, &b->coreset, &rounds.picks, 1, &b->coreset.radius[last]));
    }
}

/* Collective. Times select_once. */
static void time_it(bench *b, timing *t) {
    pb_comm_barrier(b->comm, "before the clock");
    pb_comm_counters before = pb_comm_count(b->comm);
    double wall = pb_clock_seconds(), processor = processor_seconds();
    select_once(b);
    wall = pb_clock_seconds() - wall;
    processor = processor_seconds() - processor;
    pb_comm_counters after = pb_comm_count(b->comm);
    b->sent.collectives = after.collectives - before.collectives;
    b->sent.bytes_sent = after.bytes_sent - before.bytes_sent;
    t->wall = pb_comm_max_real(b->comm, wall, "seconds");
    t->processor = sum_real(b->comm, processor);
}

/* Collective. One repetition. The peak of memory is that of the first: it never goes back. */
static void repeat(bench *b, int number) {
    float *rows;
    size_t count = (size_t)pb_range_size(b->mine);
    int dim = b->points.dim;
    bench_must(pb_allocate(&rows, CHUNK, (size_t)dim * sizeof *rows, "rows"));
    bench_must(pb_coreset_allocate(&b->coreset, wanted(b)));
    bench_must(is(b, "greedy-step") ? pb_device_points_create(b->device, count, dim, &b->plain)
                                    : pb_device_cover_create(b->device, count, dim, (uint32_t)b->mine.first, &b->cover));
    b->times[number].load = pb_comm_max_real(b->comm, load(b, rows), "seconds");
    time_it(b, &b->times[number]);
    if (number == 0)
        b->peak_kib = peak_kib();
    pb_device_points_free(b->device, &b->plain);
    pb_device_cover_free(b->device, &b->cover);
    pb_release(&rows);
    if (number == 0) {
        b->first = b->coreset;
        return;
    }
    b->equal = b->equal && b->coreset.count == b->first.count &&
               memcmp(b->coreset.picked, b->first.picked, b->first.count * sizeof *b->first.picked) == 0 &&
               memcmp(b->coreset.radius, b->first.radius, b->first.count * sizeof *b->first.radius) == 0;
    pb_coreset_free(&b->coreset);
}

static void compare_expected(bench *b) {
    FILE *file = fopen(b->ask.expected, "rb");
    uint64_t pick;
    if (!file)
        bench_must(pb_fail(PB_E_INPUT, "%s: cannot be opened", b->ask.expected));
    while (b->compared < b->first.count && fread(&pick, sizeof pick, 1, file) == 1)
        b->differs += b->first.picked[b->compared++] != pick;
    fclose(file);
}

static void write_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(bytes, 1, size, file) == size;
    if (!file || fclose(file) != 0 || !written)
        bench_must(pb_fail(PB_E_SYSTEM, "%s: cannot be written", path));
}

static void write_points(const bench *b) {
    float *rows;
    size_t row = (size_t)b->points.dim * sizeof *rows;
    bench_must(pb_allocate(&rows, b->points.total, row, "points"));
    bench_points_rows(&b->points, 0, b->points.total, rows);
    write_file(b->ask.points_to, rows, b->points.total * row);
    pb_release(&rows);
}

/* --- the row ------------------------------------------------------------------------------------------------------ */

static void read_cpu_model(char text[128]) {
    snprintf(text, 128, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %127[^\n]", text) == 1)
            break;
    if (file)
        fclose(file);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value at `share` of the sorted repetitions; member: its offset in timing. */
static double quantile(const bench *b, size_t member, double share) {
    double values[REPEATS_MOST];
    size_t count = (size_t)b->ask.repeats;
    for (size_t i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&b->times[i] + member, sizeof values[i]);
    qsort(values, count, sizeof *values, compare_doubles);
    return values[(size_t)(share * (double)(count - 1))];
}

static void print_conditions(const bench *b) {
    char cpu[128];
    double load[1] = {NAN};
    read_cpu_model(cpu);
    (void)getloadavg(load, 1);
    printf("{\"bench\": \"coreset\", \"part\": \"%s\", \"program\": \"patchbank\", \"how\": \"%s\", \"commit\": \"%s\", "
           "\"flags\": \"%s\", \"cpu\": \"%s\", \"device\": \"%s\", \"load_average\": %.2f, ", b->ask.part, b->ask.how,
           pb_version_commit(), BENCH_FLAGS, cpu, pb_device_description(b->device), load[0]);
    printf("\"points\": \"%s\", \"ranks\": %d, \"threads\": %" PRId64 ", \"n\": %" PRIu64 ", \"dim\": %d, \"k\": %zu, "
           "\"timed_picks\": %zu, \"repeats\": %" PRId64 ", ",
           strrchr(b->ask.points, '/') ? strrchr(b->ask.points, '/') + 1 : b->ask.points, pb_comm_size(b->comm), b->ask.threads,
           b->points.total, b->points.dim, b->picks, b->first.count, b->ask.repeats);
}

static void print_times(const bench *b) {
    double scale = b->ask.timed > 0 ? (double)b->picks / (double)b->first.count : 1;
    printf("\"seconds\": %.4f, \"seconds_best\": %.4f, \"seconds_worst\": %.4f, \"cpu_seconds\": %.4f, \"scaled\": %s, "
           "\"load_seconds\": %.4f, ",
           scale * quantile(b, offsetof(timing, wall), 0.5), scale * quantile(b, offsetof(timing, wall), 0),
           scale * quantile(b, offsetof(timing, wall), 1), scale * quantile(b, offsetof(timing, processor), 0.5),
           b->ask.timed > 0 ? "true" : "false", quantile(b, offsetof(timing, load), 0.5));
}

/* Collective. Figures of the rank that has most of it. */
static bool print_row(bench *b) {
    bool root = pb_comm_rank(b->comm) == 0;
    uint64_t collectives = pb_comm_max_u64(b->comm, b->sent.collectives, "row"), sent_most = b->sent.bytes_sent;
    uint64_t sent_all = pb_comm_sum_u64(b->comm, b->sent.bytes_sent, "row");
    sent_most = pb_comm_max_u64(b->comm, sent_most, "row");
    double points_bytes = (double)pb_range_size(b->mine) * (double)b->points.dim * sizeof(float);
    double grown = (double)(b->peak_kib - b->base_kib) * 1024, ratio = pb_comm_max_real(b->comm, grown / points_bytes, "row");
    grown = pb_comm_max_real(b->comm, grown, "row");
    bool sound = b->certificate.beaten == 0 && b->certificate.wrong_radii == 0 && b->certificate.wrong_last == 0;
    bool ok = b->equal && b->differs == 0 && sound && (!b->ask.expected || b->compared > 0);
    if (!root)
        return ok;
    print_conditions(b);
    print_times(b);
    printf("\"rounds\": %" PRIu64 ", \"candidates_most\": %" PRIu64 ", \"candidates_sum\": %" PRIu64 ", \"capped\": %" PRIu64
           ", \"collectives\": %" PRIu64 ", \"sent_bytes_most\": %" PRIu64 ", \"sent_bytes_all\": %" PRIu64 ", ",
           b->cost.rounds, b->cost.candidates_most, b->cost.candidates_sum, b->cost.capped, collectives, sent_most, sent_all);
    printf("\"memory_bytes\": %.0f, \"memory_ratio\": %.3f, \"radius\": %.9g, \"repeats_equal\": %s, \"compared\": %" PRIu64
           ", \"differs\": %" PRIu64 ", \"certified\": %s, \"beaten\": %" PRIu64 ", \"wrong_radii\": %" PRIu64 ", \"ok\": %s}\n",
           grown, ratio, (double)b->first.radius[b->first.count - 1], b->equal ? "true" : "false", b->compared, b->differs,
           !b->ask.certify ? "null" : sound ? "true" : "false", b->certificate.beaten, b->certificate.wrong_radii,
           ok ? "true" : "false");
    return ok;
}

static void set_up(bench *b) {
    bench_points_open(b->ask.points, (int)b->ask.dim, (uint64_t)b->ask.total, b->ask.noise, (uint64_t)b->ask.seed, &b->points);
    b->mine = pb_partition(b->points.total, pb_comm_size(b->comm), pb_comm_rank(b->comm));
    b->picks = b->ask.picks > 0 ? (size_t)b->ask.picks : pb_coreset_size(b->ask.ratio, b->points.total);
    if (wanted(b) > b->points.total || (uint64_t)b->ask.start >= b->points.total)
        bench_must(pb_fail(PB_E_USAGE, "more picks than points"));
    bench_must(pb_device_open("cpu", (int)b->ask.threads, &b->device));
    bench_must(pb_device_comm_create(b->comm, b->device, PB_ROUTE_AUTO, 0, &b->devices));
    pb_comm_barrier(b->comm, "begin");
    b->base_kib = peak_kib();
}

static bool run(bench *b) {
    bool root = pb_comm_rank(b->comm) == 0;
    for (int number = 0; number < b->ask.repeats; number++)
        repeat(b, number);
    if (b->ask.expected)
        compare_expected(b);
    if (b->ask.certify)
        b->certificate = bench_certify(b->comm, b->device, &b->points, &b->first);
    if (b->ask.picks_to && root)
        write_file(b->ask.picks_to, b->first.picked, b->first.count * sizeof *b->first.picked);
    bool ok = print_row(b);
    pb_coreset_free(&b->first);
    return ok;
}

int main(int argc, char **argv) {
    bench b = {.equal = true};
    bool help = false, ok = true;
    bench_must(pb_comm_create(&argc, &argv, &b.comm));
    bench_must(pb_options_parse(ROWS, sizeof ROWS / sizeof ROWS[0], 1, argc, argv, &b.ask, &help));
    if (help) {
        if (pb_comm_rank(b.comm) == 0)
            pb_options_help(ROWS, sizeof ROWS / sizeof ROWS[0], 1, stdout);
        pb_comm_destroy(&b.comm);
        return 0;
    }
    set_up(&b);
    if (!b.ask.points_to)
        ok = run(&b);
    else if (pb_comm_rank(b.comm) == 0)
        write_points(&b);
    bench_points_close(&b.points);
    pb_device_comm_destroy(&b.devices);
    pb_device_close(&b.device);
    pb_comm_destroy(&b.comm);
    return ok ? 0 : 1;
}
