/* score.c: archive + memory bank -> patch distance maps, image scores. The bank is sharded over the ranks, the images too. */
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "coreset/search.h"
#include "io/file.h"
#include "io/results_file.h"
#include "jobs/bank_choice.h"
#include "jobs/bank_fit.h"
#include "jobs/provenance.h"
#include "jobs/summary.h"
#include "mpi/partition.h"

#include <math.h>
#include <string.h>

/* What one image's scoring says beside its map, as it travels to rank 0. */
typedef struct verdict {
    uint64_t index;    /* in the archive */
    double brightness[PB_BRIGHTNESS_STATS];
    float score;
    uint32_t patch, nearest;
} verdict;

/* The state of one scoring, on one rank. Zeroed it is empty. */
typedef struct scoring {
    const pb_bank_choice *choice;
    const pb_job *job; /* the choice's */
    pb_bank bank; /* this rank's shard, its features until they are in `search` */
    uint64_t bank_rows;
    char bank_sha256[PB_SHA256_TEXT];
    pb_setup setup;
    pb_search *search;
    pb_rejects rejects;
    pb_results_writer *writer; /* rank 0 */
    float *distance;           /* [batch * patches] */
    uint32_t *nearest;         /* likewise */
    verdict *verdicts;         /* [batch] */
    float *maps;               /* [batch][patches] */
    size_t *sizes;             /* [ranks] */
    char **paths;              /* rank 0: [bank_rows], into path_texts */
    char *path_texts;
    uint64_t written;
} scoring;

static void scoring_free(scoring *s) {
    pb_rejects_free(&s->rejects);
    pb_results_abandon(&s->writer);
    pb_search_free(&s->search);
    pb_setup_close(&s->setup);
    pb_bank_free(&s->bank);
    pb_release(&s->distance);
    pb_release(&s->nearest);
    pb_release(&s->verdicts);
    pb_release(&s->maps);
    pb_release(&s->sizes);
    pb_release(&s->paths);
    pb_release(&s->path_texts);
}

/* Collective. */
static pb_status open_all(scoring *s) {
    pb_status status = pb_bank_fit_read(s->choice, false, &s->bank, &s->bank_rows, s->bank_sha256);
    if (!pb_failed(&status))
        status = pb_bank_fit_open(s->job, &s->bank, pb_which_of(s->job->options->split), NULL, &s->setup);
    if (!pb_failed(&status))
        status = pb_search_create(s->setup.devices, s->bank.features, s->bank_rows, s->bank.dim, &s->search);
    pb_release(&s->bank.features); /* the search has its own copy */
    return status;
}

static size_t patches(const scoring *s) { return pb_pipeline_patches(s->setup.pipeline); }

/* Splits the gathered texts into one path a bank row. */
static pb_status split_paths(scoring *s) {
    PB_TRY(pb_allocate(&s->paths, s->bank_rows, sizeof *s->paths, "paths of the bank's rows"));
    char *at = s->path_texts;
    for (uint64_t row = 0; row < s->bank_rows; row++) {
        s->paths[row] = at;
        at += strlen(at) + 1;
    }
    return pb_ok();
}

static pb_status join_paths(const pb_bank *bank, char **texts, size_t *size) {
    *size = 0;
    for (size_t i = 0; i < bank->rows; i++)
        *size += strlen(bank->paths[i]) + 1;
    PB_TRY(pb_allocate(texts, *size, 1, "paths of the bank's rows"));
    for (size_t i = 0, at = 0; i < bank->rows; i++) {
        strcpy(*texts + at, bank->paths[i]);
        at += strlen(bank->paths[i]) + 1;
    }
    return pb_ok();
}

/* Collective. Rank 0 names the nearest training image of every result, so it needs the paths of all shards. */
static pb_status gather_paths(scoring *s) {
    char *texts = NULL;
    size_t size = 0;
    pb_status status = pb_agree(s->job->comm, join_paths(&s->bank, &texts, &size));
    if (!pb_failed(&status))
        status = pb_comm_gather(s->job->comm, texts, size, 0, &s->path_texts, s->sizes, "bank paths");
    pb_release(&texts);
    if (!pb_failed(&status) && pb_comm_rank(s->job->comm) == 0)
        status = split_paths(s);
    return pb_agree(s->job->comm, status);
}

static pb_status allocate(scoring *s) {
    size_t batch = pb_pipeline_batch_max(s->setup.pipeline);
    PB_TRY(pb_allocate(&s->distance, batch * patches(s), sizeof *s->distance, "patch distances"));
    PB_TRY(pb_allocate(&s->nearest, batch * patches(s), sizeof *s->nearest, "nearest rows"));
    PB_TRY(pb_allocate(&s->verdicts, batch, sizeof *s->verdicts, "image scores"));
    PB_TRY(pb_allocate(&s->maps, batch * patches(s), sizeof *s->maps, "patch maps"));
    return pb_allocate(&s->sizes, (size_t)pb_comm_size(s->job->comm), sizeof *s->sizes, "sizes of parts");
}

