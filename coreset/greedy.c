/* greedy.c: the picks of the textbook loop (coreset/greedy_step.c), bit for bit, in rounds instead of one by one.
 *
 * Why rounds are exact. Every point has a key: its distance^2 to the nearest centre and, for ties, its global index; the next
 * pick is the point with the largest key. A cover (gpu/cover.h) knows for each of its points an upper bound of that key.
 * Distances only fall while centres are added, so once all points whose bound reaches a floor have been brought up to date, a
 * point below the floor can not be picked before every point at or above it has fallen below. Those at or above it are the
 * candidates. All ranks gather them with their rows, and each makes the same picks among them by the same arithmetic on the same
 * bytes; no rank has to tell another what was picked. When the largest key among the candidates is below the floor, the round is
 * over and the floor is lowered.
 *
 * A round (round_of), with its four collectives:
 *    refresh      local: bring points at or above the floor up to date
 *    1 exchange   who has how many candidates, who failed, the largest bound (exchange_shares)
 *    cut          only when there are too many: the floor is raised, for an agreement, a maximum and an exchange more
 *    2 gather     candidates and their rows, rank by rank (gather_candidates)
 *    3 agree      nobody picks among what a failed rank has sent
 *    pick         local, the same on all ranks; each rank gives its own candidates back to its cover
 *    4 agree      on what the picking did
 * The floor's schedule (steer, lower_floor) decides only how many rounds there are. It is made of counts and of agreed numbers by
 * IEEE operations that are rounded correctly, so all ranks have the same floor without talking about it, even on different
 * machines.
 *
 * A radius is noted one pick late: that of the first i picks is the distance at which pick i + 1 is made. The radius of the last
 * pick is that of a pick which is looked for and not made (selection.next).
 *
 * Read run_rounds first, then round_of, then the schedule. Decisions 0003 (arithmetic), 0009 (the end), 0010 (rounds), 0011
 * (going on).
 */
#include "coreset/greedy.h"

#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A round aims at GROWTH picks for each made so far, so there are about log(picks) / log(1 + GROWTH) rounds: 42 for 2,352 picks.
 * Measured flat from 0.08 to 0.16; docs/PERFORMANCE.md. AIM_LEAST: picks that a round aims at while there are few. The others are
 * of `drop`, the share of the level by which the floor is lowered: where it starts, and the range that it stays in. The least one
 * keeps rounds with too many candidates from making the floor crawl, the most keeps one round from asking for nearly all
 * points. */
static const double GROWTH = 0.12, AIM_LEAST = 4, FIRST_DROP = 0.08, DROP_LEAST = 1e-4, DROP_MOST = 0.5;

/* Rows of first centres go round in messages of at most this size, 256 MiB: far below the 2 GiB that pb_comm_allgather_parts can
 * take, so that the copies which add_some_centres holds stay small beside the points, however many centres a bank or checkpoint
 * has. */
static const size_t MESSAGE_BYTES = (size_t)1 << 28;

/* Every key of a distance^2 above 0 is at least this one: keys hold the bits of distance^2 in their upper half. Below it the
 * distance is 0, and the point equals a centre: it needs no pick (decision 0009). */
static const uint64_t LEAST_FLOOR = UINT64_C(1) << 32;

/* What each rank tells the others after its part of a round: the whole of the first collective, as plain bytes. */
typedef struct share {
    uint64_t failed;     /* its refresh failed; all meet in pb_agree then */
    uint64_t candidates; /* how many it has */
    uint64_t most;       /* largest key of a bound among all of its points, candidates or not; 0: it has no points */
} share;

/* One call of pb_greedy_select or pb_greedy_radii. Everything but what belongs to this rank's points (input->cover, its first and
 * count, `sent`) and `reported` is the same on all ranks at any time between two collectives; that is what lets them act without
 * asking. */
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
    float level;             /* distance^2 from which the floor is lowered: the largest bound there is, as far as it is known. A
                              * number for the schedule alone: no pick depends on its being right */
    double drop;             /* the next floor is level * (1 - drop) */
    uint64_t next;           /* key of the pick that would follow; 0: not yet known */
    char *sent, *received;   /* device memory, as the next two; messages: a rank's candidates, then their rows */
    pb_candidate *candidates; /* of all ranks; room for as many as may be gathered, as all four have */
    float *rows;
    uint64_t *picked; /* [room of coreset] */
    float *distance2;
    pb_status reported; /* by the caller after the last round */
} selection;

/* Names for what is used everywhere below: the number of ranks, this one, the bytes of a row. */
static size_t ranks_of(const selection *s) { return (size_t)pb_comm_size(s->comm); }

static size_t me(const selection *s) { return (size_t)pb_comm_rank(s->comm); }

static size_t row_bytes(const selection *s) { return (size_t)s->input->dim * sizeof(float); }

/* Room for candidates: there can be no more of them than points, so that small sets do not take the memory of large ones. */
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

/* All memory that rounds need, taken before the first: in the midst of a round a rank without memory could not take part. Keeps
 * the first failure and goes on, since release frees whatever is there. */
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

