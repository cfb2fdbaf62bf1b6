/* cpu_cover.h: private to gpu/: covers of the "cpu" device (contract: gpu/cover.h), shared by its files:
 *   cpu_cover.c         a cover, its points and centres, and whether it filters
 *   cpu_cover_rounds.c  refresh and what is asked about candidates
 *   cpu_cover_select.c  selection among candidates, by filter
 *   cpu_cover_search.c  the other way round: searches among the centres
 *   cpu_cover_exact.c   the plain way: every distance canonical, by the kernels of cpu_kernels.h
 *   cpu_cover_body.h    the inner loops of the filter, once per instruction set; there the margins are derived
 *   cpu_axes.h          the axes that it filters by
 *
 * A point is named by its place in the cover (a local index); keys and candidates hold its global index, first_index more.
 *
 * The filter. A point's place is where it lies along a few principal axes. Distances between places are at most those between
 * points, so that few pairs are left to measure. A measured distance is a sum of the squares in any order; the canonical one is
 * evaluated where the two could lead to different decisions. Where many pairs pass, the plain way is faster and is taken, block
 * by block. It is taken throughout when the margins do not hold: for few or very many dimensions, for numbers so small or large
 * that squares leave the normal range, or when there are no axes.
 */
#ifndef PB_GPU_CPU_COVER_H
#define PB_GPU_CPU_COVER_H

#include "base/memory.h"
#include "gpu/cpu.h"
#include "gpu/cpu_axes.h"

enum {
    PB_COVER_BLOCK = 1024, /* points of a piece of work for one thread: enough to share what is read of the centres */
    PB_COVER_CHUNK = 256,  /* centres that a point meets before it is seen whether it still is a candidate */
    PB_COVER_TILE = 16,    /* points that are filtered at once */
    PB_COVER_SPARE = 3,    /* scores beyond a chunk that may be written */
    PB_COVER_PLACE = PB_AXES + 1 /* floats of a centre's place c: |c|^2, then -2 c */
};

/* 16 points and their scores; all that has lanes is aligned for whole registers. A thread's workspace for one tile and one chunk
 * of centres, 18 KiB, so that it stays in the first cache; nothing in it outlives advance_tile. */
typedef struct pb_cover_tile {
    _Alignas(PB_ALIGNMENT) float places[PB_AXES][PB_COVER_TILE];
    _Alignas(PB_ALIGNMENT) float bounds[PB_COVER_TILE];
    _Alignas(PB_ALIGNMENT) float own[PB_COVER_TILE];    /* squares of the places */
    _Alignas(PB_ALIGNMENT) float limits[PB_COVER_TILE]; /* a score above it cannot lower the bound */
    _Alignas(PB_ALIGNMENT) float least[PB_COVER_TILE];  /* of the scores */
    _Alignas(PB_ALIGNMENT) uint32_t which[PB_COVER_TILE]; /* where it is: a centre less the first one scored */
    _Alignas(PB_ALIGNMENT) float scores[PB_COVER_CHUNK + PB_COVER_SPARE][PB_COVER_TILE];
    uint16_t close[PB_COVER_CHUNK]; /* for each centre the points whose score passes, as bits */
    uint32_t nearest[PB_COVER_TILE];
    const float *rows[PB_COVER_TILE];
} pb_cover_tile;

/* How many pairs of a point and a centre were looked at, and how. For benchmarks, and for pb_cover_search_pays; no result depends
 * on them. */
typedef struct pb_cover_counts {
    uint64_t filtered;  /* by place */
    uint64_t measured;  /* of those: passed, and measured */
    uint64_t plain;     /* by the kernels of cpu_kernels.h */
    uint64_t canonical; /* one by one, to decide */
} pb_cover_counts;

/* What a thread works with. Threads share nothing that is written but the arrays of points, of which each writes those of its own
 * points. */
typedef struct pb_cover_work {
    pb_cover_tile tile;
    pb_cover_counts counts;
    uint32_t active[PB_COVER_BLOCK], order[PB_COVER_BLOCK];
    uint32_t *heads; /* one for each chunk of centres and two more */
    uint64_t packed[PB_ROWS_CHUNK];
    float *rows;  /* [pb_cpu_chunk_rows][dim]: points of the plain way */
    float *tiles; /* pb_cover_tile_centres as tiles of PB_LANES: centres of the plain way */
} pb_cover_work;

/* Centres that the plain way lays into tiles at a time: 1 MiB of them, but whole tiles and at most a chunk. */
static inline size_t pb_cover_tile_centres(int dim) {
    size_t tiles = (1 << 20) / sizeof(float) / PB_LANES / (size_t)dim, most = PB_COVER_CHUNK / PB_LANES;
    return (tiles == 0 ? 1 : tiles < most ? tiles : most) * PB_LANES;
}

/* Largest squares of the lengths of rows and places seen: what the margins depend on. */
typedef struct pb_cover_extent {
    float row2, place2;
} pb_cover_extent;

/* A cover. It is in one of three states: before the first centre (points may be written), filtered, or not filtered. The arrays
 * of points have room for `capacity`, of which `count` are there. */
struct pb_cover {
    const pb_cpu_kernels *kernels;
    int threads, dim;
    uint32_t first_index;
    size_t capacity, count, stride; /* stride: floats from row to row, zeros beyond dim */

    float *rows;       /* [capacity][stride] */
    float *bounds;     /* [capacity] >= the canonical distance^2 to the nearest centre met, and up to rounding that */
    uint32_t *nearest; /* [capacity] the number of that centre */
    uint32_t *met;     /* [capacity] the point has met centres 0 .. met - 1 */

