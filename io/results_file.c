/* results_file.c: results.h5 and scores.csv of a score job, and reading them for eval.
 *
 * The maps are nearly all of the bytes, and go to the file as they come, in blocks of images in any order: their dataset is
 * contiguous and its place in the file is fixed at the beginning (pb_h5_reserve), so the order does not show in the bytes. All
 * else is small, waits in memory, and is written at the end in the order of the images, with checksums. Since a contiguous
 * dataset has none of HDF5's, each map has a CRC32C.
 *
 * The two files are published as a pair: results.h5 is the marker, and wherever it is, scores.csv beside it is of the same run.
 *
 * An image that could not be read is there, without a score (invariant 7): nearest is PB_RESULT_UNSCORED, the numbers are NaN.
 */
#include "io/results_file.h"

#include "base/fault.h"
#include "base/memory.h"
#include "io/csv_field.h"
#include "io/file.h"
#include "io/h5.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char RESULTS_FORMAT[] = "patchbank-results";
/* The version; the most rows or columns of a grid, beyond which a file can only be damaged. */
enum { RESULTS_VERSION = 1, GRID_MAX = 1 << 14 };

/* Strings of the images of one written block, end to end; they live until the file is published. One allocation a block, not
 * three an image. */
typedef struct text_block {
    struct text_block *next;
    char texts[];
} text_block;

/* Results under construction. The maps go to the file as they come; all else is small and waits here, so that it can be written
 * in image order, with checksums, and read for the CSV: about 80 bytes an image and its texts. */
struct pb_results_writer {
    pb_output output;
    pb_h5 h5;
    uint64_t images;
    pb_size grid;
    bool *written; /* [images], as all arrays here */
    uint64_t *archive_index;
    float *score;
    double (*brightness)[PB_BRIGHTNESS_STATS];
    uint32_t *patch, *nearest, *map_crc32c;
    uint8_t *split;
    int8_t *label;
    char **path, **class, **group; /* into texts */
    text_block *texts;
};

/* The columns that are described more than once; 0 images while the number is not yet known. */
static pb_h5_column map_column(uint64_t images, pb_size grid) {
    uint64_t height = (uint64_t)grid.height, width = (uint64_t)grid.width;
    return (pb_h5_column){.name = "map", .type = PB_H5_F32, .rank = 3, .size = {images, height, width}};
}

static pb_h5_column brightness_column(uint64_t images) {
    return pb_h5_matrix("brightness", PB_H5_F64, images, PB_BRIGHTNESS_STATS);
}

/* --- creating and giving up ------------------------------------------------------------------------------------- */

static pb_status allocate_numbers(pb_results_writer *writer) {
    size_t images = writer->images;
    PB_TRY(pb_allocate(&writer->written, images, sizeof *writer->written, "results"));
    PB_TRY(pb_allocate(&writer->archive_index, images, sizeof *writer->archive_index, "results"));
    PB_TRY(pb_allocate(&writer->score, images, sizeof *writer->score, "results"));
    PB_TRY(pb_allocate(&writer->brightness, images, sizeof *writer->brightness, "results"));
    PB_TRY(pb_allocate(&writer->patch, images, sizeof *writer->patch, "results"));
    PB_TRY(pb_allocate(&writer->nearest, images, sizeof *writer->nearest, "results"));
    PB_TRY(pb_allocate(&writer->map_crc32c, images, sizeof *writer->map_crc32c, "results"));
    PB_TRY(pb_allocate(&writer->split, images, sizeof *writer->split, "results"));
    return pb_allocate(&writer->label, images, sizeof *writer->label, "results");
}

/* Memory for all images first, then the file, in which the maps get their place. */
static pb_status begin_file(pb_results_writer *writer, const char *path, const pb_attributes *attributes) {
    size_t images = writer->images;
    pb_h5_column map = map_column(images, writer->grid);
    PB_TRY(allocate_numbers(writer));
    PB_TRY(pb_allocate(&writer->path, images, sizeof *writer->path, "results"));
    PB_TRY(pb_allocate(&writer->class, images, sizeof *writer->class, "results"));
    PB_TRY(pb_allocate(&writer->group, images, sizeof *writer->group, "results"));
    PB_TRY(pb_output_begin(&writer->output, path));
    PB_TRY(pb_h5_create(&writer->h5, &writer->output));
    PB_TRY(pb_h5_write_header(&writer->h5, RESULTS_FORMAT, RESULTS_VERSION, attributes));
    return pb_h5_reserve(&writer->h5, &map);
}

