/* pack_append.c: the edition of an append: what the archive has already, where the new shards are made, and the rename that
 * publishes them. docs/decisions/0030 says why an archive grows like this. */
#include "jobs/pack_append.h"

#include "base/log.h"
#include "base/memory.h"
#include "jobs/share.h"
#include "jobs/store_session.h"
#include "mpi/partition.h"

#include <stdio.h>


/* --- which paths are known -------------------------------------------------------------------------------------- */

/* Positions of list items, as many as were found; `positions` is owned. */
typedef struct found {
    uint64_t *positions;
    size_t count, room;
} found;

static pb_status note(found *known, uint64_t position) {
    if (known->count == known->room) {
        size_t room = 2 * known->room + 64;
        PB_TRY(pb_resize(&known->positions, known->room, room, sizeof *known->positions, "images that are known"));
        known->room = room;
    }
    known->positions[known->count++] = position;
    return pb_ok();
}

/* Looks up the images first .. end - 1 of the archive. The list is in memory anyway, so the archive goes by it, shard by shard.
 * Cost: a sort of the list on every rank, and a binary search an image of the archive. Not collective. */
static pb_status look_up(pb_archive *base, pb_range images, const pb_list *list, found *known) {
    const pb_list_item **sorted = NULL;
    pb_status status = pb_list_sort(list, &sorted);
    for (uint64_t i = images.first; i < images.end && !pb_failed(&status); i++) {
        pb_record record;
        status = pb_archive_record(base, i, &record);
        const pb_list_item *hit = pb_failed(&status) ? NULL : pb_list_find(sorted, list->count, record.path);
        if (hit)
            status = note(known, (uint64_t)(hit - list->items));
    }
    pb_release(&sorted);
    return status;
}

/* The images of this rank's share of the shards. */
static pb_range images_of(const pb_archive *base, const pb_comm *comm) {
    pb_range shards = pb_partition(pb_archive_shards(base), pb_comm_size(comm), pb_comm_rank(comm)), images = {0, 0};
    for (size_t s = 0; s < shards.end; s++) {
        images.first += s < shards.first ? pb_archive_shard(base, s)->images : 0;
        images.end += pb_archive_shard(base, s)->images;
    }
    return images;
}

/* Collective. On every rank: known[i] tells whether the archive has the path of item i; owned by the caller, NULL after a
 * failure. Each rank looks up a share of the shards; rank 0 puts the hits together and shares them, a byte an item. */
static pb_status find_known(const pb_job *job, pb_archive *base, const pb_list *list, bool **known) {
    pb_comm *comm = job->comm;
    found mine = {0};
    uint64_t *all = NULL;
    size_t *sizes = NULL, size = list->count * sizeof **known, total = 0;
    bool first = pb_comm_rank(comm) == 0;
    pb_status status = look_up(base, images_of(base, comm), list, &mine);
    pb_keep_first(&status, pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts"));
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, mine.positions, mine.count * sizeof *mine.positions, 0, &all, sizes, "known images");
    if (!pb_failed(&status)) {
        if (first)
            status = pb_allocate(known, list->count, sizeof **known, "images that are known");
        for (int r = 0; first && r < pb_comm_size(comm); r++)
            total += sizes[r] / sizeof *all;
        for (size_t i = 0; first && i < total && !pb_failed(&status); i++)
            (*known)[all[i]] = true;
        /* Also agrees on what rank 0 made of it. */
        status = pb_share_bytes(comm, status, known, &size);
    }
    pb_release(&mine.positions);
    pb_release(&sizes);
    pb_release(&all);
    return status;
}

/* The same on every rank: known and list are. The walk is backwards, so that `first` ends as the first known one. */
static pb_status judge(const pb_job *job, const bool *known, pb_list *list) {
    size_t count = 0, first = 0;
    for (size_t i = list->count; i-- > 0;)
        if (known[i]) {
            count++;
            first = i;
        }
    if (count == 0)
        return pb_ok();
    if (!job->options->skip_known)
        return pb_fail(PB_E_INPUT, "%s: has %zu of the listed images already, the first is %s; --skip-known leaves them out",
                       job->options->archive, count, list->items[first].path);
    pb_list_leave_out(list, known);
    pb_log_once(PB_LOG_INFO, "known", "archive=\"%s\" left_out=%zu new=%zu", job->options->archive, count, list->count);
    return pb_ok();
}

