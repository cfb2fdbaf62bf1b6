/* bank_store.c: the versions of a bank (decision 0019, invariant 11). Two renames carry it all:
 *    appear           versions/part-RANDOM becomes versions/NNNNNN: publishes, or fails because that number is taken
 *    remove_version   versions/NNNNNN becomes versions/part-RANDOM: what is removed is no version before its first file goes
 * A version's folder is never empty and rename(2) replaces no folder that is not, so the first is a compare-and-swap on the
 * number after the version that the publisher judged by. There is no other state: the current version is the highest number in
 * the folder, and the link `current` is written after the fact.
 *
 * Whatever begins with part- belongs to nobody for good: to a publisher or a removal that is at work, or was. Its name is random
 * and it is swept when it is older than the grace.
 */
#include "io/bank_store.h"

#include "base/fault.h"
#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names in a version's folder, and of the link. */
static const char BANK_FILE[] = "bank.h5", SUM_FILE[] = "bank.h5.sha256", META_FILE[] = "meta.json", LINK_FILE[] = "current";
static const char UNFINISHED[] = "part-"; /* what begins so is nobody's version */

/* --- names ------------------------------------------------------------------------------------------------------ */

/* "STORE/versions/NAME", or "STORE/versions" for the name "". */
static pb_status folder_of(const char *store, const char *name, char path[PB_PATH_MAX]) {
    int written = snprintf(path, PB_PATH_MAX, "%s/versions%s%s", store, *name ? "/" : "", name);
    return written < PB_PATH_MAX ? pb_ok() : pb_fail(PB_E_INPUT, "%.60s...: the path is too long", store);
}

/* A file in the folder of a version. */
static pb_status file_of(const char *store, const char *name, const char *file, char path[PB_PATH_MAX]) {
    char folder[PB_PATH_MAX];
    PB_TRY(folder_of(store, name, folder));
    return pb_path_join(folder, file, path);
}

