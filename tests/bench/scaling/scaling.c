/* scaling.c: what selection and search ask of MPI, counted: the real code of coreset/ and mpi/ on real ranks, or on as many
 * simulated ones as one likes (tests/mpi/simulator).
 *
 *   mpiexec -n P count_messages POINTS DIM PICKS QUERIES TIMES     real ranks
 *   count_messages_simulated P POINTS DIM PICKS QUERIES TIMES      simulated ones
 *
 * POINTS rows of the mixture of tests/bench/coreset are divided among the ranks; PICKS of them are selected; they become a bank,
 * in which every rank searches for QUERIES of its rows, TIMES times. Rank 0 prints one line of JSON: the same from both programs
 * but for "mpi", which only the simulation knows: the calls of MPI and their bytes (simulator.h). */
#include "base/memory.h"
#include "coreset/greedy.h"
#include "coreset/search.h"
#include "mpi/partition.h"
#include "points.h"
#include "scaling.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct setting {
    uint64_t points;
    int dim;
    size_t picks, queries, times;
} setting;

static setting how;

/* What a rank has sent in a part of the work, by its own counters. */
typedef struct part {
    uint64_t collectives, bytes;
} part;

/* A rank's report. */
typedef struct report {
    part select, search;
} report;

typedef struct run {
    pb_comm *comm;
    pb_device *device;
    pb_device_comm *devices;
    bench_points source;
    pb_range mine;
    pb_coreset coreset;
    pb_greedy_cost cost;
    uint64_t digest; /* of the neighbours that this rank found */
    report found;
} run;

static part since(const pb_comm *comm, pb_comm_counters then) {
    pb_comm_counters now = pb_comm_count(comm);
    return (part){now.collectives - then.collectives, now.bytes_sent - then.bytes_sent};
}

/* FNV-1a, a word at a time. */
static uint64_t mix(uint64_t digest, uint64_t word) { return (digest ^ word) * UINT64_C(0x100000001b3); }

static void select_points(run *r) {
    size_t count = pb_range_size(r->mine);
    pb_cover *cover;
    float *rows;
    int64_t not_finite;
    bench_must(pb_allocate(&rows, count, (size_t)how.dim * sizeof *rows, "points"));
    bench_points_rows(&r->source, r->mine.first, count, rows);
    bench_must(pb_device_cover_create(r->device, count, how.dim, (uint32_t)r->mine.first, &cover));
    bench_must(pb_device_cover_write(r->device, cover, 0, count, rows, &not_finite));
    pb_release(&rows);
    bench_must(pb_coreset_allocate(&r->coreset, how.picks));
    pb_greedy_input input = {.cover = cover,
                             .count = count,
                             .first = r->mine.first,
                             .total = how.points,
                             .dim = how.dim,
                             .picks = how.picks,
                             .candidates_most = 4096};
    pb_comm_counters then = pb_comm_count(r->comm);
    bench_must(pb_greedy_select(r->devices, &input, &r->coreset, NULL, &r->cost));
    r->found.select = since(r->comm, then);
    pb_device_cover_free(r->device, &cover);
}

/* Every rank holds its part of the picked rows, and looks for rows of its own. */
static void search_points(run *r) {
    pb_range shard = pb_partition(r->coreset.count, pb_comm_size(r->comm), pb_comm_rank(r->comm));
    size_t dim = (size_t)how.dim, queries = how.queries < pb_range_size(r->mine) ? how.queries : pb_range_size(r->mine);
    float *rows, *asked, *distance;
    uint32_t *nearest;
    pb_search *search;
    bench_must(pb_allocate(&rows, pb_range_size(shard), dim * sizeof *rows, "bank"));
    bench_must(pb_allocate(&asked, queries, dim * sizeof *asked, "queries"));
    bench_must(pb_allocate(&distance, queries, sizeof *distance, "distances"));
    bench_must(pb_allocate(&nearest, queries, sizeof *nearest, "neighbours"));
    for (uint64_t row = shard.first; row < shard.end; row++)
        bench_points_rows(&r->source, r->coreset.picked[row], 1, rows + (row - shard.first) * dim);
    bench_points_rows(&r->source, r->mine.first, queries, asked);
    bench_must(pb_search_create(r->devices, rows, r->coreset.count, how.dim, &search));
    scaling_begin(r->comm);
    pb_comm_counters then = pb_comm_count(r->comm);
    for (size_t turn = 0; turn < how.times; turn++)
        bench_must(pb_search_nearest(search, asked, queries, distance, nearest));
    r->found.search = since(r->comm, then);
    for (size_t i = 0; i < queries; i++)
        r->digest = mix(r->digest, nearest[i]);
    pb_search_free(&search);
    pb_release(&rows);
    pb_release(&asked);
    pb_release(&distance);
    pb_release(&nearest);
}

