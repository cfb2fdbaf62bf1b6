/* model.c: the formulas of docs/SCALING.md. What is allocated by size is counted from the sources, which the constants below
 * name; everything else was measured (docs/decisions/0032). tests/jobs/test_plan.c compares predicted memory with that of real
 * runs, within 25 %.
 *
 * In order: memory of single things; times of single steps; a rank's fullest moment; the two ways of selecting; training and
 * scoring; storage. */
#include "jobs/model.h"

#include <math.h>
#include <stddef.h>

/* As in coreset/greedy.c: picks that a round aims at, for each made so far. */
static const double GROWTH = 0.12;

/* As in gpu/cpu_cover.h: axes that pairs are filtered by, picks for which there is room at first. */
static const double AXES = 16, CENTRES_LEAST = 256;

/* As in gpu/cpu_points.c and gpu/cpu_cover_search.c: rows and pairs below which a search has no filter, queries of a thread in
 * it. */
static const double FILTERED_ROWS = 256, FILTERED_PAIRS = 4 << 20, FILTER_QUERIES = 1024;

/* As in jobs/update.c: new rows for which there is room at most, in bytes each. A row of a bank in memory beside features and
 * path: columns, and what the path's own memory takes. */
static const double NEW_ROWS = 1 << 22, PICK = 24, BANK_ROW = 32 + 16;

/* A candidate beside its row (pb_candidate), a pick on its way to rank 0 (jobs/collect.c: origin), a verdict of
 * jobs/score_state.h. */
static const double CANDIDATE = 12, ORIGIN = 24, VERDICT = 64;

/* Bytes of results an image beside its map and its path: columns in memory and on the disk, a line of scores.csv. */
static const double RESULT_COLUMNS = 160;

/* What the rank with the most has. */
static double share_of(double items, double ranks) { return ceil(items / ranks); }

/* Bytes of so many floats. */
static double floats(double count) { return count * (double)sizeof(float); }

/* --- memory ------------------------------------------------------------------------------------------------------ */

/* Which rows a CPU filters pairs of: of 17 to 2,048 values (gpu/cpu_cover.c). */
static bool may_filter(double dim) { return dim > AXES && dim <= 2048; }

/* Rows are padded to whole tiles of 16 where pairs are filtered at all. */
static double stride_of(double dim) { return may_filter(dim) ? ceil(dim / 16) * 16 : dim; }

/* Picks have room that doubles: then there are, for a moment, the old rows beside it. */
double pb_model_cover_bytes(const pb_constants *constants, double points, double picks) {
    double stride = stride_of(constants->selection_dim), room = CENTRES_LEAST;
    while (room < picks)
        room *= 2;
    double before = room > CENTRES_LEAST ? room / 2 : 0;
    return points * floats(stride + AXES + 4) + room * floats(stride + AXES + 1) + before * floats(stride);
}

/* A CPU's second copy of the bank's rows, by which searches are filtered (decision 0027): made in the midst of a search of so
 * many pairs. */
static double filter_bytes(const pb_constants *c, double rows, double pairs) {
    double stride = stride_of(c->dim);
    if (c->device_is_host <= 0 || !may_filter(c->dim) || rows < FILTERED_ROWS || pairs < FILTERED_PAIRS)
        return 0;
    return ceil(rows / CENTRES_LEAST) * CENTRES_LEAST * floats(stride + AXES + 1) +
           c->threads * FILTER_QUERIES * floats(stride + AXES + 4);
}

/* The messages of a round, three times the candidates' (docs/SCALING.md), and the contest of the candidates in it, of as many as
 * there are: the floor is lowered so that a round makes GROWTH times the picks so far. */
static double round_bytes(const pb_constants *c, double candidates, double picks) {
    double message = CANDIDATE + floats(c->selection_dim);
    double used = fmin(candidates, c->candidates_a_pick * GROWTH * picks + 256);
    return 3 * candidates * message + used * floats(stride_of(c->selection_dim) + 2 * AXES + 5);
}

/* --- time -------------------------------------------------------------------------------------------------------- */

/* Steps of a collective that goes by doubling. */
static double doublings(double ranks) { return ranks > 1 ? log2(ranks) : 0; }

