/* search.c: nearest bank rows by a ring (decision 0027 for what a device does with a shard).
 *
 * A bank may be larger than the memory of one device, and every query must meet every row. The rows are divided over the ranks
 * for good; in each search the shards travel: in turn t a rank has the shard of rank (own + t) mod size at hand, compares its
 * queries with it, hands it to the rank below and takes the next one from the rank above. So each rank holds its own shard, two
 * that travel and one that is loaded, whatever their number, and sends size - 1 of them. Queries stay where they are: they are
 * many, and differ from batch to batch.
 *
 * Results are packed (distance^2 bits, row) pairs, and each turn takes the minimum: an operation that does not depend on the
 * order, so the ring's turns, and the number of ranks, show in no bit (invariants 2 and 3).
 *
 * A rank that fails goes on passing shards until the ring is round, with whatever it has in its buffers, since its neighbours
 * wait for them; then all meet in one agreement (invariant 5).
 */
#include "coreset/search.h"

#include "base/fault.h"
#include "base/memory.h"
#include "mpi/partition.h"

#include <math.h>

/* A search ready on this rank. The shard of rank 0 is the longest (pb_partition), so buffers of its size fit all; a travelling
 * shard may be shorter by one row. On one rank nothing travels and the points stay loaded. */
struct pb_search {
    pb_device_comm *devices;
    pb_comm *comm; /* of devices, as device is */
    pb_device *device;
    uint64_t total_rows;
    int dim;
    float *own;           /* device: this rank's shard */
    float *travelling[2]; /* device: the shard at hand and the one arriving; NULL on one rank */
    pb_points *points;    /* the shard at hand */
    uint64_t *nearest_device, *nearest_host; /* [room] packed */
    size_t room;      /* queries */
};

/* Which rows of the bank are whose, by rank; and how many bytes they are. */
static pb_range shard_of(const pb_search *search, int rank) {
    return pb_partition(search->total_rows, pb_comm_size(search->comm), rank);
}

static size_t shard_bytes(const pb_search *search, int rank) {
    return pb_range_size(shard_of(search, rank)) * (size_t)search->dim * sizeof(float);
}

/* Room for the longest shard, everywhere it can be. What is allocated before a failure pb_search_free releases. */
static pb_status allocate(pb_search *search) {
    size_t most = shard_bytes(search, 0); /* rank 0's range is among the longest */
    PB_TRY(pb_device_alloc(search->device, most, &search->own, "the bank shard"));
    for (int i = 0; i < 2 && pb_comm_size(search->comm) > 1; i++)
        PB_TRY(pb_device_alloc(search->device, most, &search->travelling[i], "a travelling bank shard"));
    PB_TRY(pb_device_comm_reserve(search->devices, most, most));
    return pb_device_points_create(search->device, pb_range_size(shard_of(search, 0)), search->dim, &search->points);
}

/* Makes the rows of the shard of `owner` (device memory) the points, in place of those before. A row that is not finite has no
 * distance to anything; it is refused, by its number in the bank, on every rank that meets it. */
static pb_status load_shard(pb_search *search, int owner, const float *shard) {
    size_t rows = pb_range_size(shard_of(search, owner));
    int64_t not_finite = -1;
    pb_device_points_clear(search->device, search->points);
    PB_TRY(pb_device_points_write(search->device, search->points, 0, rows, shard, &not_finite));
    if (not_finite >= 0)
        return pb_fail(PB_E_INPUT, "row %llu of the bank has a value that is not finite",
                       (unsigned long long)shard_of(search, owner).first + (unsigned long long)not_finite);
    return pb_ok();
}

/* This rank's own shard is loaded at once: on one rank for all searches to come, on several so that a bad row is found now. */
pb_status pb_search_create(pb_device_comm *devices, const float *shard, uint64_t total_rows, int dim, pb_search **search_out) {
    PB_ASSERT(total_rows > 0 && total_rows < UINT32_MAX && dim > 0);
    *search_out = NULL;
    pb_search *search;
    pb_comm *comm = pb_device_comm_host(devices);
    pb_status status = pb_allocate(&search, 1, sizeof *search, "the search");
    if (!pb_failed(&status)) {
        *search = (pb_search){
            .devices = devices, .comm = comm, .device = pb_device_comm_device(devices), .total_rows = total_rows, .dim = dim};
        status = allocate(search);
    }
    if (!pb_failed(&status)) {
        status = pb_device_upload(search->device, search->own, shard, shard_bytes(search, pb_comm_rank(comm)));
    }
    if (!pb_failed(&status)) {
        status = load_shard(search, pb_comm_rank(comm), search->own);
    }
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        pb_search_free(&search);
    *search_out = search;
    return status;
}

