/* bench_cover.c: a whole selection on one rank through gpu/cover.h, rounds scheduled as coreset/greedy.h does.
 *
 * Usage: bench_cover [--rows FILE] [--n N] [--dim D] [--ratio R]... [--threads T]... [--isa NAME]... [--repeats N] [--picks FILE]
 *   FILE of --rows: raw float32 [n][dim], as tests/bench/coreset/dump_features.c writes them; N 0 or absent: all of it. Without
 *   a file N made up points, in clusters and of few true dimensions like features. FILE of --picks: raw int32, the picks that
 *   must come out (as many as it has). Prints a JSON line for each ratio, set of kernels and number of threads: the least and
 *   the median time of the repeats, from the first centre to the last pick (points are written before), on the wall and of the
 *   process's CPUs, and shares of all n * picks pairs: of those filtered by place, of those measured, and the canonical
 *   evaluations a pick. Exit status 1 when picks are not the ones wanted.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "gpu/cpu_cover.h"
#include "play.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LISTED_MAX = 16, REPEATS_MAX = 101 };

typedef struct arguments {
    const char *rows_file, *picks_file, *isa[LISTED_MAX];
    size_t n;
    int dim, repeats, threads[LISTED_MAX], isa_count, threads_count, ratio_count;
    double ratio[LISTED_MAX];
} arguments;

/* One run of a selection. */
typedef struct run {
    size_t picks, made, rounds;
    bool filtered;
    double wall, cpu;
    pb_cover_counts counts;
    int32_t *picked; /* [picks] */
} run;

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_cover: %s\n", status.message);
        exit(status.code);
    }
}

static void *room(size_t count, size_t size) {
    void *memory;
    must(pb_allocate(&memory, count, size, "the benchmark"));
    return memory;
}

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- points ---- */

static float *read_rows(const char *path, size_t *n, int dim) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        must(pb_fail(PB_E_INPUT, "%s: cannot be read", path));
    size_t there = (size_t)ftell(file) / sizeof(float) / (size_t)dim;
    *n = *n > 0 && *n < there ? *n : there;
    float *rows = room(*n, (size_t)dim * sizeof *rows);
    rewind(file);
    if (fread(rows, (size_t)dim * sizeof *rows, *n, file) != *n)
        must(pb_fail(PB_E_INPUT, "%s: cannot be read", path));
    fclose(file);
    return rows;
}

static float dice(uint32_t substream, size_t index) { return pb_random_symmetric(1, PB_STREAM_TEST, substream, index); }

/* A cluster's centre and a point's own deviation from it, both with a spread that falls as 1 / (k + 1). */
static float *make_rows(size_t n, int dim) {
    enum { CLUSTERS = 50 };
    float *rows = room(n, (size_t)dim * sizeof *rows);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)dim; k++)
            rows[i * (size_t)dim + k] =
                (4 * dice(0, i % CLUSTERS * (size_t)dim + k) + dice(1, i * (size_t)dim + k)) / (1 + (float)k / 4);
    return rows;
}

/* ---- a selection ---- */

static void select_once(const float *rows, size_t n, int dim, const char *isa, int threads, run *r) {
    char name[32];
    pb_device *device;
    pb_cover *cover;
    int64_t not_finite;
    snprintf(name, sizeof name, "cpu:%s", isa);
    must(pb_device_open(name, threads, &device));
    must(pb_device_cover_create(device, n, dim, 0, &cover));
    must(pb_device_cover_write(device, cover, 0, n, rows, &not_finite));
    double wall = pb_clock_seconds(), cpu = cpu_seconds();
    must(bench_play(device, cover, dim, rows, r->picks, r->picked, &r->made, &r->rounds));
    r->wall = pb_clock_seconds() - wall;
    r->cpu = cpu_seconds() - cpu;
    r->filtered = cover->filtered;
    r->counts = (pb_cover_counts){0};
    for (int t = 0; t < threads; t++) {
        r->counts.filtered += cover->work[t].counts.filtered;
        r->counts.measured += cover->work[t].counts.measured;
        r->counts.plain += cover->work[t].counts.plain;
        r->counts.canonical += cover->work[t].counts.canonical;
    }
    pb_device_cover_free(device, &cover);
    pb_device_close(&device);
}

