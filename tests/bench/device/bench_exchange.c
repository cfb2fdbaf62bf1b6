/* bench_exchange: how fast device memory goes from rank to rank, and whether it arrives.
 *
 *   mpiexec -n N bench_exchange [--quick] [--json FILE] [--exchange auto|host|device] DEVICE
 *
 * The four exchanges of mpi/device_comm.h, in the manner of nccl-tests. A repeat begins at a barrier and lasts until its last
 * byte is on the host of the slowest rank. algbw: bytes that a rank ends up with over the median; busbw: algbw times what of them
 * must cross a link, (N - 1) / N for all-gather and 1 otherwise, so that it compares with the links whatever N is. "%": of the
 * ring exchange of the largest size, which is measured first. #wrong: bytes, over all ranks, that are not what the formula
 * says, after the last timed repeat. Exit status: 0, 1 when a byte was wrong, 64, 69, 74 as patchbank's.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "mpi/device_comm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 20 };

typedef enum what { RING, ALL_GATHER, BROADCAST, MAX_U64 } what;
static const char *const NAMES[] = {"exchange", "all-gather", "broadcast", "all-reduce"};

/* One rank's state. */
typedef struct bench {
    pb_comm *comm;
    pb_device *device;
    pb_device_comm *devices;
    size_t rank, ranks;
    char *part, *all;    /* device memory: what a rank gives, and gets */
    uint8_t *host;       /* as large as all */
    size_t *sizes;       /* [ranks] */
    double *seconds;     /* [ranks] */
    double link;         /* bytes a second of the largest ring exchange */
    size_t wrong_in_all;
    bool quick;
    FILE *rows;
} bench;

/* Collective. All ranks leave when one failed. */
static void agreed(bench *b, pb_status status) {
    status = pb_agree(b->comm, status);
    if (!pb_failed(&status))
        return;
    if (b->rank == 0)
        fprintf(stderr, "bench_exchange: %s\n", status.message);
    pb_comm_destroy(&b->comm);
    exit((int)status.code);
}

static uint8_t byte_of(size_t rank, size_t i) { return (uint8_t)(rank * 31 + i * 7 + i / 251 + 1); }

/* The maximum comes from the middle rank, and differs from the others above and below 32 bits. */
static uint64_t value_of(const bench *b, size_t rank) {
    return ((uint64_t)(rank == b->ranks / 2 ? 1000 : rank) << 32) + 5 + b->ranks - rank;
}

/* Before every repeat: what a rank gives, and nothing yet in what it gets. */
static pb_status fill(bench *b, what op, size_t bytes, size_t total) {
    const uint64_t value = value_of(b, b->rank);
    memset(b->host, 0, total);
    PB_TRY(pb_device_upload(b->device, b->all, b->host, total));
    for (size_t i = 0; i < bytes; i++)
        b->host[i] = byte_of(b->rank, i);
    if (op == MAX_U64)
        memcpy(b->host, &value, sizeof value);
    if (op == BROADCAST && b->rank > 0)
        return pb_ok();
    return pb_device_upload(b->device, op == BROADCAST || op == MAX_U64 ? b->all : b->part, b->host, bytes);
}

/* Collective. */
static pb_status exchange(bench *b, what op, size_t bytes) {
    const int left = (int)((b->rank + b->ranks - 1) % b->ranks), right = (int)((b->rank + 1) % b->ranks);
    switch (op) {
    case RING: return pb_device_comm_exchange(b->devices, b->part, bytes, right, b->all, bytes, left, "bench");
    case ALL_GATHER: return pb_device_comm_allgather_parts(b->devices, b->part, b->sizes, b->all, "bench");
    case BROADCAST: return pb_device_comm_broadcast(b->devices, b->all, bytes, 0, "bench");
    default: return pb_device_comm_max_u64(b->devices, (uint64_t *)(void *)b->all, "bench");
    }
}