static pb_status describe(const scoring *s, pb_attributes *attributes) {
    char name[64];
    for (size_t i = 0; i < s->bank.attributes.count; i++) {
        snprintf(name, sizeof name, "bank.%s", s->bank.attributes.names[i]);
        PB_TRY(pb_attributes_set(attributes, name, s->bank.attributes.values[i]));
    }
    PB_TRY(pb_attributes_set(attributes, "bank_sha256", s->bank_sha256));
    if (*s->choice->version.name)
        PB_TRY(pb_attributes_set(attributes, "bank_version", s->choice->version.name));
    PB_TRY(pb_attributes_set(attributes, "archive_sha256", pb_archive_sha256(s->setup.archive)));
    return pb_provenance(s->job, attributes);
}

/* On rank 0. */
static pb_status create_results(scoring *s) {
    char path[PB_PATH_MAX];
    pb_attributes attributes = {0};
    PB_TRY(pb_folder_create(s->job->options->results));
    PB_TRY(pb_path_join(s->job->options->results, "results.h5", path));
    pb_status status = describe(s, &attributes);
    if (!pb_failed(&status))
        status = pb_results_create(path, s->setup.selection.total, pb_pipeline_grid(s->setup.pipeline), &attributes, &s->writer);
    pb_attributes_free(&attributes);
    return status;
}

/* An image that could not be read is in the results all the same, without a score: NaN, and no nearest row. */
static void mark_unscored(scoring *s, const uint64_t *index, size_t count) {
    for (size_t i = 0; i < count; i++)
        s->verdicts[i] = (verdict){.index = index[i],
                                   .brightness = {NAN, NAN, NAN, NAN},
                                   .score = NAN,
                                   .nearest = PB_RESULT_UNSCORED};
    for (size_t i = 0; i < count * patches(s); i++)
        s->maps[i] = NAN;
}

static void score_image(scoring *s, const pb_batch *batch, size_t i) {
    float *map = s->distance + i * patches(s);
    const uint32_t *nearest = s->nearest + i * patches(s);
    size_t worst = 0;
    for (size_t patch = 0; patch < patches(s); patch++)
        map[patch] = pb_setup_distance(&s->setup, map[patch]);
    for (size_t patch = 1; patch < patches(s); patch++)
        if (map[patch] > map[worst])
            worst = patch;
    size_t slot = batch->slot[i];
    memcpy(s->maps + slot * patches(s), map, patches(s) * sizeof *map);
    s->verdicts[slot] = (verdict){
        .index = batch->index[i], .score = map[worst], .patch = (uint32_t)worst, .nearest = nearest[worst]};
    memcpy(s->verdicts[slot].brightness, batch->brightness[i], sizeof batch->brightness[i]);
}

/* A distance that overflows has no place in any order. Unscored images are NaN and pass. */
static pb_status check_scores(const scoring *s, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (isinf(s->verdicts[i].score)) {
            pb_record record;
            PB_TRY(pb_archive_record(s->setup.archive, s->verdicts[i].index, &record));
            return pb_fail(PB_E_INPUT, "%s: its distance to the bank overflows; are bank and weights the right ones?",
                           record.path);
        }
    return pb_ok();
}

/* On rank 0: writes what one rank sent. */
static pb_status write_part(scoring *s, uint64_t first, const verdict *verdicts, float *maps, size_t count) {
    pb_result_block block = {.count = count, .map = maps};
    uint64_t *index = NULL;
    pb_record *records = NULL;
    pb_status status = pb_allocate(&block.score, count, sizeof *block.score, "a block of results");
    pb_keep_first(&status, pb_allocate(&block.patch, count, sizeof *block.patch, "a block of results"));
    pb_keep_first(&status, pb_allocate(&block.nearest, count, sizeof *block.nearest, "a block of results"));
    pb_keep_first(&status, pb_allocate(&block.brightness, count, sizeof *block.brightness, "a block of results"));
    pb_keep_first(&status, pb_allocate(&index, count, sizeof *index, "a block of results"));
    pb_keep_first(&status, pb_allocate(&records, count, sizeof *records, "a block of results"));
    for (size_t i = 0; i < count && !pb_failed(&status); i++) {
        block.score[i] = verdicts[i].score;
        block.patch[i] = verdicts[i].patch;
        block.nearest[i] = verdicts[i].nearest;
        memcpy(block.brightness[i], verdicts[i].brightness, sizeof block.brightness[i]);
        index[i] = verdicts[i].index;
        status = pb_archive_record(s->setup.archive, index[i], &records[i]);
    }
    if (!pb_failed(&status))
        status = pb_results_write(s->writer, first, &block, index, records);
    pb_release(&block.score);
    pb_release(&block.patch);
    pb_release(&block.nearest);
    pb_release(&block.brightness);
    pb_release(&index);
    pb_release(&records);
    return status;
}

/* Collective. Sends `count` images' results, the ones at `begin` of this rank's share, to rank 0, which writes those of all
 * ranks. */