/* After a failure the writer is abandoned, and the file with it. */
pb_status pb_results_create(const char *path, uint64_t images, pb_size grid, const pb_attributes *attributes,
                            pb_results_writer **writer_out) {
    PB_ASSERT(grid.width > 0 && grid.width <= GRID_MAX && grid.height > 0 && grid.height <= GRID_MAX);
    PB_TRY(pb_allocate(writer_out, 1, sizeof **writer_out, "results"));
    (*writer_out)->images = images;
    (*writer_out)->grid = grid;
    pb_status status = begin_file(*writer_out, path, attributes);
    if (pb_failed(&status))
        pb_results_abandon(writer_out);
    return status;
}

static void free_arrays(pb_results_writer *writer) {
    pb_release(&writer->written);
    pb_release(&writer->archive_index);
    pb_release(&writer->score);
    pb_release(&writer->brightness);
    pb_release(&writer->patch);
    pb_release(&writer->nearest);
    pb_release(&writer->map_crc32c);
    pb_release(&writer->split);
    pb_release(&writer->label);
    pb_release(&writer->path);
    pb_release(&writer->class);
    pb_release(&writer->group);
}

/* After publishing too: then there is no file to remove. */
void pb_results_abandon(pb_results_writer **writer_inout) {
    pb_results_writer *writer = *writer_inout;
    if (!writer)
        return;
    pb_status ignored = pb_h5_close(&writer->h5); /* open only where the file is not wanted */
    (void)ignored;
    pb_output_abandon(&writer->output);
    free_arrays(writer);
    while (writer->texts) {
        text_block *next = writer->texts->next;
        pb_release(&writer->texts);
        writer->texts = next;
    }
    pb_release(writer_inout);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* Copies a text to *end and moves that behind it. */
static char *put_text(char **end, const char *text) {
    char *copy = *end;
    size_t size = strlen(text) + 1;
    memcpy(copy, text, size);
    *end += size;
    return copy;
}

/* Copies the texts of a block's records, which are the archive's and may go when it is closed. */
static pb_status keep_texts(pb_results_writer *writer, uint64_t first, size_t count, const pb_record *records) {
    size_t bytes = 0;
    text_block *block;
    for (size_t i = 0; i < count; i++)
        bytes += strlen(records[i].path) + strlen(records[i].class) + strlen(records[i].group) + 3;
    PB_TRY(pb_allocate(&block, sizeof *block + bytes, 1, "texts of results"));
    block->next = writer->texts;
    writer->texts = block;
    char *end = block->texts;
    for (size_t i = 0; i < count; i++) {
        writer->path[first + i] = put_text(&end, records[i].path);
        writer->class[first + i] = put_text(&end, records[i].class);
        writer->group[first + i] = put_text(&end, records[i].group);
    }
    return pb_ok();
}

/* Each image exactly once (asserted): a second block for it would change what the file says without a trace. */
static void keep_numbers(pb_results_writer *writer, uint64_t first, const pb_result_block *block, const uint64_t *archive_index,
                         const pb_record *records) {
    size_t patches = pb_size_area(writer->grid);
    for (size_t i = 0; i < block->count; i++) {
        uint64_t at = first + i;
        PB_ASSERT(!writer->written[at] && block->patch[i] < patches);
        PB_ASSERT(records[i].label >= PB_LABEL_UNKNOWN && records[i].label <= PB_LABEL_DEFECTIVE);
        writer->written[at] = true;
        writer->archive_index[at] = archive_index[i];
        writer->score[at] = block->score[i];
        memcpy(writer->brightness[at], block->brightness[i], sizeof writer->brightness[at]);
        writer->patch[at] = block->patch[i];
        writer->nearest[at] = block->nearest[i];
        writer->map_crc32c[at] = pb_crc32c(block->map + i * patches, patches * sizeof *block->map);
        writer->split[at] = (uint8_t)records[i].split;
        writer->label[at] = (int8_t)records[i].label;
    }
}

/* An error leaves numbers noted whose map is not in the file: only pb_results_abandon may follow. */
pb_status pb_results_write(pb_results_writer *writer, uint64_t first, const pb_result_block *block,
                           const uint64_t *archive_index, const pb_record *records) {
    PB_ASSERT(first <= writer->images && block->count <= writer->images - first);
    pb_h5_column map = map_column(writer->images, writer->grid);
    keep_numbers(writer, first, block, archive_index, records);
    PB_TRY(keep_texts(writer, first, block->count, records));
    return pb_h5_write_items(&writer->h5, &map, first, block->count, block->map);
}

/* --- scores.csv ------------------------------------------------------------------------------------------------- */

/* One line. 9 digits are every bit of a float. Of an image without a score everything after the label is empty. */
static void put_row(FILE *csv, const pb_results_writer *writer, uint64_t i, const char *nearest_path) {
    static const char *const LABELS[] = {"", "0", "1"}; /* unknown, normal, defective */
    uint32_t columns = (uint32_t)writer->grid.width;
    pb_csv_put_field(csv, writer->path[i]);
    fputs(writer->split[i] == PB_SPLIT_TRAIN ? ",train," : ",test,", csv);
    pb_csv_put_field(csv, writer->class[i]);
    fputc(',', csv);
    pb_csv_put_field(csv, writer->group[i]);
    fprintf(csv, ",%s,", LABELS[writer->label[i] - PB_LABEL_UNKNOWN]);
    if (writer->nearest[i] == PB_RESULT_UNSCORED) {
        fputs(",,,,\r\n", csv);
        return;
    }
    fprintf(csv, "%.9g,%u,%u,%u,", (double)writer->score[i], writer->patch[i] / columns, writer->patch[i] % columns,
            writer->nearest[i]);
    pb_csv_put_field(csv, nearest_path);
    fputs("\r\n", csv);
}

/* Header and lines; looks at the stream after each, so that a full disk ends it early. A line is short, so the fault point is one
 * a line. */
static pb_status put_rows(FILE *csv, const char *shown, const pb_results_writer *writer, char *const *bank_paths,
                          size_t bank_rows) {
    fputs("path,split,class,group,label,score,patch_row,patch_column,nearest_row,nearest_path\r\n", csv);
    for (uint64_t i = 0; i < writer->images; i++) {
        bool scored = writer->nearest[i] != PB_RESULT_UNSCORED;
        PB_ASSERT(!scored || writer->nearest[i] < bank_rows);
        const char *nearest_path = scored ? bank_paths[writer->nearest[i]] : NULL;
        put_row(csv, writer, i, nearest_path ? nearest_path : "");
        if (pb_fault("io.write"))
            return pb_fail_errno(ENOSPC, shown, "cannot write");
        if (ferror(csv))
            return pb_fail_errno(errno, shown, "cannot write");
    }
    return pb_ok();
}

/* By stdio into the temporary file that pb_output_begin has made. fclose writes what is buffered, so its failure counts. */
static pb_status write_csv(const pb_output *output, const pb_results_writer *writer, char *const *bank_paths, size_t bank_rows) {
    FILE *csv = fopen(output->temporary, "w");
    if (!csv)
        return pb_fail_errno(errno, output->final, "cannot open for writing");
    pb_status status = put_rows(csv, output->final, writer, bank_paths, bank_rows);
    int result = fclose(csv);
    if (pb_fault("io.close"))
        result = -1, errno = ENOSPC;
    if (result != 0)
        pb_keep_first(&status, pb_fail_errno(errno, output->final, "cannot write"));
    return status;
}

/* --- publishing ------------------------------------------------------------------------------------------------- */

/* In this order, which is that of the file. */
static pb_status write_columns(pb_results_writer *writer) {
    const struct {
        const char *name;
        pb_h5_type type;
        const void *values;
    } columns[] = {
        {"archive_index", PB_H5_U64, writer->archive_index}, {"score", PB_H5_F32, writer->score},
        {"patch", PB_H5_U32, writer->patch},                 {"nearest", PB_H5_U32, writer->nearest},
        {"map_crc32c", PB_H5_U32, writer->map_crc32c},
        {"split", PB_H5_U8, writer->split},                  {"label", PB_H5_I8, writer->label},
    };
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        pb_h5_column column = pb_h5_vector(columns[i].name, columns[i].type, writer->images);
        PB_TRY(pb_h5_write(&writer->h5, &column, columns[i].values));
    }
    pb_h5_column brightness = brightness_column(writer->images);
    PB_TRY(pb_h5_write(&writer->h5, &brightness, writer->brightness));
    PB_TRY(pb_h5_write_strings(&writer->h5, "path", writer->path, writer->images));
    PB_TRY(pb_h5_write_strings(&writer->h5, "class", writer->class, writer->images));
    return pb_h5_write_strings(&writer->h5, "group", writer->group, writer->images);
}

