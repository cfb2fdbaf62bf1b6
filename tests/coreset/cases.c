/* Cases of coreset/ for any number of ranks; started by tests/coreset/test_greedy.c, test_search.c and test_pixels.c. Every rank
 * makes all the data from the counter-based generator and compares with an oracle of its own. */
#include "cases.h"
#include "failing_cases.h"
#include "pixel_cases.h"
#include "far_device.h"

#include "base/memory.h"
#include "base/random.h"
#include "coreset/greedy.h"
#include "coreset/greedy_step.h"
#include "coreset/search.h"
#include "gpu/ref.h"
#include "mpi/partition.h"

#include "emulator.h"
#include "nccl_stub.h"

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

/* `program CASE [far|cuda]`: with a device whose memory is not the host's, or with the CUDA plugin on the emulator and a stub of
 * NCCL. */
static bool far, cuda;

/* A device, and the ranks' devices as a group. */
typedef struct opened {
    pb_device_table table; /* of the far device */
    pb_device *device;
    pb_device_comm *devices;
} opened;

/* Collective. */
static void open_devices(pb_comm *comm, opened *o) {
    *o = (opened){0};
    emulator_identity(1 + pb_comm_rank(comm));
    must(far ? far_device_open(&o->table, &o->device) : pb_device_open(cuda ? "cuda:0" : "cpu", 1, &o->device));
    must(pb_device_comm_create(comm, o->device, PB_ROUTE_AUTO, 0, &o->devices));
    const char *way = cuda && pb_comm_size(comm) > 1 ? "device" : far || cuda ? "staged" : "mpi";
    HOLDS(strcmp(pb_device_comm_way(o->devices), way) == 0);
}

static void close_devices(opened *o) {
    pb_device_comm_destroy(&o->devices);
    if (far)
        far_device_close(&o->device);
    else
        pb_device_close(&o->device);
    HOLDS(emulator_faults() == 0 && emulator_living() == 0 && nccl_stub_living() == 0);
}

/* This rank's rows among the first n of `all`, in device memory; released by pb_device_release. */
static float *upload_mine(pb_comm *comm, const opened *o, size_t n, int dim, pb_range *mine) {
    *mine = pb_partition(n, pb_comm_size(comm), pb_comm_rank(comm));
    size_t bytes = pb_range_size(*mine) * (size_t)dim * sizeof(float);
    float *rows;
    must(pb_device_alloc(o->device, bytes, &rows, "rows"));
    must(pb_device_upload(o->device, rows, all + mine->first * (size_t)dim, bytes));
    return rows;
}

/* Collective: the textbook loop over ranks. */
static size_t step_over_ranks(pb_comm *comm, size_t n, int dim, size_t picks, uint64_t start) {
    pb_range mine;
    int64_t not_finite;
    opened o;
    pb_points *points;
    open_devices(comm, &o);
    float *rows = upload_mine(comm, &o, n, dim, &mine);
    pb_coreset coreset = {.room = picks, .picked = picked, .radius = radius};
    must(pb_device_points_create(o.device, pb_range_size(mine), dim, &points));
    must(pb_device_points_write(o.device, points, 0, pb_range_size(mine), rows, &not_finite));
    pb_greedy_step_input input = {.points = points,
                                  .count = pb_range_size(mine),
                                  .first = mine.first,
                                  .total = n,
                                  .dim = dim,
                                  .start = start,
                                  .picks = picks};
    must(pb_greedy_step_select(o.devices, &input, &coreset));
    pb_device_points_free(o.device, &points);
    pb_device_release(o.device, &rows);
    close_devices(&o);
    return coreset.count;
}

/* Has a selection stopped after its first rounds: the last rank is asked to. */
typedef struct interruption {
    bool asked;          /* this rank */
    size_t after, count; /* rounds with picks; picks made then */
    uint64_t picked[N_MOST];
    float radius[N_MOST];
} interruption;

static pb_status interrupt(void *context, const pb_coreset *so_far) {
    interruption *stop = context;
    if (stop->after == 0)
        return pb_ok();
    stop->after--;
    stop->count = so_far->count;
    memcpy(stop->picked, so_far->picked, so_far->count * sizeof *so_far->picked);
    memcpy(stop->radius, so_far->radius, so_far->count * sizeof *so_far->radius);
    return stop->after == 0 && stop->asked ? pb_fail(PB_E_REQUEUE, "asked to stop") : pb_ok();
}

