/* score.c: archive + memory bank -> patch distance maps, image scores. The bank is sharded over the ranks, the images too.
 *
 * Ranks go through their images in step: in a round each extracts a batch, all search together (the shards of the bank travel
 * round a ring, coreset/search.h), each turns the distances of its patches into maps and verdicts, and rank 0 gets and writes
 * those of all. An image's verdict depends on the image and the bank alone, and its place in the results is its position among
 * the images selected, so the files are the same bytes for any number of ranks and batches (docs/ARCHITECTURE.md, invariant 3). A
 * batch has places, one for each image asked for; an image that was bad keeps its place and is marked. So what is handed in is
 * always a range of a rank's images, in order. Scores of an earlier run that was stopped are handed in first
 * (jobs/score_state.h), then the images that are left are scored. Published are rejected.csv, then results.h5 with scores.csv;
 * before that nothing has a final name. Memory: on each rank some shards of the bank (coreset/search.h) and the maps of a batch;
 * on rank 0 also the maps of a batch of every rank, and the paths of all bank rows. */
#include "base/fault.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/memory.h"
#include "base/progress.h"
#include "coreset/search.h"
#include "io/file.h"
#include "io/results_file.h"
#include "jobs/bank_choice.h"
#include "jobs/bank_fit.h"
#include "jobs/provenance.h"
#include "jobs/score_state.h"
#include "jobs/summary.h"

#include <math.h>
#include <string.h>

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
    pb_verdict *verdicts;      /* [batch] */
    float *maps;               /* [batch][patches] */
    size_t *sizes;             /* [ranks] */
    char **paths;              /* rank 0: [bank_rows], into path_texts */
    char *path_texts;
    uint64_t written;
    pb_score_state state;
    size_t *todo, *done; /* [todo_count], [done_count] places in this rank's selection: to score, and scored by an earlier run */
    size_t todo_count, done_count;
    uint64_t *index;     /* [todo_count] in the archive */
} scoring;