/* Closed before it is renamed: HDF5 writes until then. */
static pb_status publish(pb_results_writer *writer, pb_output *csv, const char *csv_path, char *const *bank_paths,
                         size_t bank_rows) {
    PB_TRY(write_columns(writer));
    PB_TRY(pb_h5_close(&writer->h5));
    if (!csv_path)
        return pb_output_commit(&writer->output);
    PB_TRY(pb_output_begin(csv, csv_path));
    PB_TRY(write_csv(csv, writer, bank_paths, bank_rows));
    return pb_output_commit_pair(&writer->output, csv);
}

/* An image that nobody has written is a defect of the job, whatever else happened. */
pb_status pb_results_publish(pb_results_writer **writer, const char *csv_path, char *const *bank_paths, size_t bank_rows) {
    for (uint64_t i = 0; i < (*writer)->images; i++)
        PB_ASSERT((*writer)->written[i]);
    pb_output csv = {0}; /* nothing to abandon unless publish begins it */
    pb_status status = publish(*writer, &csv, csv_path, bank_paths, bank_rows);
    pb_output_abandon(&csv);
    pb_results_abandon(writer);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Scores and maps must agree on the images; every other column is compared with that number when it is read. */
static pb_status read_sizes(const pb_h5 *h5, pb_results *results) {
    pb_h5_column score = pb_h5_vector("score", PB_H5_F32, 0), map = map_column(0, (pb_size){0, 0});
    PB_TRY(pb_h5_examine(h5, &score));
    PB_TRY(pb_h5_examine(h5, &map));
    bool sound = map.size[1] >= 1 && map.size[1] <= GRID_MAX && map.size[2] >= 1 && map.size[2] <= GRID_MAX;
    if (map.size[0] != score.size[0] || !sound)
        return pb_fail(PB_E_INPUT, "%s: %ju scores, but maps of %ju x %ju x %ju", h5->name, (uintmax_t)score.size[0],
                       (uintmax_t)map.size[0], (uintmax_t)map.size[1], (uintmax_t)map.size[2]);
    results->images = score.size[0];
    results->grid = (pb_size){.width = (int)map.size[2], .height = (int)map.size[1]};
    return pb_ok();
}

/* All columns that eval needs; the maps are read by pb_results_maps_read, a stretch at a time. */
static pb_status read_numbers(const pb_h5 *h5, pb_results *results) {
    pb_h5_column score = pb_h5_vector("score", PB_H5_F32, results->images);
    pb_h5_column brightness = brightness_column(results->images);
    pb_h5_column nearest = pb_h5_vector("nearest", PB_H5_U32, results->images);
    pb_h5_column label = pb_h5_vector("label", PB_H5_I8, results->images);
    pb_h5_column index = pb_h5_vector("archive_index", PB_H5_U64, results->images);
    PB_TRY(pb_allocate(&results->score, results->images, sizeof *results->score, "scores"));
    PB_TRY(pb_allocate(&results->brightness, results->images, sizeof *results->brightness, "brightness"));
    PB_TRY(pb_allocate(&results->nearest, results->images, sizeof *results->nearest, "nearest rows"));
    PB_TRY(pb_allocate(&results->label, results->images, sizeof *results->label, "labels"));
    PB_TRY(pb_allocate(&results->archive_index, results->images, sizeof *results->archive_index, "indices of images"));
    PB_TRY(pb_h5_read(h5, &score, results->score));
    PB_TRY(pb_h5_read(h5, &index, results->archive_index));
    PB_TRY(pb_h5_read(h5, &brightness, results->brightness));
    PB_TRY(pb_h5_read(h5, &nearest, results->nearest));
    return pb_h5_read(h5, &label, results->label);
}

/* Scored and finite, or unscored and NaN. */
static bool is_possible(const pb_results *results, uint64_t i) {
    bool scored = results->nearest[i] != PB_RESULT_UNSCORED;
    bool fits = scored ? isfinite(results->score[i]) : isnan(results->score[i]);
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++)
        fits = fits && (scored ? isfinite(results->brightness[i][k]) : isnan(results->brightness[i][k]));
    return fits && results->label[i] >= PB_LABEL_UNKNOWN && results->label[i] <= PB_LABEL_DEFECTIVE;
}

