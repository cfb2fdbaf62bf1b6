/* device_comm.h: collectives between the memories of the ranks' devices.
 *
 * Where every rank's device exchanges by itself (gpu/peers.h: NCCL) that is used; where device memory is host memory, MPI works
 * on it directly; otherwise it is staged through host memory. The results are the same bytes in all three ways.
 *
 * "Collective" is meant over the ranks of the pb_comm. The rule of mpi/comm.h holds: a rank that failed earlier still takes part,
 * with whatever is in its buffers, and the status that these functions return is this rank's own, to be brought to the next
 * pb_agree. After a failure of the devices' own exchange every later call fails at once; none waits longer than the limit.
 *
 * Life: pb_device_comm_create; pb_device_comm_reserve and an agreement before the first exchange of each size; collectives; an
 * agreement on the statuses that they gave; pb_device_comm_destroy.
 */
#ifndef PB_MPI_DEVICE_COMM_H
#define PB_MPI_DEVICE_COMM_H

#include "gpu/device.h"
#include "mpi/comm.h"

/* The ranks of a job with their devices. Used by the thread that uses MPI and the device. */
typedef struct pb_device_comm pb_device_comm;

/* How device memory travels. */
typedef enum pb_route {
    PB_ROUTE_AUTO,  /* the devices' own exchange if every rank has it and no two ranks share a device, else by the host */
    PB_ROUTE_HOST,  /* by MPI */
    PB_ROUTE_DEVICE /* by the devices, or it is an error */
} pb_route;

/* Collective. Whether two ranks have one device (pb_device_identity): *second is the lowest rank whose device a rank before it
 * has too, and *first the lowest of those; both are -1 when there are none. Devices without an identity may be shared. The same
 * on all ranks. device: borrowed. Cost: one allgather of 48 bytes a rank. Errors, agreed: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_device_comm_find_shared(pb_comm *comm, const pb_device *device, int *first, int *second);

/* Collective. comm and device are borrowed and must outlive it. route: the same on all ranks. limit_s: longest wait of the
 * devices' own exchange in seconds, 0 for ever. Owned by the caller, *out NULL on error. Errors, agreed: PB_E_SYSTEM;
 * PB_E_UNSUPPORTED when PB_ROUTE_DEVICE is not to be had, with the reason. pb_device_comm_destroy: waits for nobody after a
 * failure of the exchange; NULL is fine, *devices is NULL afterwards. */
PB_CHECKED pb_status pb_device_comm_create(pb_comm *comm, pb_device *device, pb_route route, double limit_s,
                                           pb_device_comm **out);
void pb_device_comm_destroy(pb_device_comm **devices);

/* What it was made of; still the caller's. */
pb_comm *pb_device_comm_host(const pb_device_comm *devices);
pb_device *pb_device_comm_device(const pb_device_comm *devices);

/* "device", "mpi" or "staged"; for people. Static. */
const char *pb_device_comm_way(const pb_device_comm *devices);

/* Makes room for exchanges in which this rank gives up to `out` bytes and gets up to `in` bytes, where they are staged: to be
 * called, and agreed on, before the first of that size, since in the midst of an exchange a rank without memory could not take
 * part (too little room is an assertion there). A broadcast needs `in` on every rank, on its root too. Room only grows. Not
 * collective. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_device_comm_reserve(pb_device_comm *devices, size_t out, size_t in);

/* Collective. *value, in device memory, becomes its maximum over the ranks. (Needs no pb_device_comm_reserve.) what: as in
 * mpi/comm.h, here and below. */
PB_CHECKED pb_status pb_device_comm_max_u64(pb_device_comm *devices, uint64_t *value, const char *what);

/* Collective. Rank r gives sizes[r] bytes of device memory; everybody gets those of all ranks in rank order in `all`, device
 * memory that does not overlap `part`. sizes: host memory, the same on all ranks, in sum below 2 GiB (as of
 * pb_comm_allgather_parts). */
PB_CHECKED pb_status pb_device_comm_allgather_parts(pb_device_comm *devices, const void *part, const size_t *sizes, void *all,
                                                    const char *what);

/* Collective. `bytes` bytes of rank root's buffer (device memory) become everybody's. bytes and root: the same on all ranks. */
PB_CHECKED pb_status pb_device_comm_broadcast(pb_device_comm *devices, void *buffer, size_t bytes, int root, const char *what);

/* Collective. Sends to rank `to` while receiving exactly receive_bytes from rank `from`; both buffers are device memory and do
 * not overlap. What a rank sends must be what its receiver expects. For rings. */
PB_CHECKED pb_status pb_device_comm_exchange(pb_device_comm *devices, const void *send, size_t send_bytes, int to, void *receive,
                                             size_t receive_bytes, int from, const char *what);

#endif
