/* merge.c: several archives -> one, whose shards are theirs under other numbers: hard links where the file system has them. Rank
 * 0 looks at all manifests; ranks link shards of their own.
 *
 * Shards of all archives in a row are numbered anew, and a rank has a range of these numbers, which may begin and end within an
 * archive. In order: the archives are opened and parts of a list checked; no path may occur twice; then shards are linked, the
 * lists of rejected images joined, and the manifest written, without which there is no archive (docs/ARCHITECTURE.md, invariant
 * 6). What fails before that removes what it has made. No image bytes are read, and no state is kept: it takes seconds, and
 * begins anew (docs/decisions/0030). Archives may grow while they are merged: each is opened again as the edition that rank 0
 * saw, by the SHA-256 of its manifest. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/archive.h"
#include "io/rejected_file.h"
#include "jobs/job.h"
#include "jobs/list_part.h"
#include "jobs/new_archive.h"
#include "mpi/partition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char REJECTED[] = "rejected.csv";

/* One of the archives, as rank 0 found it. Plain data, broadcast as it is. */
typedef struct part {
    uint64_t first_shard, shards; /* among those of all; how many */
    char sha256[PB_SHA256_TEXT];
} part;

/* One image: a hash of its path, and where it is. Plain data, as it travels to rank 0: 24 bytes an image, where paths would be
 * many times as much. */
typedef struct image {
    uint64_t hash, index; /* index: in its archive */
    uint64_t part;
} image;

/* One rank's state. Zeroed it is empty; pb_job_merge releases it. */
typedef struct merging {
    const pb_job *job;
    char *names;    /* --archives, cut at its commas */
    char **folders; /* [count] into names */
    size_t count;
    part *parts;     /* [count], the same on every rank */
    uint64_t shards; /* of all parts */
    pb_range mine;   /* of them, this rank's */
    pb_shard_summary *summaries; /* [mine] */
    image *images;               /* of these shards */
    size_t image_count, image_room;
    /* on rank 0: */
    char *source; /* names of lists, with ", " between */
    size_t source_size, last_name; /* room of it; where in it the last name begins */
    size_t shard_images, parts_seen;
    uint64_t images_in_all;
} merging;

/* --- the archives ----------------------------------------------------------------------------------------------- */

/* The same on every rank. m->parts gets room for as many. */
static pb_status split_names(merging *m) {
    const char *list = m->job->options->archives;
    size_t length = strlen(list), commas = 0;
    for (const char *at = list; (at = strchr(at, ',')); at++)
        commas++;
    PB_TRY(pb_allocate(&m->names, length + 1, 1, "names of archives"));
    PB_TRY(pb_allocate(&m->folders, commas + 1, sizeof *m->folders, "names of archives"));
    PB_TRY(pb_allocate(&m->parts, commas + 1, sizeof *m->parts, "archives"));
    /* Cut at commas in place; the last name ends with the text. */
    memcpy(m->names, list, length);
    for (char *at = m->names; at;) {
        char *comma = strchr(at, ',');
        if (comma)
            *comma = '\0';
        if (*at == '\0')
            return pb_fail(PB_E_USAGE, "--archives %s: an empty name in the list", list);
        m->folders[m->count++] = at;
        at = comma ? comma + 1 : NULL;
    }
    return pb_ok();
}

/* Whether the last of the sources is this name, of `length` bytes: the whole of it, as "a.csv" is not "xa.csv". */
static bool is_last_name(const merging *m, const char *name, size_t length) {
    return m->source && strlen(m->source + m->last_name) == length && memcmp(m->source + m->last_name, name, length) == 0;
}

/* Adds `length` bytes of a name to the sources, unless it is the last of them already. */
static pb_status add_source(merging *m, const char *name, size_t length) {
    static const char BETWEEN[] = ", ";
    const char *between = m->source ? BETWEEN : "";
    size_t used = m->source ? strlen(m->source) : 0, room = used + length + sizeof BETWEEN;
    if (is_last_name(m, name, length))
        return pb_ok();
    PB_TRY(pb_resize(&m->source, m->source_size, room, 1, "names of lists"));
    m->source_size = room;
    m->last_name = used + strlen(between);
    snprintf(m->source + used, room - used, "%s%.*s", between, (int)length, name);
    return pb_ok();
}

/* Parts of a list come all and in order, or images would be missing and nobody would know. m->parts_seen: how many parts of the
 * present list have come; 0 between lists. The last name in m->source is that list. *length: bytes of `source` that name the
 * list. */