/* ---- rows of the table ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool as_wanted(const run *r, const char *path) {
    if (!path)
        return true;
    int32_t *wanted = room(r->picks, sizeof *wanted);
    FILE *file = fopen(path, "rb");
    if (!file)
        must(pb_fail(PB_E_INPUT, "%s: cannot be read", path));
    size_t count = fread(wanted, sizeof *wanted, r->picks, file);
    fclose(file);
    bool same = count <= r->made && memcmp(wanted, r->picked, count * sizeof *wanted) == 0;
    pb_release(&wanted);
    return same;
}

static bool report(const arguments *a, const float *rows, size_t n, double ratio, const char *isa, int threads) {
    static double walls[REPEATS_MAX], cpus[REPEATS_MAX];
    run r = {.picks = (size_t)(ratio * (double)n) > 0 ? (size_t)(ratio * (double)n) : 1};
    r.picked = room(r.picks, sizeof *r.picked);
    bool ok = true;
    for (int i = 0; i < a->repeats; i++) {
        select_once(rows, n, a->dim, isa, threads, &r);
        walls[i] = r.wall;
        cpus[i] = r.cpu;
        ok = as_wanted(&r, a->picks_file) && ok;
    }
    qsort(walls, (size_t)a->repeats, sizeof *walls, compare_doubles);
    qsort(cpus, (size_t)a->repeats, sizeof *cpus, compare_doubles);
    const double pairs = (double)n * (double)r.made;
    printf("{\"n\": %zu, \"dim\": %d, \"picks\": %zu, \"isa\": \"%s\", \"threads\": %d, \"filtered_way\": %s, \"repeats\": %d, "
           "\"wall_s\": %.4f, \"wall_median_s\": %.4f, \"cpu_s\": %.4f, \"cpu_median_s\": %.4f, \"rounds\": %zu, "
           "\"filtered\": %.5f, \"measured\": %.6f, \"plain\": %.5f, \"canonical_a_pick\": %.3f, \"ok\": %s}\n",
           n, a->dim, r.made, isa, threads, r.filtered ? "true" : "false", a->repeats, walls[0], walls[a->repeats / 2], cpus[0],
           cpus[a->repeats / 2], r.rounds, (double)r.counts.filtered / pairs, (double)r.counts.measured / pairs,
           (double)r.counts.plain / pairs, (double)r.counts.canonical / (double)r.made, ok ? "true" : "false");
    fflush(stdout);
    pb_release(&r.picked);
    return ok;
}

static int usage(const char *what) {
    fprintf(stderr, "bench_cover: %s\n"
                    "usage: bench_cover [--rows FILE] [--n N] [--dim D] [--ratio R]... [--threads T]... [--isa NAME]... "
                    "[--repeats N] [--picks FILE]\n", what);
    return PB_E_USAGE;
}

static int parse(int argc, char **argv, arguments *a) {
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value || a->isa_count == LISTED_MAX || a->threads_count == LISTED_MAX || a->ratio_count == LISTED_MAX)
            return usage(name);
        if (strcmp(name, "--rows") == 0)
            a->rows_file = value;
        else if (strcmp(name, "--picks") == 0)
            a->picks_file = value;
        else if (strcmp(name, "--n") == 0)
            a->n = strtoull(value, NULL, 10);
        else if (strcmp(name, "--dim") == 0)
            a->dim = atoi(value);
        else if (strcmp(name, "--repeats") == 0)
            a->repeats = atoi(value);
        else if (strcmp(name, "--isa") == 0)
            a->isa[a->isa_count++] = value;
        else if (strcmp(name, "--threads") == 0)
            a->threads[a->threads_count++] = atoi(value);
        else if (strcmp(name, "--ratio") == 0)
            a->ratio[a->ratio_count++] = atof(value);
        else
            return usage(name);
    }
    return a->dim >= 1 && a->repeats >= 1 && a->repeats <= REPEATS_MAX ? 0 : usage("--dim, --repeats: out of range");
}

int main(int argc, char **argv) {
    arguments a = {.dim = 128, .repeats = 5};
    int wrong = parse(argc, argv, &a);
    if (wrong)
        return wrong;
    if (a.isa_count == 0)
        a.isa[a.isa_count++] = pb_cpu_kernels_choose(NULL)->name;
    if (a.threads_count == 0)
        a.threads[a.threads_count++] = 1;
    if (a.ratio_count == 0)
        a.ratio[a.ratio_count++] = 0.01;
    size_t n = a.rows_file || a.n > 0 ? a.n : 100000;
    float *rows = a.rows_file ? read_rows(a.rows_file, &n, a.dim) : make_rows(n, a.dim);
    bool ok = true;
    for (int q = 0; q < a.ratio_count; q++)
        for (int s = 0; s < a.isa_count; s++)
            for (int t = 0; t < a.threads_count; t++)
                ok = report(&a, rows, n, a.ratio[q], a.isa[s], a.threads[t]) && ok;
    pb_release(&rows);
    return ok ? 0 : PB_E_NO;
}
