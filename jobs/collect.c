/* collect.c: picked patches -> rows of the bank, by a second pass over the images that own one.
 *
 * Each rank serves the picks among its own images. They are sorted by patch, and so by image: the archive is read forwards, each
 * image once, and all arrays of a `part` follow that order. Rows that an earlier run saved are taken first; the rest is
 * extracted, batch by batch, all ranks in step; then everything goes to rank 0, where a pick's position says which row it is.
 * Nothing here decides anything, so the bank is the same bytes for any number of ranks. */
#include "jobs/collect.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/rows_file.h"

#include <stdlib.h>
#include <string.h>

/* A bank row's way back to its patch, as it travels to rank 0. */
typedef struct origin {
    uint64_t position; /* row of the bank */
    uint64_t image;    /* index in the archive */
    uint32_t row, column;
} origin;

/* What one rank contributes. */
typedef struct part {
    size_t count;
    size_t saved;      /* those before it need not be saved any more */
    bool *have;        /* [count] whether its features are there */
    uint64_t *patch;   /* [count] local patch index, increasing */
    origin *origins;   /* [count] */
    float *features;   /* [count][dim] */
    char *paths;       /* count texts, each with its 0 */
    size_t paths_size;
} part;

static void part_free(part *mine) {
    pb_release(&mine->have);
    pb_release(&mine->patch);
    pb_release(&mine->origins);
    pb_release(&mine->features);
    pb_release(&mine->paths);
}

/* A pick of this rank: local patch index, and its position in the order of selection. */
typedef struct pick {
    uint64_t patch, position;
} pick;

static int by_patch(const void *left, const void *right) {
    uint64_t a = ((const pick *)left)->patch, b = ((const pick *)right)->patch;
    return (a > b) - (a < b);
}

/* The picks of this rank, sorted by patch so that the archive is read forwards. Every rank looks through all picks, and has room
 * for all: it may own them all. *picks_out: owned by the caller (pb_release), *count_out of them. */
static pb_status find_mine(const pb_collect_input *input, pick **picks_out, size_t *count_out) {
    uint64_t patches = input->image_count * pb_pipeline_patches(input->pipeline);
    pick *picks;
    size_t count = 0;
    PB_TRY(pb_allocate(&picks, input->picks, sizeof *picks, "picked patches"));
    for (size_t i = 0; i < input->picks; i++)
        if (input->picked[i] >= input->first_patch && input->picked[i] - input->first_patch < patches)
            picks[count++] = (pick){input->picked[i] - input->first_patch, i};
    qsort(picks, count, sizeof *picks, by_patch);
    *picks_out = picks;
    *count_out = count;
    return pb_ok();
}

/* Allocates the part and says of every pick where it comes from; the features are not there yet. */
static pb_status describe(const pb_collect_input *input, const pick *picks, size_t count, part *mine) {
    size_t patches = pb_pipeline_patches(input->pipeline), columns = (size_t)pb_pipeline_grid(input->pipeline).width;
    *mine = (part){.count = count};
    PB_TRY(pb_allocate(&mine->have, count, sizeof *mine->have, "picked patches"));
    PB_TRY(pb_allocate(&mine->patch, count, sizeof *mine->patch, "picked patches"));
    PB_TRY(pb_allocate(&mine->origins, count, sizeof *mine->origins, "picked patches"));
    PB_TRY(pb_allocate(&mine->features, count * (size_t)pb_pipeline_dim(input->pipeline), sizeof(float), "the bank's rows"));
    for (size_t i = 0; i < count; i++) {
        size_t inside = (size_t)(picks[i].patch % patches);
        mine->patch[i] = picks[i].patch;
        mine->origins[i] = (origin){.position = picks[i].position,
                                    .image = input->images[picks[i].patch / patches],
                                    .row = (uint32_t)(inside / columns),
                                    .column = (uint32_t)(inside % columns)};
    }
    return pb_ok();
}

