/* archive_private.h: private to io/: what the archive's writer, reader and verifier share. */
#ifndef PB_IO_ARCHIVE_PRIVATE_H
#define PB_IO_ARCHIVE_PRIVATE_H

#include "io/archive.h"
#include "io/h5.h"

/* --- manifest.c ------------------------------------------------------------------------------------------------- */

/* Larger than any photograph, smaller than what would endanger the machine. */
enum { PB_IMAGE_FILE_BYTES_MAX = 1 << 30 };

/* Largest shard of any archive: a bound on what a damaged manifest can make us believe. */
enum { PB_SHARD_IMAGES_MAX = 1 << 24 };

#define PB_MANIFEST_FILE "manifest.json"
#define PB_MANIFEST_FORMAT "patchbank-archive"
/* An archive of one edition is written as version 1: its bytes are what they were before there were editions. */
enum { PB_MANIFEST_VERSION = 2, PB_MANIFEST_VERSION_ALONE = 1 /* of an archive of one edition */ };

/* What a manifest says, checked: counts that fit each other, names that are those of shards, editions that grow. */
typedef struct pb_manifest {
    size_t shards;
    pb_shard_summary *summaries; /* [shards], owned */
    uint64_t images;             /* of all shards */
    pb_edition *editions;        /* [edition_count], oldest first; the last is this manifest; owned */
    size_t edition_count;
} pb_manifest;

/* Reads and checks the newest edition's manifest of a folder. Errors: PB_E_INPUT; the manifest is then empty. */
PB_CHECKED pb_status pb_manifest_read(const char *folder, pb_manifest *manifest_out);
void pb_manifest_free(pb_manifest *manifest);

/* The edition, from 0, in which shard number `shard` came; the last one if it is beyond all. */
size_t pb_manifest_edition_of(const pb_manifest *manifest, size_t shard);

/* The file name, below the archive's folder, of shard number `shard`, which came with edition `edition` (from 0). */
void pb_shard_file(size_t edition, size_t shard, char file[PB_SHARD_FILE_MAX]);
/* The folder of an edition (from 0) below the archive's folder; "" of the first. */
void pb_edition_folder(size_t edition, char name[PB_SHARD_FILE_MAX]);

/* Makes the text of edition `edition` (from 0) again and compares its SHA-256 with the recorded one. Errors: PB_E_INPUT. */
PB_CHECKED pb_status pb_manifest_prove(const char *folder, const pb_manifest *manifest, size_t edition);

/* --- manifest_write.c ------------------------------------------------------------------------------------------- */

/* The manifest of edition `edition` as text, from the editions up to it and the summaries of its shards. *text_out is owned by
 * the caller (free). Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_manifest_text(const pb_edition *editions, size_t edition, const pb_shard_summary *summaries,
                                      char **text_out);

/* --- archive_columns.c ------------------------------------------------------------------------------------------ */

#define PB_SHARD_FORMAT "patchbank-shard"
enum { PB_SHARD_VERSION = 1 };

/* What a shard says of its images: every array has one value an image. Zeroed it is empty. */
typedef struct pb_shard_columns {
    size_t images;
    uint64_t *list_index;         /* position in the list from which the archive was made */
    uint8_t *split;               /* pb_split */
    int8_t *label;                /* PB_LABEL_... */
    uint32_t *width, *height;     /* pixels */
    uint8_t *channels, *format;   /* as pb_image */
    uint32_t *crc32c, *mask_crc32c;
    char **path, **class, **group;
    uint64_t *offset, *mask_offset; /* [images + 1] in image/bytes, mask/bytes; only when read */
} pb_shard_columns;

/* Makes the number arrays for at most `most` images, and the arrays of strings, whose strings the caller lends. */
PB_CHECKED pb_status pb_shard_columns_allocate(pb_shard_columns *columns, size_t most);
/* Frees the arrays; what the strings of pb_shard_columns_allocate point to stays the lender's. */
void pb_shard_columns_free(pb_shard_columns *columns);