/* This rank's points of the first n rows of `all`. */
static pb_cover *open_cover(pb_comm *comm, const opened *o, size_t n, int dim) {
    pb_cover *cover;
    pb_range mine;
    int64_t not_finite;
    pb_device *device = o->device;
    float *rows = upload_mine(comm, o, n, dim, &mine);
    must(pb_device_cover_create(device, pb_range_size(mine), dim, 0, &cover));
    must(pb_device_cover_write(device, cover, 0, pb_range_size(mine), rows, &not_finite));
    HOLDS(not_finite == -1);
    pb_device_cover_place(device, cover, (uint32_t)mine.first);
    pb_device_release(device, &rows);
    return cover;
}

/* A selection among the n points of all ranks, of which the cover has this rank's. */
static pb_greedy_input rounds_input(pb_comm *comm, pb_cover *cover, size_t n, int dim, size_t picks, size_t candidates) {
    pb_range mine = pb_partition(n, pb_comm_size(comm), pb_comm_rank(comm));
    return (pb_greedy_input){.cover = cover,
                             .count = pb_range_size(mine),
                             .first = mine.first,
                             .total = n,
                             .dim = dim,
                             .picks = picks,
                             .candidates_most = candidates};
}

/* Collective: selection in rounds. stop: goes on from its picks if it has any, and notes where to go on from; may be NULL. */
static size_t rounds_over_ranks(pb_comm *comm, size_t n, int dim, size_t picks, uint64_t start, size_t candidates,
                                interruption *stop) {
    opened o;
    open_devices(comm, &o);
    pb_cover *cover = open_cover(comm, &o, n, dim);
    pb_coreset coreset = {.room = picks, .picked = picked, .radius = radius};
    pb_greedy_input input = rounds_input(comm, cover, n, dim, picks, candidates);
    input.start = start;
    if (stop && stop->count > 0) {
        coreset.count = stop->count;
        memcpy(picked, stop->picked, stop->count * sizeof *picked);
        memcpy(radius, stop->radius, stop->count * sizeof *radius);
    } else if (stop) {
        input.report = interrupt;
        input.context = stop;
    }
    pb_status status = pb_greedy_select(o.devices, &input, &coreset, NULL, NULL);
    if (!input.report || status.code != PB_E_REQUEUE)
        must(status);
    else
        HOLDS(stop->after == 0 && stop->count == coreset.count); /* no pick more than it was shown */
    pb_device_cover_free(o.device, &cover);
    close_devices(&o);
    return coreset.count;
}

static void same_as_expected(size_t made, size_t wanted) {
    HOLDS(made == wanted);
    HOLDS(memcmp(picked, expected, made * sizeof *picked) == 0);
    HOLDS(memcmp(radius, expected_radius, made * sizeof *radius) == 0);
}

/* Both ways of selecting, against the plain loop; rounds with room for many candidates and for as few as there are ranks. */
static void compare_with_plain(pb_comm *comm, size_t n, int dim, size_t picks, uint64_t start) {
    size_t wanted = plain_greedy(n, dim, picks, start), ranks = (size_t)pb_comm_size(comm);
    same_as_expected(step_over_ranks(comm, n, dim, picks, start), wanted);
    same_as_expected(rounds_over_ranks(comm, n, dim, picks, start, 8192, NULL), wanted);
    same_as_expected(rounds_over_ranks(comm, n, dim, picks, start, 3 * ranks, NULL), wanted);
}

static void greedy_plain(pb_comm *comm) {
    fill(0, N_MOST * DIM_MOST);
    if (cuda) { /* the emulator looks at every access to memory */
        compare_with_plain(comm, 301, 17, 40, 300);
        return;
    }
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
    size_t made = rounds_over_ranks(comm, N, DIM, PICKS, 3, 500, NULL);
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
    HOLDS(rounds_over_ranks(comm, N, DIM, 50, 123, 8192, NULL) == PLACES);
    HOLDS(radius[PLACES - 1] == 0 && radius[PLACES - 2] > 0);
    compare_with_plain(comm, N, DIM, 50, 123);
    for (size_t i = 0; i < N * DIM; i++)
        all[i] = 1;
    compare_with_plain(comm, N, DIM, 50, 0);
    HOLDS(picked[0] == 0 && radius[0] == 0 && rounds_over_ranks(comm, N, DIM, 50, 0, 8192, NULL) == 1);
}

