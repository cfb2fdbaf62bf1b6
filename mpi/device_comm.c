#include "mpi/device_comm.h"

#include "base/memory.h"
#include "gpu/peers.h"

#include <stdio.h>
#include <string.h>

/* Host memory for one side of an exchange, that grows and stays. */
typedef struct stage {
    char *bytes;
    size_t room;
} stage;

struct pb_device_comm {
    pb_comm *comm;
    pb_device *device;
    pb_peers *peers; /* NULL: by the host */
    bool direct;     /* device memory is host memory */
    stage out, in;
};

enum { IDENTITY = 48 };

static void find_pair(const char (*identities)[IDENTITY], int count, int *first, int *second) {
    *first = *second = -1;
    for (int b = 1; b < count && *first < 0; b++)
        for (int a = 0; a < b && *first < 0; a++)
            if (identities[b][0] && strcmp(identities[a], identities[b]) == 0) {
                *first = a;
                *second = b;
            }
}

pb_status pb_device_comm_find_shared(pb_comm *comm, const pb_device *device, int *first, int *second) {
    char mine[IDENTITY], (*all)[IDENTITY] = NULL;
    *first = *second = -1;
    int length = snprintf(mine, sizeof mine, "%s", pb_device_identity(device));
    PB_ASSERT(length < IDENTITY);
    pb_status status = pb_agree(comm, pb_allocate(&all, (size_t)pb_comm_size(comm), sizeof *all, "identities of devices"));
    if (!pb_failed(&status)) {
        pb_comm_allgather(comm, mine, sizeof mine, all, "identities of devices");
        find_pair((const char(*)[IDENTITY])all, pb_comm_size(comm), first, second);
    }
    pb_release(&all);
    return status;
}

/* Collective. Whether the devices' own exchange is to be had on all ranks. */
static pb_status find_route(pb_device_comm *d, pb_route route, bool *by_devices) {
    const char *why_not = "two ranks share one";
    int first, second;
    pb_status status = pb_device_comm_find_shared(d->comm, d->device, &first, &second);
    if (pb_failed(&status))
        return status;
    bool alone = pb_comm_size(d->comm) == 1, wanted = !alone && route != PB_ROUTE_HOST && first < 0;
    bool has = wanted && pb_device_has_peers(d->device, &why_not);
    if (route == PB_ROUTE_DEVICE && !has && !alone)
        status = pb_fail(PB_E_UNSUPPORTED, "the devices cannot exchange by themselves: %s", why_not);
    *by_devices = !alone && pb_comm_sum_u64(d->comm, has, "ways between devices") == (uint64_t)pb_comm_size(d->comm);
    return pb_agree(d->comm, status);
}

/* Collective. */
static pb_status join(pb_device_comm *d, double limit_s) {
    pb_peers_id id = {{0}};
    int rank = pb_comm_rank(d->comm);
    pb_status status = pb_agree(d->comm, rank == 0 ? pb_peers_id_create(d->device, &id) : pb_ok());
    if (pb_failed(&status))
        return status;
    pb_comm_broadcast(d->comm, &id, sizeof id, 0, "id of the devices' group");
    return pb_agree(d->comm, pb_peers_join(d->device, &id, rank, pb_comm_size(d->comm), limit_s, &d->peers));
}

pb_status pb_device_comm_create(pb_comm *comm, pb_device *device, pb_route route, double limit_s, pb_device_comm **out) {
    bool by_devices = false;
    pb_device_comm *d = NULL;
    pb_status status = pb_allocate(&d, 1, sizeof *d, "a communicator of devices");
    if (!pb_failed(&status))
        *d = (pb_device_comm){.comm = comm, .device = device, .direct = pb_device_memory_is_host(device)};
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = find_route(d, route, &by_devices);
    if (!pb_failed(&status) && by_devices)
        status = join(d, limit_s);
    if (pb_failed(&status))
        pb_device_comm_destroy(&d);
    *out = d;
    return status;
}

void pb_device_comm_destroy(pb_device_comm **devices) {
    pb_device_comm *d = *devices;
    if (!d)
        return;
    pb_peers_leave(d->device, &d->peers);
    pb_release(&d->out.bytes);
    pb_release(&d->in.bytes);
    pb_release(devices);
}

pb_comm *pb_device_comm_host(const pb_device_comm *devices) { return devices->comm; }

