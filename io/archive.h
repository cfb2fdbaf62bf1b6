/* archive.h: the image archive: a folder of HDF5 shards and a manifest. Format: docs/FORMATS.md.
 *
 * A shard holds the encoded bytes of up to shard_images list entries end to end in one dataset, with offset, length and CRC32C
 * beside it, and one column per fact. Shard s has the entries s * shard_images .. of the list, whoever writes it, so an archive
 * is the same bytes for any number of ranks. The manifest lists the shards with their counts and SHA-256, and is written last:
 * without it there is no archive.
 * Global image index: position among the images that were taken, in list order; all ranks mean the same by it.
 *
 * An archive grows by editions: the first is what was packed, each append adds shards behind those that are there and makes the
 * next. Nothing of an edition ever changes, indices included, and what the archive was before can be opened as it was
 * (docs/decisions/0030).
 * Not collective: each rank calls for itself; jobs agree. One thread at a time: HDF5 is behind it.
 *
 * Writing, by any number of processes, each of them some shards; the manifest by one of them, last:
 *     pb_shard_write (or pb_shard_resume) for each shard -> pb_manifest_write
 * Growing: new shards into a folder of their own, then all at once:
 *     pb_archive_open -> pb_shard_write for each new shard -> pb_edition_publish -> pb_edition_point
 * Reading:
 *     pb_archive_open -> pb_archive_record, pb_archive_read, pb_archive_read_mask in any order -> pb_archive_close
 */
#ifndef PB_IO_ARCHIVE_H
#define PB_IO_ARCHIVE_H

#include "base/status.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/image.h"
#include "io/list.h"
#include "io/lock_file.h"

#include <stdbool.h>
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

enum { PB_SHARD_FILE_MAX = 48 };

/* What the manifest says of one shard. */
typedef struct pb_shard_summary {
    char file[PB_SHARD_FILE_MAX]; /* "shard-00000.h5", "edition-000002/shard-00003.h5" */
    uint64_t images, bytes;       /* images taken; their encoded bytes, masks included */
    uint64_t train, defective;
    char sha256[PB_SHA256_TEXT]; /* of the file */
} pb_shard_summary;

/* Called for each list entry that cannot be taken; `why` names the file and the trouble. */
typedef void (*pb_rejected)(void *context, size_t list_index, const pb_status *why);

/* Writes shard number `shard` of the list into `folder` (which exists) as shard number `number` of that folder. Every image (and
 * mask) is read and decoded whole; what fails (PB_E_INPUT, a mask of another size) is handed to `rejected` and left out.
 * Errors: PB_E_SYSTEM, PB_E_INPUT (folder not writable), PB_E_REQUEUE (base/stop.h). Then no file of this shard stays behind. */
PB_CHECKED pb_status pb_shard_write(const char *folder, size_t number, const pb_list *list, size_t shard, size_t shard_images,
                                    pb_rejected rejected, void *context, pb_shard_summary *summary_out);

/* Looks whether shard `shard` of the list is in `folder` as number `number` already, left there by an earlier run, whole, and
 * what pb_shard_write would write: rows are compared with the list, all bytes with their CRC32C, and what the shard has not is
 * tried again and must be bad still (which `rejected` is then told). *kept: so it is, and *summary_out is its summary; else it
 * must be written. Not looked at are the images' files, and bytes of the shard's file that HDF5 does not use: if these have
 * decayed, the SHA-256 is the one that the file has now. Errors: PB_E_SYSTEM, PB_E_INPUT (the path is too long). */
PB_CHECKED pb_status pb_shard_resume(const char *folder, size_t number, const pb_list *list, size_t shard, size_t shard_images,
                                     pb_rejected rejected, void *context, pb_shard_summary *summary_out, bool *kept);

/* Number of shards of a list of `count` entries: the last one may have fewer than shard_images >= 1. */
size_t pb_shard_count(size_t count, size_t shard_images);

/* Writes manifest.json of a new archive over `count` summaries in shard order: from then on the folder is an archive. source: how
 * the list was named, kept for people. Errors: those of pb_file_write; PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_manifest_write(const char *folder, const char *source, size_t shard_images,
                                       const pb_shard_summary *summaries, size_t count);

/* --- reading ---------------------------------------------------------------------------------------------------- */

typedef struct pb_archive pb_archive; /* an opened archive; opens shards as they are needed, keeps one open */

/* Opens by folder and reads the manifest of the newest edition. Editions that are added later do not concern it. Owned by the
 * caller, NULL on error. No lock is taken. Errors: PB_E_INPUT (no archive here, damaged or newer manifest, a shard file missing),
 * PB_E_SYSTEM. */
PB_CHECKED pb_status pb_archive_open(const char *folder, pb_archive **archive_out);

/* Whether the shard files must be there. */
typedef enum pb_shards { PB_SHARDS_THERE, PB_SHARDS_MAY_BE_MISSING } pb_shards;

/* Opens an archive as it was when its manifest had this SHA-256 (NULL: as it is): images and shards that were added later are not
 * there. Errors: those of pb_archive_open; PB_E_INPUT when no edition has it. */
