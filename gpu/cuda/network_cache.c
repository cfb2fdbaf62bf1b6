/* Plans in one growing array of bytes, which is the file's. Looked for one after the other: there are less than a hundred.
 *
 * Order of reading: bytes (words, checksum, entries), the plans in them (get, put), the file (load, save). The file's form is at
 * the top of gpu/cuda/network_cache.h.
 *
 * What is read is not believed: load takes a file only after find_fault has been through all of it, so that get need only assert.
 * A cache never makes a job fail but by lack of memory: `trouble` says why there is an empty one. Files are replaced by a rename
 * (invariant 6); of two jobs that save at once one loses its new plans, which are made again some time.
 */
#include "gpu/cuda/network_cache.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "PBPLANS1"

/* HEAD: magic and length. A file longer than LENGTH_MAX is none of ours: plans are 3 to 200 KiB. ROOM_LEAST: bytes that a cache
 * begins with. */
enum { WORD = 8, HEAD = 2 * WORD, LENGTH_MAX = 1 << 30, ROOM_LEAST = 1 << 16 };

/* ---- bytes ---- */

/* Little-endian on every machine. */
static uint64_t word_at(const char *bytes) {
    uint64_t value = 0;
    for (int i = WORD - 1; i >= 0; i--)
        value = value << 8 | (unsigned char)bytes[i];
    return value;
}

static void put_word(char *bytes, uint64_t value) {
    for (int i = 0; i < WORD; i++, value >>= 8)
        bytes[i] = (char)(unsigned char)value;
}

/* FNV-1a, 64 bits (G. Fowler, L. C. Noll, K.-P. Vo): offset basis and prime. It finds damage, not intent; against that stand the
 * owner and the mode of the file (read_whole). */
static uint64_t checksum(const char *bytes, size_t count) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* Room for `more` bytes beyond those used, doubled as needed. After an error the cache is as it was. */
static pb_status reserve(pb_plan_cache *cache, size_t more) {
    if (more <= cache->room - cache->used)
        return pb_ok();
    size_t room = cache->room < ROOM_LEAST ? ROOM_LEAST : cache->room;
    while (room - cache->used < more)
        room *= 2;
    PB_TRY(pb_resize(&cache->bytes, cache->used, room, 1, "a plan cache"));
    cache->room = room;
    return pb_ok();
}

/* There is room: reserve has been called. */
static void append(pb_plan_cache *cache, const void *bytes, size_t count) {
    memcpy(cache->bytes + cache->used, bytes, count);
    cache->used += count;
}

static void append_word(pb_plan_cache *cache, uint64_t value) {
    char bytes[WORD];
    put_word(bytes, value);
    append(cache, bytes, sizeof bytes);
}

/* Without plans: magic, length (set when it is saved), maker. */
static pb_status clear(pb_plan_cache *cache) {
    const size_t length = strlen(cache->maker);
    cache->used = 0;
    PB_TRY(reserve(cache, HEAD + WORD + length));
    append(cache, MAGIC, WORD);
    append_word(cache, 0);
    append_word(cache, length);
    append(cache, cache->maker, length);
    return pb_ok();
}

/* Where entries begin. */
static size_t entries_of(const pb_plan_cache *cache) { return HEAD + WORD + strlen(cache->maker); }

/* An entry; the next one begins at `end`. */
typedef struct entry {
    const char *key, *plan;
    size_t key_length, plan_length, end;
} entry;

/* The entry at `at` of bytes that hold `end`. Returns false when it does not fit. at <= end. Lengths are compared before they are
 * added, so that none can overflow. */
static bool entry_at(const char *bytes, size_t at, size_t end, entry *found) {
    if (end - at < 2 * WORD)
        return false;
    const uint64_t key = word_at(bytes + at), plan = word_at(bytes + at + WORD), room = end - at - 2 * WORD;
    if (key > room || plan > room - key)
        return false;
    found->key = bytes + at + 2 * WORD;
    found->plan = found->key + key;
    found->key_length = (size_t)key;
    found->plan_length = (size_t)plan;
    found->end = at + 2 * WORD + (size_t)key + (size_t)plan;
    return true;
}

