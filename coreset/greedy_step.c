#include "coreset/greedy_step.h"

#include "base/memory.h"

#include <math.h>

static bool is_mine(const pb_greedy_step_input *input, uint64_t global) {
    return global >= input->first && global < input->first + input->count;
}

/* Collective. The row of global point `global`, on every rank. */
static pb_status share_centre(pb_comm *comm, pb_device *device, const pb_greedy_step_input *input, uint64_t global,
                              float *centre) {
    pb_status status = pb_ok();
    bool mine = is_mine(input, global);
    if (mine)
        status = pb_device_points_read(device, input->points, global - input->first, centre);
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        return status;
    /* Exactly one rank has the point; the largest claim tells the others which. */
    int owner = (int)pb_comm_max_u64(comm, mine ? (uint64_t)pb_comm_rank(comm) : 0, "owner of the picked patch");
    pb_comm_broadcast(comm, centre, (size_t)input->dim * sizeof *centre, owner, "broadcast of the picked patch");
    return status;
}

/* Collective. Compares every point with `centre`; *farthest is the packed maximum over all ranks, its index global. */
static pb_status step(pb_comm *comm, pb_device *device, const pb_greedy_step_input *input, const float *centre,
                      uint64_t *farthest) {
    uint64_t best = 0;
    pb_status status = pb_device_greedy_step(device, input->points, centre, &best);
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        return status;
    if (input->count > 0)
        best = pb_pack_farthest(pb_packed_distance2(best), (uint32_t)(input->first + pb_farthest_index(best)));
    *farthest = pb_comm_max_u64(comm, best, "farthest patch");
    return status;
}

pb_status pb_greedy_step_select(pb_comm *comm, pb_device *device, const pb_greedy_step_input *input, pb_coreset *coreset) {
    PB_ASSERT(input->total > 0 && input->total < UINT32_MAX && input->start < input->total);
    PB_ASSERT(input->picks >= 1 && input->picks <= input->total && coreset->count == 0);
    float *centre, radius = 1;
    pb_status status = pb_allocate(&centre, (size_t)input->dim, sizeof *centre, "the picked patch");
    status = pb_agree(comm, status);
    for (uint64_t next = input->start; !pb_failed(&status) && coreset->count < input->picks && radius > 0;) {
        uint64_t farthest = 0;
        status = share_centre(comm, device, input, next, centre);
        if (!pb_failed(&status))
            status = step(comm, device, input, centre, &farthest);
        if (pb_failed(&status))
            break;
        radius = sqrtf(pb_packed_distance2(farthest));
        if (isinf(radius)) /* the same on every rank */
            status = pb_coreset_overflow();
        if (pb_failed(&status))
            break;
        pb_coreset_add(coreset, next, radius);
        next = pb_farthest_index(farthest);
        if (input->report)
            input->report(input->context, coreset);
    }
    pb_release(&centre);
    return status;
}
