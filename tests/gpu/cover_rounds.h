/* cover_rounds.h: selection in rounds by one or more covers that stand for ranks, beside the textbook loop of gpu/ref.h, which is
 * the oracle: after every call the picks, their distances and the key of the next pick must be its bits. The test plays the
 * caller (coreset/greedy.h): it gathers candidates, and it chooses floors, as absurd as it likes, since they must not matter.
 */
#ifndef PB_TESTS_COVER_ROUNDS_H
#define PB_TESTS_COVER_ROUNDS_H

#include "arrays.h"
#include "gpu/cover.h"
#include "gpu/ref.h"

enum { RANKS_MAX = 3, CENTRES_MAX = 1000 };

typedef struct rounds {
    const float *rows; /* [n][dim] */
    size_t n;
    int dim;
    uint32_t offset; /* global index of point 0 */
    size_t k;        /* centres so far */
    float *exact;    /* [n] the textbook's distances to them */
    uint64_t due;    /* the key of the textbook's next pick */
    size_t *centres; /* which points they are; room for CENTRES_MAX more than there are points */
    float *taken;    /* the distances at which they were taken */

    int ranks;
    pb_device *devices[RANKS_MAX];
    pb_cover *covers[RANKS_MAX];
    size_t first[RANKS_MAX + 1], counts[RANKS_MAX];
    uint64_t floor; /* of the last refresh, or raised since */
    uint64_t most;  /* largest key over the ranks after the last refresh */
    uint64_t dice;  /* state of the test's own choices */
} rounds;

