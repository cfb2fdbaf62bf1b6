/* device_comm.c: what travels from device to device, in one of three ways that are chosen once, for all ranks alike:
 *    device   by the devices themselves (gpu/peers.h), where every rank has a device of its own that can
 *    mpi      by MPI on device memory, where that is host memory
 *    staged   through host memory: down, by MPI, up
 * Which way it is, is a fact of all ranks, so that each of them takes the same branch below.
 *
 * A rank whose device fails still takes part with whatever lies in its buffers, since the others are in the same MPI collective;
 * its own status says so, and goes to the next agreement (invariant 5). The devices' own exchange ends the group at its first
 * failure instead, and the others find out by an error or a limit of time (decision 0022). Host buffers are made ahead
 * (pb_device_comm_reserve), because in the midst of an exchange there is no way to say that memory is out.
 */
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

/* The ranks of a communicator with their devices. Both are borrowed. */
struct pb_device_comm {
    pb_comm *comm;
    pb_device *device;
    pb_peers *peers; /* NULL: by the host */
    bool direct;     /* device memory is host memory */
    stage out, in;   /* empty unless staged */
};

/* Bytes of an identity that travel, with the closing 0: a GPU's is its UUID as 32 hexadecimal digits. */
enum { IDENTITY = 48 };

/* The first pair of equal identities by its second rank, then its first; "" is nobody's. All pairs are compared: this is done
 * once a job, and identities are short. */
static void find_pair(const char (*identities)[IDENTITY], int count, int *first, int *second) {
    *first = *second = -1;
    for (int b = 1; b < count && *first < 0; b++)
        for (int a = 0; a < b && *first < 0; a++)
            if (identities[b][0] && strcmp(identities[a], identities[b]) == 0) {
                *first = a;
                *second = b;
            }
}

/* Identities are gathered on all ranks, so all find the same pair. */
pb_status pb_device_comm_find_shared(pb_comm *comm, const pb_device *device, int *first, int *second) {
    char mine[IDENTITY], (*all)[IDENTITY] = NULL;
    *first = *second = -1;
    int length = snprintf(mine, sizeof mine, "%s", pb_device_identity(device));
    PB_ASSERT(length < IDENTITY); /* a cut identity could look like another's */
    pb_status status = pb_agree(comm, pb_allocate(&all, (size_t)pb_comm_size(comm), sizeof *all, "identities of devices"));
    if (!pb_failed(&status)) {
        pb_comm_allgather(comm, mine, sizeof mine, all, "identities of devices");
        find_pair((const char(*)[IDENTITY])all, pb_comm_size(comm), first, second);
    }
    pb_release(&all);
    return status;
}

/* Collective. Whether the devices' own exchange is to be had on all ranks. Ranks that have no device of their own, or whose
 * plugin finds no NCCL, make it impossible for all: the number of those that can is summed, and only if it is all of them the
 * devices are used. One rank alone exchanges with nobody, and needs no group. */
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

/* Collective. Makes the group: rank 0 makes its name, all get it by MPI and join. The two agreements see to it that nobody waits
 * in the group for a rank that has no name or no memory. */
static pb_status join(pb_device_comm *d, double limit_s) {
    pb_peers_id id = {{0}};
    int rank = pb_comm_rank(d->comm);
    pb_status status = pb_agree(d->comm, rank == 0 ? pb_peers_id_create(d->device, &id) : pb_ok());
    if (pb_failed(&status))
        return status;
    pb_comm_broadcast(d->comm, &id, sizeof id, 0, "id of the devices' group");
    return pb_agree(d->comm, pb_peers_join(d->device, &id, rank, pb_comm_size(d->comm), limit_s, &d->peers));
}

/* Struct, way, group: each is agreed on before the next, which waits for others. */
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

/* Only staged exchanges need host memory of their own. */
static bool is_staged(const pb_device_comm *d) { return !d->peers && !d->direct; }

/* Makes a stage at least so large. What was in it is not kept. */
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

/* What goes out, in host memory: `from` itself or a copy. After a failure, in *status, the copy holds anything, and goes out all
 * the same. */
static const void *outgoing(pb_device_comm *d, const void *from, size_t bytes, pb_status *status) {
    if (d->direct)
        return from;
    PB_ASSERT(bytes <= d->out.room);
    *status = pb_device_download(d->device, d->out.bytes, from, bytes);
    return d->out.bytes;
}

/* Where what comes in lands: in its place, or in the stage, from where `arrive` takes it on. */
static void *incoming(pb_device_comm *d, void *to, size_t bytes) {
    PB_ASSERT(d->direct || bytes <= d->in.room);
    return d->direct ? to : d->in.bytes;
}

/* Takes what came in to the device. status: of what went out; a device that failed there is not asked again. */
static pb_status arrive(pb_device_comm *d, void *to, size_t bytes, pb_status status) {
    return d->direct || pb_failed(&status) ? status : pb_device_upload(d->device, to, d->in.bytes, bytes);
}

/* One number needs no stage: it goes by the stack. A rank that could not read its own takes part with 0, which is no maximum of
 * anybody else. */
pb_status pb_device_comm_max_u64(pb_device_comm *devices, uint64_t *value, const char *what) {
    pb_device_comm *d = devices;
    if (d->peers)
        return pb_peers_max_u64(d->device, d->peers, value);
    uint64_t mine = 0;
    pb_status status = pb_device_download(d->device, &mine, value, sizeof mine);
    mine = pb_comm_max_u64(d->comm, mine, what);
    return pb_failed(&status) ? status : pb_device_upload(d->device, value, &mine, sizeof mine);
}

/* sizes are the same on all ranks, so all know how much comes in. */
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

/* The root sends from the stage for what comes in, so that one buffer serves givers and takers. */
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
