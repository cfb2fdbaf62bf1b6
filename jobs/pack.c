/* pack.c: a list of images -> a sharded archive, or a new edition of one (jobs/pack_append.c). Ranks write whole shards; rank 0
 * writes the manifest over them.
 *
 * A shard is a range of the list, so an archive is the same bytes for any number of ranks, and a part of a list has shards of the
 * whole list (docs/decisions/0005, 0030). Shards get their names when they are complete; the manifest, or the rename of an
 * edition's folder, makes an archive of them. What ends before that leaves its shards, and the next run of the same work keeps
 * those that are right: it asks the shards themselves (pb_shard_resume), so a note of what they are of is all the state there is
 * (jobs/new_archive.h). Read it from the end: pack_new and pack_more differ in where the shards go and in who makes them an
 * archive; write_archive is what they share. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/stop.h"
#include "io/archive.h"
#include "io/file.h"
#include "io/list.h"
#include "jobs/list_part.h"
#include "jobs/new_archive.h"
#include "jobs/pack_append.h"
#include "jobs/rejects.h"
#include "jobs/share.h"
#include "jobs/summary.h"
#include "mpi/partition.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char REJECTED[] = "rejected.csv";

/* How the list is named: in the manifest and in messages. */
static const char *source_of(const pb_job_options *options) { return options->list ? options->list : options->mvtec; }

/* The same on every rank; nothing is looked at but the command. */
static pb_status check_options(const pb_job_options *options) {
    pb_list_part part;
    PB_TRY(pb_list_part_parse(options->part, &part));
    if (!options->list == !options->mvtec)
        return pb_fail(PB_E_USAGE, "give either --list FILE or --mvtec FOLDER");
    if (options->skip_known && !options->append)
        return pb_fail(PB_E_USAGE, "--skip-known is of --append: a new archive knows no images");
    if (options->append && part.count > 1)
        return pb_fail(PB_E_USAGE,
                       "--append and --part exclude each other: pack the parts, merge them, or append a list for each");
    return pb_ok();
}

/* On rank 0. Where there is an archive, a pack may have been killed when all was done but to remove its state. */
static pb_status check_new(const pb_job *job) {
    const char *folder = job->options->archive;
    pb_status status = pb_new_archive_check(folder);
    if (pb_failed(&status) && pb_new_archive_has_state(folder))
        pb_run_tidy(job, folder);
    return status;
}

/* Collective. That the folder is no archive yet is looked up before the list is read, which may take long. */
static pb_status load_list(const pb_job *job, pb_list *list) {
    const pb_job_options *options = job->options;
    pb_status status = check_options(options);
    if (!pb_failed(&status) && pb_comm_rank(job->comm) == 0 && !options->append)
        status = check_new(job);
    status = pb_agree(job->comm, status);
    return pb_failed(&status) ? status : pb_list_for_all(job->comm, options->list, options->mvtec, list);
}

/* Where the bad entries of a list go. */
typedef struct quarantine {
    pb_rejects rejects;
    const pb_list *list;
} quarantine;

/* A pb_rejected. An item's index is its entry in the list as it was given, also where --skip-known has left out others. */
static void reject(void *context, size_t list_index, const pb_status *why) {
    quarantine *bad = context;
    const pb_list_item *item = &bad->list->items[list_index];
    pb_rejects_add(&bad->rejects, item->index, item->path, why);
}

/* The work of a job: some shards of a list, and where they go. */
typedef struct packing {
    const pb_job *job;
    const pb_list *list;
    const char *folder;  /* of the shards and of rejected.csv */
    size_t first_number; /* that the first of the shards gets */
    pb_list_part part;   /* of the list */
    pb_range shards;     /* of the list, those of the part */
    pb_range mine;       /* of them, this rank's */
    pb_growth *growth;   /* the edition that they make; NULL: they are a new archive */
    const pb_run *run;
    uint64_t kept; /* shards of this rank that an earlier run had written */
    quarantine bad;
    pb_shard_summary *summaries; /* [mine] */
} packing;

/* One shard of this rank: kept from an earlier run, or written. The budget of rejects is looked at after each, for this rank
 * alone. */
static pb_status write_shard(packing *p, uint64_t shard) {
    size_t number = p->first_number + (size_t)(shard - p->shards.first), shard_images = (size_t)p->job->options->shard_images;
    pb_shard_summary *summary = &p->summaries[shard - p->mine.first];
    bool kept;
    PB_TRY(pb_shard_resume(p->folder, number, p->list, (size_t)shard, shard_images, reject, &p->bad, summary, &kept));
    p->kept += kept;
    if (!kept)
        PB_TRY(pb_shard_write(p->folder, number, p->list, (size_t)shard, shard_images, reject, &p->bad, summary));
    return pb_rejects_check(&p->bad.rejects);
}

