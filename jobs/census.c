/* census.c: one reading of all records, then columns of values that are sorted one after the other in the same memory: medians,
 * numbers of groups and classes all come from sorted runs. Cost: a few sorts of the images. The records are sorted, too, so
 * nothing here may depend on their order after count_all. */
#include "jobs/census.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a person reads of it; the JSON has all classes. */
enum { CLASSES_SHOWN = 20 };

static const char *const SPLITS[] = {"train", "test"};
static const char *const LABELS[] = {"unlabelled", "normal", "defective"};

/* Which images, by number, and columns of values to be sorted; each [images]. */
typedef struct columns {
    size_t images;
    pb_record *records;
    uint64_t *values;
} columns;

static int by_value(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Sorts the values. The lower median of an even number, so that it is a value that there is. */
static pb_spread spread_of(uint64_t *values, size_t count) {
    if (count == 0)
        return (pb_spread){0};
    qsort(values, count, sizeof *values, by_value);
    return (pb_spread){values[0], values[(count - 1) / 2], values[count - 1]};
}

static pb_status read_records(pb_archive *archive, columns *c) {
    c->images = (size_t)pb_archive_images(archive);
    PB_TRY(pb_allocate(&c->records, c->images, sizeof *c->records, "records of an archive"));
    PB_TRY(pb_allocate(&c->values, c->images, sizeof *c->values, "records of an archive"));
    for (size_t i = 0; i < c->images; i++)
        PB_TRY(pb_archive_record(archive, i, &c->records[i]));
    return pb_ok();
}

static void count_record(const pb_record *record, pb_tally *tally) {
    tally->images[record->split][record->label + 1]++;
    tally->all++;
    tally->bytes += record->length;
}

static void count_all(const columns *c, pb_census *census) {
    for (size_t i = 0; i < c->images; i++) {
        const pb_record *record = &c->records[i];
        count_record(record, &census->all);
        census->jpeg += record->format == PB_IMAGE_JPEG;
        census->png += record->format == PB_IMAGE_PNG;
        census->grey += record->channels == 1;
        census->rgb += record->channels == 3;
        census->masks += record->mask_length > 0;
        census->mask_bytes += record->mask_length;
    }
}

/* One column after the other in the same memory; spread_of sorts it. */
static void measure(columns *c, pb_census *census) {
    for (size_t i = 0; i < c->images; i++)
        c->values[i] = (uint64_t)c->records[i].width;
    census->width = spread_of(c->values, c->images);
    for (size_t i = 0; i < c->images; i++)
        c->values[i] = (uint64_t)c->records[i].height;
    census->height = spread_of(c->values, c->images);
    for (size_t i = 0; i < c->images; i++)
        c->values[i] = c->records[i].length;
    census->bytes = spread_of(c->values, c->images);
}

static int by_group(const void *a, const void *b) {
    return strcmp(((const pb_record *)a)->group, ((const pb_record *)b)->group);
}

static int by_class(const void *a, const void *b) {
    return strcmp(((const pb_record *)a)->class, ((const pb_record *)b)->class);
}

/* Sorts the records by group and counts runs of equal names; images without a group are none. Reuses c->values for the sizes of
 * the groups, of which there are not more than images. */
static void count_groups(columns *c, pb_census *census) {
    if (c->images > 0)
        qsort(c->records, c->images, sizeof *c->records, by_group);
    for (size_t first = 0, end; first < c->images; first = end) {
        for (end = first + 1; end < c->images && strcmp(c->records[end].group, c->records[first].group) == 0; end++) {
        }
        if (c->records[first].group[0])
            c->values[census->groups++] = end - first;
    }
    census->group_images = spread_of(c->values, (size_t)census->groups);
}

/* Sorts the records by class, which leaves classes in byte order. An unnamed class is one of them. */
static pb_status count_classes(columns *c, pb_census *census) {
    size_t room = 0;
    if (c->images > 0)
        qsort(c->records, c->images, sizeof *c->records, by_class);
    for (size_t i = 0; i < c->images; i++) {
        const char *name = c->records[i].class;
        if (census->class_count == 0 || strcmp(census->classes[census->class_count - 1].name, name) != 0) {
            if (census->class_count == room) {
                PB_TRY(pb_resize(&census->classes, room, 2 * room + 16, sizeof *census->classes, "classes"));
                room = 2 * room + 16;
            }
            census->classes[census->class_count++].name = name;
        }
        count_record(&c->records[i], &census->classes[census->class_count - 1].tally);
    }
    return pb_ok();
}

/* The records go at the end: what stays are numbers, and names that are the archive's. */
pb_status pb_census_take(pb_archive *archive, pb_census *census) {
    columns c = {0};
    *census = (pb_census){0};
    pb_status status = read_records(archive, &c);
    if (!pb_failed(&status)) {
        count_all(&c, census);
        measure(&c, census);
        count_groups(&c, census);
        status = count_classes(&c, census);
    }
    pb_release(&c.records);
    pb_release(&c.values);
    if (pb_failed(&status))
        pb_census_free(census);
    return status;
}

void pb_census_free(pb_census *census) {
    pb_release(&census->classes);
    *census = (pb_census){0};
}

/* --- for people -------------------------------------------------------------------------------------------------- */

static void print_splits(const pb_tally *tally, const char *indent, FILE *out) {
    for (int split = 0; split < 2; split++)
        fprintf(out, "%s%-10s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", indent, SPLITS[split], tally->images[split][1],
                tally->images[split][2], tally->images[split][0]);
}

/* Nothing where no image has a class. */
static void print_classes(const pb_census *census, FILE *out) {
    size_t shown = census->class_count < CLASSES_SHOWN ? census->class_count : CLASSES_SHOWN;
    if (census->class_count == 1 && census->classes[0].name[0] == '\0')
        return;
    for (size_t i = 0; i < shown; i++) {
        const pb_class_tally *class = &census->classes[i];
        fprintf(out, "  class %s: %" PRIu64 " images, %.1f MB\n", *class->name ? class->name : "(unknown)", class->tally.all,
                (double)class->tally.bytes / 1e6);
        print_splits(&class->tally, "    ", out);
    }
    if (shown < census->class_count)
        fprintf(out, "  and %zu classes more (--json has all)\n", census->class_count - shown);
}

void pb_census_print(const pb_census *census, FILE *out) {
    fprintf(out, "  %-10s %10s %10s %10s\n", "split", LABELS[1], LABELS[2], LABELS[0]);
    print_splits(&census->all, "  ", out);
    print_classes(census, out);
    if (census->groups > 0)
        fprintf(out, "  %" PRIu64 " groups of %" PRIu64 " to %" PRIu64 " images, median %" PRIu64 "\n", census->groups,
                census->group_images.least, census->group_images.most, census->group_images.median);
    fprintf(out,
            "  width %" PRIu64 " to %" PRIu64 ", height %" PRIu64 " to %" PRIu64 " pixels; medians %" PRIu64 ", %" PRIu64 "\n",
            census->width.least, census->width.most, census->height.least, census->height.most, census->width.median,
            census->height.median);
    fprintf(out, "  %" PRIu64 " JPEG, %" PRIu64 " PNG; %" PRIu64 " grey, %" PRIu64 " RGB; %" PRIu64 " masks\n", census->jpeg,
            census->png, census->grey, census->rgb, census->masks);
    fprintf(out,
            "  %.1f MB of encoded images, each %" PRIu64 " to %" PRIu64 " bytes, median %" PRIu64 "; %.1f MB of masks\n",
            (double)census->all.bytes / 1e6, census->bytes.least, census->bytes.most, census->bytes.median,
            (double)census->mask_bytes / 1e6);
}

/* --- for machines ------------------------------------------------------------------------------------------------ */

static json_t *labels_to_json(const uint64_t images[3]) {
    return json_pack("{s:I, s:I, s:I}", LABELS[1], (json_int_t)images[1], LABELS[2], (json_int_t)images[2], LABELS[0],
                     (json_int_t)images[0]);
}

static json_t *tally_to_json(const pb_tally *tally) {
    return json_pack("{s:I, s:I, s:o, s:o}", "images", (json_int_t)tally->all, "bytes", (json_int_t)tally->bytes, SPLITS[0],
                     labels_to_json(tally->images[0]), SPLITS[1], labels_to_json(tally->images[1]));
}

static json_t *spread_to_json(pb_spread spread) {
    return json_pack("{s:I, s:I, s:I}", "least", (json_int_t)spread.least, "median", (json_int_t)spread.median, "most",
                     (json_int_t)spread.most);
}

/* Names of classes are UTF-8: lists and shards have nothing else. */
static json_t *classes_to_json(const pb_census *census) {
    json_t *classes = json_object();
    for (size_t i = 0; i < census->class_count; i++)
        if (json_object_set_new(classes, census->classes[i].name, tally_to_json(&census->classes[i].tally)) != 0) {
            json_decref(classes);
            return NULL;
        }
    return classes;
}

json_t *pb_census_to_json(const pb_census *census) {
    return json_pack("{s:o, s:o, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "all", tally_to_json(&census->all),
                     "classes", classes_to_json(census), "groups", (json_int_t)census->groups, "group_images",
                     spread_to_json(census->group_images), "jpeg", (json_int_t)census->jpeg, "png", (json_int_t)census->png,
                     "grey", (json_int_t)census->grey, "rgb", (json_int_t)census->rgb, "masks", (json_int_t)census->masks,
                     "mask_bytes", (json_int_t)census->mask_bytes, "width", spread_to_json(census->width), "height",
                     spread_to_json(census->height), "image_bytes", spread_to_json(census->bytes));
}