/* Takes a scoring in any state. The run is not ended here: its files are closed first (see score). */
static void scoring_free(scoring *s) {
    pb_rejects_free(&s->rejects);
    pb_score_state_free(&s->state);
    pb_release(&s->todo);
    pb_release(&s->done);
    pb_release(&s->index);
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

static size_t patches(const scoring *s) { return pb_pipeline_patches(s->setup.pipeline); }

/* Collective. Bank, setup, and a search over the bank, with room for a batch. Where the device has no memory for that, batches
 * become smaller, and the search is made again from the rows in host memory, which are kept until it has succeeded. */
static pb_status open_all(scoring *s) {
    bool again = true;
    pb_status status = pb_bank_fit_read(s->choice, false, &s->bank, &s->bank_rows, s->bank_sha256);
    if (!pb_failed(&status))
        status = pb_bank_fit_open(s->job, &s->bank, pb_which_of(s->job->options->split), NULL, &s->setup);
    /* Once, unless memory is out: then with a smaller pipeline, as long as there is one. */
    while (again && !pb_failed(&status)) {
        pb_search_free(&s->search);
        status = pb_search_create(s->setup.devices, s->bank.features, s->bank_rows, s->bank.dim, &s->search);
        if (!pb_failed(&status))
            status = pb_search_reserve(s->search, pb_pipeline_batch_max(s->setup.pipeline) * patches(s));
        status = pb_setup_relieve(s->job, &s->setup, pb_agree(s->job->comm, status), &again);
    }
    pb_release(&s->bank.features); /* the search has its own copy */
    return status;
}

/* Splits the gathered texts into one path a bank row: pointers into path_texts. Shards are ranges of rows in the order of the
 * ranks, so the texts stand in the order of the rows. */
static pb_status split_paths(scoring *s) {
    PB_TRY(pb_allocate(&s->paths, s->bank_rows, sizeof *s->paths, "paths of the bank's rows"));
    char *at = s->path_texts;
    for (uint64_t row = 0; row < s->bank_rows; row++) {
        s->paths[row] = at;
        at += strlen(at) + 1;
    }
    return pb_ok();
}

/* The paths of this rank's rows end to end, each with its 0. *texts: owned by the caller. */
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

/* Not collective. For the largest batch, so that nothing is allocated while images are scored but for messages. */
static pb_status allocate(scoring *s) {
    size_t batch = pb_pipeline_batch_max(s->setup.pipeline);
    PB_TRY(pb_allocate(&s->distance, batch * patches(s), sizeof *s->distance, "patch distances"));
    PB_TRY(pb_allocate(&s->nearest, batch * patches(s), sizeof *s->nearest, "nearest rows"));
    PB_TRY(pb_allocate(&s->verdicts, batch, sizeof *s->verdicts, "image scores"));
    PB_TRY(pb_allocate(&s->maps, batch * patches(s), sizeof *s->maps, "patch maps"));
    return pb_allocate(&s->sizes, (size_t)pb_comm_size(s->job->comm), sizeof *s->sizes, "sizes of parts");
}

/* What the results say of their making: everything the bank says, under "bank.", which bank file and which archive, and the job's
 * own options. Nothing of ranks, time or place. */
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

/* On rank 0. Begins results.h5 for all images that were selected; it gets its name in publish. */
static pb_status create_results(scoring *s) {
    char path[PB_PATH_MAX];
    pb_attributes attributes = {0};
    PB_TRY(pb_path_join(s->job->options->results, "results.h5", path));
    pb_status status = describe(s, &attributes);
    if (!pb_failed(&status))
        status = pb_results_create(path, s->setup.selection.total, pb_pipeline_grid(s->setup.pipeline), &attributes, &s->writer);
    pb_attributes_free(&attributes);
    return status;
}

/* What this rank finds of an earlier run, and what is left to do. Saved scores are of what results say, and of weights and
 * arithmetic too: another kind of processor would make other bits, and results do not say which one it was. */
static pb_status take_up(scoring *s) {
    pb_score_state *state = &s->state;
    const pb_selection *mine = &s->setup.selection;
    state->archive = s->setup.archive;
    state->selection = mine;
    state->grid = pb_pipeline_grid(s->setup.pipeline);
    PB_TRY(describe(s, &state->attributes));
    PB_TRY(pb_attributes_set(&state->attributes, "weights", s->setup.weights));
    PB_TRY(pb_attributes_set(&state->attributes, "arithmetic", pb_device_arithmetic(s->setup.device)));
    PB_TRY(pb_score_state_open(state));
    PB_TRY(pb_allocate(&s->todo, mine->count, sizeof *s->todo, "images to score"));
    PB_TRY(pb_allocate(&s->done, mine->count, sizeof *s->done, "images scored"));
    PB_TRY(pb_allocate(&s->index, mine->count, sizeof *s->index, "images to score"));
    pb_score_state_divide(state, s->todo, &s->todo_count, s->done, &s->done_count);
    for (size_t i = 0; i < s->todo_count; i++)
        s->index[i] = mine->index[s->todo[i]];
    return pb_ok();
}

/* Collective. The folder of the results, this run in it, and what it goes on from. Nothing is written before the input is known
 * to be good. */
static pb_status begin(scoring *s) {
    pb_comm *comm = s->job->comm;
    const char *folder = s->job->options->results;
    bool writes = pb_comm_rank(comm) == 0;
    pb_status status = pb_agree(comm, writes ? pb_folder_create(folder) : pb_ok());
    if (!pb_failed(&status))
        status = pb_run_begin(s->job, folder, &s->state.run);
    if (!pb_failed(&status))
        status = pb_agree(comm, take_up(s));
    if (!pb_failed(&status))
        status = pb_agree(comm, writes ? create_results(s) : pb_ok());
    uint64_t done = pb_failed(&status) ? 0 : pb_comm_sum_u64(comm, s->done_count, "images scored before");
    if (done > 0)
        pb_log_once(PB_LOG_INFO, "resumed", "images=%llu of=%llu", (unsigned long long)done,
                    (unsigned long long)s->setup.selection.total);
    return status;
}

/* An image that could not be read is in the results all the same, without a score: NaN, and no nearest row. */
static void mark_unscored(scoring *s, size_t begin, size_t count) {
    for (size_t i = 0; i < count; i++)
        s->verdicts[i] = (pb_verdict){.position = s->setup.selection.first + s->todo[begin + i],
                                      .index = s->index[begin + i],
                                      .brightness = {NAN, NAN, NAN, NAN},
                                      .score = NAN,
                                      .nearest = PB_RESULT_UNSCORED};
    for (size_t i = 0; i < count * patches(s); i++)
        s->maps[i] = NAN;
}

/* Turns the search's distances of image `i` of the batch into what is kept: the map at the image's place, and the verdict by its
 * largest distance; the first patch wins a tie (io/results_file.h). The map is changed in place in s->distance. An image's place
 * was marked unscored before. Features of a network that overflowed may have distances that are NaN. Such a patch is the worst
 * there is: the others must not hide it. (Not all show: ReLU makes 0 of a NaN, gpu/precision.h.) */
static void score_image(scoring *s, const pb_batch *batch, size_t i) {
    float *map = s->distance + i * patches(s);
    const uint32_t *nearest = s->nearest + i * patches(s);
    size_t worst = 0;
    for (size_t patch = 0; patch < patches(s); patch++)
        map[patch] = pb_setup_distance(&s->setup, map[patch]);
    for (size_t patch = 1; patch < patches(s); patch++)
        if (map[patch] > map[worst] || isnan(map[patch]))
            worst = patch;
    size_t slot = batch->slot[i];
    memcpy(s->maps + slot * patches(s), map, patches(s) * sizeof *map);
    pb_verdict *verdict = &s->verdicts[slot];
    verdict->score = map[worst];
    verdict->patch = (uint32_t)worst;
    verdict->nearest = nearest[worst];
    memcpy(verdict->brightness, batch->brightness[i], sizeof batch->brightness[i]);
}

/* A distance that is not finite has no place in any order. */
static pb_status check_scores(const scoring *s, const pb_batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        if (!isfinite(s->verdicts[batch->slot[i]].score)) {
            pb_record record;
            PB_TRY(pb_archive_record(s->setup.archive, batch->index[i], &record));
            return pb_fail(PB_E_INPUT, "%s: its features, or their distance to the bank, overflow: are bank and weights the right"
                           " ones? (fp16 ends at 65504)", record.path);
        }
    return pb_ok();
}

/* On rank 0: writes what the ranks sent, in stretches of positions that follow each other. */
static pb_status write_parts(scoring *s, const pb_verdict *verdicts, float *maps, size_t count) {
    pb_status status = pb_ok();
    for (size_t at = 0, run; at < count && !pb_failed(&status); at += run) {
        for (run = 1; at + run < count && verdicts[at + run].position == verdicts[at].position + run;)
            run++;
        status = pb_verdicts_write(s->writer, verdicts[at].position, s->setup.archive, verdicts + at, maps + at * patches(s),
                                   run);
    }
    s->written += count;
    return status;
}

/* Collective. Sends the first `count` verdicts and maps of this rank to rank 0, which writes those of all ranks. Verdicts and
 * maps come in the order of ranks, so those of a rank stay together. s->sizes is that of the maps afterwards, which tells how
 * many images came; a rank may have none. */
static pb_status hand_in(scoring *s, size_t count) {
    pb_comm *comm = s->job->comm;
    pb_verdict *verdicts = NULL;
    float *maps = NULL;
    pb_status status =
        pb_comm_gather(comm, s->verdicts, count * sizeof *s->verdicts, 0, &verdicts, s->sizes, "image scores");
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, s->maps, count * patches(s) * sizeof *s->maps, 0, &maps, s->sizes, "patch maps");
    if (pb_comm_rank(comm) == 0 && !pb_failed(&status)) {
        /* The gather of maps came last, so sizes are theirs. */
        size_t all = 0;
        for (int rank = 0; rank < pb_comm_size(comm); rank++)
            all += s->sizes[rank] / (patches(s) * sizeof *maps);
        status = write_parts(s, verdicts, maps, all);
    }
    pb_release(&verdicts);
    pb_release(&maps);
    return pb_agree(comm, status);
}

