/* bench_kernels: how near the kernels of the "cpu" device come to what the machine can do.
 *
 *   bench_kernels [THREADS [SECONDS]]      defaults: 1 thread, 0.5 seconds a row
 *
 * One JSON line a row on standard output: median and best rate over the repeats, beside them the ceiling named in "of", measured
 * before each repeat, so that other work on the machine slows both: how fast this instruction set does a difference with a fused
 * multiply-add, or a fused multiply-add, in registers alone, or reads 256 MiB. "percent" compares the medians, "best_percent" the
 * bests. "ok": the output of the last timed call (of greedy_step: of three steps after the timing) equals the plain twin's, bit
 * for bit, on a sample. Exit status 1 when a row is not ok. Data: Philox numbers in (-1, 1); warm, except that what is held
 * against reading finds its data pushed out of the caches by the reading.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "ceilings.h"
#include "gpu/cpu.h"
#include "gpu/ref.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS_MAX = 1000 };

static int threads = 1;
static double seconds_a_row = 0.5;
static int failures;

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_kernels: %s\n", status.message);
        exit(1);
    }
}

static float *numbers(size_t count, uint32_t substream) {
    float *values;
    must(pb_allocate(&values, count, sizeof *values, "bench data"));
    for (size_t i = 0; i < count; i += 4) {
        uint32_t block[4];
        pb_random_block(1, PB_STREAM_TEST, substream, i / 4, block);
        for (size_t j = 0; j < 4 && i + j < count; j++)
            values[i + j] = (float)(int32_t)block[j] * 0x1p-31f;
    }
    return values;
}

/* ---- ceilings ---- */

/* Reads `bytes` bytes, 512 at a time, asking for what comes 8 KiB later. */
#define READING(NAME, TARGET, VEC, ADD, ZERO, LOAD)                                        \
    TARGET static void NAME(const float *from, size_t bytes) {                             \
        enum { STEP = sizeof(VEC) / sizeof(float), BATCH = 128 / STEP };                   \
        const float *end = from + bytes / sizeof(float) / 128 * 128;                       \
        VEC sums[BATCH];                                                                   \
        for (int j = 0; j < BATCH; j++)                                                    \
            sums[j] = ZERO;                                                                \
        for (; from < end; from += 128) {                                                  \
            for (int line = 0; line < 128; line += 16)                                     \
                __builtin_prefetch(from + 2048 + line);                                    \
            _Pragma("GCC unroll 32") for (int j = 0; j < BATCH; j++)                       \
                sums[j] = ADD(sums[j], LOAD(from + j * STEP));                             \
        }                                                                                  \
        for (int j = 0; j < BATCH; j++)                                                    \
            __asm__ volatile("" : : "x"(sums[j]));                                         \
    }

READING(reading_plain, , __m128, _mm_add_ps, _mm_setzero_ps(), _mm_load_ps)
READING(reading_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_add_ps, _mm256_setzero_ps(), _mm256_load_ps)
READING(reading_avx512, __attribute__((target("avx512f"))), __m512, _mm512_add_ps, _mm512_setzero_ps(), _mm512_load_ps)

/* One instruction set. */
typedef struct set {
    const char *name;
    double (*ceiling)(long rounds, bool difference);
    void (*reading)(const float *from, size_t bytes);
    pb_cpu_state state;
} set;

static set sets[] = {{.name = "avx512", .ceiling = ceiling_avx512, .reading = reading_avx512},
                     {.name = "avx2", .ceiling = ceiling_avx2, .reading = reading_avx2},
                     {.name = "plain", .ceiling = ceiling_plain, .reading = reading_plain}};

/* What limits a kernel: units of it a second, as they are now. */
typedef double limit(const set *s);

static double issue(const set *s, bool difference) {
    double lanes = 0.0, begun = pb_clock_seconds();
#pragma omp parallel for num_threads(threads) reduction(+ : lanes)
    for (int thread = 0; thread < threads; thread++)
        lanes += s->ceiling(100000, difference);
    return lanes / (pb_clock_seconds() - begun);
}

