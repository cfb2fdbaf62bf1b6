/* train_two_round.c: selection from more patches than memory holds, by composable coresets.
 *
 * Round one: each part of the training images is extracted, as many patches are picked from it as are wanted in the end, and the
 * rest is forgotten. Round two: the same number is picked among all parts' picks. Every patch is within r1 of a pick of its part
 * and that within r2 of a final pick, so the covering radius is at most r1 + r2, which is the bank's bound. G. Malkomes et al.,
 * "Fast distributed k-center clustering with outliers on massive data", NIPS 2015: with greedy in both rounds the radius is at
 * most four times the optimum. The parts are ranges of the list, whatever the number of ranks, so the bank does not depend on it.
 *
 * A rank works on its parts by turns, all ranks in step; a turn in which a rank has no part left is one of no images. Selection
 * within a part is the rank's own, by a communicator of one rank; only the second round is made by all together. Patches have two
 * numbers here: among this rank's good images (kept.patch), and in the second round among the union of all picks, rank after
 * rank. name_picks turns the latter into global patches. Memory: one part's cover, and the picks so far, in host memory. Of a
 * stopped run the state has the picks of finished parts (part-N.h5) and the patches of the part that was in work. */
#include "jobs/train.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "coreset/coreset.h"
#include "coreset/greedy.h"
#include "jobs/provenance.h"
#include "jobs/summary.h"
#include "mpi/partition.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A part of this rank: images first .. first + size - 1 of its selection. */
typedef struct part {
    int number;
    size_t first, size;
    size_t images_before; /* good images of this rank's parts before it */
} part;

/* The picks of a part among those kept. */
typedef struct part_picks {
    part of;
    size_t first, count;
    float radius;
} part_picks;

/* What is kept of the parts of one rank: the union of their picks. */
typedef struct kept {
    size_t count, room;
    float *rows;     /* [count][dim] host memory */
    uint64_t *patch; /* [count] local patch index among all of this rank's good images */
    double radius;   /* largest covering radius of a part by its own picks */
    part_picks *unsaved; /* [unsaved_count] parts that the state folder shall have and has not yet */
    size_t unsaved_count, unsaved_room;
} kept;

static void kept_free(kept *all) {
    pb_release(&all->rows);
    pb_release(&all->patch);
    pb_release(&all->unsaved);
}

/* Input of a selection among `count` patches of t->cover, which are numbers first .. of `total`, by `ranks` ranks. `start` stays
 * 0: the first patch of the part, or of the union, is the first pick. */
static pb_greedy_input input_of(const pb_training *t, uint64_t count, uint64_t first, uint64_t total, size_t picks,
                                size_t ranks) {
    size_t candidates = pb_training_candidates(t);
    return (pb_greedy_input){.cover = t->cover,
                             .count = count,
                             .first = first,
                             .total = total,
                             .dim = pb_projection_dim(t->projection),
                             .picks = picks,
                             .candidates_most = candidates > ranks ? candidates : ranks};
}

/* Makes room for `more` picks; doubles, so that copying costs no more than the picks themselves. */
static pb_status grow(kept *all, size_t more, int dim) {
    if (all->count + more <= all->room)
        return pb_ok();
    size_t room = 2 * (all->count + more);
    PB_TRY(pb_resize(&all->rows, all->count * (size_t)dim, room * (size_t)dim, sizeof *all->rows, "picks of the parts"));
    PB_TRY(pb_resize(&all->patch, all->count, room, sizeof *all->patch, "picks of the parts"));
    all->room = room;
    return pb_ok();
}

/* Keeps the picks of the part that is in the cover; its first patch is local patch `first`. One row at a time is copied from the
 * device: picks lie anywhere. The largest radius of any part is r1. */
static pb_status keep_picks(pb_training *t, const pb_coreset *picks, uint64_t first, kept *all) {
    size_t dim = (size_t)pb_projection_dim(t->projection);
    PB_TRY(grow(all, picks->count, (int)dim));
    for (size_t i = 0; i < picks->count; i++, all->count++) {
        PB_TRY(pb_device_cover_read(t->setup.device, t->cover, (size_t)picks->picked[i], 1, all->rows + all->count * dim));
        all->patch[all->count] = first + picks->picked[i];
    }
    all->radius = fmax(all->radius, (double)picks->radius[picks->count - 1]);
    return pb_ok();
}

