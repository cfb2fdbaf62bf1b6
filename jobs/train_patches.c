/* train_patches.c: the projected patches of a stopped extraction: saved by each rank for the images it had, taken up by whichever
 * rank has them in the next run.
 *
 * A file of the state holds the patches of some images, by the images' indices in the archive, so that it fits any number of
 * ranks. An image that is in none of them is extracted (again); also one that was bad, so that its reason is known. Files are
 * named by their first and last image, so a rank opens only those that may concern it. Should two files have the same image, they
 * have the same bits for it (docs/ARCHITECTURE.md, invariant 4), and the first one found serves. Whether a file is of this
 * training is told by its attributes; its rows have checksums, so a damaged one is noticed when it is read. */
#include "jobs/train.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <string.h>

static const char PREFIX[] = "patches";
static const size_t SAVE_BYTES = (size_t)16 << 20; /* read from the cover at a time */

/* --- taking up -------------------------------------------------------------------------------------------------- */

/* Whether it may hold images of this rank, by its name. */
static bool concerns(const pb_training *t, const char *path) {
    const pb_selection *mine = &t->setup.selection;
    return mine->count > 0 && pb_state_range_meets(path, mine->index[0], mine->index[mine->count - 1]);
}

/* Why the patches of a file are not those of this training; "" when they are. Keys must rise: find looks for an image by
 * halving. */
static const char *misfit(const pb_training *t, const pb_rows *rows) {
    size_t count;
    const uint64_t *keys = pb_rows_keys(rows, &count);
    for (size_t i = 1; i < count; i++)
        if (keys[i] <= keys[i - 1])
            return "order of images";
    if (pb_rows_a_key(rows) != pb_training_patches(t) || pb_rows_dim(rows) != pb_projection_dim(t->projection))
        return "shape";
    return pb_run_misfit(pb_rows_attributes(rows), &t->attributes);
}

/* A file that cannot be used is no failure: its images are extracted again. */
static pb_status open_one(void *context, const char *path) {
    pb_training *t = context;
    pb_rows *rows = NULL;
    if (!concerns(t, path))
        return pb_ok();
    pb_status status = pb_rows_open(path, &rows);
    const char *why = pb_failed(&status) ? status.message : misfit(t, rows);
    if (*why) {
        pb_log(PB_LOG_WARN, "checkpoint-ignored", "file=\"%s\" reason=\"%s%s\"", path,
               pb_failed(&status) ? "" : "made with another ", why);
        pb_rows_close(&rows);
        return pb_ok();
    }
    status = pb_resize(&t->saved, t->saved_count, t->saved_count + 1, sizeof *t->saved, "saved patches");
    if (pb_failed(&status))
        pb_rows_close(&rows);
    else
        t->saved[t->saved_count++] = rows;
    return status;
}

pb_status pb_train_patches_open(pb_training *t) { return pb_state_each(&t->run.state, PREFIX, open_one, t); }

void pb_train_patches_close(pb_training *t) {
    for (size_t i = 0; i < t->saved_count; i++)
        pb_rows_close(&t->saved[i]);
    pb_release(&t->saved);
    t->saved_count = 0;
}

/* Where `image` stands among the file's keys, or would: the first key that is not below it. */
static size_t place_of(const uint64_t *keys, size_t count, uint64_t image) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys[middle] < image)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Keys of the file and indices of the selection both rise, so a stretch is as long as they are equal. */
size_t pb_train_patches_find(const pb_training *t, size_t position, size_t most, pb_rows **rows, size_t *place) {
    const uint64_t *index = t->setup.selection.index + position;
    for (size_t f = 0; f < t->saved_count && most > 0; f++) {
        size_t count, found = 0;
        const uint64_t *keys = pb_rows_keys(t->saved[f], &count);
        size_t at = place_of(keys, count, index[0]);
        while (found < most && at + found < count && keys[at + found] == index[found])
            found++;
        if (found > 0) {
            *rows = t->saved[f];
            *place = at;
            return found;
        }
    }
    return 0;
}

/* The last file takes the place of the one that is gone: their order means nothing. */
void pb_train_patches_forget(pb_training *t, pb_rows *rows, const pb_status *why) {
    pb_log(PB_LOG_WARN, "checkpoint-ignored", "reason=\"%s\"", why->message);
    for (size_t f = 0; f < t->saved_count; f++)
        if (t->saved[f] == rows) {
            pb_rows_close(&t->saved[f]);
            t->saved[f] = t->saved[--t->saved_count];
            return;
        }
}

/* --- saving ----------------------------------------------------------------------------------------------------- */

/* Appends the patches of this rank's images first .. end - 1 of t->images, `piece` images at a time, out of the cover through
 * `rows` ([piece][patches][dim], host memory), or out of t->host_rows, where they lie one behind the other already. */
static pb_status append(const pb_training *t, size_t first, size_t end, size_t piece, float *rows, pb_rows_writer *writer) {
    size_t patches = pb_training_patches(t);
    for (size_t at = first; at < end; at += piece) {
        size_t count = end - at < piece ? end - at : piece;
        size_t place = (at - t->cover_begin) * patches;
        if (t->host_rows)
            PB_TRY(
                pb_rows_append(writer, t->images + at, count, t->host_rows + place * (size_t)pb_projection_dim(t->projection)));
        else {
            PB_TRY(pb_device_cover_read(t->setup.device, t->cover, place, count * patches, rows));
            PB_TRY(pb_rows_append(writer, t->images + at, count, rows));
        }
    }
    return pb_ok();
}

/* A piece is 16 MiB or one image: what is saved is not in host memory a second time. The name is that of the first and the last
 * image; between them there may be images that were bad and are not in the file. */
static pb_status write_file(const pb_training *t, size_t first, size_t end) {
    char path[PB_PATH_MAX];
    int dim = pb_projection_dim(t->projection);
    size_t image_bytes = pb_training_patches(t) * (size_t)dim * sizeof(float);
    size_t piece = SAVE_BYTES / image_bytes > 0 ? SAVE_BYTES / image_bytes : 1;
    pb_rows_writer *writer = NULL;
    float *rows = NULL;
    PB_TRY(pb_state_range_path(&t->run.state, PREFIX, t->images[first], t->images[end - 1], path));
    pb_status status = pb_allocate(&rows, piece, image_bytes, "patches to save");
    if (!pb_failed(&status))
        status = pb_rows_create(path, &t->attributes, pb_training_patches(t), dim, &writer);
    if (!pb_failed(&status))
        status = append(t, first, end, piece, rows, writer);
    if (!pb_failed(&status))
        status = pb_rows_commit(&writer);
    pb_rows_abandon(&writer);
    pb_release(&rows);
    return status;
}

/* The time is taken also of a save that failed, so that the next one is no sooner due. */
pb_status pb_train_patches_save(pb_training *t) {
    size_t end = t->image_count, first = t->images_saved;
    if ((!t->cover && !t->host_rows) || first >= end)
        return pb_ok();
    double begun = pb_clock_seconds();
    pb_status status = write_file(t, first, end);
    t->images_saved = end; /* also those that could not be: the next ones may be */
    pb_run_saved(&t->run, begun);
    if (!pb_failed(&status))
        pb_log(PB_LOG_DEBUG, "checkpoint", "images=%zu seconds=%.3f", end - first, pb_clock_seconds() - begun);
    return pb_run_tolerate(status);
}
