#include "coreset/greedy.h"

#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A round aims at GROWTH picks for each made so far, so there are about log(picks) / log(1 + GROWTH) rounds: 42 for 2,352 picks.
 * Measured flat from 0.08 to 0.16; docs/PERFORMANCE.md. */
static const double GROWTH = 0.12, AIM_LEAST = 4, FIRST_DROP = 0.08, DROP_LEAST = 1e-4, DROP_MOST = 0.5;

/* Rows of picks go round in messages of at most this size. */
static const size_t MESSAGE_BYTES = (size_t)1 << 28;

/* Keys below this one have distance 0: what they belong to is already picked. */
static const uint64_t LEAST_FLOOR = UINT64_C(1) << 32;

/* What each rank tells the others after its part of a round. */
typedef struct share {
    uint64_t failed; /* its refresh failed; all meet in pb_agree then */
    uint64_t candidates;
    uint64_t most; /* largest key of a bound */
} share;

typedef struct selection {
    pb_device_comm *devices;
    pb_comm *comm;     /* of devices, as device is */
    pb_device *device;
    const pb_greedy_input *input;
    pb_coreset *coreset;
    pb_greedy_cost cost;
    uint64_t *first, *count; /* [ranks] the ranks' points */
    share *shares;           /* [ranks] */
    size_t *sizes;           /* [ranks] bytes of a message */
    size_t picks;            /* wanted, with those of coreset */
    float before;            /* radius by the given centres; NaN: not known */
    uint64_t least;          /* nothing below this key needs a pick */
    uint64_t floor;          /* of the present round */
    float level;             /* no bound's distance^2 is above it, up to date or not */
    double drop;             /* the next floor is level * (1 - drop) */
    uint64_t next;           /* key of the pick that would follow; 0: not yet known */
    char *sent, *received;   /* device memory, as the next two; messages: a rank's candidates, then their rows */
    pb_candidate *candidates; /* of all ranks; room for as many as may be gathered, as all four have */
    float *rows;
    uint64_t *picked; /* [room of coreset] */
    float *distance2;
    pb_status reported; /* by the caller after the last round */
} selection;

static size_t ranks_of(const selection *s) { return (size_t)pb_comm_size(s->comm); }

static size_t me(const selection *s) { return (size_t)pb_comm_rank(s->comm); }

static size_t row_bytes(const selection *s) { return (size_t)s->input->dim * sizeof(float); }

static size_t most_gathered(const selection *s) {
    return s->input->candidates_most < s->input->total ? s->input->candidates_most : (size_t)s->input->total;
}

static void release(selection *s) {
    pb_release(&s->first);
    pb_release(&s->count);
    pb_release(&s->shares);
    pb_release(&s->sizes);
    pb_device_release(s->device, &s->sent);
    pb_device_release(s->device, &s->received);
    pb_device_release(s->device, &s->candidates);
    pb_device_release(s->device, &s->rows);
    pb_release(&s->picked);
    pb_release(&s->distance2);
}

static pb_status allocate(selection *s) {
    size_t ranks = ranks_of(s), room = most_gathered(s), message = sizeof(pb_candidate) + row_bytes(s);
    pb_status status = pb_allocate(&s->first, ranks, sizeof *s->first, "ranges of points");
    pb_keep_first(&status, pb_allocate(&s->count, ranks, sizeof *s->count, "ranges of points"));
    pb_keep_first(&status, pb_allocate(&s->shares, ranks, sizeof *s->shares, "shares of a round"));
    pb_keep_first(&status, pb_allocate(&s->sizes, ranks, sizeof *s->sizes, "sizes of messages"));
    pb_keep_first(&status, pb_allocate(&s->picked, s->coreset->room, sizeof *s->picked, "picks of a round"));
    pb_keep_first(&status, pb_allocate(&s->distance2, s->coreset->room, sizeof *s->distance2, "picks of a round"));
    pb_keep_first(&status, pb_device_alloc(s->device, room * message, &s->sent, "candidates"));
    pb_keep_first(&status, pb_device_alloc(s->device, room * message, &s->received, "candidates"));
    pb_keep_first(&status, pb_device_alloc(s->device, room * sizeof *s->candidates, &s->candidates, "candidates"));
    pb_keep_first(&status, pb_device_alloc(s->device, room * row_bytes(s), &s->rows, "candidates"));
    pb_keep_first(&status, pb_device_comm_reserve(s->devices, room * message, room * message));
    return status;
}

