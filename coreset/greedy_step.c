/* greedy_step.c: farthest-first selection as the textbook has it (T. F. Gonzalez, TCS 38, 1985): pick a point, bring the distance
 * of every point to the nearest pick up to date, pick the farthest. n distances a pick, and three collectives.
 *
 * Nothing is skipped and nothing is clever, so it is easy to see that it is right: it is the oracle that coreset/greedy.c is
 * tested against, bit for bit. The maximum over the ranks is of packed (distance^2 bits, inverted index) pairs, so ties go to the
 * smallest index whatever the order of the reduction (invariant 2).
 *
 * A radius is known at once here: after a pick has been compared with all points, the farthest distance is the covering radius.
 */
#include "coreset/greedy_step.h"

#include "base/memory.h"

#include <math.h>

/* What one selection works with; `centre` and `best` lie on the device, and so do the points. */
typedef struct stepping {
    const pb_greedy_step_input *input;
    pb_device_comm *devices;
    pb_comm *comm; /* of devices, as device is */
    pb_device *device;
    float *centre;   /* device memory, [dim]: the pick that is compared with all points */
    uint64_t *best;  /* device memory: packed, of this rank's farthest point, then of all ranks' */
    uint64_t *first; /* [ranks + 1] where each rank's points begin */
    pb_status reported; /* by the caller after the last pick */
} stepping;

static void release(stepping *s) {
    pb_device_release(s->device, &s->centre);
    pb_device_release(s->device, &s->best);
    pb_release(&s->first);
}

/* All memory of the loop, taken before it; release frees what is there after a failure. */
static pb_status allocate(stepping *s) {
    size_t row = (size_t)s->input->dim * sizeof *s->centre;
    pb_status status = pb_device_alloc(s->device, row, &s->centre, "the picked patch");
    pb_keep_first(&status, pb_device_alloc(s->device, sizeof *s->best, &s->best, "the farthest patch"));
    pb_keep_first(&status, pb_allocate(&s->first, (size_t)pb_comm_size(s->comm) + 1, sizeof *s->first, "ranges of points"));
    pb_keep_first(&status, pb_device_comm_reserve(s->devices, row, row));
    return status;
}

/* Collective. Memory, and who has which points: first[] gets the total as its last entry, so that each rank's range ends where
 * the next begins. */
static pb_status meet(stepping *s) {
    pb_status status = pb_agree(s->comm, allocate(s));
    if (pb_failed(&status))
        return status;
    pb_comm_allgather(s->comm, &s->input->first, sizeof s->input->first, s->first, "ranges of points");
    s->first[pb_comm_size(s->comm)] = s->input->total;
    return status;
}

/* The rank that has a global point. The ranges follow each other in rank order, and may be empty: of equal beginnings the last
 * one counts. */
static int owner_of(const stepping *s, uint64_t global) {
    int rank = 0;
    while (global >= s->first[rank + 1])
        rank++;
    return rank;
}

/* Collective. The row of global point `global`, on every rank's device. The status is this rank's own: a rank that failed takes
 * part with whatever is in its buffer, and all find out in the next agreement. */
static pb_status share_centre(stepping *s, uint64_t global) {
    pb_status status = pb_ok();
    int owner = owner_of(s, global);
    if (owner == pb_comm_rank(s->comm))
        status = pb_device_points_read(s->device, s->input->points, global - s->input->first, s->centre);
    pb_keep_first(&status, pb_device_comm_broadcast(s->devices, s->centre, (size_t)s->input->dim * sizeof *s->centre, owner,
                                                    "broadcast of the picked patch"));
    return status;
}

/* Collective. Compares every point with global point `centre`; *farthest is the packed maximum over all ranks. The agreement at
 * its end is also where what the caller reported after the pick before becomes known to all. */
static pb_status step(stepping *s, uint64_t centre, uint64_t *farthest) {
    pb_status status = share_centre(s, centre);
    if (!pb_failed(&status))
        status = pb_device_greedy_step(s->device, s->input->points, (uint32_t)s->input->first, s->centre, s->best);
    pb_keep_first(&status, pb_device_comm_max_u64(s->devices, s->best, "farthest patch"));
    if (!pb_failed(&status))
        status = pb_device_download(s->device, farthest, s->best, sizeof *farthest);
    pb_keep_first(&status, s->reported);
    return pb_agree(s->comm, status);
}

/* radius begins above 0 so that the loop is entered. It ends at radius 0, when every point equals a pick (decision 0009): the
 * first pick is always made. */
pb_status pb_greedy_step_select(pb_device_comm *devices, const pb_greedy_step_input *input, pb_coreset *coreset) {
    PB_ASSERT(input->total > 0 && input->total < UINT32_MAX && input->start < input->total);
    PB_ASSERT(input->picks >= 1 && input->picks <= input->total && coreset->count == 0);
    stepping s = {.input = input, .devices = devices, .comm = pb_device_comm_host(devices),
                  .device = pb_device_comm_device(devices)};
    float radius = 1;
    pb_status status = meet(&s);
    for (uint64_t next = input->start, farthest = 0; !pb_failed(&status) && coreset->count < input->picks && radius > 0;
         next = pb_farthest_index(farthest)) {
        status = step(&s, next, &farthest);
        radius = sqrtf(pb_packed_distance2(farthest));
        if (!pb_failed(&status) && isinf(radius)) /* the same on every rank */
            status = pb_coreset_overflow();
        if (pb_failed(&status))
            break;
        pb_coreset_add(coreset, next, radius);
        if (input->report)
            s.reported = input->report(input->context, coreset);
    }
    release(&s);
    return status;
}