pb_status pb_bank_store_path(const char *store, const char *name, char path[PB_PATH_MAX]) {
    return file_of(store, name, BANK_FILE, path);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Numbers of the versions of a store, in increasing order; owned. */
typedef struct numbers {
    uint64_t *all;
    size_t count;
} numbers;

static int by_number(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* A visitor: adds the number of a version to those of the context; what else lies there (part-..., a file of somebody) is passed
 * over. */
static pb_status add_number(void *context, int folder, const char *name) {
    numbers *found = context;
    uint64_t number = pb_version_number(name);
    (void)folder;
    if (number == 0)
        return pb_ok();
    PB_TRY(pb_resize(&found->all, found->count, found->count + 1, sizeof *found->all, "versions"));
    found->all[found->count++] = number;
    return pb_ok();
}

/* All numbers, rising, in found->all (pb_release). A store has a folder `versions`; without one it is none, which is the user's
 * mistake. */
static pb_status list_numbers(const char *store, numbers *found) {
    char folder[PB_PATH_MAX];
    *found = (numbers){0};
    PB_TRY(folder_of(store, "", folder));
    pb_status status = pb_folder_each(folder, NULL, add_number, found);
    if (status.code == PB_E_INPUT && !pb_is_folder(folder))
        status = pb_fail(PB_E_INPUT, "%s: not a bank of a store: it has no folder versions", store);
    if (pb_failed(&status))
        pb_release(&found->all);
    else if (found->count > 0)
        qsort(found->all, found->count, sizeof *found->all, by_number);
    return status;
}

/* The meta.json of a version, which must say the name of its folder: a folder that was copied by hand is found. */
static pb_status read_version(const char *store, const char *name, pb_bank_version *version) {
    char path[PB_PATH_MAX];
    PB_TRY(file_of(store, name, META_FILE, path));
    PB_TRY(pb_bank_version_read(path, version));
    return strcmp(version->name, name) == 0 ? pb_ok() : pb_fail(PB_E_INPUT, "%s: says it is version %s", path, version->name);
}

/* One listing of the folder. A node of NFS may see an old one, for as long as it caches: the version that is then found is whole
 * all the same, and gc leaves it alone for that long (decision 0019). */
pb_status pb_bank_store_head(const char *store, pb_bank_version *version_out) {
    numbers found;
    char folder[PB_PATH_MAX];
    *version_out = (pb_bank_version){0};
    PB_TRY(folder_of(store, "", folder));
    if (access(folder, F_OK) != 0 && errno == ENOENT)
        return pb_ok();
    PB_TRY(list_numbers(store, &found));
    uint64_t last = found.count > 0 ? found.all[found.count - 1] : 0;
    pb_release(&found.all);
    if (last == 0)
        return pb_ok();
    char name[PB_VERSION_NAME];
    pb_version_name(last, name);
    return read_version(store, name, version_out);
}

pb_status pb_bank_store_current(const char *store, pb_bank_version *version_out) {
    numbers none;
    PB_TRY(pb_bank_store_head(store, version_out));
    if (*version_out->name)
        return pb_ok();
    PB_TRY(list_numbers(store, &none)); /* fails when it is no store at all */
    pb_release(&none.all);
    return pb_fail(PB_E_INPUT, "%s: no bank has been published yet", store);
}

pb_status pb_bank_store_find(const char *store, const char *name, pb_bank_version *version_out) {
    char folder[PB_PATH_MAX];
    *version_out = (pb_bank_version){0};
    PB_TRY(folder_of(store, name, folder));
    if (pb_version_number(name) == 0 || !pb_is_folder(folder))
        return pb_fail(PB_E_INPUT, "%s: has no version %s; patchbank bank list shows what it has", store, name);
    return read_version(store, name, version_out);
}

/* A version that cannot be read is an error only if its folder is still there; else gc has taken it between listing and reading.
 * One in the midst of being removed has lost its name first, so none is seen in part. */
pb_status pb_bank_store_list(const char *store, pb_bank_version **versions_out, size_t *count_out) {
    numbers found;
    char name[PB_VERSION_NAME], folder[PB_PATH_MAX];
    *versions_out = NULL;
    *count_out = 0;
    PB_TRY(list_numbers(store, &found));
    pb_status status = pb_allocate(versions_out, found.count, sizeof **versions_out, "versions");
    for (size_t i = 0; i < found.count && !pb_failed(&status); i++) {
        pb_version_name(found.all[i], name);
        pb_status read = read_version(store, name, &(*versions_out)[*count_out]);
        status = folder_of(store, name, folder);
        if (pb_failed(&read) && pb_is_folder(folder)) /* else it was removed since it was listed */
            status = read;
        *count_out += !pb_failed(&read);
    }
    pb_release(&found.all);
    if (pb_failed(&status)) {
        pb_release(versions_out);
        *count_out = 0;
    }
    return status;
}

/* --- publishing ------------------------------------------------------------------------------------------------- */

/* The lock file lies beside versions/, so that whoever lists these need not know it. */
pb_status pb_bank_store_lock(const char *store, bool create, double wait_s, const char *who, pb_lock *lock) {
    char path[PB_PATH_MAX];
    PB_TRY(folder_of(store, "", path));
    if (create)
        PB_TRY(pb_folder_create(path));
    else if (!pb_is_folder(path))
        return pb_fail(PB_E_INPUT, "%s: not a bank of a store: it has no folder versions", store);
    PB_TRY(pb_path_join(store, "lock", path));
    return pb_lock_take(path, wait_s, who, lock);
}

/* A new folder below versions/ that is no version. Its name is random: process numbers are the same on two nodes. */
static pb_status make_unfinished(const char *store, char path[PB_PATH_MAX]) {
    uint64_t random;
    char name[32];
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return pb_fail(PB_E_SYSTEM, "%s: no random numbers for a name", store);
    snprintf(name, sizeof name, "%s%016" PRIx64, UNFINISHED, random);
    PB_TRY(folder_of(store, name, path));
    return pb_folder_create(path);
}

/* The bank's file and its sum into an unfinished version. The file is hashed where it came to lie, so what is published is what
 * was judged, and a source that changed meanwhile is refused. A bank that is linked needs no room: a rollback works on a full
 * disk. */
static pb_status place_bank(const char *folder, const char *bank, pb_place place, const pb_bank_version *version) {
    char path[PB_PATH_MAX], sha256[PB_SHA256_TEXT], sum[PB_SHA256_TEXT + 16];
    PB_TRY(pb_path_join(folder, BANK_FILE, path));
    bool copied;
    PB_TRY(place == PB_PLACE_LINK ? pb_file_link(bank, path, &copied) : pb_file_copy(bank, path));
    PB_TRY(pb_sha256_file(path, sha256));
    if (strcmp(sha256, version->bank_sha256) != 0)
        return pb_fail(PB_E_INPUT, "%s: its SHA-256 is %s, expected %s: it has been changed", bank, sha256, version->bank_sha256);
    snprintf(sum, sizeof sum, "%s  %s\n", sha256, BANK_FILE);
    PB_TRY(pb_path_join(folder, SUM_FILE, path));
    return pb_file_write(path, sum, strlen(sum));
}

/* All files of a version, each on the disk, and then their names. */
static pb_status fill(const char *folder, const char *bank, pb_place place, const pb_bank_version *version) {
    char path[PB_PATH_MAX];
    PB_TRY(place_bank(folder, bank, place, version));
    PB_TRY(pb_path_join(folder, META_FILE, path));
    PB_TRY(pb_bank_version_write(path, version));
    return pb_folder_flush(folder);
}

/* The compare-and-swap: a version is never empty, and rename(2) replaces no folder that is not. Afterwards versions/ is flushed;
 * if only that fails the version is there, and is said to have failed (io/bank_store.h). */
static pb_status appear(const char *store, const char *unfinished, const char *name) {
    char folder[PB_PATH_MAX], versions[PB_PATH_MAX];
    PB_TRY(folder_of(store, name, folder));
    PB_TRY(folder_of(store, "", versions));
    int result = pb_fault("io.rename") ? (errno = EIO, -1) : rename(unfinished, folder);
    if (result != 0 && (errno == ENOTEMPTY || errno == EEXIST))
        return pb_fail(PB_E_SYSTEM, "%s: version %s was published meanwhile, by another; nothing was changed: try again", store,
                       name);
    if (result != 0)
        return pb_fail_errno(errno, folder, "cannot rename the finished version to it");
    return pb_folder_flush(versions);
}

/* What could not be published is removed; what a kill leaves, gc sweeps. After the rename there is nothing unfinished to
 * remove. */
pb_status pb_bank_store_add(const char *store, const char *after, const char *bank, pb_place place, pb_bank_version *version) {
    char unfinished[PB_PATH_MAX];
    pb_version_name((*after ? pb_version_number(after) : 0) + 1, version->name);
    PB_TRY(make_unfinished(store, unfinished));
    pb_status status = fill(unfinished, bank, place, version);
    if (!pb_failed(&status))
        status = appear(store, unfinished, version->name);
    if (pb_failed(&status) && pb_is_folder(unfinished)) {
        pb_status removed = pb_folder_remove(unfinished);
        pb_keep_first(&status, removed);
    }
    return status;
}

/* --- the link for people ---------------------------------------------------------------------------------------- */

/* A fresh link renamed over the old one: no moment is without. It is made in a folder of its own, so that no name is fought for.
 * target: relative, so that a store can be moved. */
static pb_status switch_link(const char *store, const char *unfinished, const char *target, const char *path) {
    char fresh[PB_PATH_MAX];
    PB_TRY(pb_path_join(unfinished, LINK_FILE, fresh));
    if (pb_fault("io.create"))
        return pb_fail_errno(ENOSPC, path, "cannot create the link");
    if (symlink(target, fresh) != 0)
        return pb_fail_errno(errno, path, "cannot create the link");
    if ((pb_fault("io.rename") ? (errno = EIO, -1) : rename(fresh, path)) != 0)
        return pb_fail_errno(errno, path, "cannot rename the new link to it");
    return pb_folder_flush(store);
}

/* Two that switch at once may leave the link at the older version, until the next one looks; it is for people, so nothing is done
 * about that. */
pb_status pb_bank_store_point(const char *store) {
    char path[PB_PATH_MAX], unfinished[PB_PATH_MAX], target[64], was[64];
    pb_bank_version current;
    PB_TRY(pb_bank_store_current(store, &current));
    PB_TRY(pb_path_join(store, LINK_FILE, path));
    snprintf(target, sizeof target, "versions/%s", current.name);
    ssize_t size = readlink(path, was, sizeof was);
    if (size == (ssize_t)strlen(target) && memcmp(was, target, strlen(target)) == 0)
        return pb_ok();
    PB_TRY(make_unfinished(store, unfinished));
    pb_status status = switch_link(store, unfinished, target, path);
    pb_keep_first(&status, pb_folder_remove(unfinished));
    return status;
}

/* --- removing --------------------------------------------------------------------------------------------------- */

/* Seconds since a file was changed, both times by the file server's clock (io/lock_file.h). */
static pb_status age_of(const char *path, double now_s, double *age_s) {
    struct stat facts;
    if (stat(path, &facts) != 0)
        return pb_fail_errno(errno, path, "cannot examine");
    *age_s = now_s - (double)facts.st_mtim.tv_sec;
    return pb_ok();
}

/* How long ago a version was superseded: the age of its successor's meta.json. A version was current until its successor came,
 * and a job that began at that moment may still read it. */
static pb_status superseded_since(const char *store, const char *successor, double now_s, double *age_s) {
    char path[PB_PATH_MAX];
    PB_TRY(file_of(store, successor, META_FILE, path));
    return age_of(path, now_s, age_s);
}

/* Whether one of `versions` was judged against it, or would be rolled back to it. */
static bool is_parent(const char *name, const pb_bank_version *versions, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(versions[i].parent, name) == 0)
            return true;
    return false;
}

/* Nobody sees a version that lacks files: its folder loses its name first. A folder may replace an empty one. */
static pb_status remove_version(const char *store, const char *name) {
    char folder[PB_PATH_MAX], unfinished[PB_PATH_MAX];
    PB_TRY(folder_of(store, name, folder));
    PB_TRY(make_unfinished(store, unfinished));
    if ((pb_fault("io.rename") ? (errno = EIO, -1) : rename(folder, unfinished)) != 0)
        return pb_fail_errno(errno, folder, "cannot take its name away");
    return pb_folder_remove(unfinished);
}

/* What sweep_name needs to know. */
typedef struct sweeping {
    const char *store;
    double now_s, grace_s;
} sweeping;

/* A visitor. One that is at work has a folder younger than any sensible grace. */
static pb_status sweep_name(void *context, int folder, const char *name) {
    const sweeping *s = context;
    char path[PB_PATH_MAX];
    double age_s = -1;
    (void)folder;
    if (strncmp(name, UNFINISHED, strlen(UNFINISHED)) != 0)
        return pb_ok();
    PB_TRY(folder_of(s->store, name, path));
    PB_TRY(age_of(path, s->now_s, &age_s));
    return age_s >= s->grace_s ? pb_folder_remove(path) : pb_ok();
}

/* What publishers that died, and removals that were cut short, have left. */
static pb_status sweep(const char *store, double now_s, double grace_s) {
    char folder[PB_PATH_MAX];
    sweeping s = {store, now_s, grace_s};
    PB_TRY(folder_of(store, "", folder));
    return pb_folder_each(folder, NULL, sweep_name, &s);
}

/* versions[i + 1] is the successor of versions[i], whatever numbers are missing between. The last `keep` are never looked at; of
 * the others each is kept that is a parent of one of these, or was superseded less than grace_s ago. */
pb_status pb_bank_store_gc(const char *store, const pb_lock *lock, int64_t keep, double grace_s, pb_version_removed report,
                           void *context) {
    pb_bank_version *versions;
    size_t count;
    PB_ASSERT(keep >= 1 && lock->open);
    PB_TRY(pb_bank_store_list(store, &versions, &count));
    size_t kept = (uint64_t)keep < count ? (size_t)keep : count;
    pb_status status = pb_ok();
    for (size_t i = 0; i + kept < count && !pb_failed(&status); i++) {
        double age_s = -1;
        if (is_parent(versions[i].name, versions + count - kept, kept))
            continue;
        /* The successor is there: it is one of those that are kept, or comes after this one and is not yet removed. */
        status = superseded_since(store, versions[i + 1].name, lock->now_s, &age_s);
        if (pb_failed(&status) || age_s < grace_s)
            continue;
        status = remove_version(store, versions[i].name);
        if (!pb_failed(&status))
            report(context, versions[i].name);
    }
    pb_release(&versions);
    return pb_failed(&status) ? status : sweep(store, lock->now_s, grace_s);
}