static pb_status check_part(merging *m, const char *folder, const char *source, size_t *length) {
    pb_list_part found = pb_list_part_of(source, length);
    size_t expected = m->parts_seen + 1;
    bool begins = m->parts_seen == 0;
    if (found.count == 1 && begins)
        return pb_ok();
    bool same = begins || is_last_name(m, source, *length);
    /* Not the part that is due: a whole list where parts are not complete, another number, or another list. */
    if (found.count == 1 || found.number != (int)expected || !same)
        return pb_fail(PB_E_INPUT, "%s: is of %s, but part %zu of a list is expected here; parts are merged all, in order",
                       folder, source, expected);
    m->parts_seen = found.number == found.count ? 0 : expected;
    return pb_ok();
}

/* Adds archive i to what is known of all. Its editions may be of different lists and shard sizes: every one is named, and the
 * largest shard size is the new archive's (docs/FORMATS.md). */
static pb_status describe(merging *m, size_t i, const pb_archive *archive) {
    m->parts[i].first_shard = m->shards;
    m->parts[i].shards = pb_archive_shards(archive);
    snprintf(m->parts[i].sha256, PB_SHA256_TEXT, "%s", pb_archive_sha256(archive));
    m->shards += m->parts[i].shards;
    m->images_in_all += pb_archive_images(archive);
    for (size_t e = 0; e < pb_archive_editions(archive); e++) {
        const pb_edition *edition = pb_archive_edition(archive, e);
        size_t length;
        PB_TRY(check_part(m, m->folders[i], edition->source, &length));
        PB_TRY(add_source(m, edition->source, length));
        if (edition->shard_images > m->shard_images)
            m->shard_images = edition->shard_images;
    }
    return pb_ok();
}

/* On rank 0. Reads manifests only. A list whose last parts are missing shows here, after all. */
static pb_status look_at_all(merging *m) {
    PB_TRY(pb_new_archive_check(m->job->options->archive));
    for (size_t i = 0; i < m->count; i++) {
        pb_archive *archive = NULL;
        PB_TRY(pb_archive_open(m->folders[i], &archive));
        pb_status status = describe(m, i, archive);
        pb_archive_close(&archive);
        if (pb_failed(&status))
            return status;
    }
    if (m->parts_seen > 0)
        return pb_fail(PB_E_INPUT, "--archives: part %zu of %s is missing; parts are merged all, in order", m->parts_seen + 1,
                       m->source);
    if (m->images_in_all == 0)
        return pb_fail(PB_E_INPUT, "--archives %s: have no images", m->job->options->archives);
    return pb_ok();
}

/* Collective. Every rank knows what rank 0 found, and takes its range of the shards. */
static pb_status open_parts(merging *m) {
    pb_comm *comm = m->job->comm;
    pb_status status = split_names(m);
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = look_at_all(m);
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        return status;
    pb_comm_broadcast(comm, m->parts, m->count * sizeof *m->parts, 0, "archives to merge");
    m->shards = m->parts[m->count - 1].first_shard + m->parts[m->count - 1].shards;
    m->mine = pb_partition(m->shards, pb_comm_size(comm), pb_comm_rank(comm));
    return pb_agree(comm, pb_allocate(&m->summaries, pb_range_size(m->mine), sizeof *m->summaries, "shard summaries"));
}

/* What to do with one shard: number `shard` of part `part`. */
typedef pb_status (*shard_work)(merging *m, pb_archive *archive, size_t part, size_t shard);

/* For each shard of this rank. Each part is opened as rank 0 saw it, though it may have grown since; it stays open for all its
 * shards, and one is open at a time. Not collective. */
static pb_status each_shard(merging *m, shard_work work) {
    pb_archive *archive = NULL;
    pb_status status = pb_ok();
    size_t at = 0;
    for (uint64_t shard = m->mine.first; shard < m->mine.end && !pb_failed(&status); shard++) {
        /* On to the archive that has this shard; archives without shards are passed over. */
        while (m->parts[at].first_shard + m->parts[at].shards <= shard) {
            pb_archive_close(&archive);
            at++;
        }
        if (!archive)
            status = pb_archive_open_edition(m->folders[at], m->parts[at].sha256, PB_SHARDS_THERE, &archive);
        if (!pb_failed(&status))
            status = work(m, archive, at, (size_t)(shard - m->parts[at].first_shard));
    }
    pb_archive_close(&archive);
    return status;
}

/* --- no image twice --------------------------------------------------------------------------------------------- */