static inline uint64_t roll(rounds *r) { /* splitmix64 */
    uint64_t z = r->dice += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static inline const float *row_of(const rounds *r, size_t point) { return r->rows + point * (size_t)r->dim; }

/* The textbook takes a centre. */
static inline void textbook_adds(rounds *r, size_t point) {
    cr_assert(r->k < r->n + CENTRES_MAX);
    r->taken[r->k] = pb_packed_distance2(r->due);
    uint64_t key = pb_ref_greedy_step(r->rows, r->n, r->dim, row_of(r, point), r->exact);
    r->centres[r->k++] = point;
    r->due = pb_pack_farthest(pb_packed_distance2(key), r->offset + pb_farthest_index(key));
}

/* Device memory with these bytes; pb_device_release. */
static inline void *device_copy(pb_device *device, const void *host, size_t bytes) {
    void *there;
    assert_done(pb_device_alloc(device, bytes, &there, "test data"));
    assert_done(pb_device_upload(device, there, host, bytes));
    return there;
}

/* Rows from host memory become points first on. */
static inline void write_points(pb_device *device, pb_cover *cover, size_t first, size_t count, int dim, const float *rows) {
    const size_t bytes = count * (size_t)dim * sizeof *rows;
    float *there = device_copy(device, rows, bytes);
    int64_t not_finite;
    assert_done(pb_device_cover_write(device, cover, first, count, there, &not_finite));
    cr_assert_eq(not_finite, -1);
    pb_device_release(device, &there);
}

/* The device of a rank; NULL stands for a mixture, of the CPU's kernels, "cuda+cpu" for one with those of a GPU. */
static inline pb_device *open_rank(const char *device, int threads, int rank) {
    static const char *const MIXTURES[2][RANKS_MAX] = {{"cpu", "cpu:plain", "cpu:avx2"}, {"cpu", "cuda:0", "cpu:plain"}};
    const bool with_gpu = device && strcmp(device, "cuda+cpu") == 0;
    pb_device *opened;
    const char *name = device && !with_gpu ? device : MIXTURES[with_gpu][rank];
    pb_status status = pb_device_open(name, threads, &opened);
    if (!device && status.code == PB_E_UNSUPPORTED)
        status = pb_device_open("cpu", threads, &opened);
    assert_done(status);
    return opened;
}

/* Ranks share the points in uneven parts, the middle one of three gets none when there are few. Starts from point `start`. */
static inline rounds begin_rounds(const char *device, int threads, int ranks, const float *rows, size_t n, int dim,
                                  uint32_t offset, size_t start, uint64_t dice) {
    rounds r = {.rows = rows, .n = n, .dim = dim, .offset = offset, .ranks = ranks, .dice = dice};
    r.exact = constants(INFINITY, n);
    r.taken = constants(NAN, n + CENTRES_MAX);
    assert_done(pb_allocate(&r.centres, n + CENTRES_MAX, sizeof *r.centres, "test centres"));
    const size_t cuts[RANKS_MAX + 1] = {0, ranks == 1 ? n : n / 3, ranks == 3 ? (n < 10 ? n / 3 : n / 2) : n, n};
    for (int i = 0; i < ranks; i++) {
        r.first[i] = cuts[i];
        r.first[i + 1] = cuts[i + 1];
        const size_t count = cuts[i + 1] - cuts[i], half = count / 2;
        pb_device *opened = r.devices[i] = open_rank(device, threads, i);
        assert_done(pb_device_cover_create(opened, count + (size_t)i, dim, 0, &r.covers[i])); /* some rooms are too large */
        write_points(opened, r.covers[i], 0, half, dim, row_of(&r, cuts[i]));
        write_points(opened, r.covers[i], half, count - half, dim, row_of(&r, cuts[i] + half));
        pb_device_cover_place(opened, r.covers[i], offset + (uint32_t)cuts[i]);
        assert_done(pb_device_cover_add(opened, r.covers[i], row_of(&r, start), 1));
    }
    textbook_adds(&r, start);
    return r;
}

static inline void end_rounds(rounds *r) {
    for (int i = 0; i < r->ranks; i++) {
        pb_device_cover_free(r->devices[i], &r->covers[i]);
        pb_device_close(&r->devices[i]);
    }
    pb_release(&r->exact);
    pb_release(&r->centres);
    pb_release(&r->taken);
}

/* Returns the number of candidates over the ranks. No key is missed: with none left the textbook's next pick is below the floor,
 * and the largest key is never below it. */
static inline size_t refresh_all(rounds *r, uint64_t floor) {
    size_t total = 0;
    r->floor = floor;
    r->most = 0;
    for (int i = 0; i < r->ranks; i++) {
        uint64_t most;
        assert_done(pb_device_cover_refresh(r->devices[i], r->covers[i], floor, &r->counts[i], &most));
        const bool empty = r->first[i + 1] == r->first[i];
        cr_assert((most == 0) == empty);
        cr_assert(empty ? r->counts[i] == 0 : (most >= floor) == (r->counts[i] > 0), "most %llx floor %llx",
                  (unsigned long long)most, (unsigned long long)floor);
        r->most = most > r->most ? most : r->most;
        total += r->counts[i];
    }
    cr_assert(r->most >= r->due);
    return total;
}

/* A candidate's bound is where it has to be, up to rounding, and its nearest centre is one. */
static inline void check_candidate(const rounds *r, const pb_candidate *c) {
    const size_t point = c->index - r->offset;
    const float exact = r->exact[point];
    cr_assert(point < r->n && c->nearest < r->k);
    cr_assert(c->bound >= exact && (double)exact >= (double)c->bound * (1 - 6.0 * (r->dim + 4) * 0x1p-24),
              "point %zu: %a bounded by %a", point, (double)exact, (double)c->bound);
    float attained = pb_ref_distance2(row_of(r, point), row_of(r, r->centres[c->nearest]), r->dim);
    cr_assert(pb_float_bits(attained) == pb_float_bits(exact), "point %zu: centre %u at %a, not at %a", point, c->nearest,
              (double)attained, (double)exact);
}

typedef struct gathered {
    size_t count;
    pb_candidate *candidates;
    float *rows;
} gathered;

/* A rank's candidates from `at` on, by way of its device's memory. */
static inline void gather_from(rounds *r, int rank, const gathered *g, size_t at) {
    pb_device *device = r->devices[rank];
    const size_t count = r->counts[rank], bytes = count * (size_t)r->dim * sizeof(float);
    pb_candidate *candidates;
    float *rows;
    assert_done(pb_device_alloc(device, count * sizeof *candidates, &candidates, "test candidates"));
    assert_done(pb_device_alloc(device, bytes, &rows, "test candidates"));
    assert_done(pb_device_cover_candidates(device, r->covers[rank], candidates, rows));
    assert_done(pb_device_download(device, g->candidates + at, candidates, count * sizeof *candidates));
    assert_done(pb_device_download(device, g->rows + at * (size_t)r->dim, rows, bytes));
    pb_device_release(device, &candidates);
    pb_device_release(device, &rows);
}

static inline gathered gather(rounds *r) {
    gathered g = {0};
    const size_t dim = (size_t)r->dim;
    for (int i = 0; i < r->ranks; i++)
        g.count += r->counts[i];
    assert_done(pb_allocate(&g.candidates, g.count, sizeof *g.candidates, "test candidates"));
    g.rows = constants(NAN, g.count * dim);
    size_t at = 0;
    for (int i = 0; i < r->ranks; at += r->counts[i++])
        gather_from(r, i, &g, at);
    for (size_t c = 0; c < g.count; c++) {
        check_candidate(r, &g.candidates[c]);
        cr_assert(pb_pack_farthest(g.candidates[c].bound, g.candidates[c].index) >= r->floor);
        assert_same_bits(g.rows + c * dim, row_of(r, g.candidates[c].index - r->offset), dim);
    }
    return g;
}

static inline void release_gathered(gathered *g) {
    pb_release(&g->candidates);
    pb_release(&g->rows);
}

/* What one rank has selected from the gathered. */
typedef struct outcome {
    size_t made;
    uint64_t next, *picked;
    float *distance2;
    pb_candidate *candidates;
} outcome;

static inline outcome select_on(rounds *r, int rank, const gathered *g, uint64_t floor, size_t most) {
    outcome o = {.picked = unseen(most), .distance2 = constants(NAN, most)};
    pb_device *device = r->devices[rank];
    pb_candidate *candidates = device_copy(device, g->candidates, g->count * sizeof *candidates);
    float *rows = device_copy(device, g->rows, g->count * (size_t)r->dim * sizeof *rows);
    assert_done(pb_device_cover_select(device, r->covers[rank], candidates, rows, g->count, floor, most, o.picked, o.distance2,
                                       &o.made, &o.next));
    assert_done(pb_allocate(&o.candidates, g->count, sizeof *o.candidates, "test candidates"));
    assert_done(pb_device_download(device, o.candidates, candidates, g->count * sizeof *candidates));
    pb_device_release(device, &candidates);
    pb_device_release(device, &rows);
    return o;
}

/* A rank takes its own candidates back, which begin at `at`. */
static inline void update_on(rounds *r, int rank, const outcome *o, size_t at) {
    pb_candidate *candidates = device_copy(r->devices[rank], o->candidates + at, r->counts[rank] * sizeof *candidates);
    assert_done(pb_device_cover_update(r->devices[rank], r->covers[rank], candidates, r->counts[rank]));
    pb_device_release(r->devices[rank], &candidates);
}

static inline void release_outcome(outcome *o) {
    pb_release(&o->picked);
    pb_release(&o->distance2);
    pb_release(&o->candidates);
}

/* The textbook goes the same way and must come to the same. */
static inline void check_outcome(rounds *r, const outcome *o, uint64_t floor, size_t most) {
    cr_assert(o->made <= most);
    for (size_t m = 0; m < o->made; m++) {
        cr_assert(r->due >= floor);
        cr_assert(o->picked[m] == pb_farthest_index(r->due), "pick %zu: %llu, not %u", r->k, (unsigned long long)o->picked[m],
                  pb_farthest_index(r->due));
        cr_assert(pb_float_bits(o->distance2[m]) == r->due >> 32, "pick %zu: distance^2 %a, not %a", r->k,
                  (double)o->distance2[m], (double)pb_packed_distance2(r->due));
        textbook_adds(r, pb_farthest_index(r->due) - r->offset);
    }
    cr_assert(o->made == most || r->due < floor, "stopped at %zu of %zu", o->made, most);
    cr_assert(o->next == (r->due >= floor ? r->due : 0), "next %llx, not %llx", (unsigned long long)o->next,
              (unsigned long long)r->due);
}

/* Every rank selects from the same candidates, then takes its own back. Returns how many were picked. */
static inline size_t select_all(rounds *r, uint64_t floor, size_t most) {
    gathered g = gather(r);
    size_t made = 0, at = 0;
    for (int i = 0; i < r->ranks; at += r->counts[i++]) {
        outcome o = select_on(r, i, &g, floor, most);
        if (i == 0)
            check_outcome(r, &o, floor, most);
        else { /* the textbook has moved on */
            cr_assert_eq(o.made, made);
            cr_assert(o.next == (r->due >= floor ? r->due : 0));
            for (size_t m = 0; m < made; m++)
                cr_assert(o.picked[m] == r->offset + r->centres[r->k - made + m]);
            assert_same_bits(o.distance2, r->taken + r->k - made, made);
        }
        made = o.made;
        for (size_t c = 0; c < g.count; c++)
            check_candidate(r, &o.candidates[c]);
        update_on(r, i, &o, at);
        release_outcome(&o);
    }
    release_gathered(&g);
    return made;
}

/* Settles, and raises the floor to the key at a place of the first rank that has one. Returns the new floor. */
static inline uint64_t cap_all(rounds *r, uint64_t floor) {
    uint64_t raised = 0;
    for (int i = 0; i < r->ranks; i++) {
        uint64_t key = 0;
        assert_done(pb_device_cover_settle(r->devices[i], r->covers[i], &r->counts[i]));
        if (r->counts[i] > 0)
            assert_done(pb_device_cover_key(r->devices[i], r->covers[i], roll(r) % r->counts[i], &key));
        raised = raised ? raised : key;
    }
    if (raised <= floor)
        return floor;
    for (int i = 0; i < r->ranks; i++)
        assert_done(pb_device_cover_raise(r->devices[i], r->covers[i], raised, &r->counts[i]));
    return r->floor = raised;
}

/* A floor that a sane caller might choose, or would never. */
static inline uint64_t some_floor(rounds *r) {
    const uint64_t most = r->most ? r->most : r->due, distance = most >> 32;
    switch (roll(r) % 10) {
    case 0: return 0;                                                            /* all points are candidates */
    case 1: return UINT64_MAX - roll(r) % 2 * (UINT64_MAX >> (1 + roll(r) % 3)); /* not one; the top may look like no number */
    case 2: return r->due;                                                       /* exactly one pick, or among ties one side */
    case 3: return r->due + 1;
    case 4: return distance << 32 | (uint32_t)roll(r); /* through the ties of the top */
    case 5: return most;
    default: return pb_pack_farthest(pb_packed_distance2(most) * (0.5f + 0.05f * (float)(roll(r) % 10)), (uint32_t)roll(r));
    }
}

/* Runs until `picks` centres are there. A round makes a fifth of them at most, so that there are some whatever the floors. */
static inline void run_rounds(rounds *r, size_t picks) {
    for (int round = 0; r->k < picks; round++) {
        cr_assert(round < 10000, "%zu of %zu picks", r->k, picks);
        uint64_t floor = some_floor(r);
        size_t count = refresh_all(r, floor);
        if (count > 0 && roll(r) % 3 == 0)
            floor = cap_all(r, floor);
        size_t most = roll(r) % 4 == 0 ? roll(r) % 4 : picks / 5 + 1;
        select_all(r, floor, most < picks - r->k ? most : picks - r->k);
    }
}

/* Points, ranks, threads and floors in one go. */
static inline void check_rounds(const char *device, int threads, int ranks, const float *rows, size_t n, int dim, size_t picks,
                                uint64_t dice) {
    rounds r = begin_rounds(device, threads, ranks, rows, n, dim, (uint32_t)(dice % 1000), dice % n, dice);
    run_rounds(&r, picks);
    end_rounds(&r);
}

#endif
