/* pack.c: a list of images -> a sharded archive. Ranks write whole shards; rank 0 writes the manifest over them. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "io/archive.h"
#include "io/file.h"
#include "io/list.h"
#include "jobs/job.h"
#include "jobs/rejects.h"
#include "jobs/share.h"
#include "jobs/summary.h"
#include "mpi/partition.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const size_t LIST_BYTES_MAX = (size_t)8 << 30;
static const char REJECTED[] = "rejected.csv";

/* On rank 0: the list as CSV text, from wherever the user has it. */
static pb_status read_list(const pb_job_options *options, char **text, size_t *size) {
    return options->list ? pb_file_read(options->list, LIST_BYTES_MAX, text, size) : pb_list_mvtec(options->mvtec, text, size);
}

static pb_status check_options(const pb_job_options *options) {
    if (!options->list == !options->mvtec)
        return pb_fail(PB_E_USAGE, "give either --list FILE or --mvtec FOLDER");
    return pb_ok();
}

/* On rank 0: an archive that is there is never touched. */
static pb_status check_folder(const char *folder) {
    char manifest[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, "manifest.json", manifest));
    if (access(manifest, F_OK) == 0)
        return pb_fail(PB_E_INPUT, "%s: already holds an archive; give a new folder or remove it", folder);
    return pb_ok();
}

/* "shard-00012.h5", as pb_shard_write names its files. */
static bool is_shard_name(const char *name) {
    static const char HEAD[] = "shard-", TAIL[] = ".h5";
    if (strncmp(name, HEAD, strlen(HEAD)) != 0)
        return false;
    const char *digits = name + strlen(HEAD);
    size_t count = strspn(digits, "0123456789");
    return count >= 5 && strcmp(digits + count, TAIL) == 0;
}

/* On rank 0: shards without a manifest are what a killed pack left. Those beyond the new number of shards would stay for ever
 * beside the new archive. */
static pb_status remove_stale_shards(const char *folder) {
    size_t removed = 0;
    pb_status status = pb_ok();
    DIR *names = opendir(folder);
    if (!names)
        return pb_fail_errno(errno, folder, "cannot list");
    for (const struct dirent *entry; !pb_failed(&status) && (entry = readdir(names));) {
        if (!is_shard_name(entry->d_name))
            continue;
        if (unlinkat(dirfd(names), entry->d_name, 0) != 0)
            status = pb_fail_errno(errno, folder, "cannot remove a shard of an earlier pack");
        else
            removed++;
    }
    closedir(names);
    if (removed > 0)
        pb_log(PB_LOG_WARN, "stale-shards", "archive=\"%s\" removed=%zu reason=\"an earlier pack did not end\"", folder, removed);
    return status;
}

/* On rank 0. The list may have taken long, so an archive is looked for once more. */
static pb_status prepare_folder(const char *folder, bool *created) {
    bool there = access(folder, F_OK) == 0;
    PB_TRY(check_folder(folder));
    PB_TRY(pb_folder_create(folder));
    *created = !there;
    return remove_stale_shards(folder);
}

/* The name under which the list goes: messages have it, and relative paths start from its folder. */
static pb_status list_name(const pb_job_options *options, char name[PB_PATH_MAX]) {
    return options->list ? pb_path_join(".", options->list, name) : pb_path_join(options->mvtec, "", name);
}

/* Collective. */
static pb_status load_list(const pb_job *job, pb_list *list) {
    const pb_job_options *options = job->options;
    char *text = NULL, name[PB_PATH_MAX];
    size_t size = 0;
    pb_status status = check_options(options);
    if (!pb_failed(&status))
        status = list_name(options, name);
    if (!pb_failed(&status) && pb_comm_rank(job->comm) == 0)
        status = check_folder(options->archive);
    if (!pb_failed(&status) && pb_comm_rank(job->comm) == 0)
        status = read_list(options, &text, &size);
    status = pb_share_bytes(job->comm, status, &text, &size);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, pb_list_parse(name, text, size, list));
    pb_release(&text);
    return status;
}

/* Where the bad entries of a list go. */
typedef struct quarantine {
    pb_rejects rejects;
    const pb_list *list;
} quarantine;

static void reject(void *context, size_t list_index, const pb_status *why) {
    quarantine *bad = context;
    pb_rejects_add(&bad->rejects, list_index, bad->list->items[list_index].path, why);
}

/* One shard of this rank. */
static pb_status write_shard(const pb_job *job, uint64_t shard, quarantine *bad, pb_shard_summary *summary) {
    PB_TRY(pb_shard_write(job->options->archive, bad->list, (size_t)shard, (size_t)job->options->shard_images, reject, bad,
                          summary));
    return pb_rejects_check(&bad->rejects);
}

