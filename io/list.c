/* list.c: a CSV list of images, parsed and checked as a whole: what comes out has a path, a split and a label for each item, all
 * texts UTF-8, and no path twice.
 *
 * libcsv cuts the text into fields and rows and hands them to callbacks. These cannot fail, so the first failure waits in the
 * parser and what follows does nothing (on_field, on_row_end). The text is fed line by line, so that the line number is known.
 * The first row gives each column of the file its meaning; every later row fills parser.row by it, and becomes an item at its
 * end.
 */
#include "io/list.h"

#include "base/memory.h"

#include <csv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One block for all texts: a field takes no more bytes than it had in the file with the comma or newline behind it. The last
 * field of a file may lack that one byte, but the header, which is not kept, had more. So a block of the file's size never
 * overflows, and never moves. */
struct pb_list_text {
    size_t used, size;
    char *bytes;
};

/* The columns that there are; COLUMN_NAMES and COLUMN_REQUIRED go by it. */
typedef enum column { PATH, SPLIT, LABEL, CLASS, GROUP, MASK, COLUMNS } column;
static const char *const COLUMN_NAMES[COLUMNS] = {"path", "split", "label", "class", "group", "mask"};
static const bool COLUMN_REQUIRED[COLUMNS] = {[PATH] = true, [SPLIT] = true, [LABEL] = true};

/* State of one parse. libcsv hands over fields and row ends by callbacks, which cannot fail: the first failure waits here. */
typedef struct list_parser {
    pb_list *list;
    size_t room;             /* items allocated */
    size_t *lines;           /* [room] line of each item, for messages */
    size_t line, row_line;   /* line that is being read; line in which the present row began (a quoted field may hold newlines) */
    size_t row_fields;       /* fields of the present row so far */
    size_t header_fields;    /* 0: the header is not complete */
    int meaning[COLUMNS];    /* column of the file -> column */
    const char *row[COLUMNS];
    pb_status status;
} list_parser;

/* Well-formed UTF-8 (RFC 3629, section 4; the table is the Unicode Standard's 3-7): no stray or missing continuation bytes, no
 * overlong forms, no surrogates, nothing above U+10FFFF; and no zero, which would end a text. */