/* Collective. Ranks agree after each shard, so that a failure ends all of them at once and none waits long for another. A wish to
 * stop is looked at before each (and within one, by pb_shard_write). */
static pb_status write_shards(packing *p) {
    pb_comm *comm = p->job->comm;
    uint64_t longest = pb_range_size(pb_partition(pb_range_size(p->shards), pb_comm_size(comm), 0)); /* rank 0's is among them */
    pb_progress progress;
    pb_summary_step(p->job, "pack", "images");
    pb_progress_begin(&progress, "pack", longest, "shards a rank", pb_comm_rank(comm) == 0);
    pb_status status = pb_ok();
    for (uint64_t done = 0; done < longest && !pb_failed(&status); done++) {
        status = pb_stop_check();
        if (!pb_failed(&status) && p->mine.first + done < p->mine.end) {
            status = write_shard(p, p->mine.first + done);
            pb_summary_done(p->job, p->summaries[done].images);
        }
        status = pb_agree(comm, status);
        pb_progress_update(&progress, done + 1);
    }
    pb_progress_end(&progress);
    return status;
}

/* On rank 0. `summaries`: of all shards in order. A part of a list may have nothing; what is merged may not. */
static pb_status write_manifest(const packing *p, pb_shard_summary *summaries, size_t count) {
    const pb_job_options *options = p->job->options;
    uint64_t images = 0;
    for (size_t i = 0; i < count; i++)
        images += summaries[i].images;
    if (images == 0 && p->part.count == 1)
        return pb_fail(PB_E_INPUT, "%s: no image of the list could be taken", source_of(options));
    if (p->growth)
        return pb_growth_publish(p->job, p->growth, source_of(options), summaries, count);
    char *source = NULL;
    PB_TRY(pb_list_part_name(source_of(options), p->part, &source));
    pb_status status = pb_manifest_write(p->folder, source, (size_t)options->shard_images, summaries, count);
    pb_release(&source);
    return status;
}

/* Collective. Before the manifest, so that no archive is without it. */
static pb_status list_rejected(const packing *p) {
    char path[PB_PATH_MAX];
    pb_status status = pb_path_join(p->folder, REJECTED, path); /* the same on every rank */
    return pb_failed(&status) ? status : pb_rejects_write(p->job->comm, &p->bad.rejects, path);
}

/* Collective. */
static void report(const packing *p, double seconds) {
    uint64_t bad = pb_comm_sum_u64(p->job->comm, p->bad.rejects.count, "count of bad images");
    uint64_t kept = pb_comm_sum_u64(p->job->comm, p->kept, "shards of earlier runs");
    pb_log_once(PB_LOG_INFO, p->growth ? "appended" : "packed",
                "archive=\"%s\" listed=%zu rejected=%llu shards=%llu kept=%llu seconds=%.2f images_per_s=%.1f",
                p->job->options->archive, p->list->count, (unsigned long long)bad, (unsigned long long)pb_range_size(p->shards),
                (unsigned long long)kept, seconds, (double)p->list->count / seconds);
}

/* On rank 0. What the shards are made of, but for the image files: going on from others would mix two archives. */
static pb_status go_on(const packing *p) {
    const pb_job_options *options = p->job->options;
    char *work = NULL;
    size_t size = strlen(source_of(options)) + 512;
    PB_TRY(pb_allocate(&work, size, 1, "what is packed"));
    snprintf(work, size, "list=%s\nlist_sha256=%s\nbase_sha256=%s\nfirst_number=%zu\nshard_images=%lld\npart=%d/%d\n",
             source_of(options), p->list->sha256, p->growth ? pb_archive_sha256(p->growth->base) : "", p->first_number,
             (long long)options->shard_images, p->part.number, p->part.count);
    pb_status status = pb_new_archive_resume(p->folder, &p->run->state, work);
    pb_release(&work);
    return status;
}

/* Collective. The shards, then what was rejected, then the manifest. Rejects are agreed on before it: more than --max-bad over
 * all ranks, and there is no archive. Summaries gathered in the order of ranks are in that of the shards. */
static pb_status write_all(packing *p) {
    pb_comm *comm = p->job->comm;
    pb_shard_summary *all = NULL;
    size_t *sizes = NULL, bytes = pb_range_size(p->mine) * sizeof *all;
    pb_status status = pb_allocate(&p->summaries, pb_range_size(p->mine), sizeof *p->summaries, "shard summaries");
    pb_keep_first(&status, pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts"));
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = go_on(p);
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = write_shards(p);
    pb_summary_step(p->job, "write", "");
    if (!pb_failed(&status))
        status = pb_rejects_agree(comm, &p->bad.rejects);
    if (!pb_failed(&status))
        status = list_rejected(p);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, p->summaries, bytes, 0, &all, sizes, "shard summaries");
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = write_manifest(p, all, pb_range_size(p->shards));
    pb_release(&sizes);
    pb_release(&all);
    return pb_agree(comm, status);
}