/* Writes all but the offsets. */
PB_CHECKED pb_status pb_shard_columns_write(const pb_h5 *h5, const pb_shard_columns *columns);
/* Reads all and checks every value. images: what the manifest says, compared before memory is taken. Errors: PB_E_INPUT,
 * PB_E_SYSTEM; *columns is then empty. */
PB_CHECKED pb_status pb_shard_columns_read(const pb_h5 *h5, size_t images, pb_shard_columns *columns_out);

/* --- archive_write.c -------------------------------------------------------------------------------------------- */

/* A shard under construction. Zero it; pb_shard_writer_free follows in any case. */
typedef struct pb_shard_writer {
    pb_output output;
    pb_h5 h5;
    pb_h5_ragged image, mask;
    pb_shard_columns columns;
    pb_shard_summary summary; /* but its file */
} pb_shard_writer;

/* One value of each column; the strings are lent until the shard is finished. */
typedef struct pb_shard_row {
    uint64_t list_index;
    uint8_t split;
    int8_t label;
    uint32_t width, height;
    uint8_t channels, format;
    uint32_t crc32c, mask_crc32c;
    const char *path, *class, *group;
} pb_shard_row;

/* Begins a shard of at most `most` images that gets the name `path`: its temporary file, its header, two empty ragged columns.
 * Errors: those of pb_output_begin and io/h5.h. */
PB_CHECKED pb_status pb_shard_writer_begin(pb_shard_writer *writer, const char *path, size_t most);
/* Adds an image with its row, and its mask (size 0: none). The bytes are copied; no more than `most` may come (not checked). */
PB_CHECKED pb_status pb_shard_writer_add(pb_shard_writer *writer, const pb_shard_row *row, pb_span image, pb_span mask);
/* Completes the file under its temporary name; summary.sha256 is then its. To be followed by pb_output_commit, or not. */
PB_CHECKED pb_status pb_shard_writer_finish(pb_shard_writer *writer);
/* Frees everything; a file that was not committed is removed. Safe on a zeroed writer and after commit. */
void pb_shard_writer_free(pb_shard_writer *writer);

/* Whether an entry of a list can be taken: PB_OK, or why not, as pb_shard_write would say it (PB_E_INPUT). Reads and decodes its
 * files. Other errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_list_entry_check(const pb_list *list, size_t list_index);

/* Begins, fills and finishes shard `shard` of a list, as pb_shard_write does, under its temporary name. writer: zeroed. Errors:
 * as there; the file is then the writer's to remove. */
PB_CHECKED pb_status pb_shard_build(pb_shard_writer *writer, const char *path, const pb_list *list, size_t shard,
                                    size_t shard_images, pb_rejected rejected, void *context);

/* --- archive_read.c --------------------------------------------------------------------------------------------- */

/* open_shard while none is. */
enum { NO_SHARD_OPEN = -1 };

/* Memory for encoded bytes that grows and stays. */
typedef struct pb_byte_buffer {
    uint8_t *bytes;
    size_t capacity;
} pb_byte_buffer;

/* An opened archive. The manifest does not change while it is open; columns come as they are needed, and stay. */
struct pb_archive {
    char folder[PB_PATH_MAX];
    pb_manifest manifest;
    uint64_t *first;           /* [shards + 1] global index of each shard's first image */
    pb_shard_columns *columns; /* [shards] */
    bool *loaded;              /* [shards] whether columns are there */
    pb_h5 h5;                  /* the shard that is open */
    int64_t open_shard;        /* its number, or NO_SHARD_OPEN */
    pb_byte_buffer images, mask;
};

/* Path of a shard's file into path[PB_PATH_MAX]. */
PB_CHECKED pb_status pb_archive_shard_path(const pb_archive *archive, size_t shard, char *path);
/* The shard that has image `index`: the last one that does not begin behind it and is not empty. */
size_t pb_archive_shard_of(const pb_archive *archive, uint64_t index);
/* Opens shard `shard` and loads its columns, each unless it is so already: afterwards archive->h5 is its file and
 * archive->columns[shard] are right. Errors: PB_E_INPUT (missing, damaged, not the shard of the manifest), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_archive_load(pb_archive *archive, size_t shard);

#endif