/* Collective. Memory, and who has which points. Points may come in any sizes and some ranks may have none; all that is used of
 * the ranges is that they are disjoint and together 0 .. total - 1. */
static pb_status meet(selection *s) {
    pb_status status = pb_agree(s->comm, allocate(s));
    if (pb_failed(&status))
        return status;
    pb_comm_allgather(s->comm, &s->input->first, sizeof s->input->first, s->first, "ranges of points");
    pb_comm_allgather(s->comm, &s->input->count, sizeof s->input->count, s->count, "ranges of points");
    return status;
}

/* The rank that has a global point; empty ranks are passed over. A walk over all ranks, since it is asked for first centres
 * alone. */
static size_t owner_of(const selection *s, uint64_t global) {
    size_t rank = 0;
    while (!(global >= s->first[rank] && global - s->first[rank] < s->count[rank]))
        rank++;
    return rank;
}

/* --- first centres ------------------------------------------------------------------------------------------------ */

/* This rank's rows among `count` points, in the points' order, into `mine`, host memory. One read a row: centres lie scattered,
 * and a bank has a few thousand of them. */
static pb_status read_mine(selection *s, const uint64_t *points, size_t count, float *mine) {
    for (size_t i = 0; i < count; i++)
        if (owner_of(s, points[i]) == me(s)) {
            PB_TRY(pb_device_cover_read(s->device, s->input->cover, (size_t)(points[i] - s->input->first), 1, mine));
            mine += s->input->dim;
        }
    return pb_ok();
}

/* Puts rows that arrived rank by rank into the points' order and hands them to the cover, which numbers centres as they come: the
 * numbers must be the same on all ranks, because candidates carry the number of their nearest centre. at: scratch, [ranks], the
 * place of the next row of each rank in what has arrived. rows: scratch, [count][dim]. */
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

/* Collective. Makes the points `points` centres of every rank's cover; not so many that a message would be too large. A rank
 * without memory says so in an agreement before the rows go round, since after it all of them must take part. */
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

/* Collective. Makes the points `points` the next centres of every rank's cover: the first pick, or all picks of a selection that
 * goes on (decision 0011). Their rows are with the ranks that own the points, so they travel as those of candidates do not: by
 * the host. */
static pb_status add_centres(selection *s, const uint64_t *points, size_t count) {
    size_t most = MESSAGE_BYTES / row_bytes(s);
    pb_status status = pb_ok();
    for (size_t done = 0; done < count && !pb_failed(&status); done += most)
        status = add_some_centres(s, points + done, count - done < most ? count - done : most);
    return status;
}

/* --- a round ------------------------------------------------------------------------------------------------------ */

/* Collective. Exchanges what a local step gave; *total is the number of all candidates, *most the largest key. `local` is this
 * rank's status. Where all are well the exchange itself says so and no agreement is needed; only where a share says that somebody
 * failed all of them meet in pb_agree, and since all see the same shares, all go there. */
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
 * order of keys, so that no rank has more than its part of what may be gathered.
 *
 * Each rank names the key of its candidate at position candidates_most / ranks in falling order, and the floor becomes one more
 * than the largest of these: then no rank has more than that number, so all together have no more than candidates_most. Keys
 * differ even where distances are the same, so this works when all points are equal. What is cut off is below the floor now, and
 * is a candidate of a later round.
 */
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
    /* It is below the floor where making bounds exact was enough: then nobody has more than its part. */
    if (key >= s->floor) {
        s->floor = key + 1;
        status = pb_device_cover_raise(s->device, s->input->cover, s->floor, &left);
    }
    return exchange_shares(s, status, left, 0, total, &ignored);
}

/* Copies within device memory. The table has only a copy of blocks, of which this is one stretch. */
static pb_status copy(const selection *s, void *to, const void *from, size_t bytes) {
    return pb_device_copy_block(s->device, to, bytes, from, bytes, bytes, 1);
}

/* This rank's message into `sent`: its candidates, then their rows, end to end, in the order in which the cover gives them.
 * s->candidates and s->rows serve as scratch: unpack_all fills them with those of all ranks, this one's at my_place in the same
 * order, which is the order that pb_device_cover_update wants. */
static pb_status pack_mine(selection *s) {
    size_t mine = s->shares[me(s)].candidates;
    PB_TRY(pb_device_cover_candidates(s->device, s->input->cover, s->candidates, s->rows));
    PB_TRY(copy(s, s->sent, s->candidates, mine * sizeof *s->candidates));
    return copy(s, s->sent + mine * sizeof *s->candidates, s->rows, mine * row_bytes(s));
}

/* Takes the ranks' messages apart: all candidates end to end, and all rows, each in rank order, as pb_device_cover_select wants
 * them. The sizes are those of gather_candidates. */
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

/* Where this rank's candidates begin among all: behind those of the ranks before it. */
static size_t my_place(const selection *s) {
    size_t place = 0;
    for (size_t rank = 0; rank < me(s); rank++)
        place += s->shares[rank].candidates;
    return place;
}

/* The radius that what has been picked so far turned out to have. While nothing has been picked it is that of the given centres.
 * Adding a pick writes NaN as its radius (note_picks), which stands until the next one is known. */
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

