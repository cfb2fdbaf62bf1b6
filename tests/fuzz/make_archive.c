/* make_archive LIST.csv FOLDER [MORE.csv]: the archive of a list in one shard, as `patchbank pack` makes it, without MPI.
 * LIST.csv may be "-": of a list without entries, which has no shard. MORE.csv: with another list's images appended;
 * manifest.json is then as a kill right after the append leaves it: the first edition's. */
#include "io/archive.h"
#include "io/file.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static void leave_out(void *context, size_t index, const pb_status *why) { (void)context, (void)index, (void)why; }

enum { IMAGES_MAX = 1000 };

static pb_status read_list(const char *path, pb_list *list) {
    char *text;
    size_t size;
    PB_TRY(pb_file_read(path, 1 << 20, &text, &size));
    pb_status status = pb_list_parse(path, text, size, list);
    pb_release(&text);
    return status;
}

static pb_status make(const char *list_path, const char *folder) {
    pb_list list;
    pb_shard_summary summary;
    PB_TRY(pb_folder_create(folder));
    if (strcmp(list_path, "-") == 0)
        return pb_manifest_write(folder, "none", IMAGES_MAX, NULL, 0);
    PB_TRY(read_list(list_path, &list));
    pb_status status = pb_shard_write(folder, 0, &list, 0, IMAGES_MAX, leave_out, NULL, &summary);
    if (!pb_failed(&status))
        status = pb_manifest_write(folder, "list", IMAGES_MAX, &summary, 1);
    pb_list_free(&list);
    return status;
}

static pb_status append(const char *list_path, const char *folder) {
    char next[PB_PATH_MAX];
    pb_list list;
    pb_archive *base;
    pb_shard_summary summary;
    PB_TRY(pb_path_join(folder, "next", next));
    PB_TRY(pb_folder_create(next));
    PB_TRY(read_list(list_path, &list));
    pb_status status = pb_archive_open(folder, &base);
    if (!pb_failed(&status))
        status = pb_shard_write(next, pb_archive_shards(base), &list, 0, IMAGES_MAX, leave_out, NULL, &summary);
    if (!pb_failed(&status))
        status = pb_edition_publish(base, next, "more", IMAGES_MAX, &summary, 1);
    pb_archive_close(&base);
    pb_list_free(&list);
    return status;
}

int main(int count, char **words) {
    pb_status status =
        count == 3 || count == 4 ? make(words[1], words[2]) : pb_fail(PB_E_USAGE, "make_archive LIST.csv FOLDER [MORE.csv]");
    if (!pb_failed(&status) && count == 4)
        status = append(words[3], words[2]);
    if (pb_failed(&status))
        fprintf(stderr, "make_archive: %s\n", status.message);
    return status.code;
}