    size_t centre_count, centre_room;
    float *centres; /* [room][stride] */

    bool filtered;
    pb_axes axes;
    float *places;        /* [capacity][PB_AXES] */
    float *centre_places; /* [room][PB_COVER_PLACE] */
    pb_cover_extent extent;
    float rounding, reach, slack; /* the margins EPS, 2E and G of cpu_cover_body.h */

    uint64_t floor;       /* of the last refresh or raise */
    uint32_t *candidates; /* [capacity]; candidate_count of them since */
    size_t candidate_count;

    pb_cover_work *work; /* [threads] */
    size_t *left;        /* of each block or share of the points: what came of it */
};

/* The key of a point's bound (gpu/cover.h): at least that of its distance. */
static inline uint64_t pb_cover_key_of(const pb_cover *cover, uint32_t point) {
    return pb_pack_farthest(cover->bounds[point], cover->first_index + point);
}

/* Blocks of so many points, rounded up. */
static inline size_t pb_cover_blocks(size_t points) { return (points + PB_COVER_BLOCK - 1) / PB_COVER_BLOCK; }

/* Threads that work on so many points is worth waking. */
static inline int pb_cover_threads(const pb_cover *cover, size_t points) {
    size_t blocks = pb_cover_blocks(points);
    return blocks < 2 ? 1 : blocks < (size_t)cover->threads ? (int)blocks : cover->threads;
}

/* Candidates during a selection, in tiles. Lanes beyond the last have a bound of -1. A candidate is where i / 16 is its tile and
 * i % 16 its lane. All memory but `candidates` is its own. */
typedef struct pb_contest {
    size_t count;
    const pb_candidate *candidates;
    float *rows;           /* [count][stride] */
    float *places;         /* [count][PB_AXES] */
    float *tiles;          /* [tile][PB_AXES][PB_COVER_TILE]; like what follows aligned */
    float *own, *limits;   /* [tile][PB_COVER_TILE], as in pb_cover_tile */
    float *bounds;         /* [tile][PB_COVER_TILE] */
    uint32_t *nearest;     /* [tile][PB_COVER_TILE] */
    bool *exact;           /* [tile][PB_COVER_TILE] whether the bound is canonical */
    pb_cover_counts *counts;
} pb_contest;

/* The inner loops of the filtered way for one instruction set. Defined once in cpu_cover_body.h. All sets keep the promise of
 * bounds, but their bounds need not be the same bits; picks and neighbours are. `cover` must be filtered (for `scan` it need not
 * be). None fails or allocates. */
struct pb_cover_kernels {
    /* Places of `count` rows [count][stride]; widens *extent to them. */
    void (*place)(const pb_cover *cover, const float *rows, size_t count, float *places, pb_cover_extent *extent);

    /* Points begin .. end - 1 get their places and meet centre 0. */
    void (*start)(pb_cover *cover, size_t begin, size_t end, pb_cover_counts *counts, pb_cover_extent *extent);

    /* As pb_cover_exact_advance, some of the points by that. */
    size_t (*advance)(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count, size_t begin, size_t end,
                      uint64_t floor);

    /* Writes those of points begin .. end - 1 whose bound is >= least, in order; returns how many. */
    size_t (*scan)(const pb_cover *cover, size_t begin, size_t end, float least, uint32_t *points);

    /* Lays the contest's places into tiles; its bounds stand already. */
    void (*enter)(const pb_cover *cover, pb_contest *contest);

    /* The largest canonical key among the contest's candidates; *winner is whose. Less than `floor` where all are. */
    uint64_t (*leader)(const pb_cover *cover, pb_contest *contest, uint64_t floor, size_t *winner);

    /* All candidates meet the centre added last. */
    void (*meet)(const pb_cover *cover, pb_contest *contest);
};

/* Whether rows of so many dimensions can be filtered; and whether the margins hold for rows as long as these. The second decides
 * by the squares of lengths. */
bool pb_cover_may_filter(int dim);
bool pb_cover_holds(const pb_cover_extent *extent);

/* Copies a row and tells whether all of it is finite. dim floats; the row is copied either way. */
bool pb_cover_copy_row(float *to, const float *from, int dim);

/* Makes room for `count` centres in all, to whole chunks. Who knows how many will come needs no room for twice as many, nor for
 * both copies while it grows. Errors: PB_E_SYSTEM. */
pb_status pb_cover_reserve(pb_cover *cover, size_t count);

/* Appends a centre (dim floats) without letting any point meet it. Its number is the count before. Errors: PB_E_SYSTEM; it is
 * then not in. */
pb_status pb_cover_append(pb_cover *cover, const float *row);

/* Has the margins hold for rows and places as long as these, if need be by filtering no more. To be called before the first pair
 * with such a row is looked at by filter. Never fails. */
void pb_cover_widen(pb_cover *cover, const pb_cover_extent *extent);

/* Lets `count` points meet centres begin .. end - 1, which lie in one chunk. Those whose key is still >= floor are moved to the
 * front of points, in order; returns how many. */
size_t pb_cover_exact_advance(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count, size_t begin, size_t end,
                              uint64_t floor);

/* pb_device_cover_select, the plain way. *made and *next are 0 on entry. The cover may be filtered or not. */
pb_status pb_cover_exact_select(pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count, uint64_t floor,
                                size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next);

#endif
