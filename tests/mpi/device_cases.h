/* device_cases.h, private to tests/mpi/: cases of mpi/device_comm.h, with three kinds of device: memory that is the host's,
 * memory that the host cannot touch, and that with an exchange of its own, which is a stand-in for NCCL over the same ranks. */
#ifndef PB_TESTS_DEVICE_CASES_H
#define PB_TESTS_DEVICE_CASES_H

#include "cases.h"
#include "far_device.h"

#include "mpi/device_comm.h"

#include <stdlib.h>

/* --- the stand-in ------------------------------------------------------------------------------------------------- */

static pb_comm *peers_ranks;  /* what it works over */
static int peers_calls;       /* exchanges made */
static bool peers_here = true, peers_join_fails;

struct pb_peers {
    int rank;
};

static bool stand_in_has(const pb_device *device, const char **why_not) {
    (void)device;
    *why_not = "the test says so";
    return peers_here;
}
static pb_status stand_in_id(pb_device *device, pb_peers_id *id) {
    (void)device;
    strcpy(id->bytes, "stand-in");
    return pb_ok();
}
static pb_status stand_in_join(pb_device *device, const pb_peers_id *id, int rank, int size, double limit_s, pb_peers **peers) {
    (void)device;
    HOLDS(strcmp(id->bytes, "stand-in") == 0 && size == pb_comm_size(peers_ranks) && limit_s == 9);
    if (peers_join_fails && rank == size - 1)
        return pb_fail(PB_E_SYSTEM, "no room in the group");
    *peers = malloc(sizeof **peers);
    (*peers)->rank = rank;
    return pb_ok();
}
static void stand_in_leave(pb_device *device, pb_peers *peers) {
    (void)device;
    free(peers);
}
static pb_status stand_in_max(pb_device *device, pb_peers *peers, uint64_t *value) {
    (void)device, (void)peers;
    peers_calls++;
    far_protect(PROT_READ | PROT_WRITE);
    *value = pb_comm_max_u64(peers_ranks, *value, "stand-in");
    far_protect(PROT_NONE);
    return pb_ok();
}
static pb_status stand_in_allgather(pb_device *device, pb_peers *peers, const void *part, const size_t *sizes, void *all) {
    (void)device, (void)peers;
    peers_calls++;
    far_protect(PROT_READ | PROT_WRITE);
    pb_comm_allgather_parts(peers_ranks, part, sizes, all, "stand-in");
    far_protect(PROT_NONE);
    return pb_ok();
}
static pb_status stand_in_broadcast(pb_device *device, pb_peers *peers, void *buffer, size_t bytes, int root) {
    (void)device, (void)peers;
    peers_calls++;
    far_protect(PROT_READ | PROT_WRITE);
    pb_comm_broadcast(peers_ranks, buffer, bytes, root, "stand-in");
    far_protect(PROT_NONE);
    return pb_ok();
}
static pb_status stand_in_exchange(pb_device *device, pb_peers *peers, const void *send, size_t send_bytes, int to, void *receive,
                                   size_t receive_bytes, int from) {
    (void)device, (void)peers;
    peers_calls++;
    far_protect(PROT_READ | PROT_WRITE);
    pb_comm_exchange(peers_ranks, send, send_bytes, to, receive, receive_bytes, from, "stand-in");
    far_protect(PROT_NONE);
    return pb_ok();
}

static const pb_device_table STAND_IN = {.has_peers = stand_in_has, .peers_id = stand_in_id, .peers_join = stand_in_join,
                                         .peers_leave = stand_in_leave, .peers_max_u64 = stand_in_max,
                                         .peers_allgather = stand_in_allgather, .peers_broadcast = stand_in_broadcast,
                                         .peers_exchange = stand_in_exchange};

/* --- what every kind must do -------------------------------------------------------------------------------------- */

static void done(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "unexpected: %s\n", status.message);
        abort();
    }
}

/* Device memory with `bytes` bytes that tell rank and place; NULL for none. */
static uint8_t *marked(pb_device *device, size_t bytes, int rank) {
    uint8_t *there, here[64];
    HOLDS(bytes <= sizeof here);
    for (size_t i = 0; i < bytes; i++)
        here[i] = (uint8_t)(16 * rank + (int)i % 16);
    done(pb_device_alloc(device, sizeof here, &there, "marks"));
    done(pb_device_upload(device, there, here, bytes));
    return there;
}

static void is_marked(pb_device *device, const uint8_t *there, size_t bytes, int rank) {
    uint8_t here[64] = {0};
    done(pb_device_download(device, here, there, bytes));
    for (size_t i = 0; i < bytes; i++)
        HOLDS(here[i] == (uint8_t)(16 * rank + (int)i % 16));
}

