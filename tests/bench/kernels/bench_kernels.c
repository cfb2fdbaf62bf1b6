/* bench_kernels: how near the kernels of the "cpu" device come to what the machine can do.
 *
 *   bench_kernels [THREADS [SECONDS]]      defaults: 1 thread, 0.5 seconds a row
 *
 * One JSON line a row on standard output. First the ceilings of each instruction set, measured here with registers alone (the rate
 * of a difference with a fused multiply-add, and of a fused multiply-add) and with reads alone (a buffer of 256 MiB), all on
 * THREADS threads; then each kernel, its median rate over the repeats, and the percentage of the ceiling that limits it. The output of
 * the timed calls themselves is compared with the plain twin on a sample, bit for bit: "ok". Exit status 1 when a row is not ok.
 * Data: Philox numbers in (-1, 1), warm.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "gpu/cpu.h"
#include "gpu/ref.h"

#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS_MAX = 1000, CHAINS = 12 };

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

/* Rounds of CHAINS independent steps sum += (x - c)^2, or sum += x * c, in registers; the empty asm keeps the compiler from knowing
 * x. The number of lanes worked on is the result. */
#define CEILING(NAME, TARGET, VEC, LANES, ZERO, SUB, FMA)                                    \
    TARGET static double NAME(long rounds, bool difference) {                                \
        VEC sums[CHAINS], x = ZERO, c = ZERO;                                                \
        for (int i = 0; i < CHAINS; i++)                                                     \
            sums[i] = ZERO;                                                                  \
        for (long round = 0; difference && round < rounds; round++)                          \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {                      \
                __asm__ volatile("" : "+x"(x));                                              \
                VEC t = SUB(x, c);                                                           \
                sums[i] = FMA(t, t, sums[i]);                                                \
            }                                                                                \
        for (long round = 0; !difference && round < rounds; round++)                         \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {                      \
                __asm__ volatile("" : "+x"(x));                                              \
                sums[i] = FMA(x, c, sums[i]);                                                \
            }                                                                                \
        for (int i = 0; i < CHAINS; i++)                                                     \
            __asm__ volatile("" : : "x"(sums[i]));                                           \
        return (double)rounds * CHAINS * LANES;                                              \
    }

#define SCALAR_SUB(a, b) ((a) - (b))
CEILING(ceiling_plain, , float, 1, 0.0f, SCALAR_SUB, fmaf)
CEILING(ceiling_avx2, __attribute__((target("avx2,fma"))), __m256, 8, _mm256_setzero_ps(), _mm256_sub_ps, _mm256_fmadd_ps)
CEILING(ceiling_avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_setzero_ps(), _mm512_sub_ps, _mm512_fmadd_ps)

/* Reads `bytes` bytes as four streams side by side. */
#define READING(NAME, TARGET, VEC, ADD, ZERO, LOAD)                                          \
    TARGET static void NAME(const float *from, size_t bytes) {                               \
        const size_t stream = bytes / 4 / sizeof(float), step = sizeof(VEC) / sizeof(float); \
        VEC sums[4] = {ZERO, ZERO, ZERO, ZERO};                                              \
        for (size_t i = 0; i < stream; i += step)                                            \
            _Pragma("GCC unroll 4") for (size_t j = 0; j < 4; j++)                           \
                sums[j] = ADD(sums[j], LOAD(from + j * stream + i));                         \
        for (int j = 0; j < 4; j++)                                                          \
            __asm__ volatile("" : : "x"(sums[j]));                                           \
    }

READING(reading_plain, , __m128, _mm_add_ps, _mm_setzero_ps(), _mm_load_ps)
READING(reading_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_add_ps, _mm256_setzero_ps(), _mm256_load_ps)
READING(reading_avx512, __attribute__((target("avx512f"))), __m512, _mm512_add_ps, _mm512_setzero_ps(), _mm512_load_ps)

/* One instruction set: its kernels and ceilings. */
typedef struct set {
    const char *name;
    double (*ceiling)(long rounds, bool difference);
    void (*reading)(const float *from, size_t bytes);
    pb_cpu_state state;
    double differences, products, bandwidth; /* lanes, lanes, bytes a second */
} set;

static set sets[] = {{.name = "avx512", .ceiling = ceiling_avx512, .reading = reading_avx512},
                     {.name = "avx2", .ceiling = ceiling_avx2, .reading = reading_avx2},
                     {.name = "plain", .ceiling = ceiling_plain, .reading = reading_plain}};

