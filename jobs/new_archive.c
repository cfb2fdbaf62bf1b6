#include "jobs/new_archive.h"

#include "base/log.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

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

/* Shards without a manifest are what a killed job left. */
static pb_status remove_stale_shards(const char *folder) {
    size_t removed = 0;
    pb_status status = pb_ok();
    DIR *names = opendir(folder);
    if (!names)
        return pb_fail_errno(errno, folder, "cannot list");
    for (const struct dirent *entry; !pb_failed(&status) && (entry = readdir(names));) {
        if (!is_shard_name(entry->d_name))
            continue;
        if (unlinkat(dirfd(names), entry->d_name, 0) != 0)
            status = pb_fail_errno(errno, folder, "cannot remove a shard of an earlier job");
        else
            removed++;
    }
    closedir(names);
    if (removed > 0)
        pb_log(PB_LOG_WARN, "stale-shards", "archive=\"%s\" removed=%zu reason=\"an earlier job did not end\"", folder, removed);
    return status;
}

/* The list may have taken long, so an archive is looked for once more. */
pb_status pb_new_archive_prepare(const char *folder, bool *created) {
    bool there = access(folder, F_OK) == 0;
    PB_TRY(pb_new_archive_check(folder));
    PB_TRY(pb_folder_create(folder));
    *created = !there;
    return remove_stale_shards(folder);
}
