/* make_archive LIST.csv FOLDER: the archive of a list in one shard, as `patchbank pack` makes it, without MPI. */
#include "io/archive.h"
#include "io/file.h"

#include "base/memory.h"

#include <stdio.h>

static void leave_out(void *context, size_t index, const pb_status *why) { (void)context, (void)index, (void)why; }

static pb_status make(const char *list_path, const char *folder) {
    enum { IMAGES_MAX = 1000 };
    char *text;
    size_t size;
    pb_list list;
    pb_shard_summary summary;
    PB_TRY(pb_folder_create(folder));
    PB_TRY(pb_file_read(list_path, 1 << 20, &text, &size));
    pb_status status = pb_list_parse(list_path, text, size, &list);
    pb_release(&text);
    if (!pb_failed(&status))
        status = pb_shard_write(folder, 0, &list, 0, IMAGES_MAX, leave_out, NULL, &summary);
    if (!pb_failed(&status))
        status = pb_manifest_write(folder, "list", IMAGES_MAX, &summary, 1);
    pb_list_free(&list);
    return status;
}

int main(int count, char **words) {
    pb_status status = count == 3 ? make(words[1], words[2]) : pb_fail(PB_E_USAGE, "make_archive LIST.csv FOLDER");
    if (pb_failed(&status))
        fprintf(stderr, "make_archive: %s\n", status.message);
    return status.code;
}