static size_t part_of(int rank) { return (size_t)(5 * rank % 11); } /* 0, 5, 10, 4 bytes */

static void check_allgather(pb_device_comm *devices, int rank, int size) {
    pb_device *device = pb_device_comm_device(devices);
    size_t sizes[8];
    for (int r = 0; r < size; r++)
        sizes[r] = part_of(r);
    uint8_t *part = marked(device, part_of(rank), rank), *all = marked(device, 64, 7);
    done(pb_device_comm_allgather_parts(devices, part, sizes, all, "parts"));
    size_t at = 0;
    for (int r = 0; r < size; at += sizes[r++])
        is_marked(device, all + at, sizes[r], r);
    pb_device_release(device, &part);
    pb_device_release(device, &all);
}

static void check_exchange(pb_device_comm *devices, int rank, int size) {
    pb_device *device = pb_device_comm_device(devices);
    int to = (rank + 1) % size, from = (rank + size - 1) % size;
    uint8_t *out = marked(device, part_of(rank), rank), *in = marked(device, 64, 7);
    done(pb_device_comm_exchange(devices, out, part_of(rank), to, in, part_of(from), from, "ring"));
    is_marked(device, in, part_of(from), from);
    pb_device_release(device, &out);
    pb_device_release(device, &in);
}

static void check_broadcast_and_max(pb_device_comm *devices, int rank, int size) {
    pb_device *device = pb_device_comm_device(devices);
    for (int root = 0; root < size; root++) {
        uint8_t *buffer = marked(device, 33, rank);
        done(pb_device_comm_broadcast(devices, buffer, 33, root, "marks"));
        is_marked(device, buffer, 33, root);
        pb_device_release(device, &buffer);
        uint64_t *value, mine = rank == root ? UINT64_MAX - 1 : (uint64_t)rank, most = 0;
        done(pb_device_alloc(device, sizeof mine, &value, "value"));
        done(pb_device_upload(device, value, &mine, sizeof mine));
        done(pb_device_comm_max_u64(devices, value, "largest"));
        done(pb_device_download(device, &most, value, sizeof most));
        HOLDS(most == UINT64_MAX - 1);
        pb_device_release(device, &value);
    }
}

static void check_all(pb_comm *comm, pb_device *device, const char *way) {
    int rank = pb_comm_rank(comm), size = pb_comm_size(comm);
    pb_device_comm *devices;
    done(pb_device_comm_create(comm, device, PB_ROUTE_AUTO, 9, &devices));
    HOLDS(strcmp(pb_device_comm_way(devices), way) == 0);
    HOLDS(pb_device_comm_host(devices) == comm && pb_device_comm_device(devices) == device);
    done(pb_device_comm_reserve(devices, 64, 64));
    check_allgather(devices, rank, size);
    check_exchange(devices, rank, size);
    check_broadcast_and_max(devices, rank, size);
    pb_device_comm_destroy(&devices);
    HOLDS(devices == NULL);
    pb_device_comm_destroy(&devices);
}

/* --- cases -------------------------------------------------------------------------------------------------------- */

static void devices_near(pb_comm *comm) {
    pb_device *device;
    done(pb_device_open("cpu", 1, &device));
    check_all(comm, device, "mpi");
    pb_device_close(&device);
}

static void devices_far(pb_comm *comm) {
    pb_device_table table = {0};
    pb_device *device;
    done(far_device_open(&table, &device));
    check_all(comm, device, "staged");
    far_device_close(&device);
}

static void with_peers(pb_comm *comm, void (*check)(pb_comm *comm, pb_device *device)) {
    pb_device_table table = STAND_IN;
    pb_device *device;
    peers_ranks = comm;
    done(far_device_open(&table, &device));
    check(comm, device);
    far_device_close(&device);
}

/* A group of one needs no exchange. */
static void check_peers(pb_comm *comm, pb_device *device) {
    bool alone = pb_comm_size(comm) == 1;
    check_all(comm, device, alone ? "staged" : "device");
    HOLDS(alone ? peers_calls == 0 : peers_calls == 2 + 2 * pb_comm_size(comm));
}

static void devices_peers(pb_comm *comm) { with_peers(comm, check_peers); }

