/* peers.h: what a device exchanges with the devices of other ranks by itself, from device memory to device memory (NCCL).
 *
 * A device may lack all of it: mpi/device_comm.h, the only caller, then stages through host memory. The ranks of a group are
 * those that joined with the same id. "Collective" below: every rank of the group calls it, in the same order; it may wait for
 * the others for at most the group's time limit.
 *
 * A failure ends the group: the exchange is aborted on this rank, the others notice by an error or by the time limit, and every
 * later call on the group fails at once with the first failure. Errors, everywhere: PB_E_SYSTEM, naming operation, device and
 * rank. Memory: device memory of `device`. Used by the device's thread.
 */
#ifndef PB_GPU_PEERS_H
#define PB_GPU_PEERS_H

#include "gpu/device.h"

/* One rank's end of a group: made by joining, freed by leaving, used with the device that joined. */
typedef struct pb_peers pb_peers;

/* What names a group before it exists. NCCL's ncclUniqueId: bytes to be carried to all ranks as they are. */
typedef struct pb_peers_id {
    char bytes[128];
} pb_peers_id;

/* Whether the device can exchange by itself here, else why not, a text that belongs to the device. Not collective. *why_not is
 * set in either case and means nothing when it can. */
bool pb_device_has_peers(const pb_device *device, const char **why_not);

/* A new id, to be handed to all ranks of the group. Not collective. Made on one rank; the caller brings it to the others by other
 * means (mpi/). */
PB_CHECKED pb_status pb_peers_id_create(pb_device *device, pb_peers_id *id_out);

/* Collective. Joins the group of `size` ranks as `rank`. limit_s: seconds that any call waits for the others; 0: for ever. Owned
 * by the caller. */
PB_CHECKED pb_status pb_peers_join(pb_device *device, const pb_peers_id *id, int rank, int size, double limit_s,
                                   pb_peers **peers_out);

/* Leaves and frees; NULL is fine. After a failure it does not wait for anybody. */
void pb_peers_leave(pb_device *device, pb_peers **peers);

/* Collective. *value becomes its maximum over the ranks, on all of them. value: device memory, aligned to 8 bytes. */
PB_CHECKED pb_status pb_peers_max_u64(pb_device *device, pb_peers *peers, uint64_t *value);

/* Collective. Rank r gives sizes[r] bytes (the same array on all ranks); everybody gets those of all in rank order in `all`.
 * sizes: host memory, one a rank; 0 is allowed. part: sizes[own rank] bytes; all: the sum of sizes, not overlapping part. */
PB_CHECKED pb_status pb_peers_allgather(pb_device *device, pb_peers *peers, const void *part, const size_t *sizes, void *all);

/* Collective. `bytes` bytes of rank root's buffer become everybody's. bytes and root are the same on all ranks; with 0 bytes
 * nobody waits. */
PB_CHECKED pb_status pb_peers_broadcast(pb_device *device, pb_peers *peers, void *buffer, size_t bytes, int root);

/* Collective. Sends to rank `to` while receiving from rank `from`; the buffers do not overlap. What is sent and what the other
 * side receives are of equal size; 0 bytes are no message. */
PB_CHECKED pb_status pb_peers_exchange(pb_device *device, pb_peers *peers, const void *send, size_t send_bytes, int to,
                                       void *receive, size_t receive_bytes, int from);

#endif