static double differences(const set *s) { return issue(s, true); } /* lanes */

static double products(const set *s) { return issue(s, false); } /* lanes */

static float *memory; /* READ_BYTES of it */
enum { READ_BYTES = 256 << 20 };

static double reading(const set *s) { /* bytes */
    const size_t shares = (size_t)threads, share = READ_BYTES / shares / 512 * 512;
    double begun = pb_clock_seconds();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t i = 0; i < shares; i++)
        s->reading(memory + i * share / sizeof *memory, share);
    return (double)(share * shares) / (pb_clock_seconds() - begun);
}

/* ---- rows ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

/* One row being made. */
typedef struct bench {
    const char *kernel, *unit, *of;
    const set *set;
    limit *limit;
    double items, cost; /* items of the unit in one call; what an item takes of the limit */
    char shape[96];     /* as JSON members */
} bench;

/* Times `work`, run once before, for about seconds_a_row, and writes the row. */
static void measure(const bench *b, void (*work)(void *), void *argument, bool (*check)(void *)) {
    static double rates[REPEATS_MAX], ceilings[REPEATS_MAX];
    work(argument);
    int count = 0;
    const double end = pb_clock_seconds() + seconds_a_row;
    do {
        ceilings[count] = b->limit(b->set) / b->cost;
        double begun = pb_clock_seconds();
        work(argument);
        rates[count++] = b->items / (pb_clock_seconds() - begun);
    } while (count < REPEATS_MAX && (count < 5 || pb_clock_seconds() < end));
    bool ok = check(argument);
    failures += !ok;
    double rate = median(rates, count), ceiling = median(ceilings, count), best = rates[count - 1];
    printf("{\"kernel\": \"%s\", \"isa\": \"%s\", \"threads\": %d, %s, \"repeats\": %d, \"%s\": %.4g, \"best\": %.4g, "
           "\"ceiling\": %.4g, \"of\": \"%s\", \"percent\": %.1f, \"best_percent\": %.1f, \"ok\": %s}\n",
           b->kernel, b->set->name, threads, b->shape, count, b->unit, rate, best, ceiling, b->of, 100.0 * rate / ceiling,
           100.0 * best / ceilings[count - 1], ok ? "true" : "false");
    fflush(stdout);
}

/* What a row works on. */
typedef struct job {
    pb_device device;
    pb_points *points;
    size_t n, count; /* points or rows; queries or images */
    int dim, out_dim;
    float *rows, *queries, *out;
    uint64_t *nearest, best;
    size_t step; /* greedy steps done */
} job;

static job begin_job(set *s, size_t n, int dim) {
    job j = {.device = {.state = &s->state, .threads = threads}, .n = n, .dim = dim};
    j.rows = numbers(n * (size_t)dim, 0);
    return j;
}

static void fill_points(job *j) {
    int64_t not_finite;
    must(pb_cpu_points_create(&j->device, j->n, j->dim, &j->points));
    must(pb_cpu_points_write(&j->device, j->points, 0, j->n, j->rows, &not_finite));
}

static void end_job(job *j) {
    pb_cpu_points_free(&j->device, j->points);
    pb_release(&j->rows);
    pb_release(&j->queries);
    pb_release(&j->out);
    pb_release(&j->nearest);
}

static void run_nearest(void *argument) {
    job *j = argument;
    memset(j->nearest, 0xFF, j->count * sizeof *j->nearest);
    must(pb_cpu_nearest(&j->device, j->points, 0, j->queries, j->count, j->nearest));
}

static bool check_nearest(void *argument) {
    const job *j = argument;
    bool ok = true;
    for (size_t q = 0; q < j->count; q += j->count / 7 + 1) {
        uint64_t expected = PB_NEAREST_NONE;
        pb_ref_nearest(j->rows, j->n, j->dim, 0, j->queries + q * (size_t)j->dim, 1, &expected);
        ok &= expected == j->nearest[q];
    }
    return ok;
}

