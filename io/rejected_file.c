/* rejected_file.c: rejected.csv, written whole from memory: it has as many rows as images were left out, which --max-bad
 * limits. */
#include "io/rejected_file.h"

#include "base/memory.h"
#include "io/csv_field.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char HEADER[] = "path,index,reason\r\n";
/* Of a file that is joined: 1 GiB. */
enum { FILE_BYTES_MAX = 1 << 30 };

/* Indices differ, so the order is one, whatever qsort does with equals. */
static int by_index(const void *left, const void *right) {
    uint64_t a = ((const pb_rejected_item *)left)->index, b = ((const pb_rejected_item *)right)->index;
    return (a > b) - (a < b);
}

/* The rows as text, for free(), also after a failure. */
static pb_status format(const pb_rejected_item *items, size_t count, char **text, size_t *size) {
    FILE *csv = open_memstream(text, size);
    if (!csv)
        return pb_fail(PB_E_SYSTEM, "out of memory for the list of rejected images");
    fputs(HEADER, csv);
    for (size_t i = 0; i < count; i++) {
        pb_csv_put_field(csv, items[i].path);
        fprintf(csv, ",%" PRIu64 ",", items[i].index);
        pb_csv_put_field(csv, items[i].reason);
        fputs("\r\n", csv);
    }
    bool failed = ferror(csv) != 0;
    if (fclose(csv) != 0 || failed)
        return pb_fail(PB_E_SYSTEM, "out of memory for the list of rejected images");
    return pb_ok();
}

/* Sorted here, so that the file does not depend on which rank left out what (invariant 3). */
pb_status pb_rejected_file_write(const char *path, pb_rejected_item *items, size_t count) {
    if (count == 0)
        return pb_output_remove(path);
    qsort(items, count, sizeof *items, by_index);
    char *text = NULL;
    size_t size = 0;
    pb_status status = format(items, count, &text, &size);
    if (!pb_failed(&status))
        status = pb_file_write(path, text, size);
    free(text);
    return status;
}

/* Adds the rows of one file, without its header. One that is not there has none. */
static pb_status copy_rows(const char *path, FILE *csv) {
    char *text;
    size_t size, header = strlen(HEADER);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return pb_ok();
    PB_TRY(pb_file_read(path, FILE_BYTES_MAX, &text, &size));
    bool sound = size >= header && memcmp(text, HEADER, header) == 0;
    if (sound)
        fwrite(text + header, 1, size - header, csv);
    pb_release(&text);
    return sound ? pb_ok() : pb_fail(PB_E_INPUT, "%s: not a list of rejected images: other columns", path);
}

/* Rows are copied as bytes: they are quoted already. */
pb_status pb_rejected_file_join(const char *path, char *const *parts, size_t count) {
    char *text = NULL;
    size_t size = 0;
    FILE *csv = open_memstream(&text, &size);
    if (!csv)
        return pb_fail(PB_E_SYSTEM, "out of memory for the list of rejected images");
    fputs(HEADER, csv);
    pb_status status = pb_ok();
    for (size_t i = 0; i < count && !pb_failed(&status); i++)
        status = copy_rows(parts[i], csv);
    bool failed = ferror(csv) != 0;
    if ((fclose(csv) != 0 || failed) && !pb_failed(&status))
        status = pb_fail(PB_E_SYSTEM, "out of memory for the list of rejected images");
    if (!pb_failed(&status) && size > strlen(HEADER))
        status = pb_file_write(path, text, size);
    free(text);
    return status;
}