pb_device *pb_device_comm_device(const pb_device_comm *devices) { return devices->device; }

const char *pb_device_comm_way(const pb_device_comm *devices) {
    return devices->peers ? "device" : devices->direct ? "mpi" : "staged";
}

static bool is_staged(const pb_device_comm *d) { return !d->peers && !d->direct; }

static pb_status reserve(stage *s, size_t bytes) {
    if (bytes <= s->room)
        return pb_ok();
    pb_release(&s->bytes);
    s->room = 0;
    PB_TRY(pb_allocate(&s->bytes, bytes, 1, "staging device memory"));
    s->room = bytes;
    return pb_ok();
}

pb_status pb_device_comm_reserve(pb_device_comm *devices, size_t out, size_t in) {
    if (!is_staged(devices))
        return pb_ok();
    PB_TRY(reserve(&devices->out, out));
    return reserve(&devices->in, in);
}

/* What goes out, in host memory: `from` itself or a copy. After a failure the copy holds anything, and goes out all the same. */
static const void *outgoing(pb_device_comm *d, const void *from, size_t bytes, pb_status *status) {
    if (d->direct)
        return from;
    PB_ASSERT(bytes <= d->out.room);
    *status = pb_device_download(d->device, d->out.bytes, from, bytes);
    return d->out.bytes;
}

/* Where what comes in lands, and how it gets on from there. */
static void *incoming(pb_device_comm *d, void *to, size_t bytes) {
    PB_ASSERT(d->direct || bytes <= d->in.room);
    return d->direct ? to : d->in.bytes;
}

static pb_status arrive(pb_device_comm *d, void *to, size_t bytes, pb_status status) {
    return d->direct || pb_failed(&status) ? status : pb_device_upload(d->device, to, d->in.bytes, bytes);
}

pb_status pb_device_comm_max_u64(pb_device_comm *devices, uint64_t *value, const char *what) {
    pb_device_comm *d = devices;
    if (d->peers)
        return pb_peers_max_u64(d->device, d->peers, value);
    uint64_t mine = 0;
    pb_status status = pb_device_download(d->device, &mine, value, sizeof mine);
    mine = pb_comm_max_u64(d->comm, mine, what);
    return pb_failed(&status) ? status : pb_device_upload(d->device, value, &mine, sizeof mine);
}

pb_status pb_device_comm_allgather_parts(pb_device_comm *devices, const void *part, const size_t *sizes, void *all,
                                         const char *what) {
    pb_device_comm *d = devices;
    if (d->peers)
        return pb_peers_allgather(d->device, d->peers, part, sizes, all);
    size_t sum = 0;
    for (int rank = 0; rank < pb_comm_size(d->comm); rank++)
        sum += sizes[rank];
    pb_status status = pb_ok();
    const void *out = outgoing(d, part, sizes[pb_comm_rank(d->comm)], &status);
    pb_comm_allgather_parts(d->comm, out, sizes, incoming(d, all, sum), what);
    return arrive(d, all, sum, status);
}

pb_status pb_device_comm_broadcast(pb_device_comm *devices, void *buffer, size_t bytes, int root, const char *what) {
    pb_device_comm *d = devices;
    if (d->peers)
        return pb_peers_broadcast(d->device, d->peers, buffer, bytes, root);
    bool gives = pb_comm_rank(d->comm) == root;
    pb_status status = pb_ok();
    void *host = incoming(d, buffer, bytes);
    if (gives && !d->direct)
        status = pb_device_download(d->device, host, buffer, bytes);
    pb_comm_broadcast(d->comm, host, bytes, root, what);
    return gives ? status : arrive(d, buffer, bytes, status);
}

pb_status pb_device_comm_exchange(pb_device_comm *devices, const void *send, size_t send_bytes, int to, void *receive,
                                  size_t receive_bytes, int from, const char *what) {
    pb_device_comm *d = devices;
    if (d->peers)
        return pb_peers_exchange(d->device, d->peers, send, send_bytes, to, receive, receive_bytes, from);
    pb_status status = pb_ok();
    const void *out = outgoing(d, send, send_bytes, &status);
    pb_comm_exchange(d->comm, out, send_bytes, to, incoming(d, receive, receive_bytes), receive_bytes, from, what);
    return arrive(d, receive, receive_bytes, status);
}