/* --- a part, and what the state folder has of it ----------------------------------------------------------------------- */

/* Picks that a part may contribute: as many as the largest ratio stands for. By the images that were selected, of which some may
 * turn out bad: how many is not known before all parts are done, and a part must not depend on others. */
static size_t most_picks(const pb_training *t) {
    return pb_coreset_size(t->ratios[0], t->setup.selection.total * pb_training_patches(t));
}

/* What a file of its picks says. */
static pb_status describe_part(const pb_training *t, const part *p, pb_attributes *attributes) {
    PB_TRY(pb_attributes_add(attributes, &t->attributes));
    PB_TRY(pb_attributes_set_u64(attributes, "part", (uint64_t)p->number));
    PB_TRY(pb_attributes_set_u64(attributes, "part_images", p->size));
    return pb_attributes_set_u64(attributes, "part_picks_most", most_picks(t));
}

/* The file of its picks. */
static pb_status part_path(const pb_training *t, const part *p, char path[PB_PATH_MAX]) {
    char name[64];
    snprintf(name, sizeof name, "part-%d.h5", p->number);
    return pb_state_path(&t->run.state, name, path);
}

/* Patches in a file are counted from the part's first, since images before the part may turn out bad or good another time. */
static pb_status write_part(const pb_training *t, const kept *all, const part_picks *picks) {
    const size_t dim = (size_t)pb_projection_dim(t->projection), patches = pb_training_patches(t);
    char path[PB_PATH_MAX];
    uint64_t *inside = NULL; /* the picked patches, counted from the part's first */
    pb_attributes attributes = {0};
    pb_rows_writer *writer = NULL;
    PB_TRY(part_path(t, &picks->of, path));
    PB_TRY(pb_allocate(&inside, picks->count, sizeof *inside, "picks of a part"));
    for (size_t i = 0; i < picks->count; i++)
        inside[i] = all->patch[picks->first + i] - picks->of.images_before * patches;
    pb_status status = describe_part(t, &picks->of, &attributes);
    if (!pb_failed(&status))
        status = pb_attributes_set_real(&attributes, "part_radius", (double)picks->radius);
    if (!pb_failed(&status))
        status = pb_rows_create(path, &attributes, 1, (int)dim, &writer);
    if (!pb_failed(&status))
        status = pb_rows_append(writer, inside, picks->count, all->rows + picks->first * dim);
    if (!pb_failed(&status))
        status = pb_rows_commit(&writer);
    pb_rows_abandon(&writer);
    pb_attributes_free(&attributes);
    pb_release(&inside);
    return status;
}

/* Saves the parts that are not saved yet. A run that ends within --checkpoint seconds saves none. */
static pb_status save_parts(pb_training *t, kept *all) {
    pb_status status = pb_ok();
    for (size_t i = 0; i < all->unsaved_count && !pb_failed(&status); i++)
        status = pb_run_tolerate(write_part(t, all, &all->unsaved[i]));
    all->unsaved_count = 0;
    return status;
}

/* Has the part, whose picks are the last ones of `all`, saved when the run is long enough. Only one without bad images: of
 * another, the reasons would be missing. */
static pb_status note_part(pb_training *t, const part *p, const pb_coreset *picks, kept *all) {
    if (t->image_count - p->images_before == p->size) {
        if (all->unsaved_count == all->unsaved_room) {
            size_t room = 2 * all->unsaved_room + 8;
            PB_TRY(pb_resize(&all->unsaved, all->unsaved_room, room, sizeof *all->unsaved, "parts to be saved"));
            all->unsaved_room = room;
        }
        all->unsaved[all->unsaved_count++] = (part_picks){
            .of = *p, .first = all->count - picks->count, .count = picks->count, .radius = picks->radius[picks->count - 1]};
    }
    return pb_run_is_long(&t->run) ? save_parts(t, all) : pb_ok();
}

/* A file's picks join `all` only when everything about it was right: all->count moves last. Keys are patches within the part;
 * images before it (images_before) may have been bad, so that the local numbers are made here. */