/* Collective. Who has which points. */
static pb_status meet(selection *s) {
    pb_status status = pb_agree(s->comm, allocate(s));
    if (pb_failed(&status))
        return status;
    pb_comm_allgather(s->comm, &s->input->first, sizeof s->input->first, s->first, "ranges of points");
    pb_comm_allgather(s->comm, &s->input->count, sizeof s->input->count, s->count, "ranges of points");
    return status;
}

static size_t owner_of(const selection *s, uint64_t global) {
    size_t rank = 0;
    while (!(global >= s->first[rank] && global - s->first[rank] < s->count[rank]))
        rank++;
    return rank;
}

/* --- first centres ------------------------------------------------------------------------------------------------ */

/* This rank's rows among `count` points, in the points' order, into `mine`. */
static pb_status read_mine(selection *s, const uint64_t *points, size_t count, float *mine) {
    for (size_t i = 0; i < count; i++)
        if (owner_of(s, points[i]) == me(s)) {
            PB_TRY(pb_device_cover_read(s->device, s->input->cover, (size_t)(points[i] - s->input->first), 1, mine));
            mine += s->input->dim;
        }
    return pb_ok();
}

/* Puts rows that arrived rank by rank into the points' order and hands them to the cover. */
static pb_status add_in_order(selection *s, const uint64_t *points, size_t count, const char *arrived, size_t *at, float *rows) {
    size_t place = 0;
    for (size_t rank = 0; rank < ranks_of(s); place += s->sizes[rank++])
        at[rank] = place;
    for (size_t i = 0; i < count; i++) {
        size_t rank = owner_of(s, points[i]);
        memcpy((char *)rows + i * row_bytes(s), arrived + at[rank], row_bytes(s));
        at[rank] += row_bytes(s);
    }
    return pb_device_cover_add(s->device, s->input->cover, rows, count);
}

/* Collective. Makes the points `points` centres of every rank's cover; not so many that a message would be too large. */
static pb_status add_some_centres(selection *s, const uint64_t *points, size_t count) {
    float *mine = NULL, *rows = NULL;
    char *arrived = NULL;
    size_t *at = NULL, ranks = ranks_of(s);
    memset(s->sizes, 0, ranks * sizeof *s->sizes);
    for (size_t i = 0; i < count; i++)
        s->sizes[owner_of(s, points[i])] += row_bytes(s);
    pb_status status = pb_allocate(&mine, s->sizes[me(s)], 1, "first centres");
    pb_keep_first(&status, pb_allocate(&arrived, count, row_bytes(s), "first centres"));
    pb_keep_first(&status, pb_allocate(&rows, count, row_bytes(s), "first centres"));
    pb_keep_first(&status, pb_allocate(&at, ranks, sizeof *at, "first centres"));
    if (!pb_failed(&status))
        status = read_mine(s, points, count, mine);
    status = pb_agree(s->comm, status);
    if (!pb_failed(&status)) {
        pb_comm_allgather_parts(s->comm, mine, s->sizes, arrived, "first centres");
        status = pb_agree(s->comm, add_in_order(s, points, count, arrived, at, rows));
    }
    pb_release(&mine);
    pb_release(&arrived);
    pb_release(&rows);
    pb_release(&at);
    return status;
}

/* Collective. Makes the points `points` the next centres of every rank's cover. */
static pb_status add_centres(selection *s, const uint64_t *points, size_t count) {
    size_t most = MESSAGE_BYTES / row_bytes(s);
    pb_status status = pb_ok();
    for (size_t done = 0; done < count && !pb_failed(&status); done += most)
        status = add_some_centres(s, points + done, count - done < most ? count - done : most);
    return status;
}

/* --- a round ------------------------------------------------------------------------------------------------------ */