/* So that nobody who computes with them need ask. */
static pb_status check_numbers(const pb_h5 *h5, const pb_results *results) {
    for (uint64_t i = 0; i < results->images; i++)
        if (!is_possible(results, i))
            return pb_fail(PB_E_INPUT, "%s: impossible values for image %ju", h5->name, (uintmax_t)i);
    return pb_ok();
}

/* Sizes, then numbers, which are judged before the texts are read. */
static pb_status read_all(const pb_h5 *h5, pb_results *results) {
    PB_TRY(pb_h5_read_header(h5, RESULTS_FORMAT, RESULTS_VERSION, &results->attributes));
    PB_TRY(read_sizes(h5, results));
    PB_TRY(read_numbers(h5, results));
    PB_TRY(check_numbers(h5, results));
    PB_TRY(pb_h5_read_strings(h5, "path", results->images, 0, results->images, &results->paths));
    PB_TRY(pb_h5_read_strings(h5, "class", results->images, 0, results->images, &results->classes));
    return pb_h5_read_strings(h5, "group", results->images, 0, results->images, &results->groups);
}

pb_status pb_results_read(const char *path, pb_results *results_out) {
    pb_h5 h5 = {0};
    *results_out = (pb_results){0};
    PB_TRY(pb_h5_open(&h5, path));
    pb_status status = read_all(&h5, results_out);
    pb_keep_first(&status, pb_h5_close(&h5));
    if (pb_failed(&status))
        pb_results_free(results_out);
    return status;
}