/* FNV-1a, with its 64-bit offset and prime (Fowler, Noll, Vo; IETF draft-eastlake-fnv). Equal hashes are looked at, so that it
 * need not be a strong one. */
static uint64_t hash_of(const char *path) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *at = path; *at; at++)
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    return hash;
}

static pb_status note_image(merging *m, image added) {
    if (m->image_count == m->image_room) {
        size_t room = 2 * m->image_room + 4096;
        PB_TRY(pb_resize(&m->images, m->image_room, room, sizeof *m->images, "paths of images"));
        m->image_room = room;
    }
    m->images[m->image_count++] = added;
    return pb_ok();
}

/* A shard_work: notes the paths of one shard's images. Their indices are in their own archive. */
static pb_status note_paths(merging *m, pb_archive *archive, size_t at, size_t shard) {
    uint64_t first = 0;
    for (size_t s = 0; s < shard; s++)
        first += pb_archive_shard(archive, s)->images;
    for (uint64_t i = first; i < first + pb_archive_shard(archive, shard)->images; i++) {
        pb_record record;
        PB_TRY(pb_archive_record(archive, i, &record));
        PB_TRY(note_image(m, (image){.hash = hash_of(record.path), .index = i, .part = at}));
    }
    return pb_ok();
}

/* For qsort. Equal paths come together; among them the order is that of the archives, so that the message is the same for any
 * number of ranks. */
static int by_hash(const void *a, const void *b) {
    const image *left = a, *right = b;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    if (left->part != right->part)
        return left->part < right->part ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/* Fails when two images of one hash have one path. Archives are opened for it: among different paths a hash of 64 bits is hardly
 * ever equal. */
static pb_status compare(const merging *m, const image *a, const image *b) {
    pb_archive *first = NULL, *second = NULL;
    pb_record one, other;
    pb_status status = pb_archive_open_edition(m->folders[a->part], m->parts[a->part].sha256, PB_SHARDS_THERE, &first);
    if (!pb_failed(&status))
        status = pb_archive_open_edition(m->folders[b->part], m->parts[b->part].sha256, PB_SHARDS_THERE, &second);
    if (!pb_failed(&status))
        status = pb_archive_record(first, a->index, &one);
    if (!pb_failed(&status))
        status = pb_archive_record(second, b->index, &other);
    if (!pb_failed(&status) && strcmp(one.path, other.path) == 0)
        status = pb_fail(PB_E_INPUT, "%s: has the image %s, which is also in %s", m->folders[b->part], other.path,
                         m->folders[a->part]);
    pb_archive_close(&first);
    pb_archive_close(&second);
    return status;
}

/* On rank 0. Sorts the images of all archives. Of three with one hash each is compared with the next: where paths are equal, some
 * neighbours are found, unless another path with the same hash lies between them. */
static pb_status compare_all(const merging *m, image *all, size_t count) {
    if (count > 0)
        qsort(all, count, sizeof *all, by_hash);
    for (size_t i = 0; i + 1 < count; i++)
        if (all[i].hash == all[i + 1].hash)
            PB_TRY(compare(m, &all[i], &all[i + 1]));
    return pb_ok();
}

/* Collective. m->images of the ranks go to rank 0, which has them all: 24 bytes an image. They are released here. */
static pb_status check_paths(merging *m) {
    pb_comm *comm = m->job->comm;
    image *all = NULL;
    size_t *sizes = NULL, bytes = 0;
    pb_status status = each_shard(m, note_paths);
    pb_keep_first(&status, pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts"));
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, m->images, m->image_count * sizeof *m->images, 0, &all, sizes, "paths of images");
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0) {
        for (int r = 0; r < pb_comm_size(comm); r++)
            bytes += sizes[r];
        status = compare_all(m, all, bytes / sizeof *all);
    }
    pb_release(&all);
    pb_release(&sizes);
    pb_release(&m->images);
    return pb_agree(comm, status);
}

/* --- the new archive -------------------------------------------------------------------------------------------- */

/* A shard_work: links one shard under its new number. */
static pb_status link_shard(merging *m, pb_archive *archive, size_t at, size_t shard) {
    uint64_t number = m->parts[at].first_shard + shard;
    return pb_shard_link(archive, shard, m->job->options->archive, (size_t)number, &m->summaries[number - m->mine.first]);
}

/* The file of each archive and of each of its editions, whether there is one or not. *files: [*count], owned by the caller, each
 * to be released, also after a failure. */
