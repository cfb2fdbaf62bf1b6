/* Checks io/archive_resume.c: a shard that an earlier run left is kept when, and only when, packing would write it again. */
#include "io/file.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHARD_IMAGES = 100 };

static sample made;
static char folder[2 * ORACLE_PATH], path[3 * ORACLE_PATH];
static pb_shard_summary packed;
static sample_report rejected;

static void pack(void) {
    memset(&rejected, 0, sizeof rejected);
    sample_assert_ok(pb_shard_write(folder, 3, &made.list, 0, SHARD_IMAGES, sample_reported, &rejected, &packed));
}

static void make_shard(void) {
    sample_make(&made, "");
    snprintf(folder, sizeof folder, "%s/a", made.folder);
    snprintf(path, sizeof path, "%s/shard-00003.h5", folder);
    sample_assert_ok(pb_folder_create(folder));
    pack();
}

static void remove_shard(void) {
    trouble_arm("");
    sample_remove(&made);
}

TestSuite(archive_resume, .init = make_shard, .fini = remove_shard);

/* Whether it is kept; then its summary and what is told of bad images are those of packing, but perhaps for the SHA-256, which
 * is in *sha256 (NULL: that, too). */
static bool is_kept_as(const pb_list *list, char *sha256) {
    pb_shard_summary summary = {0};
    sample_report again = {0};
    bool kept;
    sample_assert_ok(pb_shard_resume(folder, 3, list, 0, SHARD_IMAGES, sample_reported, &again, &summary, &kept));
    if (!kept) {
        cr_assert_eq(again.count, 0, "%s", again.text);
        return false;
    }
    cr_assert_str_eq(again.text, rejected.text);
    cr_assert_str_eq(summary.file, packed.file);
    if (sha256)
        strcpy(sha256, summary.sha256);
    else
        cr_assert_str_eq(summary.sha256, packed.sha256);
    cr_assert(summary.images == packed.images && summary.bytes == packed.bytes && summary.train == packed.train &&
              summary.defective == packed.defective);
    return true;
}

static bool is_kept(const pb_list *list) { return is_kept_as(list, NULL); }

Test(archive_resume, what_was_packed_is_kept) {
    cr_assert(is_kept(&made.list));
    cr_assert_eq(unlink(path), 0);
    cr_assert(!is_kept(&made.list));
}

/* But for bytes of the file that mean nothing: HDF5 leaves some unused. */
Test(archive_resume, damage_is_not_kept, .timeout = 60) {
    size_t size;
    int unnoticed = 0;
    uint8_t *bytes = oracle_read(path, &size);
    for (size_t at = 5; at < size; at += size / 97) {
        char sha256[PB_SHA256_TEXT], real[PB_SHA256_TEXT];
        bytes[at] ^= 0x10;
        oracle_write(path, bytes, size);
        bytes[at] ^= 0x10;
        if (!is_kept_as(&made.list, sha256))
            continue;
        sample_assert_ok(pb_sha256_file(path, real));
        cr_assert_str_eq(sha256, real);
        unnoticed++;
    }
    cr_assert_leq(unnoticed, 97 / 4, "%d", unnoticed);
    oracle_write(path, bytes, size - 1);
    cr_assert(!is_kept(&made.list));
    oracle_write(path, bytes, size);
    cr_assert(is_kept(&made.list));
    free(bytes);
}

/* Each of these lists says another thing of one image. */
Test(archive_resume, another_list_is_noticed) {
    for (int what = 0; what < 8; what++) {
        pb_list_item *item = &made.list.items[1], was = *item;
        switch (what) {
        case 0:
            item->path = "a/other.png";
            break;
        case 1:
            item->class = "screw";
            break;
        case 2:
            item->group = "m9";
            break;
        case 3:
            item->split = item->split == PB_SPLIT_TRAIN ? PB_SPLIT_TEST : PB_SPLIT_TRAIN;
            break;
        case 4:
            item->label = PB_LABEL_UNKNOWN;
            break;
        case 5:
            item->mask = "";
            break;
        case 6:
            item->index = 77;
            break;
        default:
            made.list.count--; /* the last, which is in the shard */
        }
        cr_assert(!is_kept(&made.list), "%d", what);
        made.list.count += what > 6;
        *item = was;
        cr_assert(is_kept(&made.list), "%d", what);
    }
}

/* An image that was bad and is not any more belongs into the shard. */
Test(archive_resume, an_image_that_has_become_good) {
    char from[3 * ORACLE_PATH], to[3 * ORACLE_PATH];
    size_t size;
    snprintf(from, sizeof from, "%s/images/a/grey.png", made.folder);
    snprintf(to, sizeof to, "%s/images/bad/missing.png", made.folder);
    uint8_t *bytes = oracle_read(from, &size);
    oracle_write(to, bytes, size);
    free(bytes);
    cr_assert(!is_kept(&made.list));
    pack();
    cr_assert(is_kept(&made.list));
}

Test(archive_resume, a_failing_machine_is_told) {
    pb_shard_summary summary;
    sample_report again = {0};
    bool kept;
    trouble_arm("base.allocate");
    sample_assert_failed(pb_shard_resume(folder, 3, &made.list, 0, SHARD_IMAGES, sample_reported, &again, &summary, &kept),
                         PB_E_SYSTEM, "out of memory");
    cr_assert(!kept);
}
