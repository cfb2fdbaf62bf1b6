/* verify.c: is every byte of an archive what was packed? Ranks check shards of their own. And, with --bank, is a bank what it
 * says it is? (jobs/verify_bank.c) */
#include "base/log.h"
#include "io/archive.h"
#include "jobs/verify_bank.h"
#include "mpi/partition.h"

#include <inttypes.h>
#include <stdio.h>

static void report_damage(void *context, size_t index, const pb_status *why) {
    (void)context;
    (void)index; /* the message names file, image and path */
    pb_log(PB_LOG_ERROR, "damaged", "reason=\"%s\"", why->message);
}

static pb_status check_mine(pb_archive *archive, pb_range shards, uint64_t *damaged) {
    for (uint64_t shard = shards.first; shard < shards.end; shard++) {
        uint64_t here = 0;
        PB_TRY(pb_archive_verify(archive, (size_t)shard, report_damage, NULL, &here));
        *damaged += here;
    }
    return pb_ok();
}

/* Collective. */
static pb_status verify_archive(const pb_job *job) {
    pb_comm *comm = job->comm;
    pb_archive *archive;
    uint64_t damaged = 0;
    pb_status status = pb_agree(comm, pb_archive_open(job->options->archive, &archive));
    if (pb_failed(&status)) {
        pb_archive_close(&archive);
        return status;
    }
    uint64_t images = pb_archive_images(archive);
    size_t shards = pb_archive_shards(archive);
    status = check_mine(archive, pb_partition(shards, pb_comm_size(comm), pb_comm_rank(comm)), &damaged);
    pb_archive_close(&archive);
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        return status;
    damaged = pb_comm_sum_u64(comm, damaged, "number of damages");
    if (pb_comm_rank(comm) == 0)
        printf("%s: %" PRIu64 " images in %zu shards, %" PRIu64 " damages%s\n", job->options->archive, images, shards, damaged,
               damaged ? "" : ": sound");
    return damaged ? pb_fail(PB_E_NO, "%s: damaged", job->options->archive) : status;
}

pb_status pb_job_verify(const pb_job *job) { return job->options->bank ? pb_verify_bank(job) : verify_archive(job); }