/* Collective. Exchanges what a local step gave; *total is the number of all candidates, *most the largest key. */
static pb_status exchange_shares(selection *s, pb_status local, size_t candidates, uint64_t largest, uint64_t *total,
                                 uint64_t *most) {
    share mine = {.failed = pb_failed(&local), .candidates = candidates, .most = largest};
    pb_comm_allgather(s->comm, &mine, sizeof mine, s->shares, "candidates of a round");
    bool failed = false;
    *total = *most = 0;
    for (size_t rank = 0; rank < ranks_of(s); rank++) {
        failed = failed || s->shares[rank].failed;
        *total += s->shares[rank].candidates;
        *most = s->shares[rank].most > *most ? s->shares[rank].most : *most;
    }
    return failed ? pb_agree(s->comm, local) : pb_ok();
}

/* Collective. Too many candidates, perhaps all with the same distance: makes their bounds exact and raises the floor, in the
 * order of keys, so that no rank has more than its part of what may be gathered. */
static pb_status cut_candidates(selection *s, uint64_t *total) {
    size_t left = 0;
    uint64_t key = 0, ignored;
    pb_status status = pb_device_cover_settle(s->device, s->input->cover, &left);
    if (!pb_failed(&status))
        status = pb_device_cover_key(s->device, s->input->cover, s->input->candidates_most / ranks_of(s), &key);
    status = pb_agree(s->comm, status);
    if (pb_failed(&status))
        return status;
    key = pb_comm_max_u64(s->comm, key, "floor of a round");
    if (key >= s->floor) {
        s->floor = key + 1;
        status = pb_device_cover_raise(s->device, s->input->cover, s->floor, &left);
    }
    return exchange_shares(s, status, left, 0, total, &ignored);
}

static pb_status copy(const selection *s, void *to, const void *from, size_t bytes) {
    return pb_device_copy_block(s->device, to, bytes, from, bytes, bytes, 1);
}

static pb_status pack_mine(selection *s) {
    size_t mine = s->shares[me(s)].candidates;
    PB_TRY(pb_device_cover_candidates(s->device, s->input->cover, s->candidates, s->rows));
    PB_TRY(copy(s, s->sent, s->candidates, mine * sizeof *s->candidates));
    return copy(s, s->sent + mine * sizeof *s->candidates, s->rows, mine * row_bytes(s));
}

/* Takes the ranks' messages apart. */
static pb_status unpack_all(selection *s) {
    const char *from = s->received;
    size_t at = 0;
    for (size_t rank = 0; rank < ranks_of(s); from += s->sizes[rank], at += s->shares[rank++].candidates) {
        size_t count = s->shares[rank].candidates, bytes = count * sizeof *s->candidates;
        PB_TRY(copy(s, s->candidates + at, from, bytes));
        PB_TRY(copy(s, (char *)s->rows + at * row_bytes(s), from + bytes, count * row_bytes(s)));
    }
    return pb_ok();
}

/* Collective. Every rank gets the candidates of all, in rank order. The status is this rank's own: a rank that could not read its
 * candidates sends something all the same, and fails when all next agree. */
static pb_status gather_candidates(selection *s) {
    pb_status status = pack_mine(s);
    for (size_t rank = 0; rank < ranks_of(s); rank++)
        s->sizes[rank] = s->shares[rank].candidates * (sizeof *s->candidates + row_bytes(s));
    pb_keep_first(&status, pb_device_comm_allgather_parts(s->devices, s->sent, s->sizes, s->received, "gathering candidates"));
    return pb_failed(&status) ? status : unpack_all(s);
}

/* Where this rank's candidates begin among all. */
static size_t my_place(const selection *s) {
    size_t place = 0;
    for (size_t rank = 0; rank < me(s); rank++)
        place += s->shares[rank].candidates;
    return place;
}

/* The radius that what has been picked so far turned out to have. */
static void note_radius(selection *s, float radius) {
    if (s->coreset->count > 0)
        s->coreset->radius[s->coreset->count - 1] = radius;
    else
        s->before = radius;
}

/* The radius of a pick is the distance at which the following one is picked. */
static void note_picks(selection *s, size_t made) {
    for (size_t i = 0; i < made; i++) {
        note_radius(s, sqrtf(s->distance2[i]));
        pb_coreset_add(s->coreset, s->picked[i], NAN);
    }
}

/* Picks among the gathered candidates; the same on every rank, so nothing is said. `most` picks are still wanted. */
static pb_status pick(selection *s, size_t total, size_t most, size_t *made) {
    pb_cover *cover = s->input->cover;
    PB_TRY(pb_device_cover_select(s->device, cover, s->candidates, s->rows, total, s->floor, most, s->picked, s->distance2, made,
                                  &s->next));
    return pb_device_cover_update(s->device, cover, s->candidates + my_place(s), s->shares[me(s)].candidates);
}