/* Bytes that arrive at a rank, at the rate at which they leave it. 0 where messages were not measured. */
static double transfer_s(const pb_constants *c, double ranks, double bytes) {
    return ranks > 1 && c->link_bytes_per_s > 0 ? bytes / c->link_bytes_per_s : 0;
}

static double extract_s(const pb_constants *c, double images, double ranks) {
    return share_of(images, ranks) / c->extract_images_per_s;
}

/* Rounds grow with the logarithm of the picks, from the measured selection on: each makes GROWTH more than there are. */
static double rounds_of(const pb_constants *c, double picks) {
    double rounds = c->rounds + log(picks / c->rounds_picks) / log(1 + GROWTH);
    return rounds > 1 ? rounds : 1;
}

/* Processor seconds of selection on one rank. */
static double select_processor_s(const pb_constants *c, double points, double picks) {
    return c->select_point_s * points + c->select_pair_s * points * picks + c->select_pick_s * picks;
}

/* Images that own at least one of the picks: a Poisson law of images, with picks that crowd into some (c->spread, measured). */
static double owners_of(const pb_constants *c, double images, double picks) {
    return images * (1 - exp(-c->spread * picks / images));
}

/* What a rank holds at some moment beside `process_bytes`: on the host, on the device, and on rank 0 besides. Bytes. */
typedef struct phase {
    double host, device, root;
} phase;

/* A rank needs what its fullest moment takes; rank 0 may have another fullest moment than the others. */
static void keep_fullest(const pb_constants *c, const phase *phases, int count, pb_forecast *f) {
    double rank = 0, root = 0;
    for (int i = 0; i < count; i++) {
        double here = phases[i].host + (c->device_is_host > 0 ? phases[i].device : 0);
        rank = fmax(rank, here);
        root = fmax(root, here + phases[i].root);
        f->device_bytes = c->device_is_host > 0 ? 0 : fmax(f->device_bytes, phases[i].device);
    }
    f->root_bytes = f->rank_bytes + root;
    f->rank_bytes += rank;
}

/* Bytes of a pick as it goes to rank 0, and the bank's rows there, as they arrived and as they are written. */
static phase collecting(const pb_constants *c, double picks, double ranks, double cover) {
    double row = floats(c->dim);
    return (phase){.host = picks / ranks * (row + ORIGIN + 8) + 16 * picks,
                   .device = cover,
                   .root = 2 * picks * (row + ORIGIN + c->path_bytes + 24)};
}

/* Patches of a place of all images, on the rank that compares them, with what compares them (coreset/outlier.h). */
static double place_bytes(const pb_constants *c, double images) {
    return images * floats(c->selection_dim) + images * floats(c->selection_dim + 14) + 2 * floats(images);
}

/* Each rank takes its turn at places; all patches travel to the ranks that compare them, all scores back. */
static void denoise(const pb_constants *c, double images, double ranks, pb_forecast *f) {
    double turns = share_of(c->patches, ranks), pairs = images * images, away = (ranks - 1) / ranks;
    double arriving = (images * c->patches / ranks * floats(c->selection_dim) + floats(c->patches * images)) * away;
    f->denoise_s = turns * pairs / c->compare_pairs_per_s;
    f->processor_s += c->patches * pairs * c->compare_pair_processor_s;
    f->messages_s += (2 * c->patches + turns) * c->latency_s * doublings(ranks) + transfer_s(c, ranks, arriving);
    f->sent_bytes += arriving;
}

/* One selection over all ranks of `picks` patches of so many images, for which `given` rows are centres already: among these each
 * patch is searched for, where of picks that come one by one most pairs are never looked at. The phases are patches waiting to be
 * denoised, moving on, selection; and `last`, but for the points, which stay. */