static void bench_nearest(set *s, size_t n, int dim, size_t count) {
    job j = begin_job(s, n, dim);
    j.count = count;
    j.queries = numbers(count * (size_t)dim, 1);
    must(pb_allocate(&j.nearest, count, sizeof *j.nearest, "bench"));
    fill_points(&j);
    bench b = {"nearest", "pairs_per_s", "sub+fma issue", s, differences, (double)n * (double)count, dim, ""};
    snprintf(b.shape, sizeof b.shape, "\"n\": %zu, \"dim\": %d, \"queries\": %zu", n, dim, count);
    measure(&b, run_nearest, &j, check_nearest);
    end_job(&j);
}

static const float *next_centre(job *j) { return j->rows + j->step++ * 7 % j->n * (size_t)j->dim; }

static void run_step(void *argument) {
    job *j = argument;
    must(pb_cpu_greedy_step(&j->device, j->points, 0, next_centre(j), &j->best));
}

static bool check_step(void *argument) {
    job *j = argument;
    float *distance2;
    must(pb_allocate(&distance2, j->n, sizeof *distance2, "bench"));
    for (size_t i = 0; i < j->n; i++)
        distance2[i] = INFINITY;
    pb_cpu_points_free(&j->device, j->points);
    fill_points(j);
    bool ok = true;
    for (int step = 0; step < 3; step++) {
        const float *centre = next_centre(j);
        must(pb_cpu_greedy_step(&j->device, j->points, 0, centre, &j->best));
        ok &= pb_ref_greedy_step(j->rows, j->n, j->dim, centre, distance2) == j->best;
    }
    pb_release(&distance2);
    return ok;
}

/* Points that lie in a cache are held against the arithmetic, others against memory: a point is read, and its distance, and that
 * written. */
static void bench_step(set *s, size_t n, int dim, bool cached) {
    job j = begin_job(s, n, dim);
    fill_points(&j);
    bench b = {"greedy_step", "pairs_per_s", cached ? "sub+fma issue" : "read bandwidth", s, cached ? differences : reading,
               (double)n, cached ? dim : dim * 4.0 + 8.0, ""};
    snprintf(b.shape, sizeof b.shape, "\"n\": %zu, \"dim\": %d", n, dim);
    measure(&b, run_step, &j, check_step);
    end_job(&j);
}

static void run_write(void *argument) {
    job *j = argument;
    int64_t not_finite;
    must(pb_cpu_points_write(&j->device, j->points, 0, j->n, j->rows, &not_finite));
}

static bool check_write(void *argument) {
    job *j = argument;
    float found[1024];
    bool ok = true;
    for (size_t i = 0; i < j->n; i += j->n / 7 + 1) {
        must(pb_cpu_points_read(&j->device, j->points, i, found));
        ok &= memcmp(found, j->rows + i * (size_t)j->dim, (size_t)j->dim * sizeof *found) == 0;
    }
    return ok;
}

/* The rows of ten images over and over, held against reading them and writing them, as if writing cost what reading does. */
static void bench_write(set *s, size_t n, int dim) {
    job j = begin_job(s, n, dim);
    fill_points(&j);
    bench b = {"points_write", "rows_per_s", "read bandwidth", s, reading, (double)n, dim * 8.0, ""};
    snprintf(b.shape, sizeof b.shape, "\"n\": %zu, \"dim\": %d", n, dim);
    measure(&b, run_write, &j, check_write);
    end_job(&j);
}

static void run_project(void *argument) {
    job *j = argument;
    must(pb_cpu_project(&j->device, j->rows, j->n, j->dim, j->queries, j->out_dim, j->out));
}

static bool check_project(void *argument) {
    const job *j = argument;
    const size_t width = (size_t)j->out_dim;
    float expected[1024];
    bool ok = true;
    for (size_t i = 0; i < j->n; i += j->n / 7 + 1) {
        pb_ref_project(j->rows + i * (size_t)j->dim, 1, j->dim, j->queries, j->out_dim, expected);
        ok &= memcmp(expected, j->out + i * width, width * sizeof *expected) == 0;
    }
    return ok;
}

