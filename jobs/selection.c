/* selection.c: positions and indices. The images of a split have positions 0, 1, ... in the order of the archive; ranks get
 * ranges of positions. How many of them a shard has is in the manifest, so a rank opens only the shards that its range meets. */
#include "jobs/selection.h"

#include "base/memory.h"
#include "mpi/partition.h"

static const char *const WHICH_NAMES[] = {"train", "test", "all"};

pb_which pb_which_of(const char *name) {
    return name[0] == 'a' ? PB_WHICH_ALL : name[1] == 'r' ? PB_WHICH_TRAIN : PB_WHICH_TEST;
}

/* By the manifest alone. */
static uint64_t selected_in_shard(const pb_shard_summary *shard, pb_which which) {
    switch (which) {
    case PB_WHICH_TRAIN:
        return shard->train;
    case PB_WHICH_TEST:
        return shard->images - shard->train;
    case PB_WHICH_ALL:
        break;
    }
    return shard->images;
}

static bool is_selected(const pb_record *record, pb_which which) {
    return which == PB_WHICH_ALL || (record->split == PB_SPLIT_TRAIN) == (which == PB_WHICH_TRAIN);
}

/* Adds the selected images of one shard whose position lies in [range.first, range.end). first_image, first_position: of the
 * shard. */
static pb_status add_shard(pb_archive *archive, size_t shard, pb_which which, pb_range range, uint64_t first_image,
                           uint64_t first_position, pb_selection *selection) {
    uint64_t position = first_position, images = pb_archive_shard(archive, shard)->images;
    for (uint64_t i = 0; i < images && position < range.end; i++) {
        pb_record record;
        PB_TRY(pb_archive_record(archive, first_image + i, &record));
        if (!is_selected(&record, which))
            continue;
        /* The second condition holds for columns that agree with the manifest; with others the list must not be overrun. */
        if (position >= range.first && selection->count < pb_range_size(range))
            selection->index[selection->count++] = first_image + i;
        position++;
    }
    return pb_ok();
}

/* A manifest that counts other numbers than the columns have is damage, found by whoever comes short of images. */
static pb_status fill(pb_archive *archive, pb_which which, pb_range range, pb_selection *selection) {
    uint64_t image = 0, position = 0;
    for (size_t shard = 0; shard < pb_archive_shards(archive); shard++) {
        const pb_shard_summary *summary = pb_archive_shard(archive, shard);
        uint64_t here = selected_in_shard(summary, which);
        if (position < range.end && position + here > range.first)
            PB_TRY(add_shard(archive, shard, which, range, image, position, selection));
        image += summary->images;
        position += here;
    }
    if (selection->count != pb_range_size(range))
        return pb_fail(PB_E_INPUT, "the shards hold fewer %s images than the manifest says; run patchbank verify",
                       WHICH_NAMES[which]);
    return pb_ok();
}

/* A rank's parts follow each other, so its images are a range, whichever way they are divided. */
static pb_range range_of(uint64_t total, int parts, int ranks, int rank) {
    if (parts == 0)
        return pb_partition(total, ranks, rank);
    pb_range mine = pb_partition((uint64_t)parts, ranks, rank);
    if (mine.first == mine.end)
        return (pb_range){0, 0};
    return (pb_range){pb_partition(total, parts, (int)mine.first).first, pb_partition(total, parts, (int)mine.end - 1).end};
}

/* Images of the first `shards` shards. Every rank counts by itself: the manifest is in memory. */
static uint64_t selected_in_shards(pb_archive *archive, pb_which which, size_t shards) {
    uint64_t selected = 0;
    for (size_t shard = 0; shard < shards; shard++)
        selected += selected_in_shard(pb_archive_shard(archive, shard), which);
    return selected;
}

/* This rank's images: a range of those that stand behind the first `before`. On error nothing is left. */
static pb_status take_range(pb_archive *archive, pb_which which, uint64_t before, pb_range range, pb_selection *selection) {
    selection->first = range.first;
    PB_TRY(pb_allocate(&selection->index, pb_range_size(range), sizeof *selection->index, "image indices"));
    pb_status status = fill(archive, which, (pb_range){before + range.first, before + range.end}, selection);
    if (pb_failed(&status))
        pb_selection_free(selection);
    return status;
}

pb_status pb_selection_make(pb_archive *archive, pb_which which, int parts, int ranks, int rank, pb_selection *selection) {
    *selection = (pb_selection){.total = selected_in_shards(archive, which, pb_archive_shards(archive))};
    if (selection->total == 0)
        return pb_fail(PB_E_INPUT, "no %s images; the archive's list says which images train and which test",
                       WHICH_NAMES[which]);
    return take_range(archive, which, 0, range_of(selection->total, parts, ranks, rank), selection);
}

/* What is new in an archive that has grown stands at its end: left where it was it would all be the last ranks' work. */
pb_status pb_selection_behind(pb_archive *archive, pb_which which, size_t shards, int ranks, int rank, pb_selection *selection) {
    const uint64_t before = selected_in_shards(archive, which, shards), total = selection->total - before;
    pb_selection_free(selection);
    selection->total = total;
    return take_range(archive, which, before, pb_partition(total, ranks, rank), selection);
}

void pb_selection_free(pb_selection *selection) {
    pb_release(&selection->index);
    *selection = (pb_selection){0};
}
