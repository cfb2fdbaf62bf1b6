/* list.h: which images, what is known of them: a CSV list, or the folder layout of MVTec AD.
 *
 * CSV (RFC 4180; UTF-8 with or without a byte order mark; LF or CR LF; empty lines are passed over; the first row names the
 * columns, in any order, unknown columns are an error):
 *   path   image file, relative to the list's folder or absolute                            required
 *   split  "train" or "test"                                                                 required
 *   label  0 normal, 1 defective, empty unknown                                              required
 *   class  what kind of object, free text                                                    optional
 *   group  what was made together (a module, a batch); see `patchbank eval --pairs-within`   optional
 *   mask   image file whose non-zero pixels are the defect, of the image's size              optional
 * MVTec AD: ROOT/CLASS/train/good/x.png, ROOT/CLASS/test/DEFECT/x.png, ROOT/CLASS/ground_truth/DEFECT/x_mask.png, for each
 * CLASS, or ROOT itself is one class. group is the defect's name ("good", "scratch"). Sorted by path in byte order. Hidden files
 * are passed over, and so are files beside the folders of a root or class; whatever else lies among the images is listed. Where
 * CLASS/ground_truth exists, every defective image must have its mask; where it does not, none has.
 *
 * A list is parsed from memory, since one rank reads the file and sends it to all: they must see the same one. A folder of MVTec
 * AD becomes the text of such a list first (pb_list_mvtec), and is then parsed like any other.
 */
#ifndef PB_IO_LIST_H
#define PB_IO_LIST_H

#include "base/status.h"
#include "io/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an image is for. The numbers are those of shards and results. */
typedef enum pb_split { PB_SPLIT_TRAIN = 0, PB_SPLIT_TEST = 1 } pb_split;

/* Of an item; -1 is no class of its own but "nobody says". */
enum { PB_LABEL_UNKNOWN = -1, PB_LABEL_NORMAL = 0, PB_LABEL_DEFECTIVE = 1 };

/* One image of a list. Strings belong to the list; mask is "" when there is none. */
typedef struct pb_list_item {
    const char *path;   /* as the list has it */
    const char *mask;   /* likewise */
    const char *class;  /* "" when unknown */
    const char *group;  /* "" when unknown */
    pb_split split;
    int label;
    size_t index; /* position among all items of the file, also where some were left out */
} pb_list_item;

/* A list in memory. Zeroed it is empty; freed by pb_list_free. */
typedef struct pb_list {
    char *folder;        /* that relative paths start from */
    size_t count;
    pb_list_item *items;
    struct pb_list_text *texts; /* owns the strings */
    char sha256[PB_SHA256_TEXT]; /* of the text that it was read from */
} pb_list;

/* Reads a CSV list from memory (so that one rank can read the file and all can parse it). `name` is its path, for messages and
 * for relative paths. Errors: PB_E_INPUT with the number of the line in which the row begins: not UTF-8, a missing, doubled or
 * unknown column, a row of another length, an unknown split or label, an empty or doubled path (compared as text), a quote out of
 * place, no items.
 * Out: *list, owned by the caller, empty on error. Not collective. */
PB_CHECKED pb_status pb_list_parse(const char *name, const char *bytes, size_t size, pb_list *list_out);

/* Walks a folder in the layout of MVTec AD and gives it as CSV text, to be handed to pb_list_parse: one way in for both. Its
 * paths are relative to root, so it is parsed under the name "ROOT/". A file name that is not UTF-8 is refused by pb_list_parse.
 * *text is owned by the caller (pb_release). Errors: PB_E_INPUT when the folder has not that layout. Not collective. */
PB_CHECKED pb_status pb_list_mvtec(const char *root, char **text_out, size_t *size_out);

/* The items of a list sorted by their paths, for pb_list_find. *sorted_out, [list->count], is owned by the caller (pb_release).
 */
PB_CHECKED pb_status pb_list_sort(const pb_list *list, const pb_list_item ***sorted_out);

/* The item with this path (the same bytes), NULL when there is none. sorted: [count], of pb_list_sort. O(log count). */
const pb_list_item *pb_list_find(const pb_list_item *const *sorted, size_t count, const char *path);

/* Leaves out the items for which `leave` (one value an item) is true; the others keep their order and their `index`. */
void pb_list_leave_out(pb_list *list, const bool *leave);

/* Frees everything and empties the list. */
void pb_list_free(pb_list *list);

#endif
