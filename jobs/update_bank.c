/* update_bank.c: the new bank: rows that stay and rows that are new, the radii that are known of it, and attributes brought up to
 * date.
 *
 * What is known of the radius: patches of the old images are within `held` of rows that stay, patches of the new images within
 * the radius that selection ended with. Where all images were gone through (u->whole), that one is about all patches. Else the
 * larger of both is a bound; exact only where some patch is known to be as far away (is_exact). */
#include "jobs/update.h"

#include "base/log.h"
#include "base/memory.h"
#include "jobs/provenance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Covering radius of the new patches by the first `added` new rows and the old ones. */
static float new_radius(const pb_update *u, size_t added) {
    return added > 0 ? u->training.coreset.radius[added - 1] : u->given_radius;
}

/* That of all patches: what was held before is held still. */
static float radius_after(const pb_update *u, size_t added) {
    return u->whole ? new_radius(u, added) : fmaxf(u->held, new_radius(u, added));
}

/* Whether it is one that some patch has. New rows may have made the old patches' smaller, by how much nobody has measured. */
static bool is_exact(const pb_update *u, size_t added) {
    return u->whole || new_radius(u, added) >= u->held || (u->held_exactly && added == 0);
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* Copies all rows of `from` to the rows of `to` from `first` on. archive: -1: as they are; else their archive. Radii are
 * set_radii's. */
static pb_status copy_rows(const pb_bank *from, int64_t archive, pb_bank *to, size_t first) {
    size_t dim = (size_t)to->dim;
    for (size_t i = 0, row = first; i < from->rows; i++, row++) {
        memcpy(to->features + row * dim, from->features + i * dim, dim * sizeof *to->features);
        to->image[row] = from->image[i];
        to->archive[row] = archive < 0 ? from->archive[i] : (uint32_t)archive;
        to->patch_row[row] = from->patch_row[i];
        to->patch_column[row] = from->patch_column[i];
        PB_TRY(pb_bank_set_path(to, row, from->paths[i]));
    }
    return pb_ok();
}

/* Of prefixes of the old rows nobody knows how well they cover the new patches, so they get -1, not known; from all old rows on
 * it is known. */
static void set_radii(const pb_update *u, pb_bank *to) {
    size_t kept = u->bank.rows;
    for (size_t row = 0; row < to->rows; row++)
        to->covering_radius[row] = row + 1 < kept ? -1 : radius_after(u, row + 1 - kept);
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

/* Adds `more` to a count, 0 in a bank that has none. */
static pb_status add_count(const pb_update *u, const char *name, uint64_t more, pb_attributes *attributes) {
    uint64_t count = 0;
    if (pb_attributes_get(attributes, name))
        PB_TRY(pb_attributes_get_u64(attributes, u->choice->job.options->bank, name, 0, UINT64_MAX - more, &count));
    return pb_attributes_set_u64(attributes, name, count + more);
}

/* `text` behind what is there, unless it is there. */
static pb_status append_text(const char *name, const char *separator, const char *text, pb_attributes *attributes) {
    const char *before = pb_attributes_get(attributes, name);
    if (!before || strstr(before, text))
        return before ? pb_ok() : pb_attributes_set(attributes, name, text);
    size_t size = strlen(before) + strlen(separator) + strlen(text) + 1;
    char *both;
    PB_TRY(pb_allocate(&both, size, 1, "an attribute"));
    snprintf(both, size, "%s%s%s", before, separator, text);
    pb_status status = pb_attributes_set(attributes, name, both);
    pb_release(&both);
    return status;
}

/* What the bank was made from, all in all. Images of an archive that it has already are not counted again. */
static pb_status describe_images(const pb_update *u, pb_attributes *attributes) {
    const pb_training *t = &u->training;
    const bool again = u->archive >= 0;
    PB_TRY(append_text("archive_sha256", ",", pb_archive_sha256(t->setup.archive), attributes));
    PB_TRY(append_text("arithmetic", "; ", pb_device_arithmetic(t->setup.device), attributes));
    PB_TRY(add_count(u, "training_images", again ? 0 : t->total_images, attributes));
    PB_TRY(add_count(u, "training_patches", again ? 0 : t->total_patches, attributes));
    return add_count(u, "training_images_defective", again ? 0 : t->defective, attributes);
}

/* Rows keep their distance from each other: of the old ones twice the stored bound is known (2 q), every new one was farther than
 * the radius r at the end from all before it, and a patch at r is left. So rows + 1 patches are min(2 q, r) or more apart, and no
 * choice of as many rows covers them within half of that (Gonzalez 1985). Without new patches the bound stays, unless the patch
 * that was left may be of a forgotten image: then it is 0. */
static pb_status describe_radius(const pb_update *u, size_t added, pb_attributes *attributes) {
    const char *name = "optimal_radius_at_least", *before = pb_attributes_get(attributes, name);
    double radius = (double)radius_after(u, added), half = (double)new_radius(u, added) / 2;
    if (before && (u->training.total_patches > 0 || u->forget.count > 0))
        PB_TRY(pb_attributes_set_real(attributes, name, fmin(pb_option_number(before), half)));
    PB_TRY(pb_attributes_set_real(attributes, "covering_radius", radius));
    return pb_attributes_set(attributes, "covering_radius_kind", is_exact(u, added) ? "exact" : "bound");
}

/* Patches of the training images that the radius is not about. With all images at hand these are the ones of this update. */
static pb_status describe_left_out(const pb_update *u, pb_attributes *attributes) {
    uint64_t now = u->images_left_out * pb_training_patches(&u->training) + u->training.left_out;
    if (u->whole)
        return pb_attributes_set_u64(attributes, "left_out_patches", now);
    return add_count(u, "left_out_patches", now, attributes);
}

/* The old bank's attributes, brought up to date: how features are made stays, what made them is this job beside the earlier
 * ones. */
static pb_status describe(const pb_update *u, size_t added, pb_attributes *attributes) {
    PB_TRY(pb_attributes_add(attributes, &u->bank.attributes));
    PB_TRY(pb_provenance(u->training.job, attributes));
    PB_TRY(describe_images(u, attributes));
    PB_TRY(describe_radius(u, added, attributes));
    PB_TRY(describe_left_out(u, attributes));
    PB_TRY(pb_attributes_set_real(attributes, PB_UPDATE_AIM, (double)u->enough));
    PB_TRY(add_count(u, "updates", 1, attributes));
    PB_TRY(add_count(u, "rows_forgotten", u->rows_forgotten, attributes));
    return pb_attributes_set_u64(attributes, "rows_added", added);
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

/* On rank 0. Rows of an archive that the bank has already get its number; a new one is numbered after those that are there. */
static pb_status write_both(const pb_update *u, const pb_bank *added) {
    const char *path = u->training.job->options->bank_out;
    int64_t archive = u->archive >= 0 ? u->archive : (int64_t)pb_bank_archives(&u->bank.attributes);
    pb_bank both;
    PB_TRY(pb_bank_allocate(&both, u->bank.rows + added->rows, u->bank.dim));
    pb_status status = copy_rows(&u->bank, -1, &both, 0);
    if (!pb_failed(&status))
        status = copy_rows(added, archive, &both, u->bank.rows);
    if (!pb_failed(&status)) {
        set_radii(u, &both);
        status = describe(u, added->rows, &both.attributes);
    }
    if (!pb_failed(&status))
        status = pb_bank_write(path, &both);
    if (!pb_failed(&status))
        pb_log(PB_LOG_INFO, "bank", "file=\"%s\" rows=%zu dim=%d covering_radius=%.6g kind=%s", path, both.rows, both.dim,
               (double)radius_after(u, added->rows), is_exact(u, added->rows) ? "exact" : "bound");
    pb_bank_free(&both);
    return status;
}

/* A bank without new rows is written, too: it may have lost some, and says that the archive was gone through. */
pb_status pb_update_write(pb_update *u) {
    pb_comm *comm = u->training.job->comm;
    pb_bank added = {0};
    pb_status status = u->training.coreset.count > 0 ? pb_train_collect(&u->training, &added) : pb_ok(); /* as on every rank */
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = write_both(u, &added);
    pb_bank_free(&added);
    return pb_agree(comm, status);
}