/* Lanes a second of a ceiling, the best of five: a ceiling is what is possible. */
static double measure_ceiling(const set *s, bool difference) {
    double best = 0.0;
    for (int repeat = 0; repeat < 5; repeat++) {
        double lanes = 0.0, begun = pb_clock_seconds();
#pragma omp parallel for num_threads(threads) reduction(+ : lanes)
        for (int thread = 0; thread < threads; thread++)
            lanes += s->ceiling(2000000, difference);
        best = fmax(best, lanes / (pb_clock_seconds() - begun));
    }
    return best;
}

/* Bytes a second of reading 256 MiB, the best of five. */
static double measure_bandwidth(const set *s) {
    const size_t bytes = (size_t)256 << 20, shares = (size_t)threads, share = bytes / shares / 256 * 256;
    float *buffer;
    must(pb_allocate(&buffer, bytes, 1, "bandwidth"));
    double best = 0.0;
    for (int repeat = 0; repeat < 5; repeat++) {
        double begun = pb_clock_seconds();
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = 0; i < shares; i++)
            s->reading(buffer + i * share / sizeof *buffer, share);
        best = fmax(best, (double)(share * shares) / (pb_clock_seconds() - begun));
    }
    pb_release(&buffer);
    return best;
}

/* ---- rows ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct timing {
    double median, best; /* seconds */
    int repeats;
} timing;

/* Times `work`, run once untimed and then for about seconds_a_row. */
static timing time_of(void (*work)(void *), void *argument) {
    static double taken[REPEATS_MAX];
    work(argument);
    int count = 0;
    const double end = pb_clock_seconds() + seconds_a_row;
    do {
        double begun = pb_clock_seconds();
        work(argument);
        taken[count++] = pb_clock_seconds() - begun;
    } while (count < REPEATS_MAX && (count < 5 || pb_clock_seconds() < end));
    qsort(taken, (size_t)count, sizeof *taken, compare_doubles);
    return (timing){taken[count / 2], taken[0], count};
}

/* Writes one row. items: work of one repeat; ceiling: most items a second, for the reason `limit`. */
static void row(const char *kernel, const set *s, const char *shape, timing t, double items, const char *unit, double ceiling,
                const char *limit, bool ok) {
    printf("{\"kernel\": \"%s\", \"isa\": \"%s\", \"threads\": %d, %s, \"repeats\": %d, \"%s\": %.4g, \"best\": %.4g, "
           "\"percent\": %.1f, \"best_percent\": %.1f, \"of\": \"%s\", \"ok\": %s}\n",
           kernel, s->name, threads, shape, t.repeats, unit, items / t.median, items / t.best, 100.0 * items / t.median / ceiling,
           100.0 * items / t.best / ceiling, limit, ok ? "true" : "false");
    fflush(stdout);
    failures += !ok;
}