/* Two ranks on one device, the last and the one before: what they exchange goes by the host. */
static void check_shared(pb_comm *comm, pb_device *device) {
    const int size = pb_comm_size(comm), rank = pb_comm_rank(comm);
    int first, second;
    snprintf(device->identity, sizeof device->identity, "gpu %d", rank);
    done(pb_device_comm_find_shared(comm, device, &first, &second));
    HOLDS(first == -1 && second == -1);
    snprintf(device->identity, sizeof device->identity, "gpu %d", rank == size - 1 ? size - 2 : rank);
    done(pb_device_comm_find_shared(comm, device, &first, &second));
    HOLDS(size == 1 ? first == -1 && second == -1 : first == size - 2 && second == size - 1);
    check_all(comm, device, "staged");
    HOLDS(peers_calls == 0);
    pb_device_comm *devices;
    pb_status status = pb_device_comm_create(comm, device, PB_ROUTE_DEVICE, 9, &devices);
    HOLDS(size == 1 || (status.code == PB_E_UNSUPPORTED && strstr(status.message, "two ranks share one")));
    pb_device_comm_destroy(&devices);
    device->identity[0] = '\0';
    done(pb_device_comm_find_shared(comm, device, &first, &second));
    HOLDS(first == -1 && second == -1);
}

static void devices_shared(pb_comm *comm) { with_peers(comm, check_shared); }

static void check_mixed(pb_comm *comm, pb_device *device) {
    check_all(comm, device, "staged");
    HOLDS(peers_calls == 0);
}

static void devices_mixed(pb_comm *comm) {
    peers_here = pb_comm_rank(comm) > 0;
    with_peers(comm, check_mixed);
}

static void check_no_route(pb_comm *comm, pb_device *device) {
    pb_device_comm *devices;
    pb_status status = pb_device_comm_create(comm, device, PB_ROUTE_DEVICE, 9, &devices);
    if (pb_comm_size(comm) > 1) {
        HOLDS(status.code == PB_E_UNSUPPORTED && strstr(status.message, "the test says so") && !devices);
        done(pb_device_comm_create(comm, device, PB_ROUTE_HOST, 9, &devices));
    }
    HOLDS(strcmp(pb_device_comm_way(devices), "staged") == 0);
    pb_device_comm_destroy(&devices);
}

static void devices_no_route(pb_comm *comm) {
    peers_here = pb_comm_rank(comm) + 1 < pb_comm_size(comm); /* the last has none */
    if (pb_comm_size(comm) == 1)
        peers_here = false;
    with_peers(comm, check_no_route);
}

static pb_status broken_download(pb_device *device, void *to, const void *from, size_t bytes) {
    (void)device, (void)to, (void)from, (void)bytes;
    return pb_fail(PB_E_SYSTEM, "the bus is broken");
}

/* One rank's device fails: it takes part all the same, and the next agreement tells everybody. */
static void devices_failing(pb_comm *comm) {
    pb_device_table table = {0};
    pb_device *device;
    pb_device_comm *devices;
    size_t sizes[8];
    int rank = pb_comm_rank(comm), size = pb_comm_size(comm);
    done(far_device_open(&table, &device));
    done(pb_device_comm_create(comm, device, PB_ROUTE_AUTO, 9, &devices));
    done(pb_device_comm_reserve(devices, 64, 64));
    for (int r = 0; r < size; r++)
        sizes[r] = part_of(r) + 1;
    uint8_t *part = marked(device, sizes[rank], rank), *all = marked(device, 64, 7);
    if (rank == size - 1)
        table.download = broken_download;
    pb_status status = pb_device_comm_allgather_parts(devices, part, sizes, all, "parts");
    HOLDS(pb_failed(&status) == (rank == size - 1));
    pb_keep_first(&status,
                  pb_device_comm_exchange(devices, part, 1, (rank + 1) % size, all, 1, (rank + size - 1) % size, "ring"));
    pb_keep_first(&status, pb_device_comm_broadcast(devices, all, 9, size - 1, "marks"));
    status = pb_agree(comm, status);
    HOLDS(status.code == PB_E_SYSTEM && status.rank == size - 1 && strstr(status.message, "the bus is broken"));
    pb_device_comm_destroy(&devices);
    far_device_close(&device);
}

static void check_join_fails(pb_comm *comm, pb_device *device) {
    pb_device_comm *devices;
    pb_status status = pb_device_comm_create(comm, device, PB_ROUTE_AUTO, 9, &devices);
    if (pb_comm_size(comm) > 1)
        HOLDS(status.code == PB_E_SYSTEM && strstr(status.message, "no room") && !devices);
    pb_device_comm_destroy(&devices);
}

static void devices_join_fails(pb_comm *comm) {
    peers_join_fails = true;
    with_peers(comm, check_join_fails);
}

#endif