PB_CHECKED pb_status pb_archive_open_edition(const char *folder, const char *sha256, pb_shards shards, pb_archive **archive_out);
/* Closes it, and with it everything that belongs to it; NULL is fine, *archive is NULL afterwards. */
void pb_archive_close(pb_archive **archive);

/* Images in all shards; shards; what the manifest says of shard `shard` (belongs to the archive). */
uint64_t pb_archive_images(const pb_archive *archive);
size_t pb_archive_shards(const pb_archive *archive);
const pb_shard_summary *pb_archive_shard(const pb_archive *archive, size_t shard);

/* SHA-256 of the edition's manifest as text: the identity of the archive, written into every bank made from it. */
const char *pb_archive_sha256(const pb_archive *archive);

/* One edition of an archive. */
typedef struct pb_edition {
    char *source;                /* how the list of its new images was named; belongs to the archive */
    size_t shard_images;         /* list entries of each of its new shards */
    size_t shards;               /* of it and all before it */
    uint64_t images;             /* likewise */
    char sha256[PB_SHA256_TEXT]; /* of its manifest */
} pb_edition;

/* How many editions there are up to the opened one, from 1, and the one at `edition`, from 0. */
size_t pb_archive_editions(const pb_archive *archive);
const pb_edition *pb_archive_edition(const pb_archive *archive, size_t edition);

/* The folder of edition `edition`, from 0, of the archive `folder`: where its shards and its rejected.csv are. Errors: PB_E_INPUT
 * when the path is too long. */
PB_CHECKED pb_status pb_edition_path(const char *folder, size_t edition, char path[PB_PATH_MAX]);

/* Proves that the earlier editions are what the manifest says: the manifest of each is made again from this one, and its SHA-256
 * compared. Errors: PB_E_INPUT naming the edition. */
PB_CHECKED pb_status pb_archive_check_editions(const pb_archive *archive);

/* The record of image `index` < pb_archive_images (asserted); valid until the archive is closed. Reads the shard's columns at
 * first need. Errors: PB_E_INPUT when the shard is damaged (HDF5 checksum, impossible offsets or values) or not the one that the
 * manifest describes; PB_E_SYSTEM. */
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

/* Makes shard `shard` of an archive shard number `number` of the folder of another, which has none of that number: by a hard
 * link, or where that cannot be by a copy, whose SHA-256 is compared. Out: *summary_out for its manifest. Errors: PB_E_INPUT when
 * the shard is damaged, PB_E_SYSTEM. */
PB_CHECKED pb_status pb_shard_link(const pb_archive *archive, size_t shard, const char *folder, size_t number,
                                   pb_shard_summary *summary_out);

/* What became of a shard. */
typedef struct pb_repair {
    bool was_damaged, whole;  /* before; afterwards, which also is so of one that was sound */
    uint64_t repaired, lost;  /* images and masks: replaced by their source's bytes, and still damaged; of a shard that could not
                               * be  read at all, its images */
} pb_repair;

/* Repairs shard `shard` from the files of `source`, the list that its edition was packed from (or one with the same paths): the
 * shard is written again beside its place and renamed. Bytes are replaced only by a source file of the recorded size and CRC32C;
 * a shard whose columns cannot be read, or whose file is missing, only by one that was packed again and has the SHA-256 of the
 * manifest. Nothing else is ever changed. A shard of which some images are lost still gets those that are not, and is damaged
 * then. Each loss is handed to `report` (as pb_archive_verify does). Afterwards the archive must be opened anew. Errors:
 * PB_E_SYSTEM, PB_E_INPUT (the folder is not writable); the old file stays. */
PB_CHECKED pb_status pb_archive_repair(pb_archive *archive, size_t shard, const pb_list *source, pb_rejected report,
                                       void *context, pb_repair *result_out);

/* --- growing ---------------------------------------------------------------------------------------------------- */

/* Takes the archive's lock, so that two appends do not do their work in vain (io/lock_file.h; nothing depends on it). Waits at
 * most wait_s seconds; who: one line for people; lock: zeroed. Errors: those of pb_lock_take. */
PB_CHECKED pb_status pb_archive_lock(const char *folder, double wait_s, const char *who, pb_lock *lock);

/* Writes the manifest over base's shards and the `count` new ones into `folder`, which has them, with the numbers that follow
 * the base's, and is on the archive's file system. Publishes the edition by one rename of that folder, which fails when another
 * has made the same edition meanwhile: so none is ever lost. The summaries' files become those of the edition. Errors, nothing
 * then being published: PB_E_SYSTEM; PB_E_INPUT when the base's own manifest was not written by patchbank. One exception: when
 * the name could not be flushed to the disk after the rename, the edition is there. */
PB_CHECKED pb_status pb_edition_publish(const pb_archive *base, const char *folder, const char *source, size_t shard_images,
                                        pb_shard_summary *summaries, size_t count);

/* Makes manifest.json a copy of the newest edition's manifest, if it is not, for other programs: patchbank itself looks for the
 * newest edition. Errors: PB_E_INPUT, PB_E_SYSTEM. */
PB_CHECKED pb_status pb_edition_point(const char *folder);

#endif
