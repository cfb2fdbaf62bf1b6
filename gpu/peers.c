/* The front of the slots of gpu/peers.h, as gpu/device.c is that of the other operations. A device whose kind has no slots, or
 * that cannot exchange on this machine, says why; mpi/device_comm.h asks before it calls anything else. */
#include "gpu/peers.h"

#include "gpu/device_table.h"

/* The reason is set before the slot is asked, which sets its own if it has one to give. */
bool pb_device_has_peers(const pb_device *device, const char **why_not) {
    *why_not = "this kind of device leaves it to the host";
    return device->table->has_peers && device->table->has_peers(device, why_not);
}

pb_status pb_peers_id_create(pb_device *device, pb_peers_id *id_out) {
    PB_NEED(device, peers_id);
    return device->table->peers_id(device, id_out);
}

/* A group of one rank is allowed. */
pb_status pb_peers_join(pb_device *device, const pb_peers_id *id, int rank, int size, double limit_s, pb_peers **peers_out) {
    PB_ASSERT(size >= 1 && rank >= 0 && rank < size);
    *peers_out = NULL;
    PB_NEED(device, peers_join);
    return device->table->peers_join(device, id, rank, size, limit_s, peers_out);
}

void pb_peers_leave(pb_device *device, pb_peers **peers) {
    if (!*peers)
        return;
    device->table->peers_leave(device, *peers);
    *peers = NULL;
}

pb_status pb_peers_max_u64(pb_device *device, pb_peers *peers, uint64_t *value) {
    PB_NEED(device, peers_max_u64);
    return device->table->peers_max_u64(device, peers, value);
}

pb_status pb_peers_allgather(pb_device *device, pb_peers *peers, const void *part, const size_t *sizes, void *all) {
    PB_NEED(device, peers_allgather);
    return device->table->peers_allgather(device, peers, part, sizes, all);
}

pb_status pb_peers_broadcast(pb_device *device, pb_peers *peers, void *buffer, size_t bytes, int root) {
    PB_NEED(device, peers_broadcast);
    return device->table->peers_broadcast(device, peers, buffer, bytes, root);
}

pb_status pb_peers_exchange(pb_device *device, pb_peers *peers, const void *send, size_t send_bytes, int to, void *receive,
                            size_t receive_bytes, int from) {
    PB_NEED(device, peers_exchange);
    return device->table->peers_exchange(device, peers, send, send_bytes, to, receive, receive_bytes, from);
}