/* The last entry of a key counts: one that was put later is newer. */
pb_status pb_plan_cache_get(const pb_plan_cache *cache, const char *key, char **plan_out) {
    entry at, best = {.plan = NULL};
    *plan_out = NULL;
    for (size_t place = entries_of(cache); place < cache->used; place = at.end) {
        PB_ASSERT(entry_at(cache->bytes, place, cache->used, &at));
        if (at.key_length == strlen(key) && memcmp(at.key, key, at.key_length) == 0)
            best = at;
    }
    if (!best.plan)
        return pb_ok();
    PB_TRY(pb_allocate(plan_out, best.plan_length + 1, 1, "a plan"));
    memcpy(*plan_out, best.plan, best.plan_length);
    return pb_ok();
}

pb_status pb_plan_cache_put(pb_plan_cache *cache, const char *key, const char *plan) {
    const size_t key_length = strlen(key), plan_length = strlen(plan);
    PB_TRY(reserve(cache, 2 * WORD + key_length + plan_length));
    append_word(cache, key_length);
    append_word(cache, plan_length);
    append(cache, key, key_length);
    append(cache, plan, plan_length);
    cache->changed = true;
    return pb_ok();
}

/* ---- the file ---- */

/* Why bytes are not a cache of this maker; NULL when they are. A plan is text: a zero in it would cut it short. Length and
 * checksum come before anything is taken apart. The maker is compared word for word: the file's name is only a hash of it. */
static const char *find_fault(const pb_plan_cache *cache, const char *bytes, size_t length) {
    const size_t maker = strlen(cache->maker);
    entry at;
    /* The least file: head, length of the maker, checksum. */
    if (length < HEAD + 2 * WORD || memcmp(bytes, MAGIC, WORD) != 0)
        return "no plan cache, or of another version";
    if (word_at(bytes + WORD) != length || word_at(bytes + length - WORD) != checksum(bytes, length - WORD))
        return "damaged: length or checksum";
    if (word_at(bytes + HEAD) != maker || length < HEAD + 2 * WORD + maker || memcmp(bytes + HEAD + WORD, cache->maker, maker))
        return "of another cuDNN or device";
    for (size_t place = HEAD + WORD + maker; place < length - WORD; place = at.end)
        if (!entry_at(bytes, place, length - WORD, &at) || memchr(at.key, '\0', at.key_length + at.plan_length))
            return "damaged: an entry";
    return NULL;
}

/* Reads the opened file whole into *bytes. Returns why not, NULL when it did. About the opened file, not its name, so that nobody
 * can change it in between. *bytes is the caller's to release, after a failure too. */
static const char *read_whole(int file, char **bytes, size_t *length) {
    struct stat about;
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode))
        return "no regular file";
    if (about.st_uid != geteuid() || (about.st_mode & (S_IWGRP | S_IWOTH)))
        return "another user owns it or may write to it";
    if (about.st_size > LENGTH_MAX)
        return "too long";
    *length = (size_t)about.st_size;
    pb_status status = pb_allocate(bytes, *length, 1, "a plan cache");
    if (pb_failed(&status))
        return "no memory to read it";
    size_t have = 0;
    while (have < *length) {
        ssize_t got = read(file, *bytes + have, *length - have);
        if (got == 0 || (got < 0 && errno != EINTR))
            return "cannot be read";
        have += got > 0 ? (size_t)got : 0;
    }
    return NULL;
}

/* Takes what the file has, if that is a cache of this maker; else the cache stays as it is. A file that is not there is no
 * trouble. O_NOFOLLOW: a link could lead to a file of the user's that somebody else has chosen. */