/* --- the schedule ------------------------------------------------------------------------------------------------- */

/* The least key with this distance. */
static uint64_t least_key(float distance2) { return (uint64_t)pb_float_bits(distance2) << 32; }

/* The least key whose distance is above `enough`. Squares and roots are rounded, so the edge is looked for. */
static uint64_t key_above(float enough) {
    float distance2 = enough * enough;
    if (!(distance2 < FLT_MAX)) /* nothing is */
        return UINT64_MAX;
    while (distance2 > 0 && sqrtf(distance2) > enough)
        distance2 = nextafterf(distance2, 0);
    while (!(sqrtf(distance2) > enough))
        distance2 = nextafterf(distance2, INFINITY);
    return least_key(distance2);
}

static void lower_floor(selection *s) {
    float lower = (float)((double)s->level * (1 - s->drop));
    if (!(lower < s->level))
        lower = nextafterf(s->level, 0);
    s->floor = least_key(lower) > s->least ? least_key(lower) : s->least;
}

/* Steers the next drop towards the aim; a factor of at most two at a time. */
static void steer(selection *s, float level_before, size_t made, bool capped) {
    double aim = GROWTH * (double)s->coreset->count, factor = 2;
    s->level = pb_packed_distance2(s->floor);
    if (aim < AIM_LEAST)
        aim = AIM_LEAST;
    if (made > 0)
        factor = sqrt(aim / (double)made);
    if (capped) { /* the floor did not get as far as it was meant to */
        s->drop = 1 - (double)s->level / (double)level_before;
        factor = factor < 1 ? factor : 1;
    }
    s->drop *= factor > 2 ? 2 : factor < 0.5 ? 0.5 : factor;
    s->drop = s->drop < DROP_LEAST ? DROP_LEAST : s->drop > DROP_MOST ? DROP_MOST : s->drop;
}

/* Collective. Gathers `total` candidates, which the shares describe, and picks among them. Nobody may pick before all have
 * agreed: what came from a rank whose device failed is no candidate, its centre not even one that exists. */
static pb_status gather_and_pick(selection *s, uint64_t total, size_t *made) {
    size_t wanted = s->picks - s->coreset->count;
    pb_status status = pb_agree(s->comm, gather_candidates(s));
    if (!pb_failed(&status))
        status = pick(s, (size_t)total, wanted, made);
    s->cost.candidates_sum += total;
    s->cost.candidates_most = total > s->cost.candidates_most ? total : s->cost.candidates_most;
    return pb_agree(s->comm, status);
}

/* Collective. One round; *done when no point is left that needs a pick. */
static pb_status round_of(selection *s, bool *done) {
    size_t mine = 0, made = 0;
    uint64_t largest = 0, total, most;
    float level_before = s->level;
    lower_floor(s);
    pb_status status = pb_device_cover_refresh(s->device, s->input->cover, s->floor, &mine, &largest);
    pb_keep_first(&status, s->reported);
    status = exchange_shares(s, status, mine, largest, &total, &most);
    if (pb_failed(&status))
        return status;
    s->cost.rounds++;
    if (total == 0) { /* the floor was too high: straight to the largest bound there is, and farther next time */
        *done = most < s->least;
        s->level = pb_packed_distance2(most);
        s->drop = 2 * s->drop > DROP_MOST ? DROP_MOST : 2 * s->drop;
        return status;
    }
    bool capped = total > s->input->candidates_most;
    if (capped)
        status = cut_candidates(s, &total);
    s->cost.capped += capped;
    if (!pb_failed(&status) && total > 0)
        status = gather_and_pick(s, total, &made);
    if (pb_failed(&status))
        return status;
    note_picks(s, made);
    steer(s, level_before, made, capped);
    return status;
}