static pb_status read_part(pb_training *t, const part *p, const char *path, const pb_rows *rows, kept *all) {
    size_t count, dim = (size_t)pb_projection_dim(t->projection);
    const uint64_t *picked = pb_rows_keys(rows, &count);
    const char *radius;
    pb_attributes expected = {0};
    pb_status status = describe_part(t, p, &expected);
    const char *why = pb_failed(&status) ? "" : pb_run_misfit(pb_rows_attributes(rows), &expected);
    if (*why || pb_rows_a_key(rows) != 1 || pb_rows_dim(rows) != (int)dim)
        pb_keep_first(&status, pb_fail(PB_E_INPUT, "%s: made with another %s", path, *why ? why : "shape"));
    pb_attributes_free(&expected);
    if (pb_failed(&status))
        return status;
    PB_TRY(pb_attributes_need(pb_rows_attributes(rows), path, "part_radius", &radius));
    PB_TRY(grow(all, count, (int)dim));
    PB_TRY(pb_rows_read(rows, 0, count, all->rows + all->count * dim));
    for (size_t i = 0; i < count; i++)
        all->patch[all->count + i] = p->images_before * pb_training_patches(t) + picked[i];
    PB_TRY(pb_train_note_images(t, t->setup.selection.index + p->first, p->size));
    all->count += count;
    all->radius = fmax(all->radius, pb_option_number(radius));
    return pb_ok();
}

/* Whether the state folder had the part's picks, which are then kept. One that cannot be used is made again. */
static bool take_part(pb_training *t, const part *p, kept *all) {
    char path[PB_PATH_MAX];
    pb_rows *rows = NULL;
    pb_status status = part_path(t, p, path);
    if (pb_failed(&status) || p->size == 0 || access(path, F_OK) != 0)
        return false;
    status = pb_rows_open(path, &rows);
    if (!pb_failed(&status))
        status = read_part(t, p, path, rows, all);
    pb_rows_close(&rows);
    if (pb_failed(&status))
        pb_log(PB_LOG_WARN, "checkpoint-ignored", "reason=\"%s\"", status.message);
    else
        pb_log(PB_LOG_INFO, "resumed", "part=%d", p->number);
    return !pb_failed(&status);
}

/* Within a part nothing is shown or saved: the parts are the steps. */
static pb_status report_stop(void *context, const pb_coreset *so_far) {
    (void)context;
    (void)so_far;
    return pb_stop_check();
}

/* Not collective over the job: `self` is this rank alone. A part whose images were all bad contributes nothing. Fewer patches
 * than picks are wanted: all that differ are picked, and the radius is 0. */
static pb_status select_part(pb_training *t, pb_device_comm *self, const part *p, kept *all) {
    size_t count = (t->image_count - p->images_before) * pb_training_patches(t);
    size_t picks = most_picks(t) < count ? most_picks(t) : count;
    pb_coreset coreset;
    if (count == 0)
        return pb_ok();
    PB_TRY(pb_coreset_allocate(&coreset, picks));
    pb_greedy_input input = input_of(t, count, 0, count, picks, 1);
    input.report = report_stop; /* of this rank alone: all agree in do_part */
    pb_status status = pb_greedy_select(self, &input, &coreset, NULL, NULL);
    if (!pb_failed(&status))
        status = keep_picks(t, &coreset, p->images_before * pb_training_patches(t), all);
    if (!pb_failed(&status))
        status = note_part(t, p, &coreset, all);
    pb_coreset_free(&coreset);
    return status;
}

/* Collective. One part of every rank, perhaps none, perhaps one that is done. The cover lives no longer than this. */
static pb_status do_part(pb_training *t, pb_device_comm *self, const part *p, kept *all, pb_progress *progress) {
    bool done = take_part(t, p, all);
    size_t size = done ? 0 : p->size;
    pb_status status = pb_train_make_room(t, size, false);
    if (!pb_failed(&status))
        status = pb_train_extract_range(t, p->first, p->first + size, pb_train_into_cover, progress);
    pb_summary_step(t->job, "select", "picks");
    if (!pb_failed(&status))
        status = pb_agree(t->job->comm, done ? pb_ok() : select_part(t, self, p, all));
    if (status.code == PB_E_REQUEUE)
        pb_keep_first(&status, pb_train_patches_save(t)); /* the part's, while they are there */
    pb_device_cover_free(t->setup.device, &t->cover);
    return status;
}