/* Corners of a square around point 0: all at the same distance, so in order of index, wherever the ranks' borders lie. */
static void greedy_ties(pb_comm *comm) {
    static const float square[] = {0, 0, 1, 1, 1, -1, -1, 1, -1, -1};
    memcpy(all, square, sizeof square);
    compare_with_plain(comm, 5, 2, 5, 0);
    HOLDS(rounds_over_ranks(comm, 5, 2, 5, 0, 8192, NULL) == 5);
    for (uint64_t i = 0; i < 5; i++)
        HOLDS(picked[i] == i); /* a corner is as far from the middle as from nobody else, so all stay tied */
}

static void greedy_all(pb_comm *comm) {
    fill(4, 50 * 3);
    compare_with_plain(comm, 50, 3, 50, 10);
    HOLDS(radius[49] == 0);
}

/* Lattice points: thousands of equal distances, so every floor cuts through ties. */
static void greedy_lattice(pb_comm *comm) {
    const size_t side = cuda ? 9 : 31;
    for (size_t i = 0; i < side * side; i++) {
        all[2 * i] = (float)(i * 7 % (side * side) / side); /* in an order that scatters neighbours over the ranks */
        all[2 * i + 1] = (float)(i * 7 % (side * side) % side);
    }
    compare_with_plain(comm, side * side, 2, side * side, 5);
}

static void greedy_scales(pb_comm *comm) {
    static const float SCALES[] = {1e-30f, 1e-19f, 1e-6f, 1e6f, 1e15f};
    for (size_t scale = 0; scale < sizeof SCALES / sizeof SCALES[0]; scale++) {
        fill(9, 400 * 20);
        for (size_t i = 0; i < 400 * 20; i++)
            all[i] *= SCALES[scale];
        compare_with_plain(comm, 400, 20, 60, 0);
    }
}

/* Stopped after each of its rounds and gone on from there, the selection is the same. */
static void greedy_resume(pb_comm *comm) {
    enum { N = 900, DIM = 12, PICKS = 120 };
    fill(10, N * DIM);
    const size_t n = cuda ? 90 : N, picks = cuda ? 30 : PICKS;
    size_t wanted = plain_greedy(n, DIM, picks, 4), stops = 0;
    for (size_t after = 1; after < 16; after += cuda ? 3 : 1) {
        interruption stop = {.asked = pb_comm_rank(comm) + 1 == pb_comm_size(comm), .after = after};
        rounds_over_ranks(comm, n, DIM, picks, 4, 8192, &stop);
        HOLDS(stop.count > 0);
        stops += stop.count < picks;
        same_as_expected(rounds_over_ranks(comm, n, DIM, picks, 4, 8192, &stop), wanted);
    }
    HOLDS(stops >= (cuda ? 1 : 5));
}

/* The radii of prefixes of a random sample, against their definition. */
static void greedy_radii(pb_comm *comm) {
    enum { N = 800, DIM = 7, PICKS = 37, PREFIXES = 4 };
    static const size_t PREFIX[PREFIXES] = {1, 2, 20, PICKS};
    static float distance2[N_MOST];
    float measured[PREFIXES];
    pb_coreset sample;
    pb_range mine = pb_partition(N, pb_comm_size(comm), pb_comm_rank(comm));
    opened o;
    fill(11, N * DIM);
    must(pb_coreset_random(3, N, PICKS, &sample));
    open_devices(comm, &o);
    pb_cover *cover = open_cover(comm, &o, N, DIM);
    pb_greedy_input input = {.cover = cover, .count = pb_range_size(mine), .first = mine.first, .total = N, .dim = DIM,
                             .candidates_most = 100};
    must(pb_greedy_radii(o.devices, &input, &sample, PREFIX, PREFIXES, measured));
    for (size_t i = 0; i < N; i++)
        distance2[i] = INFINITY;
    for (size_t i = 0, prefix = 0; i < PICKS; i++) {
        uint64_t best = pb_ref_greedy_step(all, N, DIM, all + sample.picked[i] * DIM, distance2);
        if (i + 1 == PREFIX[prefix])
            HOLDS(measured[prefix++] == sqrtf(pb_packed_distance2(best)));
    }
    pb_device_cover_free(o.device, &cover);
    close_devices(&o);
    pb_coreset_free(&sample);
}