static bool is_utf8(const unsigned char *text, size_t length) {
    static const struct {
        unsigned char from, to, least, most; /* of the first byte; of the second */
        int more;
    } FORMS[] = {{0x01, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
                 {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
                 {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3}};
    enum { FORM_COUNT = sizeof FORMS / sizeof *FORMS };
    for (size_t i = 0; i < length;) {
        int form = 0;
        while (form < FORM_COUNT && !(text[i] >= FORMS[form].from && text[i] <= FORMS[form].to))
            form++;
        if (form == FORM_COUNT || length - i <= (size_t)FORMS[form].more)
            return false;
        if (FORMS[form].more && !(text[i + 1] >= FORMS[form].least && text[i + 1] <= FORMS[form].most))
            return false;
        for (int k = 2; k <= FORMS[form].more; k++)
            if ((text[i + (size_t)k] & 0xc0) != 0x80)
                return false;
        i += (size_t)FORMS[form].more + 1;
    }
    return true;
}

/* --- one row ---------------------------------------------------------------------------------------------------- */

/* A name of the first row: one that is known, and not there yet. So there are never more than COLUMNS of them. */
static pb_status header_field(list_parser *parser, const char *field) {
    int known = 0;
    while (known < COLUMNS && strcmp(field, COLUMN_NAMES[known]) != 0)
        known++;
    if (known == COLUMNS)
        return pb_fail(PB_E_INPUT, "unknown column \"%.100s\"; known are path, split, label, class, group, mask", field);
    for (size_t i = 0; i < parser->row_fields; i++)
        if (parser->meaning[i] == known)
            return pb_fail(PB_E_INPUT, "column %s stands there twice", field);
    parser->meaning[parser->row_fields] = known;
    return pb_ok();
}

/* Copies a field to the end of the block. */
static const char *keep_text(struct pb_list_text *texts, const char *field, size_t length) {
    PB_ASSERT(length + 1 <= texts->size - texts->used);
    char *kept = texts->bytes + texts->used;
    memcpy(kept, field, length);
    kept[length] = '\0';
    texts->used += length + 1;
    return kept;
}

/* A field of the header or of a row. Fields beyond the header's are only counted; end_item refuses the row. */
static pb_status take_field(list_parser *parser, const char *field, size_t length) {
    if (!is_utf8((const unsigned char *)field, length))
        return pb_fail(PB_E_INPUT, "not UTF-8 text, or a zero byte in it");
    if (!parser->header_fields)
        return header_field(parser, field);
    if (parser->row_fields < parser->header_fields)
        parser->row[parser->meaning[parser->row_fields]] = keep_text(parser->list->texts, field, length);
    return pb_ok();
}

/* The first row is complete: which columns must be there. From now on rows are items. */
static pb_status end_header(list_parser *parser) {
    bool present[COLUMNS] = {false};
    for (size_t i = 0; i < parser->row_fields; i++)
        present[parser->meaning[i]] = true;
    for (int c = 0; c < COLUMNS; c++)
        if (COLUMN_REQUIRED[c] && !present[c])
            return pb_fail(PB_E_INPUT, "column %s is missing; the first row must name path, split and label", COLUMN_NAMES[c]);
    parser->header_fields = parser->row_fields;
    return pb_ok();
}

static pb_status read_split(const char *text, pb_split *split) {
    if (strcmp(text, "train") != 0 && strcmp(text, "test") != 0)
        return pb_fail(PB_E_INPUT, "split \"%.100s\" is neither train nor test", text);
    *split = strcmp(text, "train") == 0 ? PB_SPLIT_TRAIN : PB_SPLIT_TEST;
    return pb_ok();
}

/* Only these three texts: "true" or "2" would be guesses. */
static pb_status read_label(const char *text, int *label) {
    if (strcmp(text, "0") == 0)
        *label = PB_LABEL_NORMAL;
    else if (strcmp(text, "1") == 0)
        *label = PB_LABEL_DEFECTIVE;
    else if (*text == '\0')
        *label = PB_LABEL_UNKNOWN;
    else
        return pb_fail(PB_E_INPUT, "label \"%.100s\" is neither 0 (normal), 1 (defective) nor empty", text);
    return pb_ok();
}

/* Room for one more item and for its line, which stand side by side. */
static pb_status grow(list_parser *parser) {
    if (parser->list->count < parser->room)
        return pb_ok();
    size_t room = parser->room ? 2 * parser->room : 1024;
    PB_TRY(pb_resize(&parser->list->items, parser->room, room, sizeof *parser->list->items, "the list of images"));
    PB_TRY(pb_resize(&parser->lines, parser->room, room, sizeof *parser->lines, "the list of images"));
    parser->room = room;
    return pb_ok();
}

/* A row becomes an item. row[] of columns that the file has not stays "", since parse began. */
static pb_status end_item(list_parser *parser) {
    if (parser->row_fields != parser->header_fields)
        return pb_fail(PB_E_INPUT, "%zu fields where the first row has %zu", parser->row_fields, parser->header_fields);
    const char *const *row = parser->row;
    if (row[PATH][0] == '\0')
        return pb_fail(PB_E_INPUT, "the path is empty");
    pb_list_item item = {.path = row[PATH], .mask = row[MASK], .class = row[CLASS], .group = row[GROUP],
                         .index = parser->list->count};
    PB_TRY(read_split(row[SPLIT], &item.split));
    PB_TRY(read_label(row[LABEL], &item.label));
    PB_TRY(grow(parser));
    parser->lines[parser->list->count] = parser->row_line;
    parser->list->items[parser->list->count++] = item;
    return pb_ok();
}

/* --- callbacks of libcsv ---------------------------------------------------------------------------------------- */

/* Counted also after a failure, so that empty lines are told from rows. */
static void on_field(void *field, size_t length, void *context) {
    list_parser *parser = context;
    if (!pb_failed(&parser->status))
        parser->status = take_field(parser, field, length);
    parser->row_fields++;
}

/* The header is the first row that is not empty. row_line is set for the next row here, since a row may span lines. */
static void on_row_end(int terminator, void *context) {
    (void)terminator;
    list_parser *parser = context;
    bool blank = parser->row_fields == 0; /* an empty line, or the second byte of CR LF */
    if (!blank && !pb_failed(&parser->status))
        parser->status = parser->header_fields ? end_item(parser) : end_header(parser);
    if (!pb_failed(&parser->status))
        parser->row_line = parser->line + 1;
    parser->row_fields = 0;
}

/* RFC 4180: spaces are part of a field. libcsv would strip them, and then paths would not be found. */
static int no_space(unsigned char byte) {
    (void)byte;
    return 0;
}

/* --- the whole list --------------------------------------------------------------------------------------------- */

/* What libcsv says in its own way, in ours. */
static pb_status csv_failure(struct csv_parser *csv) {
    if (csv_error(csv) == CSV_EPARSE)
        return pb_fail(PB_E_INPUT, "a quote that is not closed, or not doubled within a quoted field");
    return pb_fail(PB_E_SYSTEM, "%s", csv_strerror(csv_error(csv)));
}

/* Line by line, so that the line number is known in the callbacks and a failure ends the work. */
static pb_status feed(list_parser *parser, struct csv_parser *csv, const char *bytes, size_t size) {
    /* Lines are those of the file; a quoted field may go over several, and the row is told by its first. */
    for (size_t at = 0; at < size; parser->line++) {
        const char *newline = memchr(bytes + at, '\n', size - at);
        size_t length = newline ? (size_t)(newline - bytes) + 1 - at : size - at;
        if (csv_parse(csv, bytes + at, length, on_field, on_row_end, parser) != length)
            pb_keep_first(&parser->status, csv_failure(csv));
        if (pb_failed(&parser->status))
            return parser->status;
        at += length;
    }
    if (csv_fini(csv, on_field, on_row_end, parser) != 0)
        pb_keep_first(&parser->status, csv_failure(csv));
    return parser->status;
}

/* Strictly: a quote out of place is an error and not a guess. Fields come with a closing zero (CSV_APPEND_NULL). */
static pb_status parse_rows(list_parser *parser, const char *bytes, size_t size) {
    struct csv_parser csv;
    if (csv_init(&csv, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL | CSV_APPEND_NULL) != 0)
        return pb_fail(PB_E_SYSTEM, "the CSV parser could not be set up");
    csv_set_space_func(&csv, no_space);
    pb_status status = feed(parser, &csv, bytes, size);
    csv_free(&csv);
    char where[32];
    snprintf(where, sizeof where, "line %zu", parser->row_line);
    return pb_prefix(status, where);
}

/* An item as far as doubles need it: sorting the items themselves would lose their order. */
typedef struct path_line {
    const char *path;
    size_t line;
} path_line;

/* By path, then by line, so that of equal paths the first in the file stands first. */
static int by_path(const void *a, const void *b) {
    const path_line *left = a, *right = b;
    int order = strcmp(left->path, right->path);
    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

/* Of all doubled paths the one that shows first in the file is named. */
static pb_status check_doubles(const list_parser *parser) {
    const pb_list *list = parser->list;
    path_line *sorted = NULL;
    PB_TRY(pb_allocate(&sorted, list->count, sizeof *sorted, "checking the list for doubled paths"));
    for (size_t i = 0; i < list->count; i++)
        sorted[i] = (path_line){list->items[i].path, parser->lines[i]};
    qsort(sorted, list->count, sizeof *sorted, by_path);
    const path_line *worst = NULL;
    for (size_t i = 1; i < list->count; i++)
        if (strcmp(sorted[i - 1].path, sorted[i].path) == 0 && (!worst || sorted[i].line < worst[1].line))
            worst = &sorted[i - 1];
    pb_status status = pb_ok();
    if (worst)
        status = pb_fail(PB_E_INPUT, "line %zu: the path %.700s stands already in line %zu", worst[1].line, worst->path,
                         worst->line);
    pb_release(&sorted);
    return status;
}

/* What is before the last slash of the list's name: "." without one, "/" for a list in the root. */
static pb_status set_folder(pb_list *list, const char *name) {
    const char *slash = strrchr(name, '/');
    size_t length = !slash ? 1 : slash == name ? 1 : (size_t)(slash - name);
    PB_TRY(pb_allocate(&list->folder, length + 1, 1, "the list's folder"));
    memcpy(list->folder, slash ? name : ".", length);
    return pb_ok();
}

/* The folder and the block for texts. */
static pb_status prepare(pb_list *list, const char *name, size_t size) {
    PB_TRY(set_folder(list, name));
    PB_TRY(pb_allocate(&list->texts, 1, sizeof *list->texts, "the list of images"));
    list->texts->size = size;
    return pb_allocate(&list->texts->bytes, size, 1, "the texts of the list");
}

/* SHA-256 of all bytes, a byte order mark included: it is the identity of what was read. */
static pb_status parse(list_parser *parser, const char *name, const char *bytes, size_t size) {
    static const char BOM[] = {'\xef', '\xbb', '\xbf'};
    size_t skip = size >= sizeof BOM && memcmp(bytes, BOM, sizeof BOM) == 0 ? sizeof BOM : 0;
    PB_TRY(prepare(parser->list, name, size));
    pb_sha256(bytes, size, parser->list->sha256);
    PB_TRY(parse_rows(parser, bytes + skip, size - skip));
    if (!parser->header_fields)
        return pb_fail(PB_E_INPUT, "empty; the first row must name path, split and label");
    if (parser->list->count == 0)
        return pb_fail(PB_E_INPUT, "no images are listed");
    return check_doubles(parser);
}

/* The name comes before each message, so that it says which list it is about. */
pb_status pb_list_parse(const char *name, const char *bytes, size_t size, pb_list *list_out) {
    *list_out = (pb_list){0};
    list_parser parser = {.list = list_out, .line = 1, .row_line = 1, .status = pb_ok()};
    for (int c = 0; c < COLUMNS; c++)
        parser.row[c] = "";
    pb_status status = parse(&parser, name, bytes, size);
    pb_release(&parser.lines);
    if (pb_failed(&status))
        pb_list_free(list_out);
    return pb_prefix(status, name);
}

static int by_item_path(const void *a, const void *b) {
    const pb_list_item *const *left = a, *const *right = b;
    return strcmp((*left)->path, (*right)->path);
}

/* Paths differ, so the order is one, whatever qsort does. */
pb_status pb_list_sort(const pb_list *list, const pb_list_item ***sorted_out) {
    PB_TRY(pb_allocate(sorted_out, list->count, sizeof **sorted_out, "the list by paths"));
    for (size_t i = 0; i < list->count; i++)
        (*sorted_out)[i] = &list->items[i];
    if (list->count > 0)
        qsort(*sorted_out, list->count, sizeof **sorted_out, by_item_path);
    return pb_ok();
}

const pb_list_item *pb_list_find(const pb_list_item *const *sorted, size_t count, const char *path) {
    const pb_list_item wanted = {.path = path}, *key = &wanted;
    const pb_list_item *const *hit = count > 0 ? bsearch(&key, sorted, count, sizeof *sorted, by_item_path) : NULL;
    return hit ? *hit : NULL;
}

void pb_list_leave_out(pb_list *list, const bool *leave) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (!leave[i])
            list->items[kept++] = list->items[i];
    list->count = kept;
}

void pb_list_free(pb_list *list) {
    if (list->texts)
        pb_release(&list->texts->bytes);
    pb_release(&list->texts);
    pb_release(&list->items);
    pb_release(&list->folder);
    *list = (pb_list){0};
}
