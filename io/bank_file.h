/* bank_file.h: the memory bank on disk: one HDF5 file, no pickle. Format: docs/FORMATS.md.
 *
 * Rows stand in the order in which they were selected, so the first m rows are the coreset of m patches. Every row is traced to
 * its image and patch; of a bank from several archives (attribute archive_sha256 lists them, with commas) each row says from
 * which. The same bank is the same file, bit for bit: no times, no ranks, no machine in it. Not collective.
 */
#ifndef PB_IO_BANK_FILE_H
#define PB_IO_BANK_FILE_H

#include "base/status.h"
#include "io/attributes.h"

#include <stddef.h>
#include <stdint.h>

/* A bank in host memory. Zeroed it is empty; arrays, and the strings set by pb_bank_set_path, are owned and released by
 * pb_bank_free. */
typedef struct pb_bank {
    size_t rows;
    int dim;                /* values a row */
    float *features;        /* [rows][dim] */
    uint64_t *image;        /* [rows] index of the image in its archive */
    uint32_t *archive;      /* [rows] which archive, counted from 0 in the list that attribute archive_sha256 is */
    uint32_t *patch_row;    /* [rows] row and column of the patch in the image's grid */
    uint32_t *patch_column;
    float *covering_radius; /* [rows] largest distance of any training patch to the first i + 1 rows, in the space of selection;
                             * -1: not known */
    char **paths;           /* [rows] the image's path in its list; NULL: not set, written as "" */
    pb_attributes attributes;
} pb_bank;

/* Makes a bank of rows x dim with all arrays zeroed and no attributes; 1 <= dim <= 2^20 (asserted), rows may be 0. What the
 * struct held is not freed. Errors: PB_E_SYSTEM; the bank is then empty. */
PB_CHECKED pb_status pb_bank_allocate(pb_bank *bank, size_t rows, int dim);
/* Frees everything and empties the bank; an empty one is fine. */
void pb_bank_free(pb_bank *bank);

/* Makes a copy of `path` the path of row `row`, in place of an older one. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_bank_set_path(pb_bank *bank, size_t row, const char *path);

/* How many archives the attributes name, at least 1; and the number of the one whose SHA-256 is `sha256`, -1 when there is none.
 */
size_t pb_bank_archives(const pb_attributes *attributes);
int64_t pb_bank_archive_number(const pb_attributes *attributes, const char *sha256);

/* Writes the file completely or not at all; column `archive` only where there are several. Errors: PB_E_INPUT (folder missing or
 * not writable), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_bank_write(const char *path, const pb_bank *bank);

/* Opens, checks format and version, and reads attributes, rows and dim; features and provenance only of rows first .. end - 1
 * (end is cut to the number of rows; first == end reads none): a rank reads its shard alone. *total_rows gets the rows of the
 * file; bank->rows is what was read; attributes and dim are always there. Errors, with an empty bank: PB_E_INPUT (missing, not a
 * bank, newer version, damaged: HDF5 checksum, value not finite, a row from an archive that is not listed). */
PB_CHECKED pb_status pb_bank_read(const char *path, uint64_t first, uint64_t end, pb_bank *bank_out, uint64_t *total_rows);

#endif