/* --- the edition ------------------------------------------------------------------------------------------------ */

/* On rank 0. Held or not, the append may go on; without locks nothing else is done that only one may do. */
static pb_status take_lock(const pb_job *job, pb_growth *growth) {
    const pb_job_options *options = job->options;
    char who[PB_SESSION_WHO];
    pb_archive *probe = NULL;
    PB_TRY(pb_archive_open(options->archive, &probe)); /* before a lock file is made in what is no archive */
    pb_archive_close(&probe);
    pb_session_describe(NULL, who);
    PB_TRY(pb_archive_lock(options->archive, options->wait, who, &growth->lock));
    if (growth->lock.held)
        return pb_edition_point(options->archive); /* which one that was killed may have left behind */
    pb_log(PB_LOG_WARN, "no-lock",
           "archive=\"%s\" reason=\"its file system has no locks: of two appends at once one will be told to try again\"",
           options->archive);
    return pb_ok();
}

/* What the state of an append is named after: the list, so that appends of different lists do not fence each other off. */
static pb_status state_owner(const pb_job *job, const pb_list *list, char output[PB_PATH_MAX]) {
    char name[32];
    snprintf(name, sizeof name, "append-%.16s", list->sha256);
    return pb_path_join(job->options->archive, name, output);
}

/* A list that the archive has already may be one whose append was killed when all was done but to remove its state. On rank 0,
 * and only where the lock says that nobody is at it: an append of the same list that still goes on is to end as if this one had
 * not been tried. */
static void tidy(const pb_job *job, const pb_list *list, const pb_growth *growth) {
    char output[PB_PATH_MAX];
    if (!growth->lock.held)
        return;
    pb_status status = state_owner(job, list, output);
    if (!pb_failed(&status)) /* else it has no state: the name is too long */
        pb_run_tidy(job, output);
}

/* All ranks open the edition that rank 0 has found under the lock. What is looked up and judged is the same on every rank; only
 * rank 0 tidies up, which has the lock. */
pb_status pb_growth_begin(const pb_job *job, pb_list *list, pb_growth *growth) {
    pb_comm *comm = job->comm;
    bool *known = NULL, first = pb_comm_rank(comm) == 0;
    pb_status status = pb_agree(comm, first ? take_lock(job, growth) : pb_ok());
    if (!pb_failed(&status))
        status = pb_archive_open_for_all(comm, job->options->archive, NULL, PB_SHARDS_THERE, &growth->base);
    if (!pb_failed(&status))
        status = find_known(job, growth->base, list, &known);
    bool looked_up = !pb_failed(&status);
    if (looked_up)
        status = judge(job, known, list);
    if (looked_up && first && (pb_failed(&status) || list->count == 0))
        tidy(job, list, growth);
    pb_release(&known);
    return status;
}

/* The edition's folder lies in the state's: on the archive's file system, and gone with the state. */
pb_status pb_growth_run(const pb_job *job, const pb_list *list, pb_growth *growth, pb_run *run) {
    char output[PB_PATH_MAX];
    bool first = pb_comm_rank(job->comm) == 0;
    pb_status status = state_owner(job, list, output); /* the same on every rank */
    if (!pb_failed(&status))
        status = pb_run_begin(job, output, run);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, pb_state_path(&run->state, "edition", growth->folder));
    if (!pb_failed(&status))
        status = pb_agree(job->comm, first ? pb_folder_create(growth->folder) : pb_ok());
    return status;
}

/* The edition is there when it has its name. That manifest.json is a copy of its manifest is a service to other programs, and the
 * next append repeats it. */
pb_status pb_growth_publish(const pb_job *job, pb_growth *growth, const char *source, pb_shard_summary *summaries, size_t count) {
    const char *archive = job->options->archive;
    PB_TRY(pb_edition_publish(growth->base, growth->folder, source, (size_t)job->options->shard_images, summaries, count));
    pb_status pointed = pb_edition_point(archive);
    if (pb_failed(&pointed))
        pb_log(PB_LOG_WARN, "manifest-behind", "archive=\"%s\" reason=\"%s\" effect=\"other programs see the edition before\"",
               archive, pointed.message);
    return pb_ok();
}

void pb_growth_end(pb_growth *growth) {
    pb_archive_close(&growth->base);
    pb_lock_release(&growth->lock);
    *growth = (pb_growth){0};
}