static void select_greedy(const pb_constants *c, const pb_work *work, double images, double given, double picks, double ranks,
                          phase last, pb_forecast *f) {
    double patches = images * c->patches, mine = share_of(images, ranks), points = mine * c->patches;
    double cover = pb_model_cover_bytes(c, points, given + picks), row = floats(c->selection_dim);
    double waiting = work->denoise ? points * row : 0;
    f->extract_s = extract_s(c, images, ranks);
    f->select_s = select_processor_s(c, points, picks) / c->select_speedup + points * given / c->search_pairs_per_s;
    f->processor_s +=
        ranks * select_processor_s(c, patches / ranks, picks) + patches * given * c->search_pair_processor_s;
    if (work->denoise)
        denoise(c, images, ranks, f);
    last.device += cover;
    const phase phases[] = {{.host = waiting + (work->denoise ? floats(points) + mine * row + place_bytes(c, images) : 0)},
                            {.host = waiting, .device = points * floats(stride_of(c->selection_dim) + 4)},
                            {.device = cover + round_bytes(c, fmin(work->candidates, patches), picks)},
                            last};
    keep_fullest(c, phases, 4, f);
}

/* Parts one after the other, each alone in memory; then a selection among their picks, which have room for twice as many. */
static void select_two_round(const pb_constants *c, const pb_work *work, double ranks, pb_forecast *f) {
    double images = share_of(work->train_images, work->parts), points = images * c->patches;
    double turns = share_of(work->parts, ranks);
    double picks = fmin(f->picks, points), kept = turns * picks, all = work->parts * picks, row = floats(c->selection_dim);
    double last = pb_model_cover_bytes(c, kept, f->picks), held = 2 * kept * (row + 8);
    f->extract_s = turns * images / c->extract_images_per_s;
    f->select_s = (turns * select_processor_s(c, points, picks) + select_processor_s(c, kept, f->picks)) / c->select_speedup;
    f->processor_s +=
        work->parts * select_processor_s(c, points, picks) + ranks * select_processor_s(c, all / ranks, f->picks);
    const phase phases[] = {
        {.host = held, .device = pb_model_cover_bytes(c, points, picks) + round_bytes(c, fmin(work->candidates, points), picks)},
        {.host = held + 8 * (kept + all), .device = last + kept * row + round_bytes(c, fmin(work->candidates, all), f->picks)},
        collecting(c, f->picks, ranks, last)};
    keep_fullest(c, phases, 3, f);
}

/* Rows of a bank of `images`. */
static double rows_of(const pb_constants *c, const pb_work *work, double images) {
    return fmax(1, floor(work->ratio * images * c->patches));
}

/* What every training and every update does for `images` of which `picks` patches become rows, but for selection itself.
 * arriving: bytes of candidates and rows, each of which arrives once at a rank that has not made it. */
static pb_forecast begin(const pb_constants *c, double images, double picks, double ranks) {
    double owners = owners_of(c, images, picks);
    double arriving =
        c->candidates_a_pick * picks * (CANDIDATE + floats(c->selection_dim)) + picks * (floats(c->dim) + ORIGIN);
    pb_forecast f = {.rank_bytes = c->process_bytes, .picks = picks, .rounds = rounds_of(c, picks)};
    f.sent_bytes = arriving / ranks;
    f.collect_s = extract_s(c, owners, ranks);
    f.messages_s = 4 * f.rounds * c->latency_s * doublings(ranks) + transfer_s(c, ranks, arriving * (ranks - 1) / ranks);
    f.processor_s = ranks * c->start_processor_s + (images + owners) * c->extract_processor_s;
    return f;
}

static void add_seconds(const pb_constants *c, pb_forecast *f) {
    f->seconds = c->start_s + f->extract_s + f->denoise_s + f->select_s + f->collect_s + f->messages_s + f->write_s;
}

/* Every rank holds the numbers and radii of all picks. */
pb_forecast pb_model_train(const pb_constants *constants, const pb_work *work, double ranks) {
    const pb_constants *c = constants;
    double picks = rows_of(c, work, work->train_images);
    pb_forecast f = begin(c, work->train_images, picks, ranks);
    f.rank_bytes += PICK * picks; /* numbers and radii of the picks, twice */
    f.write_s = pb_model_bank_bytes(c, work) / c->write_bytes_per_s;
    if (work->parts > 0)
        select_two_round(c, work, ranks, &f);
    else
        select_greedy(c, work, work->train_images, 0, picks, ranks, collecting(c, picks, ranks, 0), &f);
    add_seconds(c, &f);
    return f;
}

