/* results_file.h: scores on disk: one HDF5 file and, for people, scores.csv. Format: docs/FORMATS.md.
 *
 * Written in blocks of images by one rank, in any order; the bytes do not depend on the order. Not collective.
 *
 * Life of a writer: pb_results_create; pb_results_write for each block of images, each image once; then pb_results_publish, or,
 * if anything failed, pb_results_abandon. Of a reader: pb_results_read for all but the maps; where these are wanted
 * pb_results_maps_open, pb_results_maps_read for one stretch after the other, pb_results_maps_close before pb_results_free.
 */
#ifndef PB_IO_RESULTS_FILE_H
#define PB_IO_RESULTS_FILE_H

#include "base/size.h"
#include "base/status.h"
#include "io/archive.h"
#include "io/attributes.h"

#include <stddef.h>
#include <stdint.h>

/* Marks an image that was asked for but could not be read: nearest is this, score and map are NaN, and so are the statistics. */
#define PB_RESULT_UNSCORED UINT32_MAX

/* Results of `count` consecutive images in host memory. Arrays are borrowed when written, owned when read. */
typedef struct pb_result_block {
    size_t count;
    float *score;         /* [count] image score: the largest patch distance */
    float *map;           /* [count][grid.height][grid.width] distance of each patch to its nearest bank row */
    uint32_t *patch;      /* [count] the patch with the largest distance, row * grid.width + column (smallest on a tie) */
    uint32_t *nearest;    /* [count] the bank row nearest to that patch */
    double (*brightness)[PB_BRIGHTNESS_STATS]; /* [count] grey statistics of the image (io/image.h): the floor that eval shows */
} pb_result_block;

/* Results under construction; used by one thread, of one rank. */
typedef struct pb_results_writer pb_results_writer;

/* Begins results.h5 at `path` for `images` images and maps of `grid` places, each side 1 to 2^14 (asserted). attributes: copied
 * into the file. Owned by the caller: publish or abandon it; NULL on error. Errors: PB_E_INPUT (folder missing or not writable),
 * PB_E_SYSTEM. */
PB_CHECKED pb_status pb_results_create(const char *path, uint64_t images, pb_size grid, const pb_attributes *attributes,
                                       pb_results_writer **writer_out);

/* Writes the block of images first .. first + block->count - 1 with their indices in the archive and their records, all borrowed
 * for the call; every image exactly once in all (asserted). Errors: PB_E_SYSTEM; after one only pb_results_abandon may follow. */
PB_CHECKED pb_status pb_results_write(pb_results_writer *writer, uint64_t first, const pb_result_block *block,
                                      const uint64_t *archive_index, const pb_record *records);

/* Completes and publishes results.h5 and beside it `csv_path` (path, split, class, group, label, score, patch_row, patch_column,
 * nearest_row, nearest_path), or, on error, neither; the writer is gone in both cases. csv_path NULL: no such file is wanted.
 * bank_paths: path of each bank row's image; NULL counts as "". */
PB_CHECKED pb_status pb_results_publish(pb_results_writer **writer, const char *csv_path, char *const *bank_paths,
                                        size_t bank_rows);
/* Gives up: removes what was written. NULL is fine. */
void pb_results_abandon(pb_results_writer **writer);

/* What eval needs, for all images of a file. Owned by the caller, released by pb_results_free. */
typedef struct pb_results {
    uint64_t images;
    pb_size grid;
    float *score;      /* [images], as all arrays */
    double (*brightness)[PB_BRIGHTNESS_STATS];
    uint32_t *nearest; /* PB_RESULT_UNSCORED: score and brightness are NaN, otherwise they are finite */
    int8_t *label;     /* PB_LABEL_... */
    uint64_t *archive_index; /* of each image, in the archive that was scored */
    char **paths, **classes, **groups; /* as in the list; "" where it has none */
    pb_attributes attributes;
} pb_results;

/* Reads and checks a whole file but its maps. Errors, with empty results: PB_E_INPUT (missing, not results, newer version,
 * damaged, numbers that cannot be), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_results_read(const char *path, pb_results *results_out);
/* Frees everything and empties the results; empty ones are fine. */
void pb_results_free(pb_results *results);

/* The maps of a file, read a stretch at a time; one thread, one rank. */
typedef struct pb_results_maps pb_results_maps;

/* Opens the maps of what pb_results_read has read from `path`; results: borrowed, must outlive it. Owned by the caller. Errors:
 * PB_E_INPUT, PB_E_SYSTEM. */
PB_CHECKED pb_status pb_results_maps_open(const char *path, const pb_results *results, pb_results_maps **maps_out);
void pb_results_maps_close(pb_results_maps **maps);

/* Maps of images first .. first + count - 1, [count][grid.height][grid.width], compared with their CRC32C; of scored images all
 * values are finite and >= 0, of others they are as in the file. Errors: PB_E_INPUT (damaged), with the image. */
PB_CHECKED pb_status pb_results_maps_read(pb_results_maps *maps, uint64_t first, size_t count, float *values);

#endif
