/* forget.c: the list of --forget: one text, cut in place into lines, and an array of pointers into it, sorted so that a path is
 * found by halving. */
#include "jobs/forget.h"

#include "base/memory.h"
#include "jobs/share.h"

#include <stdlib.h>
#include <string.h>

static const size_t BYTES_MAX = (size_t)1 << 30;

static int by_bytes(const void *left, const void *right) { return strcmp(*(char *const *)left, *(char *const *)right); }

/* Cuts the text into lines, which are counted when paths is NULL, else noted. */
static size_t split(char *text, size_t size, char **paths) {
    size_t count = 0;
    for (char *line = text, *end = text + size, *next; line < end; line = next) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        next = stop + 1;
        if (stop > line && stop[-1] == '\r')
            stop--;
        if (stop == line)
            continue;
        if (paths) {
            *stop = '\0';
            paths[count] = line;
        }
        count++;
    }
    return count;
}

/* Not collective: every rank has the text. A byte order mark is passed over, as in lists of images: it would make the first path
 * one that nobody has, and its image would stay without a word. */
static pb_status parse(const char *file, size_t size, pb_forget *list) {
    static const char BOM[] = {'\xef', '\xbb', '\xbf'};
    const size_t skip = size >= sizeof BOM && memcmp(list->text, BOM, sizeof BOM) == 0 ? sizeof BOM : 0;
    char *text = list->text + skip;
    size -= skip;
    size_t lines = split(text, size, NULL);
    if (lines == 0)
        return pb_fail(PB_E_INPUT, "%s: names no image; a path on each line is expected", file);
    PB_TRY(pb_allocate(&list->paths, lines, sizeof *list->paths, "images to forget"));
    split(text, size, list->paths);
    qsort(list->paths, lines, sizeof *list->paths, by_bytes);
    for (size_t i = 0; i < lines; i++)
        if (list->count == 0 || strcmp(list->paths[list->count - 1], list->paths[i]) != 0)
            list->paths[list->count++] = list->paths[i];
    return pb_ok();
}

/* The hash is of the file's bytes, before they are cut into lines: it says in the state what was given (jobs/update.c). */
pb_status pb_forget_read(pb_comm *comm, const char *file, pb_forget *list_out) {
    size_t size = 0;
    *list_out = (pb_forget){0};
    if (!file) /* the same on every rank */
        return pb_ok();
    pb_status status = pb_read_for_all(comm, file, BYTES_MAX, &list_out->text, &size);
    if (!pb_failed(&status)) {
        pb_sha256(list_out->text, size, list_out->sha256);
        status = pb_agree(comm, parse(file, size, list_out));
    }
    if (pb_failed(&status))
        pb_forget_free(list_out);
    return status;
}

void pb_forget_free(pb_forget *list) {
    pb_release(&list->paths);
    pb_release(&list->text);
    *list = (pb_forget){0};
}

bool pb_forget_has(const pb_forget *list, const char *path) {
    return list->count > 0 && bsearch(&path, list->paths, list->count, sizeof *list->paths, by_bytes);
}

/* Rising indices stay rising. Reads the record of every image of the selection: a column of each shard. */
pb_status pb_forget_select(const pb_forget *list, pb_archive *archive, pb_selection *selection, uint64_t *taken) {
    size_t left = 0;
    for (size_t i = 0; i < selection->count; i++) {
        pb_record record;
        PB_TRY(pb_archive_record(archive, selection->index[i], &record));
        if (!pb_forget_has(list, record.path))
            selection->index[left++] = selection->index[i];
    }
    *taken = selection->count - left;
    selection->count = left;
    return pb_ok();
}