/* Collective. growth: the edition to be made, NULL: a new archive. Which shards: those of the part of the list, divided among the
 * ranks. */
static pb_status write_archive(const pb_job *job, const pb_list *list, pb_growth *growth, const pb_run *run) {
    double begun = pb_clock_seconds();
    packing p = {.job = job,
                 .list = list,
                 .folder = growth ? growth->folder : job->options->archive,
                 .first_number = growth ? pb_archive_shards(growth->base) : 0,
                 .growth = growth,
                 .run = run,
                 .bad = {.rejects = pb_rejects_begin((uint64_t)job->options->max_bad), .list = list}};
    pb_status status = pb_list_part_parse(job->options->part, &p.part); /* the same on every rank */
    if (pb_failed(&status))
        return status;
    /* All shards of the list, of these the part's, and of these this rank's: still numbered in the whole list. */
    size_t shards = pb_shard_count(list->count, (size_t)job->options->shard_images);
    p.shards = pb_partition(shards, p.part.count, p.part.number - 1);
    p.mine = pb_partition(pb_range_size(p.shards), pb_comm_size(job->comm), pb_comm_rank(job->comm));
    p.mine = (pb_range){p.shards.first + p.mine.first, p.shards.first + p.mine.end};
    status = write_all(&p);
    if (!pb_failed(&status))
        report(&p, pb_clock_seconds() - begun);
    pb_release(&p.summaries);
    pb_rejects_free(&p.bad.rejects);
    return status;
}

/* On rank 0, after all have met. A run that was fenced off leaves everything to the one that did it. So does one that never had
 * its state: run->comm is NULL then. */
static void settle(const pb_run *run, const char *folder, const pb_status *status) {
    if (pb_failed(status) && status->code != PB_E_NO && run->comm && pb_comm_rank(run->comm) == 0)
        pb_new_archive_settle(folder, &run->state);
}

/* Collective. An earlier run may have ended its archive just before it was fenced off; after that none can. Then there is nothing
 * to go on from, and the shards must stay. */
static pb_status begin_new(const pb_job *job, const char *folder, pb_run *run) {
    pb_status status = pb_run_begin(job, folder, run), done = pb_ok();
    if (pb_failed(&status))
        return status;
    status = pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? pb_new_archive_check(folder) : pb_ok());
    if (pb_failed(&status))
        pb_run_end(run, &done);
    return status;
}

/* Collective. The folder comes last, so that a mistake in the list leaves nothing behind; if this run has made it and it is empty
 * after a failure, it goes again. */
static pb_status pack_new(const pb_job *job, const pb_list *list) {
    const char *folder = job->options->archive;
    pb_run run = {0};
    bool created = false; /* known on rank 0 */
    pb_status status = pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? pb_new_archive_create(folder, &created) : pb_ok());
    if (!pb_failed(&status))
        status = begin_new(job, folder, &run);
    if (!pb_failed(&status))
        status = write_archive(job, list, NULL, &run);
    settle(&run, folder, &status);
    pb_run_end(&run, &status);
    if (pb_failed(&status) && created)
        rmdir(folder); /* only if it is empty */
    return status;
}

/* Collective. A list of which everything is known already is done without a run. The edition's folder goes if it is empty and
 * this run still owns the state it lies in. */
static pb_status pack_more(const pb_job *job, pb_list *list) {
    pb_growth growth = {0};
    pb_run run = {0};
    pb_status status = pb_growth_begin(job, list, &growth);
    bool any = !pb_failed(&status) && list->count > 0;
    if (any)
        status = pb_growth_run(job, list, &growth, &run);
    if (any && !pb_failed(&status))
        status = write_archive(job, list, &growth, &run);
    settle(&run, growth.folder, &status);
    bool owns = run.comm && pb_comm_rank(run.comm) == 0 && access(run.state.run, F_OK) == 0;
    if (pb_failed(&status) && owns)
        rmdir(growth.folder); /* only if it is empty */
    pb_run_end(&run, &status);
    pb_growth_end(&growth);
    return status;
}

/* Collective. The list is read and broadcast once; everything else is by ranges of it. */
pb_status pb_job_pack(const pb_job *job) {
    pb_list list = {0};
    pb_summary_step(job, "list", "");
    pb_status status = load_list(job, &list);
    if (!pb_failed(&status))
        status = job->options->append ? pack_more(job, &list) : pack_new(job, &list);
    pb_list_free(&list);
    return status;
}