/* The textbook loop from centres that are no points. *before: the radius by them alone. */
static size_t plain_given(size_t n, int dim, const float *given, size_t given_count, size_t picks, float enough, float *before) {
    static float distance2[N_MOST];
    uint64_t best = 0;
    size_t made = 0;
    for (size_t i = 0; i < n; i++)
        distance2[i] = INFINITY;
    for (size_t i = 0; i < given_count; i++)
        best = pb_ref_greedy_step(all, n, dim, given + i * (size_t)dim, distance2);
    *before = sqrtf(pb_packed_distance2(best));
    while (made < picks && sqrtf(pb_packed_distance2(best)) > enough) {
        expected[made] = pb_farthest_index(best);
        best = pb_ref_greedy_step(all, n, dim, all + expected[made] * (size_t)dim, distance2);
        expected_radius[made++] = sqrtf(pb_packed_distance2(best));
    }
    return made;
}

/* Collective. From `given_count` rows behind the n points, against the plain loop. */
static void compare_given(pb_comm *comm, size_t n, int dim, size_t given_count, size_t picks, float enough) {
    const float *given = all + n * (size_t)dim;
    float wanted_before, before;
    opened o;
    size_t wanted = plain_given(n, dim, given, given_count, picks, enough, &wanted_before);
    open_devices(comm, &o);
    pb_cover *cover = open_cover(comm, &o, n, dim);
    pb_coreset coreset = {.room = picks, .picked = picked, .radius = radius};
    pb_greedy_input input = rounds_input(comm, cover, n, dim, picks, 100);
    input.given = given;
    input.given_count = given_count;
    input.enough = enough;
    must(pb_greedy_select(o.devices, &input, &coreset, &before, NULL));
    same_as_expected(coreset.count, wanted);
    HOLDS(before == wanted_before);
    pb_device_cover_free(o.device, &cover);
    close_devices(&o);
}

/* Goes on from given rows until a radius is reached, exactly: an `enough` that a pick's distance has makes no pick of it, one
 * that is a bit less does. */
static void greedy_given(pb_comm *comm) {
    const size_t n = cuda ? 120 : 900;
    enum { DIM = 12 };
    fill(13, N_MOST * DIM);
    compare_given(comm, n, DIM, 40, n, 1.5f);
    compare_given(comm, n, DIM, 1, 30, 0);
    HOLDS(expected_radius[29] > 0);
    const float edge = expected_radius[9]; /* at which the eleventh is picked */
    compare_given(comm, n, DIM, 1, n, edge);
    HOLDS(radius[9] == edge);
    compare_given(comm, n, DIM, 1, n, nextafterf(edge, 0));
    HOLDS(radius[10] < edge);
    compare_given(comm, n, DIM, 40, n, 100); /* nothing to do: the radius is measured all the same */
    memcpy(all + n * DIM, all, 50 * DIM * sizeof *all);
    compare_given(comm, 50, DIM, 3, 50, 0);
    memcpy(all + 50 * DIM, all, 50 * DIM * sizeof *all);
    compare_given(comm, 50, DIM, 50, 50, 0); /* every point is given */
}

/* Rounds, not picks, cost messages: four a round and a few at the ends. */
static void greedy_messages(pb_comm *comm) {
    enum { N = 2000, DIM = 8, PICKS = 600 };
    fill(12, N * DIM);
    pb_comm_counters before = pb_comm_count(comm);
    HOLDS(rounds_over_ranks(comm, N, DIM, PICKS, 0, 8192, NULL) == PICKS);
    HOLDS(pb_comm_count(comm).collectives - before.collectives <= 200);
}

/* A search under test. */
typedef struct bench {
    opened o;
    pb_search *search;
} bench;