/* Collective. Rounds until all picks are made and the distance of the one that would follow is known. */
static pb_status run_rounds(selection *s) {
    bool done = false;
    size_t mine;
    uint64_t largest = 0, total, most;
    /* A floor that nothing reaches: only the largest bound is asked for. */
    pb_status status = pb_device_cover_refresh(s->device, s->input->cover, UINT64_MAX, &mine, &largest);
    status = exchange_shares(s, status, 0, largest, &total, &most);
    s->level = pb_packed_distance2(most);
    if (!pb_failed(&status) && isinf(s->level)) /* the same on every rank */
        return pb_coreset_overflow();
    s->drop = FIRST_DROP;
    done = most < s->least;
    size_t picks = s->coreset->count;
    if (picks > 1 && s->coreset->radius && s->coreset->radius[picks - 2] > 0) /* goes on where it was interrupted */
        s->level = s->coreset->radius[picks - 2] * s->coreset->radius[picks - 2];
    while (!pb_failed(&status) && !done && (s->coreset->count < s->picks || s->next == 0)) {
        size_t before = s->coreset->count;
        s->next = 0;
        status = round_of(s, &done);
        if (!pb_failed(&status) && s->input->report && s->coreset->count > before)
            s->reported = s->input->report(s->input->context, s->coreset);
    }
    return status;
}

static selection begin(pb_device_comm *devices, const pb_greedy_input *input, pb_coreset *coreset) {
    selection s = {.devices = devices, .comm = pb_device_comm_host(devices), .device = pb_device_comm_device(devices),
                   .input = input, .coreset = coreset, .picks = input->picks, .before = NAN, .least = LEAST_FLOOR};
    PB_ASSERT(input->total > 0 && input->total < UINT32_MAX && input->candidates_most >= ranks_of(&s));
    return s;
}

/* Collective. The radius by the centres that the covers have: one more pick is asked for and not made. */
static pb_status measure_radius(selection *s, float *radius) {
    s->next = 0;
    s->least = LEAST_FLOOR;
    s->picks = s->coreset->count;
    pb_status status = run_rounds(s);
    *radius = sqrtf(pb_packed_distance2(s->next));
    return status;
}

/* Collective. Makes what is given the first centres of every rank's cover. */
static pb_status add_given(selection *s) {
    const pb_greedy_input *input = s->input;
    return pb_agree(s->comm, pb_device_cover_add(s->device, input->cover, input->given, input->given_count));
}

pb_status pb_greedy_select(pb_device_comm *devices, const pb_greedy_input *input, pb_coreset *coreset, float *given_radius,
                           pb_greedy_cost *cost) {
    PB_ASSERT(input->start < input->total && input->picks >= 1 && input->picks <= input->total && input->enough >= 0);
    PB_ASSERT(coreset->room >= input->picks && coreset->count <= input->picks);
    selection s = begin(devices, input, coreset);
    s.least = key_above(input->enough);
    pb_status status = meet(&s);
    if (coreset->count == 0 && input->given_count == 0)
        pb_coreset_add(coreset, input->start, NAN);
    if (!pb_failed(&status) && input->given_count > 0)
        status = add_given(&s);
    if (!pb_failed(&status))
        status = add_centres(&s, coreset->picked, coreset->count);
    if (!pb_failed(&status))
        status = run_rounds(&s);
    float radius = sqrtf(pb_packed_distance2(s.next));
    if (!pb_failed(&status) && s.next == 0 && s.least > LEAST_FLOOR) /* what was enough is no pick's distance */
        status = measure_radius(&s, &radius);
    if (!pb_failed(&status))
        note_radius(&s, radius);
    if (given_radius)
        *given_radius = s.before;
    if (cost)
        *cost = s.cost;
    release(&s);
    return status;
}

pb_status pb_greedy_radii(pb_device_comm *devices, const pb_greedy_input *input, const pb_coreset *coreset,
                          const size_t *prefixes, size_t count, float *radii) {
    pb_coreset centres = {.picked = coreset->picked};
    pb_greedy_input asked = *input;
    asked.report = NULL;
    selection s = begin(devices, &asked, &centres);
    pb_status status = meet(&s);
    for (size_t i = 0; i < count && !pb_failed(&status); i++) {
        PB_ASSERT(prefixes[i] > centres.count && prefixes[i] <= coreset->count);
        status = add_centres(&s, coreset->picked + centres.count, prefixes[i] - centres.count);
        centres.count = centres.room = prefixes[i];
        if (!pb_failed(&status))
            status = measure_radius(&s, &radii[i]);
    }
    release(&s);
    return status;
}
