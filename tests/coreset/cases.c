/* Cases of coreset/ for any number of ranks; started by tests/coreset/test_greedy.c and test_search.c. Every rank makes all the
 * data from the counter-based generator and compares with an oracle of its own. */
#include "cases.h"

#include "base/memory.h"
#include "base/random.h"
#include "coreset/greedy.h"
#include "coreset/search.h"
#include "gpu/ref.h"
#include "mpi/partition.h"

#include <math.h>
#include <stdlib.h>

enum { N_MOST = 2000, DIM_MOST = 40 };
static float all[N_MOST * DIM_MOST];
static uint64_t picked[N_MOST], expected[N_MOST];
static float radius[N_MOST], expected_radius[N_MOST];

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "unexpected: %s\n", status.message);
        abort();
    }
}

static void fill(uint32_t substream, size_t values) {
    for (size_t i = 0; i < values; i++)
        all[i] = pb_random_symmetric(11, PB_STREAM_TEST, substream, i);
}

/* The textbook loop on one rank, with the plain twin. */
static size_t plain_greedy(size_t n, int dim, size_t picks, uint64_t start) {
    static float distance2[N_MOST];
    for (size_t i = 0; i < n; i++)
        distance2[i] = INFINITY;
    size_t made = 0;
    for (uint64_t next = start; made < picks;) {
        uint64_t best = pb_ref_greedy_step(all, n, dim, all + next * (size_t)dim, distance2);
        expected[made] = next;
        expected_radius[made++] = sqrtf(pb_packed_distance2(best));
        next = pb_farthest_index(best);
        if (pb_packed_distance2(best) <= 0)
            break;
    }
    return made;
}

/* Collective: the selection under test. */
static size_t select_over_ranks(pb_comm *comm, size_t n, int dim, size_t picks, uint64_t start) {
    pb_range mine = pb_partition(n, pb_comm_size(comm), pb_comm_rank(comm));
    size_t count = pb_range_size(mine), made = 0;
    int64_t not_finite;
    pb_device *device;
    pb_points *points;
    must(pb_device_open("cpu", 1, &device));
    must(pb_device_points_create(device, count, dim, &points));
    must(pb_device_points_write(device, points, 0, count, all + mine.first * (size_t)dim, &not_finite));
    pb_greedy_input input = {.points = points, .count = count, .first = mine.first, .total = n,
                             .dim = dim,       .start = start, .picks = picks};
    must(pb_greedy_select(comm, device, &input, picked, radius, &made));
    pb_device_points_free(device, &points);
    pb_device_close(&device);
    return made;
}

static void compare_with_plain(pb_comm *comm, size_t n, int dim, size_t picks, uint64_t start) {
    size_t made = select_over_ranks(comm, n, dim, picks, start), wanted = plain_greedy(n, dim, picks, start);
    HOLDS(made == wanted);
    HOLDS(memcmp(picked, expected, made * sizeof *picked) == 0);
    HOLDS(memcmp(radius, expected_radius, made * sizeof *radius) == 0);
}

static void greedy_plain(pb_comm *comm) {
    fill(0, N_MOST * DIM_MOST);
    compare_with_plain(comm, 1000, 17, 200, 0);
    compare_with_plain(comm, 1000, 17, 200, 999);
    compare_with_plain(comm, N_MOST, DIM_MOST, 40, 7);
    compare_with_plain(comm, 501, 1, 60, 250);
}

/* Independent of the canonical arithmetic: each pick's distance to the earlier picks, in double, is the largest of all points',
 * within what float can be off by: (dim + 3) roundings of at most 2^-24 relative each. */
static void greedy_double(pb_comm *comm) {
    enum { N = 700, DIM = 9, PICKS = 80 };
    static double distance[N];
    fill(1, N * DIM);
    size_t made = select_over_ranks(comm, N, DIM, PICKS, 3);
    HOLDS(made == PICKS && picked[0] == 3);
    for (size_t i = 0; i < N; i++)
        distance[i] = INFINITY;
    for (size_t pick = 0; pick < made; pick++) {
        double farthest = 0;
        for (size_t i = 0; i < N; i++) {
            double sum = 0;
            for (size_t k = 0; k < DIM; k++) {
                double t = (double)all[i * DIM + k] - (double)all[picked[pick] * DIM + k];
                sum += t * t;
            }
            distance[i] = sqrt(sum) < distance[i] ? sqrt(sum) : distance[i];
            farthest = distance[i] > farthest ? distance[i] : farthest;
        }
        double slack = farthest * (DIM + 3) * 0x1p-24;
        HOLDS(fabs((double)radius[pick] - farthest) <= slack);
        if (pick + 1 < made)
            HOLDS(distance[picked[pick + 1]] >= farthest - slack);
    }
}

static void greedy_few(pb_comm *comm) {
    fill(2, 3 * 5);
    for (size_t n = 1; n <= 3; n++)
        compare_with_plain(comm, n, 5, n, n - 1);
}