static pb_status rejected_files(const merging *m, char ***files, size_t *count) {
    *count = 0;
    for (size_t i = 0; i < m->count; i++) {
        pb_archive *archive = NULL;
        PB_TRY(pb_archive_open_edition(m->folders[i], m->parts[i].sha256, PB_SHARDS_THERE, &archive));
        size_t editions = pb_archive_editions(archive);
        pb_archive_close(&archive);
        PB_TRY(pb_resize(files, *count, *count + editions, sizeof **files, "lists of rejected images"));
        for (size_t e = 0; e < editions; e++) {
            char folder[PB_PATH_MAX];
            PB_TRY(pb_edition_path(m->folders[i], e, folder));
            PB_TRY(pb_allocate(&(*files)[*count], PB_PATH_MAX, 1, "lists of rejected images"));
            PB_TRY(pb_path_join(folder, REJECTED, (*files)[(*count)++]));
        }
    }
    return pb_ok();
}

/* On rank 0. */
static pb_status join_rejected(const merging *m) {
    char path[PB_PATH_MAX], **files = NULL;
    size_t count = 0;
    pb_status status = rejected_files(m, &files, &count);
    if (!pb_failed(&status))
        status = pb_path_join(m->job->options->archive, REJECTED, path);
    if (!pb_failed(&status))
        status = pb_rejected_file_join(path, files, count);
    for (size_t i = 0; i < count; i++)
        pb_release(&files[i]);
    pb_release(&files);
    return status;
}

/* What cannot be removed stays: this is after a failure, which is what is told. */
static void remove_file(const merging *m, const char *file) {
    char path[PB_PATH_MAX];
    pb_status joined = pb_path_join(m->job->options->archive, file, path);
    if (!pb_failed(&joined))
        unlink(path);
}

/* Collective. What failed must not leave shards without a manifest behind. Each rank removes its own; rank 0 the list when all
 * have met, and then the folder is empty. */
static void remove_all(const merging *m) {
    for (size_t i = 0; i < pb_range_size(m->mine); i++)
        if (m->summaries[i].file[0])
            remove_file(m, m->summaries[i].file);
    pb_comm_barrier(m->job->comm, "removal of shards");
    if (pb_comm_rank(m->job->comm) == 0)
        remove_file(m, REJECTED);
}

/* Collective. A rank links what it can and meets the others in one agreement; summaries are gathered in the order of ranks, which
 * is that of the shards. */
static pb_status write_archive(merging *m) {
    pb_comm *comm = m->job->comm;
    pb_shard_summary *all = NULL;
    size_t *sizes = NULL;
    pb_status status = pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts");
    if (!pb_failed(&status))
        status = each_shard(m, link_shard);
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, m->summaries, pb_range_size(m->mine) * sizeof *all, 0, &all, sizes, "shard summaries");
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0) {
        status = join_rejected(m);
        if (!pb_failed(&status)) /* last: without it there is no archive */
            status = pb_manifest_write(m->job->options->archive, m->source, m->shard_images, all, (size_t)m->shards);
    }
    pb_release(&all);
    pb_release(&sizes);
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        remove_all(m);
    return status;
}

/* On rank 0. Linking is so quick that it begins anew. */
static pb_status prepare_folder(const char *folder, bool *created) {
    PB_TRY(pb_new_archive_create(folder, created));
    return pb_new_archive_clear(folder, NULL);
}

/* Collective. All checks come before the folder is made. */
static pb_status merge(merging *m) {
    const char *folder = m->job->options->archive;
    bool first = pb_comm_rank(m->job->comm) == 0, created = false; /* known on rank 0 */
    pb_status status = open_parts(m);
    if (!pb_failed(&status))
        status = check_paths(m);
    if (!pb_failed(&status))
        status = pb_agree(m->job->comm, first ? prepare_folder(folder, &created) : pb_ok());
    if (!pb_failed(&status))
        status = write_archive(m);
    if (pb_failed(&status) && created)
        rmdir(folder); /* only if it is empty: other files in it are not ours */
    return status;
}

pb_status pb_job_merge(const pb_job *job) {
    double begun = pb_clock_seconds();
    merging m = {.job = job};
    pb_status status = merge(&m);
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "merged", "archive=\"%s\" archives=%zu shards=%llu images=%llu seconds=%.2f",
                    job->options->archive, m.count, (unsigned long long)m.shards, (unsigned long long)m.images_in_all,
                    pb_clock_seconds() - begun);
    pb_release(&m.names);
    pb_release(&m.folders);
    pb_release(&m.parts);
    pb_release(&m.summaries);
    pb_release(&m.images);
    pb_release(&m.source);
    return status;
}