/* Turn `turn` of this rank: a part, or one of no images. pb_partition gives the first ranks a part more, so that rank 0's turns
 * are the most there are; a rank that is through gets the number of somebody else's part and size 0, and touches no file. */
static part part_of(const pb_training *t, uint64_t turn) {
    const pb_selection *selection = &t->setup.selection;
    int parts = (int)t->job->options->parts;
    pb_range mine = pb_partition((uint64_t)parts, pb_comm_size(t->job->comm), pb_comm_rank(t->job->comm));
    part p = {.number = (int)(mine.first + turn), .images_before = t->image_count};
    if (mine.first + turn < mine.end) {
        pb_range images = pb_partition(selection->total, parts, p.number);
        p.first = (size_t)(images.first - selection->first);
        p.size = (size_t)pb_range_size(images);
    }
    return p;
}

/* Collective. All parts, one of every rank at a time; every part may contribute as many picks as the largest ratio stands for.
 * Progress is of a turn: images of the longest part. */
static pb_status do_parts(pb_training *t, kept *all, pb_progress *progress) {
    const pb_selection *selection = &t->setup.selection;
    pb_comm *comm = t->job->comm, *self;
    pb_device_comm *alone = NULL;
    int parts = (int)t->job->options->parts;
    uint64_t turns = pb_range_size(pb_partition((uint64_t)parts, pb_comm_size(comm), 0));
    size_t longest = (size_t)pb_range_size(pb_partition(selection->total, parts, 0));
    /* A communicator of this rank alone, so that a selection that is collective elsewhere is its own. */
    pb_status status = pb_comm_create_self(&self);
    if (!pb_failed(&status))
        status = pb_device_comm_create(self, t->setup.device, PB_ROUTE_HOST, 0, &alone);
    status = pb_agree(comm, status);
    for (uint64_t turn = 0; turn < turns && !pb_failed(&status); turn++) {
        pb_summary_step(t->job, "extract", "images");
        part p = part_of(t, turn);
        pb_progress_begin(progress, "extract part", longest, "images", pb_comm_rank(comm) == 0);
        status = do_part(t, alone, &p, all, progress);
        pb_progress_end(progress);
    }
    pb_device_comm_destroy(&alone);
    pb_comm_destroy(&self);
    return status;
}

/* Puts the union of this rank's picks into a cover of its own. `first`: the number of the first among all picks. Rows were
 * checked when they were picked, so not_finite is not looked at. */
static pb_status cover_union(pb_training *t, const kept *all, uint64_t first) {
    int dim = pb_projection_dim(t->projection);
    size_t bytes = all->count * (size_t)dim * sizeof(float);
    float *rows = NULL;
    int64_t not_finite;
    PB_TRY(pb_device_cover_create(t->setup.device, all->count, dim, (uint32_t)first, &t->cover));
    pb_status status = pb_device_alloc(t->setup.device, bytes, &rows, "picks of the parts");
    if (!pb_failed(&status))
        status = pb_device_upload(t->setup.device, rows, all->rows, bytes);
    if (!pb_failed(&status))
        status = pb_device_cover_write(t->setup.device, t->cover, 0, all->count, rows, &not_finite);
    pb_device_release(t->setup.device, &rows);
    return status;
}

/* Collective. Final picks are numbers in the union; they become global patches again. sizes: [ranks]. Every rank gets the whole
 * list, 8 bytes a pick of a part: second_round has made sure that a message holds it. */