static void load(pb_plan_cache *cache) {
    char *bytes = NULL;
    size_t length = 0;
    int file = open(cache->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) {
        if (errno != ENOENT)
            snprintf(cache->trouble, sizeof cache->trouble, "cannot be opened: %s", strerror(errno));
        return;
    }
    const char *fault = read_whole(file, &bytes, &length);
    close(file);
    if (!fault)
        fault = find_fault(cache, bytes, length);
    if (fault) {
        snprintf(cache->trouble, sizeof cache->trouble, "%s", fault);
        pb_release(&bytes);
        return;
    }
    /* The checksum is not kept: it is made anew when the cache is saved. */
    pb_release(&cache->bytes);
    cache->bytes = bytes;
    cache->used = length - WORD;
    cache->room = length;
}

/* *copy_out is released by pb_release. */
static pb_status copy_text(const char *text, char **copy_out) {
    const size_t bytes = strlen(text) + 1;
    PB_TRY(pb_allocate(copy_out, bytes, 1, "a plan cache"));
    memcpy(*copy_out, text, bytes);
    return pb_ok();
}

/* The empty cache first, so that whatever load does not take leaves one that works. */
static pb_status begin(const char *folder, const char *maker, pb_plan_cache *cache) {
    char path[4096];
    PB_TRY(copy_text(maker, &cache->maker));
    PB_TRY(clear(cache));
    if (!folder || !folder[0])
        return pb_ok();
    const int length = snprintf(path, sizeof path, "%s/%016" PRIx64 ".plans", folder, checksum(maker, strlen(maker)));
    if (length < 0 || (size_t)length >= sizeof path)
        return pb_fail(PB_E_INPUT, "%s: a path too long for a plan cache", folder);
    PB_TRY(copy_text(path, &cache->path));
    load(cache);
    return pb_ok();
}

pb_status pb_plan_cache_open(const char *folder, const char *maker, pb_plan_cache *cache_out) {
    *cache_out = (pb_plan_cache){0};
    pb_status status = begin(folder, maker, cache_out);
    if (pb_failed(&status))
        pb_plan_cache_close(cache_out);
    return status;
}

/* Writes may be cut short by signals or a full disk's last block. Flushed, so that the rename never shows an empty file. */
static pb_status write_whole(int file, const char *path, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = write(file, bytes, count);
        if (done < 0 && errno != EINTR)
            return pb_fail_errno(errno, path, "writing a plan cache");
        bytes += done > 0 ? done : 0;
        count -= done > 0 ? (size_t)done : 0;
    }
    return fsync(file) == 0 ? pb_ok() : pb_fail_errno(errno, path, "writing a plan cache");
}

/* Writes all under a name that is nobody else's and renames it: a process has no number of its own in a folder that nodes share.
 * The cache has room for the checksum. */
static pb_status replace(pb_plan_cache *cache) {
    char name[4200];
    snprintf(name, sizeof name, "%s.XXXXXX", cache->path);
    put_word(cache->bytes + WORD, cache->used + WORD);
    put_word(cache->bytes + cache->used, checksum(cache->bytes, cache->used));
    int file = mkostemp(name, O_CLOEXEC);
    if (file < 0)
        return pb_fail_errno(errno, name, "making a plan cache");
    pb_status status = write_whole(file, name, cache->bytes, cache->used + WORD);
    if (close(file) != 0 && !pb_failed(&status))
        status = pb_fail_errno(errno, name, "closing a plan cache");
    if (!pb_failed(&status) && rename(name, cache->path) != 0)
        status = pb_fail_errno(errno, cache->path, "renaming a plan cache");
    if (pb_failed(&status))
        unlink(name);
    return status;
}

pb_status pb_plan_cache_save(pb_plan_cache *cache) {
    if (!cache->changed || !cache->path)
        return pb_ok();
    PB_TRY(reserve(cache, WORD));
    PB_TRY(replace(cache));
    cache->changed = false;
    return pb_ok();
}

void pb_plan_cache_close(pb_plan_cache *cache) {
    pb_release(&cache->path);
    pb_release(&cache->maker);
    pb_release(&cache->bytes);
    *cache = (pb_plan_cache){0};
}