/* What a row works on. */
typedef struct job {
    pb_device device;
    pb_points *points;
    size_t n, count; /* points, queries or rows */
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

static void bench_nearest(set *s, size_t n, int dim, size_t count) {
    job j = begin_job(s, n, dim);
    j.count = count;
    j.queries = numbers(count * (size_t)dim, 1);
    must(pb_allocate(&j.nearest, count, sizeof *j.nearest, "bench"));
    fill_points(&j);
    timing t = time_of(run_nearest, &j);
    bool ok = true;
    for (size_t q = 0; q < count; q += count / 7 + 1) {
        uint64_t expected = PB_NEAREST_NONE;
        pb_ref_nearest(j.rows, n, dim, 0, j.queries + q * (size_t)dim, 1, &expected);
        ok &= expected == j.nearest[q];
    }
    char shape[96];
    snprintf(shape, sizeof shape, "\"n\": %zu, \"dim\": %d, \"queries\": %zu", n, dim, count);
    row("nearest", s, shape, t, (double)n * (double)count, "pairs_per_s", s->differences / dim, "sub+fma issue", ok);
    end_job(&j);
}

static void run_step(void *argument) {
    job *j = argument;
    must(pb_cpu_greedy_step(&j->device, j->points, j->rows + j->step++ * 7 % j->n * (size_t)j->dim, &j->best));
}

static void bench_step(set *s, size_t n, int dim) {
    job j = begin_job(s, n, dim);
    fill_points(&j);
    timing t = time_of(run_step, &j);
    float *distance2;
    must(pb_allocate(&distance2, n, sizeof *distance2, "bench"));
    pb_cpu_points_clear(&j.device, j.points);
    int64_t not_finite;
    must(pb_cpu_points_write(&j.device, j.points, 0, n, j.rows, &not_finite));
    for (size_t i = 0; i < n; i++)
        distance2[i] = INFINITY;
    bool ok = true;
    j.step = 0;
    for (int step = 0; step < 3; step++) {
        const float *centre = j.rows + j.step * 7 % n * (size_t)dim;
        run_step(&j);
        ok &= pb_ref_greedy_step(j.rows, n, dim, centre, distance2) == j.best;
    }
    pb_release(&distance2);
    double bytes = dim * 4.0 + 8.0; /* a point; its distance, read and written */
    bool cached = bytes * (double)n < 1e7;
    char shape[64];
    snprintf(shape, sizeof shape, "\"n\": %zu, \"dim\": %d", n, dim);
    row("greedy_step", s, shape, t, (double)n, "pairs_per_s", cached ? s->differences / dim : s->bandwidth / bytes,
        cached ? "sub+fma issue" : "read bandwidth", ok);
    end_job(&j);
}

static void run_project(void *argument) {
    job *j = argument;
    must(pb_cpu_project(&j->device, j->rows, j->n, j->dim, j->queries, j->out_dim, j->out));
}

static void bench_project(set *s, size_t n, int dim, int out_dim) {
    job j = begin_job(s, n, dim);
    j.out_dim = out_dim;
    j.queries = numbers((size_t)dim * (size_t)out_dim, 1);
    must(pb_allocate(&j.out, n * (size_t)out_dim, sizeof *j.out, "bench"));
    timing t = time_of(run_project, &j);
    float expected[1024];
    bool ok = true;
    for (size_t i = 0; i < n; i += n / 7 + 1) {
        pb_ref_project(j.rows + i * (size_t)dim, 1, dim, j.queries, out_dim, expected);
        ok &= memcmp(expected, j.out + i * (size_t)out_dim, (size_t)out_dim * sizeof *expected) == 0;
    }
    char shape[64];
    snprintf(shape, sizeof shape, "\"n\": %zu, \"dim\": %d, \"out_dim\": %d", n, dim, out_dim);
    row("project", s, shape, t, (double)n, "rows_per_s", s->products / dim / out_dim, "fma issue", ok);
    end_job(&j);
}

static void run_patches(void *argument) {
    job *j = argument;
    const pb_layer_shape shapes[2] = {{28, 40}, {14, 112}};
    const float *taps[2] = {j->rows, j->queries};
    must(pb_cpu_patch_features(&j->device, 2, shapes, taps, (int)j->count, j->out));
}

/* The taps of efficientnet-lite0 at 224 pixels. Its ceiling: taps read and features written once. */
static void bench_patches(set *s, int images) {
    const pb_layer_shape shapes[2] = {{28, 40}, {14, 112}};
    const size_t first = 28 * 28 * 40, second = 14 * 14 * 112, features = 28 * 28 * 152, n = (size_t)images;
    job j = begin_job(s, n * first, 1);
    j.queries = numbers(n * second, 1);
    j.count = n;
    must(pb_allocate(&j.out, n * features, sizeof *j.out, "bench"));
    timing t = time_of(run_patches, &j);
    float *expected;
    must(pb_allocate(&expected, features, sizeof *expected, "bench"));
    const float *taps[2] = {j.rows + (n - 1) * first, j.queries + (n - 1) * second};
    pb_ref_patch_features(2, shapes, taps, 1, expected);
    bool ok = memcmp(expected, j.out + (n - 1) * features, features * sizeof *expected) == 0;
    pb_release(&expected);
    char shape[64];
    snprintf(shape, sizeof shape, "\"images\": %d, \"dim\": 152", images);
    row("patch_features", s, shape, t, (double)n, "images_per_s", s->bandwidth / (4.0 * (double)(first + second + features)),
        "read bandwidth", ok);
    end_job(&j);
}

static void bench_set(set *s) {
    s->differences = measure_ceiling(s, true);
    s->products = measure_ceiling(s, false);
    s->bandwidth = measure_bandwidth(s);
    printf("{\"ceilings\": \"%s\", \"threads\": %d, \"sub_fma_lanes_per_s\": %.4g, \"fma_lanes_per_s\": %.4g, "
           "\"read_bytes_per_s\": %.4g}\n",
           s->name, threads, s->differences, s->products, s->bandwidth);
    const bool fast = strcmp(s->name, "plain") != 0;
    bench_nearest(s, 7840, 128, fast ? 784 : 24);
    bench_nearest(s, 7840, 152, fast ? 784 : 24);
    bench_nearest(s, 1000, 1024, fast ? 784 : 24);
    bench_step(s, 1000, 128);
    bench_step(s, 10000, 128);
    bench_step(s, fast ? 500000 : 100000, 128);
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
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        sets[i].state.kernels = pb_cpu_kernels_choose(sets[i].name);
        if (sets[i].state.kernels)
            bench_set(&sets[i]);
    }
    return failures != 0;
}
