/* bank_file.c: a bank in memory and in its file. Columns stand side by side in two tables, `describe` (name, type, size) and
 * `locate` (where in memory), which reading and writing walk in one order.
 *
 * A rank reads only its rows: HDF5 reads part of a column, and offsets of paths are read for these rows alone. Attributes and the
 * number of rows are of the whole file.
 */
#include "io/bank_file.h"

#include "base/memory.h"
#include "io/file.h"
#include "io/h5.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char BANK_FORMAT[] = "patchbank-bank";
/* The version; the most values of a row (4 MiB), beyond which a file can only be damaged. */
enum { BANK_VERSION = 1, DIM_MAX = 1 << 20 };

/* --- memory ----------------------------------------------------------------------------------------------------- */

/* All zeroed. What is made before a failure goes by pb_bank_free. */
static pb_status allocate_arrays(pb_bank *bank) {
    PB_TRY(pb_allocate(&bank->paths, bank->rows, sizeof *bank->paths, "bank paths"));
    PB_TRY(pb_allocate(&bank->features, bank->rows, (size_t)bank->dim * sizeof *bank->features, "bank features"));
    PB_TRY(pb_allocate(&bank->image, bank->rows, sizeof *bank->image, "bank images"));
    PB_TRY(pb_allocate(&bank->archive, bank->rows, sizeof *bank->archive, "bank archives"));
    PB_TRY(pb_allocate(&bank->patch_row, bank->rows, sizeof *bank->patch_row, "bank patches"));
    PB_TRY(pb_allocate(&bank->patch_column, bank->rows, sizeof *bank->patch_column, "bank patches"));
    return pb_allocate(&bank->covering_radius, bank->rows, sizeof *bank->covering_radius, "bank radii");
}

pb_status pb_bank_allocate(pb_bank *bank, size_t rows, int dim) {
    PB_ASSERT(dim > 0 && dim <= DIM_MAX);
    *bank = (pb_bank){.rows = rows, .dim = dim};
    pb_status status = allocate_arrays(bank);
    if (pb_failed(&status))
        pb_bank_free(bank);
    return status;
}

void pb_bank_free(pb_bank *bank) {
    for (size_t i = 0; bank->paths && i < bank->rows; i++)
        pb_release(&bank->paths[i]);
    pb_release(&bank->paths);
    pb_release(&bank->features);
    pb_release(&bank->image);
    pb_release(&bank->archive);
    pb_release(&bank->patch_row);
    pb_release(&bank->patch_column);
    pb_release(&bank->covering_radius);
    pb_attributes_free(&bank->attributes);
    *bank = (pb_bank){0};
}

pb_status pb_bank_set_path(pb_bank *bank, size_t row, const char *path) {
    PB_ASSERT(row < bank->rows);
    size_t size = strlen(path) + 1;
    char *copy;
    PB_TRY(pb_allocate(&copy, size, 1, "a bank path"));
    memcpy(copy, path, size);
    pb_release(&bank->paths[row]);
    bank->paths[row] = copy;
    return pb_ok();
}

/* --- archives --------------------------------------------------------------------------------------------------- */

/* The list of archives, "" when the attribute is missing, which counts as one archive of no name. */
static const char *archives_of(const pb_attributes *attributes) {
    const char *list = pb_attributes_get(attributes, "archive_sha256");
    return list ? list : "";
}

/* One more than there are commas; a SHA-256 has none. */
size_t pb_bank_archives(const pb_attributes *attributes) {
    size_t count = 1;
    for (const char *at = archives_of(attributes); (at = strchr(at, ',')); at++)
        count++;
    return count;
}

/* Compares with each entry as a whole, so that no prefix passes. */
int64_t pb_bank_archive_number(const pb_attributes *attributes, const char *sha256) {
    int64_t number = 0;
    const char *at = archives_of(attributes);
    while (strcspn(at, ",") != strlen(sha256) || strncmp(at, sha256, strlen(sha256)) != 0) {
        at = strchr(at, ',');
        if (!at)
            return -1;
        at++;
        number++;
    }
    return number;
}

/* --- columns ---------------------------------------------------------------------------------------------------- */

/* The columns, in the order of the file. ARCHIVE is the last, because it is there only where there are several archives. */
enum { FEATURES, IMAGE, PATCH_ROW, PATCH_COLUMN, COVERING_RADIUS, ARCHIVE, COLUMNS };

/* How many of the columns the bank's file has, by its attributes. */
static int columns_of(const pb_bank *bank) { return pb_bank_archives(&bank->attributes) > 1 ? COLUMNS : ARCHIVE; }

/* Of `rows` rows: those of the bank when it is written, of the whole file when part of it is read. */
static void describe(uint64_t rows, int dim, pb_h5_column columns[COLUMNS]) {
    columns[FEATURES] = pb_h5_matrix("features", PB_H5_F32, rows, (uint64_t)dim);
    columns[IMAGE] = pb_h5_vector("image", PB_H5_U64, rows);
    columns[PATCH_ROW] = pb_h5_vector("patch_row", PB_H5_U32, rows);
    columns[PATCH_COLUMN] = pb_h5_vector("patch_column", PB_H5_U32, rows);
    columns[COVERING_RADIUS] = pb_h5_vector("covering_radius", PB_H5_F32, rows);
    columns[ARCHIVE] = pb_h5_vector("archive", PB_H5_U32, rows);
}

