/* list_mvtec.c: a folder in the layout of MVTec AD as CSV text, so that there is one way in for both: what is checked of a list
 * is checked there.
 *
 * The walk goes from the root to classes, to their splits, to groups, to images; each level reads the names of one folder, and
 * only these. What does not fit the layout is an error, not a guess: a training folder with more than "good" in it, or a missing
 * mask, would quietly change what a benchmark measures. All rows are sorted by path at the end, since folders are listed in any
 * order and an archive must not depend on that.
 */
#include "io/list.h"

#include "base/memory.h"
#include "io/file.h"

#include <csv.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Names within one folder: an array that grows. Owned, each of them. */
typedef struct names {
    size_t count, room;
    char **items;
} names;

/* An image, as a row of the list. */
typedef struct row {
    char *path, *mask, *class, *group; /* owned; relative to the root; mask "" when there is none */
    bool train, defective;
} row;

/* A walk: where it began, and what it has found. */
typedef struct walk {
    const char *root;
    size_t count, room;
    row *rows;
} walk;

static void free_names(names *found) {
    for (size_t i = 0; i < found->count; i++)
        free(found->items[i]);
    pb_release(&found->items);
    *found = (names){0};
}

static pb_status copy_text(const char *text, char **copy_out) {
    *copy_out = strdup(text);
    return *copy_out ? pb_ok() : pb_fail(PB_E_SYSTEM, "out of memory for the list of images");
}

/* Room for one more item of `size` bytes, doubled when full; what is new is zeroed. */
static pb_status make_room(void *items_inout, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return pb_ok();
    size_t more = *room ? 2 * *room : 64;
    PB_TRY(pb_resize(items_inout, *room, more, size, "the list of images"));
    *room = more;
    return pb_ok();
}

static pb_status add_name(names *found, const char *name) {
    PB_TRY(make_room(&found->items, found->count, &found->room, sizeof *found->items));
    PB_TRY(copy_text(name, &found->items[found->count]));
    found->count++;
    return pb_ok();
}

/* A visitor. */
static pb_status add_visible(void *context, int folder, const char *name) {
    (void)folder;
    return name[0] == '.' ? pb_ok() : add_name(context, name);
}

/* All names of a folder but hidden ones (".DS_Store"). */
static pb_status read_names(const char *folder, names *found) {
    pb_status status = pb_folder_each(folder, NULL, add_visible, found);
    if (pb_failed(&status))
        free_names(found);
    return status;
}

/* What stands at a path, links followed. */
typedef enum kind { NOTHING, A_FILE, A_FOLDER, SOMETHING_ELSE } kind;

/* That nothing is there is an answer; that it cannot be looked at is a failure. */
static pb_status kind_of(const char *path, kind *kind_out) {
    struct stat facts;
    *kind_out = NOTHING;
    if (stat(path, &facts) == 0)
        *kind_out = S_ISREG(facts.st_mode) ? A_FILE : S_ISDIR(facts.st_mode) ? A_FOLDER : SOMETHING_ELSE;
    else if (errno != ENOENT && errno != ENOTDIR)
        return pb_fail_errno(errno, path, "cannot be looked at");
    return pb_ok();
}

static pb_status has_folder(const char *folder, const char *name, bool *has_out) {
    char path[PB_PATH_MAX];
    kind what;
    PB_TRY(pb_path_join(folder, name, path));
    PB_TRY(kind_of(path, &what));
    *has_out = what == A_FOLDER;
    return pb_ok();
}

/* The folders in `folder`; files beside them (a readme, a licence) are nobody's images. */
static pb_status read_folders(const char *folder, names *found) {
    names all = {0};
    PB_TRY(read_names(folder, &all));
    pb_status status = pb_ok();
    for (size_t i = 0; i < all.count && !pb_failed(&status); i++) {
        bool is_folder = false;
        status = has_folder(folder, all.items[i], &is_folder);
        if (is_folder)
            status = add_name(found, all.items[i]);
    }
    free_names(&all);
    if (pb_failed(&status))
        free_names(found);
    return status;
}

/* --- images ----------------------------------------------------------------------------------------------------- */