static void bench_project(set *s, size_t n, int dim, int out_dim) {
    job j = begin_job(s, n, dim);
    j.out_dim = out_dim;
    j.queries = numbers((size_t)dim * (size_t)out_dim, 1);
    must(pb_allocate(&j.out, n * (size_t)out_dim, sizeof *j.out, "bench"));
    bench b = {"project", "rows_per_s", "fma issue", s, products, (double)n, (double)dim * out_dim, ""};
    snprintf(b.shape, sizeof b.shape, "\"n\": %zu, \"dim\": %d, \"out_dim\": %d", n, dim, out_dim);
    measure(&b, run_project, &j, check_project);
    end_job(&j);
}

/* The taps of efficientnet-lite0 at 224 pixels. */
static const pb_layer_shape SHAPES[2] = {{{28, 28}, 40}, {{14, 14}, 112}};
enum { FIRST_TAP = 28 * 28 * 40, SECOND_TAP = 14 * 14 * 112, FEATURES = 28 * 28 * 152 };

static void run_patches(void *argument) {
    job *j = argument;
    const float *taps[2] = {j->rows, j->queries};
    must(pb_cpu_patch_features(&j->device, 3, 2, SHAPES, taps, (int)j->count, j->out));
}

static bool check_patches(void *argument) {
    const job *j = argument;
    const size_t last = j->count - 1;
    const float *taps[2] = {j->rows + last * FIRST_TAP, j->queries + last * SECOND_TAP};
    float *expected;
    must(pb_allocate(&expected, FEATURES, sizeof *expected, "bench"));
    pb_ref_patch_features(3, 2, SHAPES, taps, 1, expected);
    bool ok = memcmp(expected, j->out + last * FEATURES, FEATURES * sizeof *expected) == 0;
    pb_release(&expected);
    return ok;
}

/* Held against reading the taps and writing the features once, as if writing cost what reading does. */
static void bench_patches(set *s, size_t images) {
    job j = begin_job(s, images * FIRST_TAP, 1);
    j.queries = numbers(images * SECOND_TAP, 1);
    j.count = images;
    must(pb_allocate(&j.out, images * FEATURES, sizeof *j.out, "bench"));
    bench b = {"patch_features", "images_per_s", "read bandwidth", s, reading, (double)images,
               sizeof(float) * (double)(FIRST_TAP + SECOND_TAP + FEATURES), ""};
    snprintf(b.shape, sizeof b.shape, "\"images\": %zu, \"dim\": 152", images);
    measure(&b, run_patches, &j, check_patches);
    end_job(&j);
}

static void bench_set(set *s) {
    const bool fast = strcmp(s->name, "plain") != 0;
    bench_nearest(s, 7840, 128, fast ? 784 : 24);
    bench_nearest(s, 7840, 152, fast ? 784 : 24);
    bench_nearest(s, 1000, 1024, fast ? 784 : 24);
    bench_step(s, 1000, 128, true);
    bench_step(s, 10000, 128, true);
    bench_step(s, fast ? 500000 : 100000, 128, false);
    bench_write(s, 7840, 128);
    bench_project(s, fast ? 7840 : 784, 152, 128);
    bench_project(s, fast ? 2352 : 196, 1024, 128);
    bench_patches(s, 16);
}

int main(int argc, char **argv) {
    if (argc > 1)
        threads = atoi(argv[1]);
    if (argc > 2)
        seconds_a_row = atof(argv[2]);
    if (argc > 3 || threads < 1 || !(seconds_a_row > 0.0)) {
        fputs("usage: bench_kernels [THREADS [SECONDS]]\n", stderr);
        return 64;
    }
    must(pb_allocate(&memory, READ_BYTES, 1, "bandwidth"));
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        sets[i].state.kernels = pb_cpu_kernels_choose(sets[i].name);
        if (sets[i].state.kernels)
            bench_set(&sets[i]);
    }
    pb_release(&memory);
    return failures != 0;
}