/* 300 points at 10 places: ten picks, then every point equals one and nothing is left to do. */
static void greedy_duplicates(pb_comm *comm) {
    enum { N = 300, DIM = 6, PLACES = 10 };
    fill(3, PLACES * DIM);
    for (size_t i = PLACES; i < N; i++)
        memcpy(all + i * DIM, all + (i * 7 % PLACES) * DIM, DIM * sizeof *all);
    HOLDS(select_over_ranks(comm, N, DIM, 50, 123) == PLACES);
    HOLDS(radius[PLACES - 1] == 0 && radius[PLACES - 2] > 0);
    compare_with_plain(comm, N, DIM, 50, 123);
    for (size_t i = 0; i < N * DIM; i++)
        all[i] = 1;
    HOLDS(select_over_ranks(comm, N, DIM, 50, 0) == 1 && radius[0] == 0);
}

/* Corners of a square around point 0: all at the same distance, so in order of index, wherever the ranks' borders lie. */
static void greedy_ties(pb_comm *comm) {
    static const float square[] = {0, 0, 1, 1, 1, -1, -1, 1, -1, -1};
    memcpy(all, square, sizeof square);
    HOLDS(select_over_ranks(comm, 5, 2, 5, 0) == 5);
    for (uint64_t i = 0; i < 5; i++)
        HOLDS(picked[i] == i); /* a corner is as far from the middle as from nobody else, so all stay tied */
}

static void greedy_all(pb_comm *comm) {
    fill(4, 50 * 3);
    compare_with_plain(comm, 50, 3, 50, 10);
    HOLDS(radius[49] == 0);
}

/* Collective: rank r asks about `count` queries (its own number); compares with the plain twin over the whole bank. */
static void compare_search(pb_comm *comm, pb_search *search, size_t rows, int dim, const float *queries, size_t count) {
    float *distance;
    uint32_t *row;
    uint64_t *nearest;
    must(pb_allocate(&distance, count, sizeof *distance, "distances"));
    must(pb_allocate(&row, count, sizeof *row, "rows"));
    must(pb_allocate(&nearest, count, sizeof *nearest, "nearest"));
    (void)comm;
    must(pb_search_nearest(search, queries, count, distance, row));
    for (size_t i = 0; i < count; i++)
        nearest[i] = PB_NEAREST_NONE;
    pb_ref_nearest(all, rows, dim, 0, queries, count, nearest);
    for (size_t i = 0; i < count; i++) {
        HOLDS(row[i] == pb_nearest_index(nearest[i]));
        HOLDS(distance[i] == sqrtf(pb_packed_distance2(nearest[i])));
    }
    pb_release(&distance);
    pb_release(&row);
    pb_release(&nearest);
}

typedef struct bench {
    pb_device *device;
    pb_search *search;
} bench;

static pb_status open_search(pb_comm *comm, size_t rows, int dim, bench *open) {
    pb_range mine = pb_partition(rows, pb_comm_size(comm), pb_comm_rank(comm));
    must(pb_device_open("cpu", 1, &open->device));
    return pb_search_create(comm, open->device, all + mine.first * (size_t)dim, rows, dim, &open->search);
}

static void close_search(bench *open) {
    pb_search_free(&open->search);
    pb_device_close(&open->device);
}

static const float *queries_of(pb_comm *comm) { return all + (size_t)(N_MOST / 2 + 100 * pb_comm_rank(comm)) * DIM_MOST; }

static void search_plain(pb_comm *comm) {
    bench open;
    fill(5, N_MOST * DIM_MOST);
    memcpy(all + 500 * DIM_MOST, all + 3 * DIM_MOST, DIM_MOST * sizeof *all); /* two equal rows: the smaller wins */
    memcpy(all + (N_MOST / 2) * DIM_MOST, all + 3 * DIM_MOST, DIM_MOST * sizeof *all); /* and is asked for */
    must(open_search(comm, N_MOST / 2, DIM_MOST, &open));
    compare_search(comm, open.search, N_MOST / 2, DIM_MOST, queries_of(comm), 100);
    close_search(&open);
}

static void search_few(pb_comm *comm) {
    fill(6, N_MOST * DIM_MOST);
    for (size_t rows = 1; rows <= 3; rows++) {
        bench open;
        must(open_search(comm, rows, DIM_MOST, &open));
        compare_search(comm, open.search, rows, DIM_MOST, queries_of(comm), 10);
        close_search(&open);
    }
}

static void search_uneven(pb_comm *comm) {
    bench open;
    fill(7, N_MOST * DIM_MOST);
    must(open_search(comm, 301, DIM_MOST, &open));
    for (int call = 0; call < 4; call++)
        compare_search(comm, open.search, 301, DIM_MOST, queries_of(comm), (size_t)((pb_comm_rank(comm) + call) % 3) * 33);
    close_search(&open);
}

static void search_not_finite(pb_comm *comm) {
    bench open;
    fill(8, 100 * DIM_MOST);
    all[77 * DIM_MOST + 5] = NAN;
    pb_status status = open_search(comm, 100, DIM_MOST, &open);
    HOLDS(status.code == PB_E_INPUT && strstr(status.message, "row 77"));
    HOLDS(open.search == NULL);
    close_search(&open);
}

static const pb_case CASES[] = {
    {"greedy-plain", greedy_plain},     {"greedy-double", greedy_double},
    {"greedy-few", greedy_few},         {"greedy-duplicates", greedy_duplicates},
    {"greedy-ties", greedy_ties},       {"greedy-all", greedy_all},
    {"search-plain", search_plain},     {"search-few", search_few},
    {"search-uneven", search_uneven},   {"search-not-finite", search_not_finite},
};

int main(int argc, char **argv) { return run_case(argc, argv, CASES, sizeof CASES / sizeof CASES[0]); }