/* What all images of one folder share. */
typedef struct leaf {
    const char *prefix; /* of the class within the root: "bottle/", or "" when the root is the class */
    const char *class, *group;
    bool train, masked; /* masked: the class has a folder of masks and the group is a defect */
} leaf;

/* The path of an image's mask, "" for none, relative to the root. Its name is the image's without its ending, and _mask.png. */
static pb_status mask_path(const walk *tree, const leaf *from, const char *name, char mask[PB_PATH_MAX]) {
    mask[0] = '\0';
    if (!from->masked)
        return pb_ok();
    const char *dot = strrchr(name, '.');
    int stem = dot ? (int)(dot - name) : (int)strlen(name);
    int length = snprintf(mask, PB_PATH_MAX, "%sground_truth/%s/%.*s_mask.png", from->prefix, from->group, stem, name);
    if (length >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%s: path too long", mask);
    char full[PB_PATH_MAX];
    kind what;
    PB_TRY(pb_path_join(tree->root, mask, full));
    PB_TRY(kind_of(full, &what));
    return what == A_FILE ? pb_ok() : pb_fail(PB_E_INPUT, "%s: missing mask of %s", full, name);
}

/* A row for an image. It counts before its texts are copied, so that free_walk frees those that were. */
static pb_status add_image(walk *tree, const leaf *from, const char *folder, const char *name) {
    char path[PB_PATH_MAX], mask[PB_PATH_MAX], full[PB_PATH_MAX];
    kind what;
    PB_TRY(pb_path_join(folder, name, path));
    PB_TRY(pb_path_join(tree->root, path, full));
    PB_TRY(kind_of(full, &what));
    if (what != A_FILE)
        return pb_fail(PB_E_INPUT, "%s: not a file; in the layout of MVTec AD only images stand here", full);
    PB_TRY(mask_path(tree, from, name, mask));
    PB_TRY(make_room(&tree->rows, tree->count, &tree->room, sizeof *tree->rows));
    row *added = &tree->rows[tree->count++]; /* zeroed, so a partly filled one can be freed */
    added->train = from->train;
    added->defective = strcmp(from->group, "good") != 0;
    PB_TRY(copy_text(path, &added->path));
    PB_TRY(copy_text(mask, &added->mask));
    PB_TRY(copy_text(from->class, &added->class));
    return copy_text(from->group, &added->group);
}

/* All images of one group of one split of a class. */
static pb_status add_images(walk *tree, const leaf *from) {
    char folder[PB_PATH_MAX], full[PB_PATH_MAX];
    names found = {0};
    if (snprintf(folder, sizeof folder, "%s%s/%s", from->prefix, from->train ? "train" : "test", from->group) >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%s: path too long", folder);
    PB_TRY(pb_path_join(tree->root, folder, full));
    PB_TRY(read_names(full, &found));
    pb_status status = pb_ok();
    for (size_t i = 0; i < found.count && !pb_failed(&status); i++)
        status = add_image(tree, from, folder, found.items[i]);
    free_names(&found);
    return status;
}

/* --- classes ---------------------------------------------------------------------------------------------------- */

/* Training images are normal ones; anything else in that place is not MVTec AD. */
static pb_status add_train(walk *tree, const char *folder, const leaf *from) {
    char train[PB_PATH_MAX];
    names groups = {0};
    PB_TRY(pb_path_join(folder, "train", train));
    PB_TRY(read_folders(train, &groups));
    pb_status status = pb_ok();
    if (groups.count != 1 || strcmp(groups.items[0], "good") != 0)
        status = pb_fail(PB_E_INPUT, "%s: not in the layout of MVTec AD: train must hold one folder, good", train);
    free_names(&groups);
    return pb_failed(&status) ? status : add_images(tree, from);
}

/* Every folder below test is a group: "good", or a kind of defect. */
static pb_status add_test(walk *tree, const char *folder, const leaf *from) {
    char test[PB_PATH_MAX];
    names groups = {0};
    bool masks;
    PB_TRY(has_folder(folder, "ground_truth", &masks));
    PB_TRY(pb_path_join(folder, "test", test));
    PB_TRY(read_folders(test, &groups));
    pb_status status = pb_ok();
    for (size_t i = 0; i < groups.count && !pb_failed(&status); i++) {
        leaf group = *from;
        group.group = groups.items[i];
        group.masked = masks && strcmp(group.group, "good") != 0;
        status = add_images(tree, &group);
    }
    free_names(&groups);
    return status;
}

/* folder: of the class; prefix: the same within the root, for paths of the list. */
static pb_status add_class(walk *tree, const char *folder, const char *prefix, const char *class) {
    bool train = false, test = false;
    PB_TRY(has_folder(folder, "train", &train));
    PB_TRY(has_folder(folder, "test", &test));
    if (!train || !test)
        return pb_fail(PB_E_INPUT, "%s: not in the layout of MVTec AD: it has no folder %s", folder, train ? "test" : "train");
    leaf from = {.prefix = prefix, .class = class, .group = "good", .train = true};
    PB_TRY(add_train(tree, folder, &from));
    from.train = false;
    return add_test(tree, folder, &from);
}

/* The root is the class: its name is that of the folder, also when the root was given as "." or with a slash at the end. */
static pb_status add_root(walk *tree) {
    char *real = realpath(tree->root, NULL);
    if (!real)
        return pb_fail_errno(errno, tree->root, "cannot be resolved");
    pb_status status = add_class(tree, tree->root, "", strrchr(real, '/') + 1);
    free(real);
    return status;
}

/* Each folder of the root must be a class. */
static pb_status add_classes(walk *tree) {
    names classes = {0};
    PB_TRY(read_folders(tree->root, &classes));
    pb_status status = pb_ok();
    if (classes.count == 0)
        status = pb_fail(PB_E_INPUT, "%s: not in the layout of MVTec AD: no folder train and no folders of classes", tree->root);
    for (size_t i = 0; i < classes.count && !pb_failed(&status); i++) {
        char folder[PB_PATH_MAX], prefix[PB_PATH_MAX];
        status = pb_path_join(tree->root, classes.items[i], folder);
        snprintf(prefix, sizeof prefix, "%s/", classes.items[i]);
        if (!pb_failed(&status))
            status = add_class(tree, folder, prefix, classes.items[i]);
    }
    free_names(&classes);
    return status;
}

/* --- text ------------------------------------------------------------------------------------------------------- */

static int by_path(const void *a, const void *b) { return strcmp(((const row *)a)->path, ((const row *)b)->path); }

/* Quoted, as libcsv reads it back. */
static void put_field(FILE *out, const char *text, char after) {
    csv_fwrite(out, text, strlen(text));
    putc(after, out);
}

/* To memory, so lack of it is what can fail. */
static pb_status write_text(const walk *tree, char **text_out, size_t *size_out) {
    FILE *out = open_memstream(text_out, size_out);
    if (!out)
        return pb_fail(PB_E_SYSTEM, "out of memory for the list of images");
    fputs("path,split,label,class,group,mask\n", out);
    for (const row *r = tree->rows; r < tree->rows + tree->count; r++) {
        put_field(out, r->path, ',');
        fprintf(out, "%s,%d,", r->train ? "train" : "test", r->defective);
        put_field(out, r->class, ',');
        put_field(out, r->group, ',');
        put_field(out, r->mask, '\n');
    }
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        pb_release(text_out);
        return pb_fail(PB_E_SYSTEM, "out of memory for the list of images");
    }
    return pb_ok();
}

static void free_walk(walk *tree) {
    for (row *r = tree->rows; r < tree->rows + tree->count; r++) {
        free(r->path);
        free(r->mask);
        free(r->class);
        free(r->group);
    }
    pb_release(&tree->rows);
}

/* A root with a folder "train" is a class itself. */
pb_status pb_list_mvtec(const char *root, char **text_out, size_t *size_out) {
    *text_out = NULL;
    *size_out = 0;
    walk tree = {.root = root};
    bool single = false;
    pb_status status = has_folder(root, "train", &single);
    if (!pb_failed(&status))
        status = single ? add_root(&tree) : add_classes(&tree);
    if (!pb_failed(&status)) {
        if (tree.count > 0)
            qsort(tree.rows, tree.count, sizeof *tree.rows, by_path);
        status = write_text(&tree, text_out, size_out);
    }
    free_walk(&tree);
    return status;
}
