/* bench_search.c: searches of the "cpu" device with its filter, beside the same without one, by turns.
 *
 * Usage: bench_search FILE DIM [REPEATS]
 *   FILE: raw float32 [n][DIM], as tests/bench/coreset/dump_features.c writes them. Queries are the first 32 images of 784
 *   patches, the bank evenly spaced rows of the others: 784, 2,352, 7,840 and 23,520, as far as there are so many. Prints for
 *   each size and each set of kernels that this processor has the median processor seconds of both ways, their ratio, the share
 *   of all pairs that was measured, and how long the filter takes to make, once for a bank. Exit status 1 when an answer differs.
 */
#include "base/memory.h"
#include "gpu/cpu_cover_search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUERIES = 32 * 784, REPEATS_MAX = 101 };

/* A bank, queries and answers. */
typedef struct bench {
    int dim;
    size_t n;
    const float *queries;
    float *bank;
    uint64_t *plain, *filtered; /* [QUERIES] */
} bench;

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_search: %s\n", status.message);
        exit((int)status.code);
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

static float *read_rows(const char *path, int dim, size_t *n) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        must(pb_fail(PB_E_INPUT, "%s: cannot be read", path));
    *n = (size_t)ftell(file) / sizeof(float) / (size_t)dim;
    float *rows = room(*n, (size_t)dim * sizeof *rows);
    rewind(file);
    if (fread(rows, (size_t)dim * sizeof *rows, *n, file) != *n)
        must(pb_fail(PB_E_INPUT, "%s: cannot be read", path));
    fclose(file);
    return rows;
}

static void read_bank(const void *context, size_t index, float *row) {
    const bench *b = context;
    memcpy(row, b->bank + index * (size_t)b->dim, (size_t)b->dim * sizeof *row);
}

/* The way of pb_device_nearest that has no filter: an image at a time, of points that were just written, one is never due. */
static double search_plainly(pb_device *device, const bench *b) {
    pb_points *points;
    int64_t not_finite;
    double seconds = 0;
    const size_t some = ((size_t)4 << 20) / b->n - 1;
    must(pb_device_points_create(device, b->n, b->dim, &points));
    memset(b->plain, 0xFF, QUERIES * sizeof *b->plain); /* PB_NEAREST_NONE */
    for (size_t q = 0; q < QUERIES; q += some) {
        must(pb_device_points_write(device, points, 0, b->n, b->bank, &not_finite));
        const double begin = cpu_seconds();
        must(pb_device_nearest(device, points, 0, b->queries + q * (size_t)b->dim, QUERIES - q < some ? QUERIES - q : some,
                               b->plain + q));
        seconds += cpu_seconds() - begin;
    }
    pb_device_points_free(device, &points);
    return seconds;
}

static double search_by_filter(pb_cover *cover, const bench *b) {
    memset(b->filtered, 0xFF, QUERIES * sizeof *b->filtered);
    const double begin = cpu_seconds();
    if (pb_cover_search(cover, 0, b->queries, QUERIES, b->filtered) != QUERIES)
        must(pb_fail(PB_E_INPUT, "numbers that are not filtered"));
    return cpu_seconds() - begin;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

/* One row of the table. Returns whether the answers were the same. */
static bool measure(const bench *b, const char *set, int repeats) {
    double plain[REPEATS_MAX], filtered[REPEATS_MAX];
    pb_device *device;
    pb_cover *cover;
    bool same = true;
    must(pb_device_open(set, 1, &device));
    const double begin = cpu_seconds();
    must(pb_cover_search_begin(device, b->n, b->dim, read_bank, b, &cover));
    const double making = cpu_seconds() - begin;
    for (int r = 0; r < repeats && cover; r++) {
        plain[r] = search_plainly(device, b);
        filtered[r] = search_by_filter(cover, b);
        same &= memcmp(b->plain, b->filtered, QUERIES * sizeof *b->plain) == 0;
    }
    if (cover) {
        const double before = median(plain, repeats), after = median(filtered, repeats);
        printf("%-10s %6zu rows: without %.4f s, with %.4f s, ratio %.2f, measured %.2f %%, filter made in %.4f s%s\n", set, b->n,
               before, after, before / after,
               100 * (double)cover->work[0].counts.measured / ((double)b->n * QUERIES * repeats), making, same ? "" : ", WRONG");
    }
    pb_cpu_cover_free(device, cover);
    pb_device_close(&device);
    return same;
}

int main(int argc, char **argv) {
    static const size_t SIZES[] = {784, 2352, 7840, 23520};
    const int dim = argc > 2 ? atoi(argv[2]) : 0, repeats = argc > 3 ? atoi(argv[3]) : 5;
    size_t all;
    bool same = true;
    if (dim < 1 || repeats < 1 || repeats > REPEATS_MAX) {
        fprintf(stderr, "usage: bench_search FILE DIM [REPEATS]\n");
        return PB_E_USAGE;
    }
    float *rows = read_rows(argv[1], dim, &all);
    bench b = {.dim = dim, .queries = rows, .bank = room(SIZES[3], (size_t)dim * sizeof *rows)};
    b.plain = room(QUERIES, sizeof *b.plain);
    b.filtered = room(QUERIES, sizeof *b.filtered);
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES && QUERIES + SIZES[s] <= all; s++) {
        b.n = SIZES[s];
        for (size_t i = 0; i < b.n; i++)
            memcpy(b.bank + i * (size_t)dim, rows + (QUERIES + i * (all - QUERIES) / b.n) * (size_t)dim,
                   (size_t)dim * sizeof *rows);
        const char *needs, *name;
        for (size_t set = 0; (name = pb_cpu_kernels_name(set, &needs)); set++) {
            char device[32];
            snprintf(device, sizeof device, "cpu:%s", name);
            if (pb_cpu_kernels_choose(name) && strcmp(name, "plain") != 0)
                same &= measure(&b, device, repeats);
        }
    }
    pb_release(&b.bank);
    pb_release(&b.plain);
    pb_release(&b.filtered);
    pb_release(&rows);
    return same ? 0 : 1;
}