static pb_status hand_in(scoring *s, size_t begin, size_t count) {
    pb_comm *comm = s->job->comm;
    verdict *verdicts = NULL;
    float *maps = NULL;
    pb_status status =
        pb_comm_gather(comm, s->verdicts, count * sizeof *s->verdicts, 0, &verdicts, s->sizes, "image scores");
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, s->maps, count * patches(s) * sizeof *s->maps, 0, &maps, s->sizes, "patch maps");
    if (pb_comm_rank(comm) == 0 && !pb_failed(&status)) {
        size_t done = 0, map_bytes = patches(s) * sizeof *maps;
        for (int rank = 0; rank < pb_comm_size(comm) && !pb_failed(&status); rank++) {
            uint64_t first = pb_partition(s->setup.selection.total, pb_comm_size(comm), rank).first;
            size_t part = s->sizes[rank] / map_bytes;
            if (part > 0)
                status = write_part(s, first + begin, verdicts + done, maps + done * patches(s), part);
            done += part;
        }
        s->written += done;
    }
    pb_release(&verdicts);
    pb_release(&maps);
    return pb_agree(comm, status);
}

/* Collective: every rank takes part in every round, with what it has left. */
static pb_status score_round(scoring *s, size_t begin, size_t count) {
    pb_comm *comm = s->job->comm;
    pb_batch batch = {0};
    const uint64_t *index = s->setup.selection.index + begin;
    pb_status status = pb_ok();
    if (count > 0) {
        mark_unscored(s, index, count);
        status = pb_pipeline_next(s->setup.pipeline, &s->rejects, &batch);
    }
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_search_nearest(s->search, batch.features, batch.count * patches(s), s->distance, s->nearest);
    if (pb_failed(&status))
        return status;
    for (size_t i = 0; i < batch.count; i++)
        score_image(s, &batch, i);
    status = pb_agree(comm, check_scores(s, count));
    return pb_failed(&status) ? status : hand_in(s, begin, count);
}

/* Collective. */
static pb_status score_all(scoring *s) {
    pb_comm *comm = s->job->comm;
    const pb_selection *selection = &s->setup.selection;
    pb_pipeline *pipeline = s->setup.pipeline;
    size_t batch_max = pb_pipeline_batch_max(pipeline);
    /* Rank 0 has among the longest ranges, so its rounds are everybody's. */
    size_t longest = (size_t)pb_range_size(pb_partition(selection->total, pb_comm_size(comm), 0));
    pb_progress progress;
    pb_summary_step(s->job, "score", "images");
    pb_progress_begin(&progress, "score", selection->total, "images", pb_comm_rank(comm) == 0);
    pb_status status = pb_agree(comm, pb_pipeline_begin(pipeline, selection->index, selection->count));
    for (size_t begin = 0; begin < longest && !pb_failed(&status); begin += batch_max) {
        size_t left = begin < selection->count ? selection->count - begin : 0;
        status = score_round(s, begin < selection->count ? begin : selection->count, left < batch_max ? left : batch_max);
        pb_progress_update(&progress, s->written);
    }
    pb_pipeline_end(pipeline);
    pb_summary_stages(s->job, pb_pipeline_stages(pipeline));
    double seconds = pb_progress_end(&progress);
    if (!pb_failed(&status))
        status = pb_rejects_agree(comm, &s->rejects);
    if (!pb_failed(&status))
        pb_stages_log(comm, "score", pb_pipeline_stages(pipeline));
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "scored", "images=%llu bank_rows=%llu seconds=%.2f images_per_s=%.1f",
                    (unsigned long long)selection->total, (unsigned long long)s->bank_rows, seconds,
                    (double)selection->total / seconds);
    return status;
}

/* Collective. Before the results, so that none are without it. */
static pb_status list_rejected(scoring *s) {
    char path[PB_PATH_MAX];
    pb_status status = pb_path_join(s->job->options->results, "rejected.csv", path); /* the same on every rank */
    return pb_failed(&status) ? status : pb_rejects_write(s->job->comm, &s->rejects, path);
}

/* On rank 0. */
static pb_status publish(scoring *s) {
    char csv[PB_PATH_MAX];
    PB_TRY(pb_path_join(s->job->options->results, "scores.csv", csv));
    return pb_results_publish(&s->writer, csv, s->paths, s->bank_rows);
}

/* Collective. */
static pb_status score(const pb_bank_choice *choice) {
    const pb_job *job = &choice->job;
    scoring s = {.choice = choice, .job = job, .rejects = pb_rejects_begin((uint64_t)job->options->max_bad)};
    bool writes = pb_comm_rank(job->comm) == 0;
    pb_summary_step(job, "open", "");
    pb_status status = open_all(&s);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, allocate(&s));
    if (!pb_failed(&status))
        status = gather_paths(&s);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, writes ? create_results(&s) : pb_ok());
    if (!pb_failed(&status))
        status = score_all(&s);
    pb_summary_step(job, "write", "");
    if (!pb_failed(&status))
        status = list_rejected(&s);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, writes ? publish(&s) : pb_ok());
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "results", "folder=\"%s\"", job->options->results);
    scoring_free(&s);
    return status;
}

pb_status pb_job_score(const pb_job *job) {
    pb_bank_choice choice;
    pb_status status = pb_bank_choose(job, &choice);
    return pb_failed(&status) ? status : score(&choice);
}
