/* outlier.c: how unusual each patch of one place of the grid is among the patches that all images have there, and where to cut.
 *
 * All pairs of a place are compared, which is n^2 dim operations: n is the number of images. The distances are not kept, only the
 * k nearest of each row. Rows lie in tiles of LANES, [tile][dim][LANES], so that one row meets LANES others at a time: the sum of
 * each pair is then a sequence over the dimensions, in one lane, whatever the width of the registers. This is host arithmetic of
 * its own and no device's (decision 0031): no operation of a device gives all distances.
 *
 * Threads only share out the rows for which neighbours are found; a row's list, distance and score depend on nothing that another
 * thread writes at that time. So the bits are the same for any number of threads.
 */
#include "coreset/outlier.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* --- neighbours --------------------------------------------------------------------------------------------------- */

/* Rows of a tile, [dim][LANES], so that the compiler works on whole registers: two of AVX-512, four of AVX2, whose sums do not
 * wait for each other. */
enum { LANES = 32 };

/* Another row of the place. Order: by distance^2, then by index. */
typedef struct neighbour {
    float distance2; /* its root is taken only of the k-th and where a density is made */
    uint32_t index;
} neighbour;

/* The rows of one place, and for each its nearest others in order of (distance^2, index). */
typedef struct place {
    size_t n, k; /* rows, neighbours a row */
    int dim;
    float *tiles;         /* [tile][dim][LANES]; lanes past n are 0 and never looked at */
    neighbour *neighbours; /* [n][k] */
    double *distance;     /* [n] distance to the k-th: lof's k-distance; with k = 1 the score of `nearest` */
    double *density;      /* [n] local reachability density */
} place;

static void place_free(place *p) {
    pb_release(&p->tiles);
    pb_release(&p->neighbours);
    pb_release(&p->distance);
    pb_release(&p->density);
}

/* Copies the rows [n][dim] into tiles. After an error place_free follows all the same. */
static pb_status place_create(const float *rows, size_t n, size_t k, int dim, place *p) {
    *p = (place){.n = n, .k = k, .dim = dim};
    size_t tile = (size_t)dim * LANES, tiles = (n + LANES - 1) / LANES;
    PB_TRY(pb_allocate(&p->tiles, tiles, tile * sizeof *p->tiles, "patches of a place"));
    PB_TRY(pb_allocate(&p->neighbours, n, k * sizeof *p->neighbours, "neighbours"));
    PB_TRY(pb_allocate(&p->distance, n, sizeof *p->distance, "neighbours"));
    PB_TRY(pb_allocate(&p->density, n, sizeof *p->density, "neighbours"));
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < (size_t)dim; d++)
            p->tiles[i / LANES * tile + d * LANES + i % LANES] = rows[i * (size_t)dim + d];
    return pb_ok();
}

/* distance^2 of one row to each of a tile's: in every lane a sequence over the dimensions, the product rounded before it is added
 * (the build forbids contraction). Sums in a local array, so that the compiler need not think that they overlap the tile. */
static void tile_distances(const float *tile, const float *row, int dim, float sums[LANES]) {
    float sum[LANES] = {0};
    for (int d = 0; d < dim; d++, tile += LANES)
        for (int lane = 0; lane < LANES; lane++) {
            float t = tile[lane] - row[d];
            sum[lane] += t * t;
        }
    memcpy(sums, sum, sizeof sum);
}

/* Puts one into the list, which is in order and has `count` of at most k; indices come rising, so that of equal distances the
 * earlier one stays in front. Gives the new count. */
static size_t insert(neighbour *list, size_t count, size_t k, neighbour next) {
    if (count == k && !(next.distance2 < list[k - 1].distance2))
        return count;
    size_t at = count < k ? count : k - 1;
    for (; at > 0 && next.distance2 < list[at - 1].distance2; at--)
        list[at] = list[at - 1];
    list[at] = next;
    return count < k ? count + 1 : k;
}

/* The list of row `self`, which is not its own neighbour, and the distance to the last of it. There are at least k others, so the
 * list is full in the end. */
static void find_neighbours(const place *p, const float *row, size_t self) {
    neighbour *list = p->neighbours + self * p->k;
    size_t count = 0;
    for (size_t first = 0; first < p->n; first += LANES) {
        float sums[LANES];
        tile_distances(p->tiles + first * (size_t)p->dim, row, p->dim, sums);
        for (size_t i = first; i < p->n && i < first + LANES; i++)
            if (i != self)
                count = insert(list, count, p->k, (neighbour){.distance2 = sums[i - first], .index = (uint32_t)i});
    }
    p->distance[self] = sqrt((double)list[p->k - 1].distance2);
}

/* --- scores ------------------------------------------------------------------------------------------------------- */

/* One over the mean distance to the neighbours, no neighbour counting as nearer than its own k-th is: lof's reachability
 * distance, which keeps the density of rows that lie very close together from jumping. Equal rows have a large density (1e10),
 * not an infinite one. */
static double density_of(const place *p, size_t i) {
    double sum = 0;
    for (size_t j = 0; j < p->k; j++) {
        const neighbour *other = p->neighbours + i * p->k + j;
        sum += fmax(p->distance[other->index], sqrt((double)other->distance2));
    }
    return 1 / (sum / (double)p->k + 1e-10);
}

/* The mean density of the neighbours over the row's own: lof. About 1 in the midst of others, larger the sparser the row lies
 * than they do. */
static double factor_of(const place *p, size_t i) {
    double sum = 0;
    for (size_t j = 0; j < p->k; j++)
        sum += p->density[p->neighbours[i * p->k + j].index];
    return sum / (double)p->k / p->density[i];
}

/* Three passes, since a density needs the k-distances of others and a factor their densities. Neighbours that are fewer than
 * asked for are all others (k = n - 1); with one row there are none, and nothing to say: 0. */
pb_status pb_outlier_scores(pb_outlier_kind kind, const float *rows, size_t n, int dim, int threads, float *scores) {
    PB_ASSERT(n < UINT32_MAX && dim >= 1);
    const size_t most = kind == PB_OUTLIER_LOF ? PB_LOF_NEIGHBOURS : 1, k = n > most ? most : n > 0 ? n - 1 : 0;
    place p = {0};
    memset(scores, 0, n * sizeof *scores);
    if (k == 0)
        return pb_ok();
    pb_status status = place_create(rows, n, k, dim, &p);
    if (!pb_failed(&status)) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = 0; i < n; i++)
            find_neighbours(&p, rows + i * (size_t)dim, i);
        for (size_t i = 0; i < n; i++)
            p.density[i] = kind == PB_OUTLIER_LOF ? density_of(&p, i) : 0;
        for (size_t i = 0; i < n; i++)
            scores[i] = (float)(kind == PB_OUTLIER_LOF ? factor_of(&p, i) : p.distance[i]);
    }
    place_free(&p);
    return status;
}

/* --- the limit ---------------------------------------------------------------------------------------------------- */

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Floats from +0 on are in the order of their bits, so that halving finds the least in 32 steps. Every rank halves by the same
 * sum, so all do the same number of steps. The largest finite float is always a limit that nothing is above. */
float pb_outlier_limit(pb_comm *comm, const float *scores, size_t count, uint64_t most) {
    uint32_t low = 0, high = 0x7F7FFFFF; /* the largest float: nothing is above it */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t above = 0;
        for (size_t i = 0; i < count; i++)
            above += scores[i] > float_of(middle);
        if (pb_comm_sum_u64(comm, above, "scores above a limit") <= most)
            high = middle;
        else
            low = middle + 1;
    }
    return float_of(low);
}