static void locate(const pb_bank *bank, void *arrays[COLUMNS]) {
    arrays[FEATURES] = bank->features;
    arrays[IMAGE] = bank->image;
    arrays[PATCH_ROW] = bank->patch_row;
    arrays[PATCH_COLUMN] = bank->patch_column;
    arrays[COVERING_RADIUS] = bank->covering_radius;
    arrays[ARCHIVE] = bank->archive;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* Header, columns, paths: always in this order, since the same bank must be the same bytes. */
static pb_status write_all(const pb_h5 *h5, const pb_bank *bank) {
    pb_h5_column columns[COLUMNS];
    void *arrays[COLUMNS];
    describe(bank->rows, bank->dim, columns);
    locate(bank, arrays);
    PB_TRY(pb_h5_write_header(h5, BANK_FORMAT, BANK_VERSION, &bank->attributes));
    for (int i = 0; i < columns_of(bank); i++)
        PB_TRY(pb_h5_write(h5, &columns[i], arrays[i]));
    return pb_h5_write_strings(h5, "path", bank->paths, bank->rows);
}

/* The file is closed before it is committed, and abandoned in any case: after a commit that does nothing. */
pb_status pb_bank_write(const char *path, const pb_bank *bank) {
    pb_output output = {0};
    pb_h5 h5 = {0};
    PB_TRY(pb_output_begin(&output, path));
    pb_status status = pb_h5_create(&h5, &output);
    if (!pb_failed(&status))
        status = write_all(&h5, bank);
    pb_keep_first(&status, pb_h5_close(&h5));
    if (!pb_failed(&status))
        status = pb_output_commit(&output);
    pb_output_abandon(&output);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* No search can order a distance that is not a number: such a file is refused whole. first: the number in the file of the first
 * of these rows. */
static pb_status check_finite(const char *name, const char *what, uint64_t first, const float *values, size_t rows,
                              size_t width) {
    for (size_t i = 0; i < rows * width; i++)
        if (!isfinite(values[i]))
            return pb_fail(PB_E_INPUT, "%s: %s of bank row %ju is not a finite number", name, what,
                           (uintmax_t)(first + i / width));
    return pb_ok();
}

/* A bank of one archive has zeros there. */
static pb_status check_archives(const char *name, uint64_t first, const pb_bank *bank) {
    const size_t archives = pb_bank_archives(&bank->attributes);
    for (size_t i = 0; i < bank->rows; i++)
        if (bank->archive[i] >= archives)
            return pb_fail(PB_E_INPUT, "%s: bank row %ju is from archive %u, but archive_sha256 lists %zu", name,
                           (uintmax_t)(first + i), bank->archive[i], archives);
    return pb_ok();
}

/* Rows first .. first + bank->rows - 1 of `total`. */
static pb_status read_rows(const pb_h5 *h5, uint64_t total, uint64_t first, pb_bank *bank) {
    pb_h5_column columns[COLUMNS];
    void *arrays[COLUMNS];
    describe(total, bank->dim, columns);
    locate(bank, arrays);
    for (int i = 0; i < columns_of(bank); i++)
        PB_TRY(pb_h5_read_items(h5, &columns[i], PB_H5_CHECKED, first, bank->rows, arrays[i]));
    PB_TRY(check_archives(h5->name, first, bank));
    PB_TRY(check_finite(h5->name, "a feature", first, bank->features, bank->rows, (size_t)bank->dim));
    return check_finite(h5->name, "the covering radius", first, bank->covering_radius, bank->rows, 1);
}

/* Each path becomes a text of its own, so that pb_bank_set_path can replace it. */
static pb_status read_paths(const pb_h5 *h5, uint64_t total, uint64_t first, pb_bank *bank) {
    char **strings;
    PB_TRY(pb_h5_read_strings(h5, "path", total, first, bank->rows, &strings));
    pb_status status = pb_ok();
    for (size_t i = 0; i < bank->rows && !pb_failed(&status); i++)
        status = pb_bank_set_path(bank, i, strings[i]);
    pb_release(&strings);
    return status;
}

/* The sizes of `features` are the sizes of the bank; all other columns are compared with them when they are read. The bank takes
 * the attributes over even after a failure, so that they are freed with it. */
static pb_status read_all(const pb_h5 *h5, uint64_t first, uint64_t end, pb_bank *bank, uint64_t *total_rows) {
    pb_h5_column features = pb_h5_matrix("features", PB_H5_F32, 0, 0);
    pb_attributes attributes = {0};
    pb_status status = pb_h5_read_header(h5, BANK_FORMAT, BANK_VERSION, &attributes);
    if (!pb_failed(&status))
        status = pb_h5_examine(h5, &features);
    uint64_t total = features.size[0], dim = features.size[1];
    if (!pb_failed(&status) && (dim < 1 || dim > DIM_MAX))
        status = pb_fail(PB_E_INPUT, "%s: features have %ju values a row, expected 1 to %d", h5->name, (uintmax_t)dim, DIM_MAX);
    /* Whoever asks for more rows than there are gets those that there are; a stretch beyond the end is empty. */
    end = end < total ? end : total;
    first = first < end ? first : end;
    if (!pb_failed(&status))
        status = pb_bank_allocate(bank, end - first, (int)dim);
    bank->attributes = attributes;
    *total_rows = total;
    PB_TRY(status);
    PB_TRY(read_rows(h5, total, first, bank));
    return read_paths(h5, total, first, bank);
}

/* The header decides what can be read, so all is read under one opening of the file. */
pb_status pb_bank_read(const char *path, uint64_t first, uint64_t end, pb_bank *bank_out, uint64_t *total_rows) {
    pb_h5 h5 = {0};
    *bank_out = (pb_bank){0};
    *total_rows = 0;
    PB_TRY(pb_h5_open(&h5, path));
    pb_status status = read_all(&h5, first, end, bank_out, total_rows);
    pb_keep_first(&status, pb_h5_close(&h5));
    if (pb_failed(&status)) {
        pb_bank_free(bank_out);
        *total_rows = 0;
    }
    return status;
}