/* Collective: every rank takes part in every round, with what it has left. Ranks find a wish to stop when the round is done. What
 * is scored is kept for the state before it is handed in, so that a failing rank 0 does not cost it. `begin`: the first image, a
 * place in todo. */
static pb_status score_round(scoring *s, size_t begin, size_t count) {
    pb_comm *comm = s->job->comm;
    pb_batch batch = {0};
    pb_status status = pb_ok();
    if (count > 0) {
        mark_unscored(s, begin, count);
        status = pb_pipeline_next(s->setup.pipeline, &s->rejects, &batch);
    }
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_search_nearest(s->search, batch.features, batch.count * patches(s), s->distance, s->nearest);
    if (pb_failed(&status))
        return status;
    for (size_t i = 0; i < batch.count; i++)
        score_image(s, &batch, i);
    /* What this rank alone can find wrong is agreed on before anything is sent. */
    status = check_scores(s, &batch);
    if (!pb_failed(&status))
        status = pb_score_state_keep(&s->state, s->verdicts, s->maps, count);
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = hand_in(s, count);
    pb_fault("score.batch");
    return pb_failed(&status) ? status : pb_agree(comm, pb_stop_check());
}

/* Collective. Hands in what an earlier run scored, a batch of each rank at a time, since there is room for as many. Only what
 * saved files say is looked at; no image is read. */