/* Collective. Ranks agree after each shard, so that a failure ends all of them at once and none waits long for another. */
static pb_status write_shards(const pb_job *job, size_t all, pb_range mine, quarantine *bad, pb_shard_summary *summaries) {
    uint64_t longest = pb_range_size(pb_partition(all, pb_comm_size(job->comm), 0)); /* rank 0's is among them */
    pb_progress progress;
    pb_summary_step(job, "pack", "images");
    pb_progress_begin(&progress, "pack", longest, "shards a rank", pb_comm_rank(job->comm) == 0);
    pb_status status = pb_ok();
    for (uint64_t done = 0; done < longest && !pb_failed(&status); done++) {
        if (mine.first + done < mine.end) {
            status = write_shard(job, mine.first + done, bad, &summaries[done]);
            pb_summary_done(job, summaries[done].images);
        }
        status = pb_agree(job->comm, status);
        pb_progress_update(&progress, done + 1);
    }
    pb_progress_end(&progress);
    return status;
}

/* On rank 0. */
static pb_status write_manifest(const pb_job_options *options, const pb_shard_summary *summaries, size_t count) {
    uint64_t images = 0;
    for (size_t i = 0; i < count; i++)
        images += summaries[i].images;
    if (images == 0)
        return pb_fail(PB_E_INPUT, "%s: no image of the list could be taken", options->list ? options->list : options->mvtec);
    return pb_manifest_write(options->archive, options->list ? options->list : options->mvtec, (size_t)options->shard_images,
                             summaries, count);
}

/* Collective. Before the manifest, so that no archive is without it. */
static pb_status list_rejected(const pb_job *job, const pb_rejects *rejects) {
    char path[PB_PATH_MAX];
    pb_status status = pb_path_join(job->options->archive, REJECTED, path); /* the same on every rank */
    return pb_failed(&status) ? status : pb_rejects_write(job->comm, rejects, path);
}

static void remove_from_archive(const pb_job *job, const char *file) {
    char path[PB_PATH_MAX];
    pb_status joined = pb_path_join(job->options->archive, file, path);
    if (!pb_failed(&joined))
        unlink(path);
}

/* Collective. What failed must not leave shards without a manifest behind. `count` shards of this rank may have been written. */
static void remove_shards(const pb_job *job, const pb_shard_summary *summaries, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (summaries[i].file[0])
            remove_from_archive(job, summaries[i].file);
    pb_comm_barrier(job->comm, "removal of shards");
    if (pb_comm_rank(job->comm) == 0)
        remove_from_archive(job, REJECTED);
}

/* Collective. */
static void report(const pb_job *job, size_t listed, size_t shards, uint64_t rejected, double seconds) {
    uint64_t bad = pb_comm_sum_u64(job->comm, rejected, "count of bad images");
    pb_log_once(PB_LOG_INFO, "packed", "archive=\"%s\" listed=%zu rejected=%llu shards=%zu seconds=%.2f images_per_s=%.1f",
                job->options->archive, listed, (unsigned long long)bad, shards, seconds, (double)listed / seconds);
}

/* Collective. */
static pb_status write_archive(const pb_job *job, const pb_list *list) {
    pb_comm *comm = job->comm;
    double begun = pb_clock_seconds();
    size_t count = pb_shard_count(list->count, (size_t)job->options->shard_images), *sizes = NULL;
    pb_range mine = pb_partition(count, pb_comm_size(comm), pb_comm_rank(comm));
    quarantine bad = {.rejects = pb_rejects_begin((uint64_t)job->options->max_bad), .list = list};
    pb_shard_summary *summaries = NULL, *all = NULL;
    pb_status status = pb_allocate(&summaries, pb_range_size(mine), sizeof *summaries, "shard summaries");
    pb_keep_first(&status, pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts"));
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = write_shards(job, count, mine, &bad, summaries);
    pb_summary_step(job, "write", "");
    if (!pb_failed(&status))
        status = pb_rejects_agree(comm, &bad.rejects);
    if (!pb_failed(&status))
        status = list_rejected(job, &bad.rejects);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, summaries, pb_range_size(mine) * sizeof *summaries, 0, &all, sizes, "shard summaries");
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = write_manifest(job->options, all, count);
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        remove_shards(job, summaries, summaries ? pb_range_size(mine) : 0);
    else
        report(job, list->count, count, bad.rejects.count, pb_clock_seconds() - begun);
    pb_release(&summaries);
    pb_release(&sizes);
    pb_release(&all);
    pb_rejects_free(&bad.rejects);
    return status;
}

/* The folder comes last, so that a mistake in the list leaves nothing behind. */
pb_status pb_job_pack(const pb_job *job) {
    bool first_rank = pb_comm_rank(job->comm) == 0, created = false; /* known on rank 0 */
    pb_list list = {0};
    pb_summary_step(job, "list", "");
    pb_status status = load_list(job, &list);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, first_rank ? prepare_folder(job->options->archive, &created) : pb_ok());
    if (!pb_failed(&status))
        status = write_archive(job, &list);
    if (pb_failed(&status) && created)
        rmdir(job->options->archive); /* only if it is empty: other files in it are not ours */
    pb_list_free(&list);
    return status;
}
