/* verify.c: is every byte of an archive what was packed? Ranks check, and with --repair repair, shards of their own. And, with
 * --bank, is a bank what it says it is? (jobs/verify_bank.c)
 *
 * Damage is an answer, not a failure: it is logged where it is found, counted over all ranks, and makes the job end with PB_E_NO.
 * A failure is only what keeps the job from looking. docs/ARCHITECTURE.md, invariant 8, says what is checked; io/archive.h
 * how. */
#include "base/log.h"
#include "io/archive.h"
#include "jobs/share.h"
#include "jobs/verify_bank.h"
#include "mpi/partition.h"

#include <inttypes.h>
#include <stdio.h>

/* A pb_rejected. */
static void report_damage(void *context, size_t index, const pb_status *why) {
    (void)context;
    (void)index; /* the message names file, image and path */
    pb_log(PB_LOG_ERROR, "damaged", "reason=\"%s\"", why->message);
}

/* Not collective. *damaged grows by the damages of this rank's shards. */
static pb_status check_mine(pb_archive *archive, pb_range shards, uint64_t *damaged) {
    for (uint64_t shard = shards.first; shard < shards.end; shard++) {
        uint64_t here = 0;
        PB_TRY(pb_archive_verify(archive, (size_t)shard, report_damage, NULL, &here));
        *damaged += here;
    }
    return pb_ok();
}

/* On rank 0. What banks say that they were made from must stand in the manifest: an edition that cannot be proved counts as a
 * damage. */
static pb_status check_editions(const pb_archive *archive, uint64_t *damaged) {
    pb_status status = pb_archive_check_editions(archive);
    if (status.code != PB_E_INPUT)
        return status;
    report_damage(NULL, 0, &status);
    ++*damaged;
    return pb_ok();
}

static void report_loss(void *context, size_t index, const pb_status *why) {
    (void)context;
    (void)index;
    pb_log(PB_LOG_ERROR, "lost", "reason=\"%s\"", why->message);
}

/* Not collective. A shard that was sound is left alone and not logged. One of which images are lost is still a success here:
 * verifying, which follows, finds and counts them. */
static pb_status repair_mine(pb_archive *archive, pb_range shards, const pb_list *source) {
    for (uint64_t shard = shards.first; shard < shards.end; shard++) {
        pb_repair result;
        PB_TRY(pb_archive_repair(archive, (size_t)shard, source, report_loss, NULL, &result));
        if (result.was_damaged)
            pb_log(result.whole ? PB_LOG_INFO : PB_LOG_WARN, "repaired", "shard=%s images=%" PRIu64 " lost=%" PRIu64 " whole=%s",
                   pb_archive_shard(archive, (size_t)shard)->file, result.repaired, result.lost, result.whole ? "yes" : "no");
    }
    return pb_ok();
}

/* Collective. The archive is closed afterwards, since it must be opened anew to see what was repaired; each shard is one rank's
 * alone. */
static pb_status repair_archive(const pb_job *job) {
    pb_comm *comm = job->comm;
    const char *source = job->options->repair;
    bool is_folder = pb_is_folder(source);
    pb_list list;
    pb_archive *archive = NULL;
    pb_status status = pb_list_for_all(comm, is_folder ? NULL : source, is_folder ? source : NULL, &list);
    if (!pb_failed(&status))
        status = pb_archive_open_for_all(comm, job->options->archive, NULL, PB_SHARDS_MAY_BE_MISSING, &archive);
    if (!pb_failed(&status)) {
        pb_range mine = pb_partition(pb_archive_shards(archive), pb_comm_size(comm), pb_comm_rank(comm));
        status = pb_agree(comm, repair_mine(archive, mine, &list));
    }
    pb_archive_close(&archive);
    pb_list_free(&list);
    return status;
}

/* Collective. Repair first, if it is wanted; then what there is is verified as always, and the answer is about that. */
static pb_status verify_archive(const pb_job *job) {
    pb_comm *comm = job->comm;
    pb_archive *archive;
    uint64_t damaged = 0;
    pb_shards expected = job->options->repair ? PB_SHARDS_MAY_BE_MISSING : PB_SHARDS_THERE; /* what is lost is an answer then */
    pb_status status = job->options->repair ? repair_archive(job) : pb_ok();
    if (!pb_failed(&status))
        status = pb_archive_open_for_all(comm, job->options->archive, NULL, expected, &archive);
    if (pb_failed(&status))
        return status;
    uint64_t images = pb_archive_images(archive);
    size_t shards = pb_archive_shards(archive);
    if (pb_comm_rank(comm) == 0)
        status = check_editions(archive, &damaged);
    if (!pb_failed(&status))
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

pb_status pb_job_verify(const pb_job *job) {
    if (job->options->bank && job->options->repair)
        return pb_fail(PB_E_USAGE, "--repair is of an archive alone: it cannot be given with --bank");
    return job->options->bank ? pb_verify_bank(job) : verify_archive(job);
}