static void print_part(const char *name, const report *all, int ranks, bool search) {
    uint64_t most = 0, sum = 0;
    for (int rank = 0; rank < ranks; rank++) {
        uint64_t bytes = search ? all[rank].search.bytes : all[rank].select.bytes;
        most = bytes > most ? bytes : most;
        sum += bytes;
    }
    printf("\"%s\": {\"collectives\": %llu, \"sent_most\": %llu, \"sent_all\": %llu", name,
           (unsigned long long)(search ? all[0].search.collectives : all[0].select.collectives), (unsigned long long)most,
           (unsigned long long)sum);
    scaling_print(search ? 1 : 0);
    printf("}");
}

static void answer(run *r) {
    int ranks = pb_comm_size(r->comm);
    uint64_t picks = 0, digest = pb_comm_sum_u64(r->comm, r->digest, "neighbours");
    report *all = NULL;
    size_t *sizes;
    bench_must(pb_allocate(&sizes, (size_t)ranks, sizeof *sizes, "sizes"));
    bench_must(pb_comm_gather(r->comm, &r->found, sizeof r->found, 0, &all, sizes, "reports"));
    for (size_t i = 0; i < r->coreset.count; i++)
        picks = mix(picks, r->coreset.picked[i]);
    if (pb_comm_rank(r->comm) == 0) {
        printf("{\"ranks\": %d, \"points\": %llu, \"dim\": %d, \"picks\": %zu, \"rounds\": %llu, \"candidates\": %llu, "
               "\"capped\": %llu, \"times\": %zu, \"picks_digest\": \"%llx\", \"nearest_digest\": \"%llx\", ",
               ranks, (unsigned long long)how.points, how.dim, r->coreset.count, (unsigned long long)r->cost.rounds,
               (unsigned long long)r->cost.candidates_sum, (unsigned long long)r->cost.capped, how.times,
               (unsigned long long)picks, (unsigned long long)digest);
        print_part("select", all, ranks, false);
        printf(", ");
        print_part("search", all, ranks, true);
        printf("}\n");
    }
    pb_release(&all);
    pb_release(&sizes);
}

void scaling_rank(void) {
    int argc = 0;
    char **argv = NULL;
    run r = {0};
    bench_must(pb_comm_create(&argc, &argv, &r.comm));
    bench_must(pb_device_open("cpu", 1, &r.device));
    bench_must(pb_device_comm_create(r.comm, r.device, PB_ROUTE_HOST, 0, &r.devices));
    bench_points_open("mixture", how.dim, how.points, 0, 1, &r.source);
    r.mine = pb_partition(how.points, pb_comm_size(r.comm), pb_comm_rank(r.comm));
    scaling_begin(r.comm);
    select_points(&r);
    scaling_end(r.comm, 0);
    search_points(&r);
    scaling_end(r.comm, 1);
    answer(&r);
    bench_points_close(&r.source);
    pb_coreset_free(&r.coreset);
    pb_device_comm_destroy(&r.devices);
    pb_device_close(&r.device);
    pb_comm_destroy(&r.comm);
}

int scaling_read(char **words, int count) {
    if (count != 5)
        return 64;
    how = (setting){strtoull(words[0], NULL, 10), atoi(words[1]), strtoull(words[2], NULL, 10), strtoull(words[3], NULL, 10),
                    strtoull(words[4], NULL, 10)};
    bool possible = how.points > 0 && how.dim > 0 && how.picks > 0 && how.picks <= how.points && how.times > 0;
    return possible ? 0 : 64;
}
