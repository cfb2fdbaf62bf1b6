/* archive.h: the image archive: a folder of HDF5 shards and a manifest. Format: docs/FORMATS.md.
 *
 * A shard holds the encoded bytes of up to shard_images list entries end to end in one dataset, with offset, length and CRC32C
 * beside it, and one column per fact. Shard s has the entries s * shard_images .. of the list, whoever writes it, so an archive
 * is the same bytes for any number of ranks. The manifest lists the shards with their counts and SHA-256, and is written last:
 * without it there is no archive.
 * Global image index: position among the images that were taken, in list order; all ranks mean the same by it.
 * Not collective: each rank calls for itself; jobs agree. One thread at a time: HDF5 is behind it.
 */
#ifndef PB_IO_ARCHIVE_H
#define PB_IO_ARCHIVE_H

#include "base/status.h"
#include "io/hash.h"
#include "io/image.h"
#include "io/list.h"

#include <stddef.h>
#include <stdint.h>

/* What is known of one image, without its bytes. Strings belong to the archive. */
typedef struct pb_record {
    const char *path, *class, *group; /* as in the list */
    pb_split split;
    int label;
    int width, height, channels; /* as decoded */
    pb_image_format format;
    uint64_t length, mask_length; /* encoded bytes; mask_length 0: no mask */
} pb_record;

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* What the manifest says of one shard. */
typedef struct pb_shard_summary {
    char file[32];          /* "shard-00000.h5" */
    uint64_t images, bytes; /* images taken; their encoded bytes, masks included */
    uint64_t train, defective;
    char sha256[PB_SHA256_TEXT]; /* of the file */
} pb_shard_summary;

/* Called for each list entry that cannot be taken; `why` names the file and the trouble. */
typedef void (*pb_rejected)(void *context, size_t list_index, const pb_status *why);

/* Writes shard number `shard` of the list into `folder` (which exists). Every image (and mask) is read and decoded whole; what
 * fails (PB_E_INPUT, a mask of another size) is handed to `rejected` and left out.
 * Errors: PB_E_SYSTEM, PB_E_INPUT (folder not writable). Then no file of this shard stays behind. */
PB_CHECKED pb_status pb_shard_write(const char *folder, const pb_list *list, size_t shard, size_t shard_images,
                                    pb_rejected rejected, void *context, pb_shard_summary *summary_out);

/* Number of shards of a list of `count` entries. */
size_t pb_shard_count(size_t count, size_t shard_images);

/* Writes manifest.json over `count` summaries in shard order. source: how the list was named, kept for people. */
PB_CHECKED pb_status pb_manifest_write(const char *folder, const char *source, size_t shard_images,
                                       const pb_shard_summary *summaries, size_t count);

/* --- reading ---------------------------------------------------------------------------------------------------- */

typedef struct pb_archive pb_archive; /* an opened archive; opens shards as they are needed, keeps one open */

/* Opens by folder and reads the manifest. Errors: PB_E_INPUT (no archive here, damaged or newer manifest, a shard file
 * missing). */
PB_CHECKED pb_status pb_archive_open(const char *folder, pb_archive **archive_out);
void pb_archive_close(pb_archive **archive);

/* Images in all shards; shards; what the manifest says of shard `shard` (belongs to the archive). */
uint64_t pb_archive_images(const pb_archive *archive);
size_t pb_archive_shards(const pb_archive *archive);
const pb_shard_summary *pb_archive_shard(const pb_archive *archive, size_t shard);

/* SHA-256 of manifest.json as text: the identity of the archive, written into every bank made from it. */
const char *pb_archive_sha256(const pb_archive *archive);

/* The record of image `index`; valid until the archive is closed. Reads the shard's columns at first need.
 * Errors: PB_E_INPUT when the shard is damaged (HDF5 checksum, impossible offsets). */
PB_CHECKED pb_status pb_archive_record(pb_archive *archive, uint64_t index, pb_record *record_out);

/* The encoded bytes of `count` consecutive images first .., in one read per shard touched. spans[i] points into the archive's
 * buffer, valid until the next pb_archive_read; a CRC32C that does not match is a PB_E_INPUT naming shard, image and path. */
typedef struct pb_span {
    const uint8_t *bytes;
    size_t size;
} pb_span;
PB_CHECKED pb_status pb_archive_read(pb_archive *archive, uint64_t first, size_t count, pb_span *spans);

/* The encoded bytes of the mask of image `index`, size 0 when it has none; otherwise as pb_archive_read, in a buffer of its own:
 * valid until the next pb_archive_read_mask. */
PB_CHECKED pb_status pb_archive_read_mask(pb_archive *archive, uint64_t index, pb_span *span);

/* Checks shard `shard` thoroughly: the file's SHA-256, every CRC32C, every image and mask decodes to its recorded size. Each
 * damage is handed to `report` (list_index: the image's index in the archive, or SIZE_MAX for the file). *damaged counts them.
 * Errors: PB_E_SYSTEM only. */
PB_CHECKED pb_status pb_archive_verify(pb_archive *archive, size_t shard, pb_rejected report, void *context,
                                       uint64_t *damaged_out);

#endif