void pb_results_free(pb_results *results) {
    pb_release(&results->score);
    pb_release(&results->brightness);
    pb_release(&results->nearest);
    pb_release(&results->label);
    pb_release(&results->archive_index);
    pb_release(&results->paths);
    pb_release(&results->classes);
    pb_release(&results->groups);
    pb_attributes_free(&results->attributes);
    *results = (pb_results){0};
}

/* --- maps ------------------------------------------------------------------------------------------------------- */

/* An open file. results gives sizes and which images are scored. */
struct pb_results_maps {
    pb_h5 h5;
    const pb_results *results;
};

pb_status pb_results_maps_open(const char *path, const pb_results *results, pb_results_maps **maps_out) {
    PB_TRY(pb_allocate(maps_out, 1, sizeof **maps_out, "maps"));
    (*maps_out)->results = results;
    pb_status status = pb_h5_open(&(*maps_out)->h5, path);
    if (pb_failed(&status))
        pb_release(maps_out);
    return status;
}

void pb_results_maps_close(pb_results_maps **maps) {
    if (!*maps)
        return;
    pb_status ignored = pb_h5_close(&(*maps)->h5); /* nothing was written */
    (void)ignored;
    pb_release(maps);
}

/* Finite and >= 0; NaN is neither. */
static bool are_distances(const float *values, size_t count) {
    bool fits = true;
    for (size_t i = 0; i < count; i++)
        fits = fits && isfinite(values[i]) && values[i] >= 0;
    return fits;
}

/* The CRC32C first: it tells decay from a program that wrote nonsense. */
static pb_status check_maps(const pb_results_maps *maps, uint64_t first, size_t count, const float *values,
                            const uint32_t *crc32c) {
    const size_t patches = pb_size_area(maps->results->grid);
    for (size_t i = 0; i < count; i++, values += patches) {
        const bool scored = maps->results->nearest[first + i] != PB_RESULT_UNSCORED;
        if (pb_crc32c(values, patches * sizeof *values) != crc32c[i])
            return pb_fail(PB_E_INPUT, "%s: the map of image %ju is damaged: wrong CRC32C", maps->h5.name,
                           (uintmax_t)(first + i));
        if (scored && !are_distances(values, patches))
            return pb_fail(PB_E_INPUT, "%s: the map of image %ju has values that are no distances", maps->h5.name,
                           (uintmax_t)(first + i));
    }
    return pb_ok();
}

/* The checksums of these images alone are read with them: a job reads a file of any size in bounded memory. */
pb_status pb_results_maps_read(pb_results_maps *maps, uint64_t first, size_t count, float *values) {
    const uint64_t images = maps->results->images;
    const pb_h5_column map = map_column(images, maps->results->grid), sums = pb_h5_vector("map_crc32c", PB_H5_U32, images);
    uint32_t *crc32c;
    PB_ASSERT(first <= images && count <= images - first);
    PB_TRY(pb_allocate(&crc32c, count, sizeof *crc32c, "checksums of maps"));
    pb_status status = pb_h5_read_items(&maps->h5, &map, PB_H5_CHECKED, first, count, values);
    if (!pb_failed(&status))
        status = pb_h5_read_items(&maps->h5, &sums, PB_H5_CHECKED, first, count, crc32c);
    if (!pb_failed(&status))
        status = check_maps(maps, first, count, values, crc32c);
    pb_release(&crc32c);
    return status;
}