void pb_search_free(pb_search **search) {
    if (!*search)
        return;
    pb_device *device = (*search)->device;
    pb_device_points_free(device, &(*search)->points);
    pb_device_release(device, &(*search)->nearest_device);
    pb_release(&(*search)->nearest_host);
    pb_device_release(device, &(*search)->own);
    pb_device_release(device, &(*search)->travelling[0]);
    pb_device_release(device, &(*search)->travelling[1]);
    pb_release(search);
}

/* Grows and stays. The old arrays go first, so that both sizes need not fit. */
static pb_status make_room(pb_search *search, size_t count) {
    if (count <= search->room)
        return pb_ok();
    search->room = 0;
    pb_device_release(search->device, &search->nearest_device);
    pb_release(&search->nearest_host);
    PB_TRY(pb_device_alloc(search->device, count * sizeof(uint64_t), &search->nearest_device, "nearest rows"));
    PB_TRY(pb_allocate(&search->nearest_host, count, sizeof(uint64_t), "nearest rows"));
    search->room = count;
    return pb_ok();
}

pb_status pb_search_reserve(pb_search *search, size_t count) {
    if (pb_fault("search.memory"))
        return pb_fail(PB_E_SYSTEM, "no memory for %zu queries", count);
    return make_room(search, count);
}

/* Every query has met nothing yet: the packed value that every pair is below. */
static pb_status begin(pb_search *search, size_t count) {
    PB_TRY(make_room(search, count));
    for (size_t i = 0; i < count; i++)
        search->nearest_host[i] = PB_NEAREST_NONE;
    return pb_device_upload(search->device, search->nearest_device, search->nearest_host, count * sizeof(uint64_t));
}

/* Unpacks what has been found. The root of the canonical distance^2 is rounded correctly, so it too is the same everywhere. */
static pb_status finish(pb_search *search, size_t count, float *distance, uint32_t *row) {
    PB_TRY(pb_device_download(search->device, search->nearest_host, search->nearest_device, count * sizeof(uint64_t)));
    for (size_t i = 0; i < count; i++) {
        distance[i] = sqrtf(pb_packed_distance2(search->nearest_host[i]));
        row[i] = pb_nearest_index(search->nearest_host[i]);
    }
    return pb_ok();
}

/* Collective. Hands the shard of `owner` to the rank below and takes that of the next owner from the rank above. */
static pb_status pass_on(pb_search *search, int owner, const float *at_hand, float *arriving) {
    int size = pb_comm_size(search->comm), rank = pb_comm_rank(search->comm);
    return pb_device_comm_exchange(search->devices, at_hand, shard_bytes(search, owner), (rank + size - 1) % size, arriving,
                                   shard_bytes(search, (owner + 1) % size), (rank + 1) % size, "passing on a bank shard");
}

/* size turns, of which the first needs no message. A turn is: take the next shard, make it the points, compare. The queries'
 * packed results stay on the device in between. */
pb_status pb_search_nearest(pb_search *search, const float *queries, size_t count, float *distance, uint32_t *row) {
    int size = pb_comm_size(search->comm), owner = pb_comm_rank(search->comm);
    const float *at_hand = search->own;
    pb_status status = count > 0 ? begin(search, count) : pb_ok();
    /* A rank that failed still takes part in the ring: its neighbours wait for the shards. */
    for (int turn = 0; turn < size; turn++) {
        if (turn > 0) {
            float *arriving = search->travelling[turn % 2]; /* not the one that goes out */
            pb_keep_first(&status, pass_on(search, owner, at_hand, arriving));
            owner = (owner + 1) % size;
            at_hand = arriving;
        }
        if (!pb_failed(&status) && size > 1) /* one rank's shard is on the device since it was created */
            status = load_shard(search, owner, at_hand);
        if (!pb_failed(&status) && count > 0)
            status = pb_device_nearest(search->device, search->points, (uint32_t)shard_of(search, owner).first, queries, count,
                                       search->nearest_device);
    }
    if (!pb_failed(&status) && count > 0)
        status = finish(search, count, distance, row);
    return pb_agree(search->comm, status);
}