/* Collective: rank r asks about `count` queries (its own number); compares with the plain twin over the whole bank. */
static void compare_search(const bench *open, size_t rows, int dim, const float *queries, size_t count) {
    float *distance, *asked;
    size_t bytes = count * (size_t)dim * sizeof *queries;
    uint32_t *row;
    uint64_t *nearest;
    must(pb_allocate(&distance, count, sizeof *distance, "distances"));
    must(pb_allocate(&row, count, sizeof *row, "rows"));
    must(pb_allocate(&nearest, count, sizeof *nearest, "nearest"));
    must(pb_device_alloc(open->o.device, bytes, &asked, "queries"));
    must(pb_device_upload(open->o.device, asked, queries, bytes));
    must(pb_search_nearest(open->search, asked, count, distance, row));
    pb_device_release(open->o.device, &asked);
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

static pb_status open_search(pb_comm *comm, size_t rows, int dim, bench *open) {
    pb_range mine = pb_partition(rows, pb_comm_size(comm), pb_comm_rank(comm));
    open_devices(comm, &open->o);
    return pb_search_create(open->o.devices, all + mine.first * (size_t)dim, rows, dim, &open->search);
}

static void close_search(bench *open) {
    pb_search_free(&open->search);
    close_devices(&open->o);
}

static const float *queries_of(pb_comm *comm) { return all + (size_t)(N_MOST / 2 + 100 * pb_comm_rank(comm)) * DIM_MOST; }

static void search_plain(pb_comm *comm) {
    bench open;
    fill(5, N_MOST * DIM_MOST);
    memcpy(all + 500 * DIM_MOST, all + 3 * DIM_MOST, DIM_MOST * sizeof *all);          /* two equal rows: the smaller wins */
    memcpy(all + (N_MOST / 2) * DIM_MOST, all + 3 * DIM_MOST, DIM_MOST * sizeof *all); /* and is asked for */
    must(open_search(comm, N_MOST / 2, DIM_MOST, &open));
    compare_search(&open, N_MOST / 2, DIM_MOST, queries_of(comm), 100);
    close_search(&open);
}

static void search_few(pb_comm *comm) {
    fill(6, N_MOST * DIM_MOST);
    for (size_t rows = 1; rows <= 3; rows++) {
        bench open;
        must(open_search(comm, rows, DIM_MOST, &open));
        compare_search(&open, rows, DIM_MOST, queries_of(comm), 10);
        close_search(&open);
    }
}

static void search_uneven(pb_comm *comm) {
    bench open;
    fill(7, N_MOST * DIM_MOST);
    must(open_search(comm, 301, DIM_MOST, &open));
    for (int call = 0; call < 4; call++)
        compare_search(&open, 301, DIM_MOST, queries_of(comm), (size_t)((pb_comm_rank(comm) + call) % 3) * 33);
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

#include "outlier_cases.h"

static const pb_case CASES[] = {
    {"greedy-plain", greedy_plain},
    {"greedy-double", greedy_double},
    {"greedy-few", greedy_few},
    {"greedy-duplicates", greedy_duplicates},
    {"greedy-ties", greedy_ties},
    {"greedy-lattice", greedy_lattice},
    {"greedy-scales", greedy_scales},
    {"greedy-resume", greedy_resume},
    {"greedy-radii", greedy_radii},
    {"greedy-given", greedy_given},
    {"greedy-messages", greedy_messages},
    {"greedy-all", greedy_all},
    {"outlier-line", outlier_line},
    {"outlier-plain", outlier_plain},
    {"outlier-few", outlier_few},
    {"outlier-limit", outlier_limit},
    {"search-plain", search_plain},
    {"search-few", search_few},
    {"search-uneven", search_uneven},
    {"search-not-finite", search_not_finite},
    {"pixels-plain", pixels_plain},
    {"pixels-ties", pixels_ties},
    {"pixels-limit", pixels_limit},
    {"pixels-regions", pixels_regions},
    {"pixels-one-kind", pixels_one_kind},
    {"pixels-no-memory", pixels_no_memory},
    {"fails-nccl", fails_nccl},
    {"hangs-nccl", hangs_nccl},
    {"fails-cuda", fails_cuda},
};

int main(int argc, char **argv) {
    far = argc > 2 && strcmp(argv[2], "far") == 0;
    cuda = argc > 2 && strcmp(argv[2], "cuda") == 0;
    pb_device_plugin_path(PB_EMULATED_PLUGIN);
    return run_case(argc, argv, CASES, sizeof CASES / sizeof CASES[0]);
}