/* Bytes of `all` that are not what they must be. */
static size_t count_wrong(const bench *b, what op, size_t bytes, size_t total) {
    const uint64_t most = value_of(b, b->ranks / 2);
    size_t wrong = 0;
    if (op == MAX_U64)
        return memcmp(b->host, &most, sizeof most) == 0 ? 0 : sizeof most;
    for (size_t i = 0; i < total; i++) {
        const size_t from = op == RING ? (b->rank + b->ranks - 1) % b->ranks : op == BROADCAST ? 0 : i / bytes;
        wrong += b->host[i] != byte_of(from, i % bytes);
    }
    return wrong;
}

/* Collective. One repeat; the time of the slowest rank. */
static double once(bench *b, what op, size_t bytes, size_t total) {
    agreed(b, fill(b, op, bytes, total));
    pb_comm_barrier(b->comm, "before a repeat");
    const double begun = pb_clock_seconds();
    pb_status status = exchange(b, op, bytes);
    if (!pb_failed(&status))
        status = pb_device_download(b->device, b->host, b->all + total - 1, 1);
    double mine = pb_clock_seconds() - begun, slowest = 0;
    agreed(b, status);
    pb_comm_allgather(b->comm, &mine, sizeof mine, b->seconds, "times");
    for (size_t rank = 0; rank < b->ranks; rank++)
        slowest = fmax(slowest, b->seconds[rank]);
    return slowest;
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Rank 0. times: rising. */
static void print_row(bench *b, what op, size_t bytes, size_t total, const double *times, size_t wrong) {
    const double median = times[REPEATS / 2], p99 = times[REPEATS - 1], algbw = (double)total / median;
    const double busbw = op == ALL_GATHER ? algbw * (double)(b->ranks - 1) / (double)b->ranks : algbw;
    b->link = b->link > 0 ? b->link : busbw;
    printf("%-14s %12zu %12.1f %12.1f %10.3f %10.3f %7.1f %7zu\n", NAMES[op], bytes, median * 1e6, p99 * 1e6, algbw / 1e9,
           busbw / 1e9, 100 * busbw / b->link, wrong);
    fflush(stdout);
    if (b->rows)
        fprintf(b->rows,
                "{\"bench\": \"exchange\", \"operation\": \"%s\", \"bytes\": %zu, \"ranks\": %zu, \"way\": \"%s\", "
                "\"repeats\": %d, \"median_us\": %.3f, \"p99_us\": %.3f, \"algbw\": %.6g, \"busbw\": %.6g, "
                "\"percent\": %.2f, \"wrong\": %zu}\n",
                NAMES[op], bytes, b->ranks, pb_device_comm_way(b->devices), REPEATS, median * 1e6, p99 * 1e6, algbw, busbw,
                100 * busbw / b->link, wrong);
}

/* Collective. bytes: of a rank's part. The first repeat is not timed. */
static void measure(bench *b, what op, size_t bytes) {
    const size_t total = op == ALL_GATHER ? bytes * b->ranks : bytes;
    double times[REPEATS];
    for (size_t rank = 0; rank < b->ranks; rank++)
        b->sizes[rank] = bytes;
    agreed(b, pb_device_comm_reserve(b->devices, bytes, total));
    once(b, op, bytes, total);
    for (int i = 0; i < REPEATS; i++)
        times[i] = once(b, op, bytes, total);
    qsort(times, REPEATS, sizeof *times, rising);
    agreed(b, pb_device_download(b->device, b->host, b->all, total));
    size_t wrong = count_wrong(b, op, bytes, total), sum = 0;
    size_t *each;
    agreed(b, pb_allocate(&each, b->ranks, sizeof *each, "counts"));
    pb_comm_allgather(b->comm, &wrong, sizeof wrong, each, "wrong bytes");
    for (size_t rank = 0; rank < b->ranks; rank++)
        sum += each[rank];
    pb_release(&each);
    b->wrong_in_all += sum;
    if (b->rank == 0)
        print_row(b, op, bytes, total, times, sum);
}

/* Collective. */
static void measure_all(bench *b) {
    const size_t sizes[] = {b->quick ? 1 << 16 : 64 << 20, 1 << 10, b->quick ? 1 << 12 : 1 << 20};
    if (b->rank == 0)
        printf("# %zu ranks, rank 0: %s; way: %s\n# median and the longest of %d repeats, of the slowest rank\n"
               "# %-12s %12s %12s %12s %10s %10s %7s %7s\n# %-12s %12s %12s %12s %10s %10s %7s %7s\n",
               b->ranks, pb_device_description(b->device), pb_device_comm_way(b->devices), REPEATS, "operation", "size", "time",
               "p99", "algbw", "busbw", "", "#wrong", "", "(B)", "(us)", "(us)", "(GB/s)", "(GB/s)", "(%)", "");
    for (int op = RING; op <= BROADCAST; op++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            measure(b, (what)op, sizes[i]);
    measure(b, MAX_U64, sizeof(uint64_t));
    if (b->rank == 0)
        printf("# %zu bytes wrong\n", b->wrong_in_all);
}

/* Collective. */
static void open_all(bench *b, const char *device, pb_route route) {
    const size_t most = b->quick ? 1 << 16 : 64 << 20;
    b->rank = (size_t)pb_comm_rank(b->comm);
    b->ranks = (size_t)pb_comm_size(b->comm);
    pb_device_plugin_path(getenv("PATCHBANK_CUDA_PLUGIN"));
    agreed(b, pb_device_open(device, 1, &b->device));
    agreed(b, pb_device_comm_create(b->comm, b->device, route, 60, &b->devices));
    pb_status status = pb_device_alloc(b->device, most, &b->part, "what is given");
    pb_keep_first(&status, pb_device_alloc(b->device, most * b->ranks, &b->all, "what is got"));
    pb_keep_first(&status, pb_allocate(&b->host, most * b->ranks, 1, "a copy"));
    pb_keep_first(&status, pb_allocate(&b->sizes, b->ranks, sizeof *b->sizes, "sizes"));
    pb_keep_first(&status, pb_allocate(&b->seconds, b->ranks, sizeof *b->seconds, "times"));
    agreed(b, status);
}

static void close_all(bench *b) {
    pb_device_release(b->device, &b->part);
    pb_device_release(b->device, &b->all);
    pb_release(&b->host);
    pb_release(&b->sizes);
    pb_release(&b->seconds);
    pb_device_comm_destroy(&b->devices);
    pb_device_close(&b->device);
    pb_comm_destroy(&b->comm);
}

/* The device's name, or NULL for wrong usage, which is the same on all ranks. */
static const char *parse(int argc, char **argv, bench *b, const char **json, pb_route *route) {
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--quick") == 0)
            b->quick = true;
        else if (at + 1 < argc && strcmp(argv[at], "--json") == 0)
            *json = argv[++at];
        else if (at + 1 < argc && strcmp(argv[at], "--exchange") == 0) {
            const char *how = argv[++at];
            *route = strcmp(how, "host") == 0 ? PB_ROUTE_HOST : strcmp(how, "device") == 0 ? PB_ROUTE_DEVICE : PB_ROUTE_AUTO;
        } else
            return NULL;
    }
    return at + 1 == argc ? argv[at] : NULL;
}

int main(int argc, char **argv) {
    bench b = {0};
    const char *json = NULL;
    pb_route route = PB_ROUTE_AUTO;
    pb_status status = pb_comm_create(&argc, &argv, &b.comm);
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_exchange: %s\n", status.message);
        return (int)status.code;
    }
    const char *device = parse(argc, argv, &b, &json, &route);
    if (!device)
        agreed(&b, pb_fail(PB_E_USAGE, "usage: bench_exchange [--quick] [--json FILE] [--exchange auto|host|device] DEVICE"));
    open_all(&b, device, route);
    if (json && b.rank == 0 && (b.rows = fopen(json, "a")) == NULL)
        status = pb_fail(PB_E_INPUT, "%s: cannot be written", json);
    agreed(&b, status);
    measure_all(&b);
    if (b.rows && fclose(b.rows) != 0)
        status = pb_fail(PB_E_SYSTEM, "%s: cannot be written", json);
    agreed(&b, status);
    const bool wrong = b.wrong_in_all > 0;
    close_all(&b);
    return wrong ? PB_E_NO : 0;
}