/* Two walks through the same records: the first measures, so that the texts are one piece of memory, which a gather can send. */
static pb_status add_paths(const pb_collect_input *input, part *mine) {
    for (int pass = 0; pass < 2; pass++) { /* measure, then copy */
        size_t at = 0;
        for (size_t i = 0; i < mine->count; i++) {
            pb_record record;
            PB_TRY(pb_archive_record(input->archive, mine->origins[i].image, &record));
            size_t length = strlen(record.path) + 1;
            if (pass == 1)
                memcpy(mine->paths + at, record.path, length);
            at += length;
        }
        if (pass == 0)
            PB_TRY(pb_allocate(&mine->paths, at, 1, "paths of the bank's rows"));
        mine->paths_size = at;
    }
    return pb_ok();
}

/* --- rows that an earlier run saved ------------------------------------------------------------------------------------ */

/* A patch's name in the state: by its image in the archive, whatever other images turn out to be bad. Rises with the patch, since
 * t->images rise. */
static uint64_t key_of(const pb_collect_input *input, const part *mine, size_t i) {
    size_t patches = pb_pipeline_patches(input->pipeline);
    return mine->origins[i].image * patches + mine->patch[i] % patches;
}

/* Whether a file may hold rows of this rank, by its name: keys rise with the picks, so the first and the last pick bound them. */
static bool concerns(const pb_collect_input *input, const part *mine, const char *path) {
    return mine->count > 0 && pb_state_range_meets(path, key_of(input, mine, 0), key_of(input, mine, mine->count - 1));
}

/* How many picks from `i` on stand one behind the other in the keys from `at` on, and are not there yet. */
static size_t stretch(const pb_collect_input *input, const part *mine, size_t i, const uint64_t *keys, size_t at, size_t count) {
    size_t run = 0;
    while (i + run < mine->count && !mine->have[i + run] && at + run < count && keys[at + run] == key_of(input, mine, i + run))
        run++;
    return run;
}

/* Copies the rows of this rank's picks out of a file, one stretch at a time. Picks and keys both rise: whichever is behind moves
 * on. A pick that has its row already (from another file) is passed over. Features are read into their place before they count as
 * there. */
static pb_status take_rows(const pb_collect_input *input, const pb_rows *rows, part *mine) {
    size_t keys_count, dim = (size_t)pb_pipeline_dim(input->pipeline), at = 0;
    const uint64_t *keys = pb_rows_keys(rows, &keys_count);
    for (size_t i = 0; i < mine->count && at < keys_count;) {
        /* A key that is none of this rank's picks. */
        if (keys[at] < key_of(input, mine, i)) {
            at++;
            continue;
        }
        size_t run = stretch(input, mine, i, keys, at, keys_count);
        if (run > 0)
            PB_TRY(pb_rows_read(rows, at, run, mine->features + i * dim));
        for (size_t k = 0; k < run; k++)
            mine->have[i + k] = true;
        i += run > 0 ? run : 1;
        at += run;
    }
    return pb_ok();
}

typedef struct taking {
    const pb_collect_input *input;
    part *mine;
} taking;

/* A file that cannot be used is no failure: its rows are extracted again. */
static pb_status take_file(void *context, const char *path) {
    const taking *from = context;
    const pb_collect_input *input = from->input;
    pb_rows *rows = NULL;
    if (!concerns(input, from->mine, path))
        return pb_ok();
    pb_status status = pb_rows_open(path, &rows);
    const char *why = pb_failed(&status) ? "" : pb_run_misfit(pb_rows_attributes(rows), input->attributes);
    if (!pb_failed(&status) && (*why || pb_rows_a_key(rows) != 1 || pb_rows_dim(rows) != pb_pipeline_dim(input->pipeline)))
        status = pb_fail(PB_E_INPUT, "%s: made with another %s", path, *why ? why : "shape");
    if (!pb_failed(&status))
        status = take_rows(input, rows, from->mine);
    if (pb_failed(&status))
        pb_log(PB_LOG_WARN, "checkpoint-ignored", "reason=\"%s\"", status.message);
    pb_rows_close(&rows);
    return pb_ok();
}

