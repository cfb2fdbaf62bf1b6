/* oracle: the textbook loop in double precision, beside picks that something else made. It shares no code with patchbank.
 *
 *   bench_coreset_oracle POINTS.f32 DIM PICKS.u64 [NAME]
 *
 * It follows the given picks: after each it knows every point's distance^2 to them in double, takes the farthest point (the
 * smallest index on a tie), and looks whether the next given pick is that one. Where it is another, the two are compared:
 * distances in float have an error of at most dim + 2 units of 2^-24 (a difference rounded, then dim fused multiply-adds of
 * squares), so two of them can change places only within twice that: a near tie. Anything wider is an error of the selection.
 * Prints one JSON line; exit status 1 on such an error. Uses all threads that OpenMP gives.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LANES = 16 };

typedef struct oracle {
    size_t n, dim, picks;
    float *points;  /* [n][dim] */
    float *tiles;   /* the same as [tile][dim][LANES] */
    double *least;  /* [tiles * LANES] distance^2 to the picks so far */
    double *centre; /* [dim] */
    uint64_t *picked;
} oracle;

static void *read_all(const char *path, size_t item, size_t *count) {
    FILE *file = fopen(path, "rb");
    void *bytes = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        *count = (size_t)ftell(file) / item;
        rewind(file);
        bytes = malloc(*count * item + 1);
        if (bytes && fread(bytes, item, *count, file) != *count) {
            free(bytes);
            bytes = NULL;
        }
    }
    if (file)
        fclose(file);
    if (!bytes) {
        fprintf(stderr, "oracle: %s: cannot be read\n", path);
        exit(65);
    }
    return bytes;
}

/* Dimension by dimension, so that a compiler can work on several points at once without changing any sum's order. */
static void make_tiles(oracle *o) {
    size_t tiles = (o->n + LANES - 1) / LANES;
    o->tiles = calloc(tiles * LANES * o->dim, sizeof *o->tiles);
    o->least = malloc(tiles * LANES * sizeof *o->least);
    o->centre = malloc(o->dim * sizeof *o->centre);
    if (!o->tiles || !o->least || !o->centre)
        exit(74);
    for (size_t i = 0; i < o->n; i++)
        for (size_t k = 0; k < o->dim; k++)
            o->tiles[(i / LANES * o->dim + k) * LANES + i % LANES] = o->points[i * o->dim + k];
    for (size_t i = 0; i < tiles * LANES; i++)
        o->least[i] = i < o->n ? INFINITY : -1;
}

__attribute__((target_clones("avx512f", "avx2", "default")))
static void meet_tile(const float *tile, const double *centre, size_t dim, double *least) {
    double sum[LANES] = {0};
    for (size_t k = 0; k < dim; k++)
        for (int lane = 0; lane < LANES; lane++) {
            double apart = (double)tile[k * LANES + (size_t)lane] - centre[k];
            sum[lane] += apart * apart;
        }
    for (int lane = 0; lane < LANES; lane++)
        least[lane] = sum[lane] < least[lane] ? sum[lane] : least[lane];
}

/* Every point meets the pick; returns the farthest point afterwards. */
static size_t meet(oracle *o, size_t pick) {
    size_t tiles = (o->n + LANES - 1) / LANES, best = 0;
    for (size_t k = 0; k < o->dim; k++)
        o->centre[k] = (double)o->points[pick * o->dim + k];
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < tiles; t++)
        meet_tile(o->tiles + t * LANES * o->dim, o->centre, o->dim, o->least + t * LANES);
    for (size_t i = 1; i < o->n; i++)
        best = o->least[i] > o->least[best] ? i : best;
    return best;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: bench_coreset_oracle POINTS.f32 DIM PICKS.u64 [NAME]\n");
        return 64;
    }
    oracle o = {.dim = strtoul(argv[2], NULL, 10)};
    struct timespec begun, ended;
    o.points = read_all(argv[1], o.dim * sizeof(float), &o.n);
    o.picked = read_all(argv[3], sizeof(uint64_t), &o.picks);
    make_tiles(&o);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    size_t equal = 0, before_first = 0, wide = 0;
    double widest = 0, bound = 2 * (double)(o.dim + 2) * 0x1p-24;
    for (size_t i = 0; i + 1 < o.picks; i++) {
        size_t best = meet(&o, o.picked[i]), next = o.picked[i + 1];
        double gap = (o.least[best] - o.least[next]) / o.least[best];
        before_first += best == next && equal == i;
        equal += best == next;
        wide += !(gap <= bound);
        widest = gap <= widest ? widest : gap;
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    size_t last = meet(&o, o.picked[o.picks - 1]);
    double seconds = (double)(ended.tv_sec - begun.tv_sec) + 1e-9 * (double)(ended.tv_nsec - begun.tv_nsec);
    printf(
        "{\"bench\": \"coreset\", \"part\": \"oracle\", \"program\": \"oracle\", \"of\": \"%s\", \"n\": %zu, "
        "\"dim\": %zu, \"k\": %zu, \"seconds\": %.1f, \"picks_followed\": %zu, \"equal\": %zu, "
        "\"equal_before_first_other\": %zu, \"others\": %zu, \"widest_gap\": %.3g, \"near_tie_bound\": %.3g, "
        "\"wider_than_near_ties\": %zu, \"radius\": %.9g, \"ok\": %s}\n",
        argc > 4 ? argv[4] : "picks", o.n, o.dim, o.picks, seconds, o.picks - 1, equal, before_first, o.picks - 1 - equal, widest,
        bound, wide, sqrt(o.least[last]), wide == 0 ? "true" : "false");
    free(o.points);
    free(o.tiles);
    free(o.least);
    free(o.centre);
    free(o.picked);
    return wide == 0 ? 0 : 1;
}