pb_forecast pb_model_update(const pb_constants *constants, const pb_work *work, double ranks) {
    const pb_constants *c = constants;
    double old = rows_of(c, work, work->train_images), added = rows_of(c, work, work->update_images);
    double row = floats(c->dim) + BANK_ROW + c->path_bytes;
    pb_forecast f = begin(c, work->update_images, added, ranks);
    f.rank_bytes += old * (row + floats(c->selection_dim)) + PICK * fmin(NEW_ROWS, work->update_images * c->patches);
    f.write_s = pb_model_bank_bytes(c, work) * (old + added) / old / c->write_bytes_per_s;
    phase last = collecting(c, added, ranks, 0);
    last.root += (old + added) * row; /* the bank as it is written, beside the old one */
    select_greedy(c, work, work->update_images, old, added, ranks, last, &f);
    f.picks = old + added;
    add_seconds(c, &f);
    return f;
}

/* Batches are in step, so a rank waits for P - 1 shards in each; the 8 beside them stand for the agreements and gathers of a
 * round. */
pb_forecast pb_model_score(const pb_constants *constants, const pb_work *work, double ranks) {
    const pb_constants *c = constants;
    pb_forecast f = {0};
    double rows = f.picks = rows_of(c, work, work->train_images), row = floats(c->dim);
    double images = share_of(work->test_images, ranks), batches = ceil(images / c->batch);
    double pairs = images * c->patches * rows, shard = share_of(rows, ranks) * row;
    double map = floats(c->patches), returned = images * (map + VERDICT);
    f.extract_s = extract_s(c, work->test_images, ranks);
    f.search_s = pairs / c->search_pairs_per_s;
    f.sent_bytes = batches * (ranks - 1) * shard + returned;
    f.messages_s = batches * (ranks - 1 + 8) * c->latency_s * (ranks > 1) +
                   transfer_s(c, ranks, batches * (ranks - 1) * shard + (ranks - 1) * returned);
    double every_s = c->score_image_processor_s * work->test_images; /* rank 0 writes those of all */
    f.write_s = every_s + pb_model_results_bytes(c, work) / c->write_bytes_per_s;
    f.seconds = c->start_s + f.extract_s + f.search_s + f.messages_s + f.write_s;
    f.processor_s = ranks * c->start_processor_s +
                    work->test_images * (c->extract_processor_s + c->patches * rows * c->search_pair_processor_s) + every_s;
    /* the shard as it came, as points, and two that travel; beside them first the bank's file's, then the filter's */
    double queries = c->batch * c->patches, held = (ranks > 1 ? 4 : 2) * shard;
    double searched = (ranks > 1 ? fmin(c->batch, images) : images) * c->patches * share_of(rows, ranks);
    double filter = filter_bytes(c, share_of(rows, ranks), searched);
    double root = rows * (c->path_bytes + 8) + fmin(work->test_images, ranks * c->batch) * (2 * map + VERDICT) +
                  work->test_images * (RESULT_COLUMNS + c->path_bytes);
    const phase phases[] = {{.host = shard, .device = held, .root = root},
                            {.host = queries * 20, .device = held + filter + queries * 8, .root = root}};
    f.rank_bytes = c->process_bytes + share_of(rows, ranks) * (BANK_ROW + c->path_bytes);
    keep_fullest(c, phases, 2, &f);
    return f;
}

/* --- storage ----------------------------------------------------------------------------------------------------- */

double pb_model_archive_bytes(const pb_constants *constants, const pb_work *work) {
    return (work->train_images + work->test_images) * (constants->image_bytes + constants->path_bytes + 64);
}

double pb_model_bank_bytes(const pb_constants *constants, const pb_work *work) {
    return rows_of(constants, work, work->train_images) * (floats(constants->dim) + ORIGIN + constants->path_bytes);
}

double pb_model_results_bytes(const pb_constants *constants, const pb_work *work) {
    return work->test_images * (floats(constants->patches) + RESULT_COLUMNS + 2 * constants->path_bytes);
}
