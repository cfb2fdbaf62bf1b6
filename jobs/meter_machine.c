/* meter_machine.c: what disk, memory and the network between ranks do. Each is tried a few times for some milliseconds: a plan
 * needs their order, not their last digit. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/usage.h"
#include "io/file.h"
#include "io/results_file.h"
#include "jobs/meter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes written to the disk, copied in memory and sent, each often enough to be seen by a clock. */
enum { WRITE_BYTES = 32 << 20, COPY_BYTES = 64 << 20, LINK_BYTES = 4 << 20, SMALL_MESSAGES = 200, TURNS = 8 };

/* A block of results of `count` images, all zeros. */
static pb_status allocate_block(size_t count, size_t places, pb_result_block *block) {
    *block = (pb_result_block){.count = count};
    PB_TRY(pb_allocate(&block->score, count, sizeof *block->score, "a block of results"));
    PB_TRY(pb_allocate(&block->patch, count, sizeof *block->patch, "a block of results"));
    PB_TRY(pb_allocate(&block->nearest, count, sizeof *block->nearest, "a block of results"));
    PB_TRY(pb_allocate(&block->brightness, count, sizeof *block->brightness, "a block of results"));
    return pb_allocate(&block->map, count * places, sizeof *block->map, "a block of results");
}

static void free_block(pb_result_block *block) {
    pb_release(&block->score);
    pb_release(&block->patch);
    pb_release(&block->nearest);
    pb_release(&block->brightness);
    pb_release(&block->map);
}

/* Results of all images of the sample, in blocks as score writes them; the last one is shorter, and block->count says so
 * afterwards. */
static pb_status write_blocks(pb_meter *m, pb_results_writer *writer, pb_result_block *block, pb_record *records) {
    const size_t most = block->count;
    for (size_t done = 0; done < m->count; done += block->count) {
        block->count = m->count - done < most ? m->count - done : most;
        for (size_t i = 0; i < block->count; i++)
            PB_TRY(pb_archive_record(m->setup.archive, m->images[done + i], &records[i]));
        PB_TRY(pb_results_write(writer, done, block, m->images + done, records));
    }
    return pb_ok();
}

/* Rank 0. Writes results of the sample, as score does. */
static pb_status write_results(pb_meter *m, const char *file, const char *csv) {
    size_t batch = pb_pipeline_batch_max(m->setup.pipeline);
    pb_results_writer *writer = NULL;
    pb_attributes none = {0};
    pb_result_block block;
    pb_record *records = NULL;
    pb_status status = allocate_block(batch, pb_meter_patches(m), &block);
    pb_keep_first(&status, pb_allocate(&records, batch, sizeof *records, "a block of results"));
    if (!pb_failed(&status))
        status = pb_results_create(file, m->count, pb_pipeline_grid(m->setup.pipeline), &none, &writer);
    if (!pb_failed(&status))
        status = write_blocks(m, writer, &block, records);
    if (!pb_failed(&status))
        status = pb_results_publish(&writer, csv, m->bank.paths, m->bank.rows);
    pb_results_abandon(&writer);
    free_block(&block);
    pb_release(&records);
    return status;
}

/* The bytes are zeros, so a file system that compresses looks faster than it is. Flushing is part of it, as pb_file_write
 * flushes. Processor seconds of the results, not seconds by the clock: those are the disk's, and in the rate. */
pb_status pb_meter_disk(pb_meter *m) {
    char file[PB_PATH_MAX], csv[PB_PATH_MAX];
    char *bytes = NULL;
    const char *json = m->job->options->json;
    int length = snprintf(csv, sizeof csv, "%s.probe.csv", json);
    snprintf(file, sizeof file, "%s.probe", json);
    if (length >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%s: the name is too long", json);
    PB_TRY(pb_allocate(&bytes, WRITE_BYTES, 1, "bytes to write"));
    double begun = pb_clock_seconds();
    pb_status status = pb_file_write(file, bytes, WRITE_BYTES);
    m->found.write_bytes_per_s = WRITE_BYTES / (pb_clock_seconds() - begun);
    pb_release(&bytes);
    double used = pb_usage_now().processor_s;
    if (!pb_failed(&status))
        status = write_results(m, file, csv);
    m->found.score_image_processor_s = (pb_usage_now().processor_s - used) / (double)m->count;
    unlink(file);
    unlink(csv);
    return status;
}

/* The fastest turn: 64 MiB read and as many written. A byte is changed and looked at, so that no compiler leaves the copy out. */
pb_status pb_meter_memory(pb_meter *m) {
    char *from = NULL, *to = NULL;
    double best = INFINITY;
    pb_status status = pb_allocate(&from, COPY_BYTES, 1, "bytes to copy");
    pb_keep_first(&status, pb_allocate(&to, COPY_BYTES, 1, "bytes to copy"));
    for (int turn = 0; turn < TURNS && !pb_failed(&status); turn++) {
        double begun = pb_clock_seconds();
        from[turn] = 1;
        memcpy(to, from, COPY_BYTES);
        best = fmin(best, pb_clock_seconds() - begun);
        PB_ASSERT(to[turn] == 1);
    }
    pb_release(&from);
    pb_release(&to);
    m->found.memory_bytes_per_s = 2 * (double)COPY_BYTES / best;
    return status;
}

static int rising(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* All ranks pass bytes on to the next one at once, as in a ring; the median of the turns, since one may wait for a rank that came
 * late. Latency is that of an agreement, divided by its doublings: log2 of the ranks. */
pb_status pb_meter_link(pb_meter *m) {
    pb_comm *comm = m->job->comm;
    int ranks = pb_comm_size(comm), rank = pb_comm_rank(comm);
    double times[TURNS];
    char *out = NULL, *in = NULL;
    pb_status status = pb_allocate(&out, LINK_BYTES, 1, "bytes to send");
    pb_keep_first(&status, pb_allocate(&in, LINK_BYTES, 1, "bytes to receive"));
    status = pb_agree(comm, status);
    if (!pb_failed(&status) && ranks > 1) {
        pb_comm_barrier(comm, "before measuring messages");
        double begun = pb_clock_seconds();
        for (int i = 0; i < SMALL_MESSAGES; i++)
            (void)pb_comm_max_u64(comm, 0, "measuring agreement");
        m->found.latency_s = (pb_clock_seconds() - begun) / SMALL_MESSAGES / log2(ranks);
        for (int i = 0; i < TURNS; i++) {
            begun = pb_clock_seconds();
            pb_comm_exchange(comm, out, LINK_BYTES, (rank + 1) % ranks, in, LINK_BYTES, (rank + ranks - 1) % ranks,
                             "measuring messages");
            times[i] = pb_clock_seconds() - begun;
        }
        qsort(times, TURNS, sizeof *times, rising);
        m->found.link_bytes_per_s = LINK_BYTES / times[TURNS / 2];
    }
    pb_release(&out);
    pb_release(&in);
    return status;
}
