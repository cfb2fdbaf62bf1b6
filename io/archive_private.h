/* archive_private.h: private to io/: what the archive's writer, reader and verifier share. */
#ifndef PB_IO_ARCHIVE_PRIVATE_H
#define PB_IO_ARCHIVE_PRIVATE_H

#include "io/archive.h"
#include "io/h5.h"

/* --- manifest.c ------------------------------------------------------------------------------------------------- */

/* Largest shard of any archive: a bound on what a damaged manifest can make us believe. */
enum { PB_SHARD_IMAGES_MAX = 1 << 24 };

typedef struct pb_manifest {
    size_t shards;
    pb_shard_summary *summaries; /* [shards], owned */
    uint64_t images;             /* of all shards */
    char sha256[PB_SHA256_TEXT]; /* of the file */
} pb_manifest;

/* Reads and checks manifest.json of a folder. Errors: PB_E_INPUT; the manifest is then empty. */
PB_CHECKED pb_status pb_manifest_read(const char *folder, pb_manifest *manifest_out);
void pb_manifest_free(pb_manifest *manifest);

/* The file name of shard number `shard`. */
void pb_shard_file(size_t shard, char file[32]);

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
/* Reads all and checks every value. Errors: PB_E_INPUT; *columns is then empty. */
PB_CHECKED pb_status pb_shard_columns_read(const pb_h5 *h5, size_t images, pb_shard_columns *columns_out);

/* --- archive_read.c --------------------------------------------------------------------------------------------- */

enum { NO_SHARD_OPEN = -1 };

typedef struct pb_byte_buffer {
    uint8_t *bytes;
    size_t capacity;
} pb_byte_buffer;

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
/* Opens shard `shard` and loads its columns, each unless it is so already. */
PB_CHECKED pb_status pb_archive_load(pb_archive *archive, size_t shard);

#endif