/* Saves the rows of picks mine->saved .. end - 1. The range moves on also when saving fails: the next one may work, and a row is
 * only extracted again. */
static pb_status save_rows(const pb_collect_input *input, part *mine, size_t end) {
    size_t first = mine->saved, dim = (size_t)pb_pipeline_dim(input->pipeline);
    char path[PB_PATH_MAX];
    pb_rows_writer *writer = NULL;
    uint64_t *keys = NULL;
    double begun = pb_clock_seconds();
    if (first >= end)
        return pb_ok();
    mine->saved = end;
    pb_status status = pb_allocate(&keys, end - first, sizeof *keys, "rows to save");
    for (size_t i = first; i < end && !pb_failed(&status); i++)
        keys[i - first] = key_of(input, mine, i);
    if (!pb_failed(&status))
        status = pb_state_range_path(&input->run->state, "rows", keys[0], keys[end - first - 1], path);
    if (!pb_failed(&status))
        status = pb_rows_create(path, input->attributes, 1, (int)dim, &writer);
    if (!pb_failed(&status))
        status = pb_rows_append(writer, keys, end - first, mine->features + first * dim);
    if (!pb_failed(&status))
        status = pb_rows_commit(&writer);
    pb_rows_abandon(&writer);
    pb_release(&keys);
    pb_run_saved(input->run, begun);
    return pb_run_tolerate(status);
}

/* --- extracting -------------------------------------------------------------------------------------------------------- */

/* Extracts the next batch of images again and copies the rows of the picks that lie in them; *next is the first pick not yet
 * served. Rows are copied one at a time from the device: at 1 % only one in a hundred of a batch's patches is wanted. */
static pb_status extract_batch(const pb_collect_input *input, part *mine, size_t *next) {
    pb_rejects rejects = pb_rejects_begin(0); /* none: they were all good before; so nothing is kept, and nothing to free */
    pb_batch batch;
    PB_TRY(pb_pipeline_next(input->pipeline, &rejects, &batch));
    size_t patches = pb_pipeline_patches(input->pipeline), dim = (size_t)pb_pipeline_dim(input->pipeline);
    for (size_t i = 0; i < batch.count; i++) {
        while (*next < mine->count && mine->origins[*next].image < batch.index[i])
            ++*next; /* of images whose rows are all there */
        for (; *next < mine->count && mine->origins[*next].image == batch.index[i]; ++*next) {
            size_t row = i * patches + (size_t)(mine->patch[*next] % patches);
            PB_TRY(pb_device_download(input->device, mine->features + *next * dim, batch.features + row * dim,
                                      dim * sizeof(float)));
            mine->have[*next] = true;
        }
    }
    return pb_ok();
}

/* The images that own a pick whose row is not there, each once, in order. *index: owned by the caller. */
static pb_status list_images(const part *mine, uint64_t **index, size_t *count) {
    *count = 0;
    PB_TRY(pb_allocate(index, mine->count, sizeof **index, "image indices"));
    for (size_t i = 0; i < mine->count; i++)
        if (!mine->have[i] && (*count == 0 || (*index)[*count - 1] != mine->origins[i].image))
            (*index)[(*count)++] = mine->origins[i].image;
    return pb_ok();
}

/* A rank's part of a round: a batch if one is left; then it saves when it is time. Picks before *next all have their rows,
 * extracted or saved, so they are a range that can be saved. */
static pb_status work_on(const pb_collect_input *input, part *mine, bool left, size_t *next) {
    pb_status status = left ? extract_batch(input, mine, next) : pb_ok();
    if (!pb_failed(&status) && input->run && pb_run_due(input->run))
        status = save_rows(input, mine, *next);
    pb_fault("train.collect");
    pb_keep_first(&status, pb_stop_check());
    return status;
}