/* Picks among the gathered candidates; the same on every rank, so nothing is said. `most` picks are still wanted. The picks
 * become centres of this rank's cover. The bounds of its own candidates, which the selection has lowered, go back to the cover,
 * so that no point is compared with these centres again. */
static pb_status pick(selection *s, size_t total, size_t most, size_t *made) {
    pb_cover *cover = s->input->cover;
    PB_TRY(pb_device_cover_select(s->device, cover, s->candidates, s->rows, total, s->floor, most, s->picked, s->distance2, made,
                                  &s->next));
    return pb_device_cover_update(s->device, cover, s->candidates + my_place(s), s->shares[me(s)].candidates);
}

/* --- the schedule ------------------------------------------------------------------------------------------------- */

/* The least key with this distance^2: that of the largest index there could be. Hence a floor made of it cuts no ties. */
static uint64_t least_key(float distance2) { return (uint64_t)pb_float_bits(distance2) << 32; }

/* The least key whose distance is above `enough`, a distance. Squares and roots are rounded, so the edge is looked for: what
 * counts is sqrtf(distance^2), since that is what is noted as a radius and compared with `enough` by everybody else. The square
 * is within a few floats of the edge, so both loops are short. 0 gives LEAST_FLOOR; whatever squares to FLT_MAX or more gives a
 * key that nothing reaches. */
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

/* The floor of the next round: the level less its share `drop`, computed in double and rounded once, at least one float below the
 * level so that the floor falls, and never below what needs a pick at all. No candidate is missed by a floor that is not where it
 * was meant to be: whatever is at or above it is a candidate. */
static void lower_floor(selection *s) {
    float lower = (float)((double)s->level * (1 - s->drop));
    if (!(lower < s->level))
        lower = nextafterf(s->level, 0);
    s->floor = least_key(lower) > s->least ? least_key(lower) : s->least;
}

/* Steers the next drop towards the aim; by the square root of how far the round was from it, and by a factor of at most two at a
 * time, so that it does not swing. The level becomes the floor of this round, which nothing that is up to date is above any more.
 * A round without a pick doubles the drop. sqrt and the four operations are rounded correctly, so that all ranks get the same. */
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

/* Collective. One round; *done when no point is left that needs a pick. What the caller said of the last round (s->reported: a
 * stop that was asked for, a checkpoint that could not be written) rides with the status of the refresh, so that it costs no
 * collective of its own: a rank that was asked to stop is the reason why all of them leave here. */
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
    bool capped = total > s->input->candidates_most; /* on all ranks or none */
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

/* Collective. Rounds until all picks are made and the distance of the one that would follow is known, or until nothing needs a
 * pick. The covers have at least one centre.
 *
 * The last picks and the one that would follow need not fall into one round: where a round ends with the last pick, next is 0,
 * and rounds of no more picks go on until some candidate reaches the floor.
 */
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
    /* The radius of all picks but the last is known; the largest distance is below it or the same. Bounds are not up to date
     * yet and mostly far larger: a level made of them would cost many rounds without a pick. */
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

/* What a selection is begun with. candidates_most >= ranks, so that each rank's part in cut_candidates is at least one; 32-bit
 * indices leave room for UINT32_MAX as "none". */
static selection begin(pb_device_comm *devices, const pb_greedy_input *input, pb_coreset *coreset) {
    selection s = {.devices = devices, .comm = pb_device_comm_host(devices), .device = pb_device_comm_device(devices),
                   .input = input, .coreset = coreset, .picks = input->picks, .before = NAN, .least = LEAST_FLOOR};
    PB_ASSERT(input->total > 0 && input->total < UINT32_MAX && input->candidates_most >= ranks_of(&s));
    return s;
}

/* Collective. The radius by the centres that the covers have: one more pick is asked for and not made. Every distance above 0
 * counts here, whatever was `enough`; *radius is 0 when none is left. */
static pb_status measure_radius(selection *s, float *radius) {
    s->next = 0;
    s->least = LEAST_FLOOR;
    s->picks = s->coreset->count;
    pb_status status = run_rounds(s);
    *radius = sqrtf(pb_packed_distance2(s->next));
    return status;
}

/* Collective. Makes what is given the first centres of every rank's cover. Every rank has the rows already, so none travel; the
 * cover may lack memory on one, hence the agreement. */
static pb_status add_given(selection *s) {
    const pb_greedy_input *input = s->input;
    return pb_agree(s->comm, pb_device_cover_add(s->device, input->cover, input->given, input->given_count));
}

/* Centres first, in this order on all ranks, since they are numbered: what is given, then the picks that the coreset came with,
 * or the start where there is neither. Then rounds. At the end the radius of all picks: the distance of the pick that would
 * follow, if rounds have found it; 0 if nothing is left above distance 0; and where rounds ended because all points are within
 * `enough`, it is measured. */
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

/* A selection of no picks whose centres are added piece by piece. centres: a view of the coreset's picks without radii, so that
 * run_rounds neither goes on from a radius nor has room to note one. */
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
