/* new_archive.c: the shards that an earlier run left in a folder: kept, when a note in the state says that they are of the same
 * work, else removed. The note is written after the old shards are gone and before the first new one, so shards in the folder are
 * always of the work in the note. */
#include "jobs/new_archive.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char WORK_FILE[] = "work"; /* in the state: what the shards are of */
enum { WORK_BYTES_MAX = 1 << 16 };

pb_status pb_new_archive_check(const char *folder) {
    char manifest[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, "manifest.json", manifest));
    if (access(manifest, F_OK) == 0)
        return pb_fail(PB_E_INPUT, "%s: already holds an archive; give a new folder or remove it", folder);
    return pb_ok();
}

/* "shard-00012.h5", as pb_shard_write names its files. */
static bool is_shard_name(const char *name) {
    static const char HEAD[] = "shard-", TAIL[] = ".h5";
    if (strncmp(name, HEAD, strlen(HEAD)) != 0)
        return false;
    const char *digits = name + strlen(HEAD);
    size_t count = strspn(digits, "0123456789");
    return count >= 5 && strcmp(digits + count, TAIL) == 0;
}

/* A removal of shards. */
typedef struct removal {
    const char *run; /* of this job; NULL: it keeps no state */
    size_t count;
} removal;

/* A visitor. Names that are no shards' are none of ours and are passed over. By way of the run's folder: a run that was fenced
 * off while it slept has none, and removes nothing of its successor's. */
static pb_status remove_shard(void *context, int folder, const char *name) {
    removal *r = context;
    char path[PB_PATH_MAX];
    if (!is_shard_name(name))
        return pb_ok();
    if (r->run) {
        PB_TRY(pb_path_join(r->run, name, path));
        if (renameat(folder, name, AT_FDCWD, path) != 0)
            return access(r->run, F_OK) != 0 ? pb_fail(PB_E_NO, "%s: not removed: a newer run of this job has taken over", name)
                                             : pb_fail_errno(errno, name, "cannot move this shard of an earlier job away");
    }
    if (unlinkat(r->run ? AT_FDCWD : folder, r->run ? path : name, 0) != 0)
        return pb_fail_errno(errno, name, "cannot remove this shard of an earlier job");
    r->count++;
    return pb_ok();
}

pb_status pb_new_archive_clear(const char *folder, const pb_state *state) {
    removal r = {.run = state ? state->run : NULL};
    pb_status status = pb_folder_each(folder, NULL, remove_shard, &r);
    if (r.count > 0)
        pb_log(PB_LOG_WARN, "stale-shards", "archive=\"%s\" removed=%zu reason=\"an earlier job of other work did not end\"",
               folder, r.count);
    return status;
}

/* A pb_state_visitor: *context becomes true for what a pack does not leave in its state. */
static pb_status note_foreign(void *context, const char *path) {
    const char *name = strrchr(path, '/') + 1;
    bool ours = name[0] == '.' || strcmp(name, WORK_FILE) == 0 || strncmp(name, "run-", 4) == 0;
    *(bool *)context |= !ours;
    return pb_ok();
}

/* What else there is was saved by a job that was given the archive's folder for its results. */
bool pb_new_archive_has_state(const char *folder) {
    pb_state state = {0};
    bool foreign = false;
    pb_status status = pb_path_join(folder, "state", state.folder);
    if (pb_failed(&status) || !pb_is_folder(state.folder))
        return false;
    status = pb_state_each(&state, "", note_foreign, &foreign);
    return !pb_failed(&status) && !foreign;
}

/* The list may have taken long, so an archive is looked for once more. */
pb_status pb_new_archive_create(const char *folder, bool *created) {
    bool there = access(folder, F_OK) == 0;
    PB_TRY(pb_new_archive_check(folder));
    PB_TRY(pb_folder_create(folder));
    *created = !there;
    return pb_ok();
}

/* --- going on ---------------------------------------------------------------------------------------------------- */

/* A note that cannot be read is of nothing. */
static bool is_of(const char *path, const char *work) {
    char *text = NULL;
    size_t size;
    pb_status status = pb_file_read(path, WORK_BYTES_MAX, &text, &size);
    bool same = !pb_failed(&status) && size == strlen(work) && memcmp(text, work, size) == 0;
    pb_release(&text);
    return same;
}

pb_status pb_new_archive_resume(const char *folder, const pb_state *state, const char *work) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_state_path(state, WORK_FILE, path));
    if (is_of(path, work))
        return pb_ok();
    PB_TRY(pb_new_archive_clear(folder, state));
    return pb_file_write(path, work, strlen(work));
}

static pb_status count_shard(void *context, int folder, const char *name) {
    (void)folder;
    *(size_t *)context += is_shard_name(name);
    return pb_ok();
}

/* After a failure or a stop, so nothing here may fail in turn: what is known is logged. */
void pb_new_archive_settle(const char *folder, const pb_state *state) {
    char path[PB_PATH_MAX];
    size_t shards = 0;
    pb_status status = pb_folder_each(folder, NULL, count_shard, &shards);
    if (!pb_failed(&status) && shards > 0)
        pb_log(PB_LOG_INFO, "kept", "folder=\"%s\" shards=%zu effect=\"the same command goes on from them\"", folder, shards);
    if (pb_failed(&status) || shards > 0)
        return;
    status = pb_state_path(state, WORK_FILE, path);
    if (!pb_failed(&status))
        status = pb_output_remove(path); /* that it stays is no harm: the next run sees that there are no shards */
}