/* Collective: batch by batch, as extraction for the selection (jobs/train.h, pb_train_extract_range). */
static pb_status extract_rows(const pb_collect_input *input, part *mine) {
    pb_comm *comm = input->comm;
    uint64_t *index = NULL;
    size_t count = 0, next = 0, batch = pb_pipeline_batch_max(input->pipeline);
    pb_status status = list_images(mine, &index, &count);
    if (!pb_failed(&status))
        status = pb_pipeline_begin(input->pipeline, index, count);
    status = pb_agree(comm, status);
    uint64_t rounds = pb_comm_max_u64(comm, (count + batch - 1) / batch, "batches to collect");
    for (uint64_t round = 0; round < rounds && !pb_failed(&status); round++)
        status = pb_agree(comm, work_on(input, mine, round * batch < count, &next));
    pb_pipeline_end(input->pipeline);
    pb_release(&index);
    if (status.code == PB_E_REQUEUE && input->run)
        pb_keep_first(&status, save_rows(input, mine, next)); /* the reason to stop stays */
    return status;
}

/* Rows at the head that are in the state need not be saved again; later ones may be saved twice, which does no harm. */
static pb_status prepare(const pb_collect_input *input, part *mine) {
    pick *picks = NULL;
    size_t count = 0;
    PB_TRY(find_mine(input, &picks, &count));
    pb_status status = describe(input, picks, count, mine);
    pb_release(&picks);
    taking from = {input, mine};
    if (!pb_failed(&status) && input->run)
        status = pb_state_each(&input->run->state, "rows-", take_file, &from);
    while (!pb_failed(&status) && mine->saved < count && mine->have[mine->saved])
        mine->saved++;
    return status;
}

/* On rank 0: puts what the ranks sent at the rows where it belongs. */
static pb_status assemble(const pb_collect_input *input, const origin *origins, const float *features, const char *paths,
                          pb_bank *bank) {
    size_t dim = (size_t)pb_pipeline_dim(input->pipeline);
    PB_TRY(pb_bank_allocate(bank, input->picks, (int)dim));
    for (size_t i = 0; i < input->picks; i++) {
        size_t row = (size_t)origins[i].position;
        memcpy(bank->features + row * dim, features + i * dim, dim * sizeof(float));
        bank->image[row] = origins[i].image;
        bank->patch_row[row] = origins[i].row;
        bank->patch_column[row] = origins[i].column;
        bank->covering_radius[row] = input->radius[row];
        PB_TRY(pb_bank_set_path(bank, row, paths));
        paths += strlen(paths) + 1;
    }
    return pb_ok();
}

/* Collective. Three messages a rank: origins, features, paths, each in the rank's order; rank r's picks stand behind those of the
 * ranks before it in all three. */
static pb_status gather(const pb_collect_input *input, const part *mine, pb_bank *bank) {
    pb_comm *comm = input->comm;
    size_t dim = (size_t)pb_pipeline_dim(input->pipeline), *sizes = NULL;
    void *origins = NULL, *features = NULL, *paths = NULL;
    pb_status status = pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts");
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, mine->origins, mine->count * sizeof *mine->origins, 0, &origins, sizes, "bank provenance");
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, mine->features, mine->count * dim * sizeof(float), 0, &features, sizes, "bank rows");
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, mine->paths, mine->paths_size, 0, &paths, sizes, "bank paths");
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = assemble(input, origins, features, paths, bank);
    pb_release(&sizes);
    pb_release(&origins);
    pb_release(&features);
    pb_release(&paths);
    return pb_agree(comm, status);
}

/* An agreement after each step that can fail on one rank alone. On a failure the bank is emptied, since rank 0 may have filled a
 * part of it. */
pb_status pb_collect_bank(const pb_collect_input *input, pb_bank *bank) {
    *bank = (pb_bank){0};
    part mine = {0};
    pb_status status = pb_agree(input->comm, prepare(input, &mine));
    if (!pb_failed(&status))
        status = extract_rows(input, &mine);
    if (!pb_failed(&status))
        pb_stages_log(input->comm, "collect", pb_pipeline_stages(input->pipeline));
    if (!pb_failed(&status))
        status = pb_agree(input->comm, add_paths(input, &mine));
    if (!pb_failed(&status))
        status = gather(input, &mine, bank);
    part_free(&mine);
    if (pb_failed(&status))
        pb_bank_free(bank);
    return status;
}
