/* agree.c: one verdict for all ranks. */
#include "mpi/comm_private.h"

#include <string.h>

/* The worst code wins; among ranks with that code the lowest. Packed so that one maximum decides both. */
static uint64_t pack_verdict(pb_code code, int rank) { return (uint64_t)(uint32_t)code << 32 | (UINT32_MAX - (uint32_t)rank); }

pb_status pb_agree(pb_comm *comm, pb_status local) {
    uint64_t verdict = pb_comm_max_u64(comm, pack_verdict(local.code, comm->rank), "agreement on success");
    if (verdict >> 32 == PB_OK)
        return pb_ok();
    int worst = (int)(UINT32_MAX - (uint32_t)verdict);
    pb_comm_broadcast(comm, &local, sizeof local, worst, "broadcast of the failure");
    if (local.rank < 0)
        local.rank = worst;
    return local;
}