static pb_status name_picks(pb_training *t, const kept *all, size_t *sizes, uint64_t total) {
    pb_comm *comm = t->job->comm;
    uint64_t *mine = NULL, *everybody = NULL, count = all->count * sizeof *mine;
    pb_status status = pb_allocate(&mine, all->count, sizeof *mine, "picks of the parts");
    pb_keep_first(&status, pb_allocate(&everybody, total, sizeof *everybody, "picks of the parts"));
    status = pb_agree(comm, status);
    if (!pb_failed(&status)) {
        for (size_t i = 0; i < all->count; i++)
            mine[i] = t->first_patch + all->patch[i];
        pb_comm_allgather(comm, &count, sizeof count, sizes, "picks of the parts");
        pb_comm_allgather_parts(comm, mine, sizes, everybody, "picks of the parts");
        for (size_t i = 0; i < t->coreset.count; i++)
            t->coreset.picked[i] = everybody[t->coreset.picked[i]];
    }
    pb_release(&mine);
    pb_release(&everybody);
    return status;
}

/* What a report during the second round needs. */
typedef struct watch {
    pb_training *t;
    kept *all;
} watch;

/* The run may become long only in the second round: then its parts are saved now. All ranks have their own to save, and agree
 * after it. */
static pb_status report_second(void *context, const pb_coreset *so_far) {
    watch *w = context;
    pb_status status = pb_run_is_long(&w->t->run) ? save_parts(w->t, w->all) : pb_ok();
    pb_keep_first(&status, report_stop(NULL, so_far));
    return status;
}

/* Collective. Selects among all parts' picks. The radius of each prefix grows by r1: a patch may be that far from the pick that
 * stands for it. */
static pb_status second_round(pb_training *t, kept *all) {
    pb_comm *comm = t->job->comm;
    size_t ranks = (size_t)pb_comm_size(comm), *sizes = NULL;
    uint64_t total = pb_comm_sum_u64(comm, all->count, "picks of the parts");
    uint64_t first = pb_comm_sum_before_u64(comm, all->count, "first pick of the parts");
    double first_radius = pb_comm_max_real(comm, all->radius, "radius of the parts");
    size_t picks = pb_training_picks(t) < total ? pb_training_picks(t) : (size_t)total;
    if (total > INT32_MAX / sizeof(uint64_t)) /* the same on every rank; what one message can name */
        return pb_fail(PB_E_UNSUPPORTED,
                       "%llu picks of the parts; this build names at most %zu: fewer --parts or smaller --ratios",
                       (unsigned long long)total, INT32_MAX / sizeof(uint64_t));
    pb_status status = pb_allocate(&sizes, ranks, sizeof *sizes, "sizes of messages");
    pb_keep_first(&status, pb_coreset_allocate(&t->coreset, picks));
    if (!pb_failed(&status))
        status = cover_union(t, all, first);
    status = pb_agree(comm, status);
    if (!pb_failed(&status)) {
        pb_greedy_input input = input_of(t, all->count, first, total, picks, ranks);
        watch w = {.t = t, .all = all};
        input.report = report_second;
        input.context = &w;
        status = pb_greedy_select(t->setup.devices, &input, &t->coreset, NULL, NULL);
    }
    if (!pb_failed(&status))
        status = name_picks(t, all, sizes, total);
    pb_release(&sizes);
    for (size_t i = 0; i < t->coreset.count; i++)
        t->coreset.radius[i] = pb_coreset_radius_sum(t->coreset.radius[i], first_radius, pb_projection_dim(t->projection));
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "selected",
                    "coreset=two-round patches=%zu of=%llu union=%llu part_radius=%.6g radius_at_most=%.6g", t->coreset.count,
                    (unsigned long long)t->total_patches, (unsigned long long)total, first_radius,
                    (double)t->coreset.radius[t->coreset.count - 1]);
    return status;
}

/* Bad images are known when all parts are done, and so are total_patches and first_patch, which the final picks are named by. */
pb_status pb_train_two_round(pb_training *t) {
    kept all = {0};
    pb_progress progress;
    double begun = pb_clock_seconds();
    pb_status status = do_parts(t, &all, &progress);
    if (!pb_failed(&status))
        status = pb_train_count(t, pb_clock_seconds() - begun);
    pb_summary_step(t->job, "select", "picks");
    if (!pb_failed(&status))
        status = second_round(t, &all);
    if (status.code == PB_E_REQUEUE)
        pb_keep_first(&status, save_parts(t, &all)); /* the reason to stop stays */
    if (pb_comm_rank(t->job->comm) == 0) /* all ranks make the same picks */
        pb_summary_done(t->job, t->coreset.count);
    kept_free(&all);
    return status;
}