static pb_status hand_in_saved(scoring *s, pb_progress *progress) {
    pb_comm *comm = s->job->comm;
    size_t batch = pb_pipeline_batch_max(s->setup.pipeline), at = 0;
    pb_status status = pb_ok();
    uint64_t left = pb_comm_max_u64(comm, s->done_count, "saved scores");
    while (left > 0 && !pb_failed(&status)) {
        size_t count = s->done_count - at < batch ? s->done_count - at : batch;
        for (size_t i = 0; i < count && !pb_failed(&status); i++)
            status = pb_score_state_take(&s->state, s->done[at + i], &s->verdicts[i], s->maps + i * patches(s));
        status = pb_agree(comm, status);
        if (!pb_failed(&status))
            status = hand_in(s, count);
        at += count;
        left -= left < batch ? left : batch;
        pb_progress_update(progress, s->written);
    }
    return status;
}

/* Collective. Rounds until the rank with the most images is through. Stopped, each rank saves what it has not saved yet. */
static pb_status score_rest(scoring *s, pb_progress *progress) {
    pb_comm *comm = s->job->comm;
    pb_pipeline *pipeline = s->setup.pipeline;
    size_t batch = pb_pipeline_batch_max(pipeline);
    uint64_t longest = pb_comm_max_u64(comm, s->todo_count, "images to score");
    pb_status status = pb_agree(comm, pb_pipeline_begin(pipeline, s->index, s->todo_count));
    for (size_t begin = 0; begin < longest && !pb_failed(&status); begin += batch) {
        size_t left = begin < s->todo_count ? s->todo_count - begin : 0;
        status = score_round(s, begin, left < batch ? left : batch);
        pb_progress_update(progress, s->written);
    }
    pb_pipeline_end(pipeline);
    if (status.code == PB_E_REQUEUE)
        pb_keep_first(&status, pb_score_state_save(&s->state)); /* the reason to stop stays */
    return status;
}

/* Collective. Handing in and scoring, and what is said of it. More rejects than --max-bad over all ranks are only known at the
 * end. */
static pb_status score_all(scoring *s) {
    pb_comm *comm = s->job->comm;
    const pb_selection *selection = &s->setup.selection;
    pb_progress progress;
    pb_summary_step(s->job, "score", "images");
    pb_progress_begin(&progress, "score", selection->total, "images", pb_comm_rank(comm) == 0);
    pb_status status = hand_in_saved(s, &progress);
    if (!pb_failed(&status))
        status = score_rest(s, &progress);
    pb_summary_stages(s->job, pb_pipeline_stages(s->setup.pipeline));
    double seconds = pb_progress_end(&progress);
    if (!pb_failed(&status))
        status = pb_rejects_agree(comm, &s->rejects);
    if (!pb_failed(&status))
        pb_stages_log(comm, "score", pb_pipeline_stages(s->setup.pipeline));
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

/* Collective. The order of the steps: what needs no image first, then the folder and the state, then the work, then publishing.
 * The choice of the bank outlives it all, since the job's options point into it. */
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
        status = begin(&s);
    if (!pb_failed(&status))
        status = score_all(&s);
    pb_summary_step(job, "write", "");
    if (!pb_failed(&status))
        status = list_rejected(&s);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, writes ? publish(&s) : pb_ok());
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "results", "folder=\"%s\"", job->options->results);
    pb_run run = s.state.run;
    scoring_free(&s); /* its open files are in folders that go now */
    pb_run_end(&run, &status);
    return status;
}

pb_status pb_job_score(const pb_job *job) {
    pb_bank_choice choice;
    pb_status status = pb_bank_choose(job, &choice);
    return pb_failed(&status) ? status : score(&choice);
}
