#include "io/list.h"

#include "base/memory.h"
#include "oracle.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER "path,split,label\n"

/* The text lies in a block of its own size without a 0 behind it, so that the address sanitizer sees a read beyond. */
static pb_status parse(const char *text, size_t size, pb_list *list) {
    char *exact = malloc(size ? size : 1);
    memcpy(exact, text, size);
    pb_status status = pb_list_parse("lists/my.csv", exact, size, list);
    free(exact);
    return status;
}

static pb_list parse_good(const char *text) {
    pb_list list;
    pb_status status = parse(text, strlen(text), &list);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    return list;
}

static void expect_bytes_refused(const char *text, size_t size, const char *message) {
    pb_list list = {.count = 9};
    pb_status status = parse(text, size, &list);
    cr_assert_eq(status.code, PB_E_INPUT, "%s", text);
    cr_assert_eq(strncmp(status.message, message, strlen(message)), 0, "\"%s\" does not begin with \"%s\"", status.message,
                 message);
    cr_assert(list.count == 0 && !list.items && !list.texts && !list.folder);
}

static void expect_refused(const char *text, const char *message) { expect_bytes_refused(text, strlen(text), message); }

static void expect_item(const pb_list *list, size_t index, pb_list_item expected) {
    cr_assert_lt(index, list->count);
    const pb_list_item *item = &list->items[index];
    cr_assert_str_eq(item->path, expected.path);
    cr_assert_str_eq(item->mask, expected.mask);
    cr_assert_str_eq(item->class, expected.class);
    cr_assert_str_eq(item->group, expected.group);
    cr_assert_eq(item->split, expected.split);
    cr_assert_eq(item->label, expected.label);
    cr_assert_eq(item->index, expected.index);
}

/* --- CSV -------------------------------------------------------------------------------------------------------- */

Test(list, all_columns_in_any_order) {
    pb_list list = parse_good("mask,group,label,class,path,split\n"
                              "m/1.png,module 7,1,cell,a/1.png,test\n"
                              ",,0,,a/2.png,train\n"
                              ",,,,/abs/3.png,test\n");
    cr_assert_eq(list.count, 3);
    cr_assert_str_eq(list.folder, "lists");
    expect_item(&list, 0, (pb_list_item){"a/1.png", "m/1.png", "cell", "module 7", PB_SPLIT_TEST, PB_LABEL_DEFECTIVE, 0});
    expect_item(&list, 1, (pb_list_item){"a/2.png", "", "", "", PB_SPLIT_TRAIN, PB_LABEL_NORMAL, 1});
    expect_item(&list, 2, (pb_list_item){"/abs/3.png", "", "", "", PB_SPLIT_TEST, PB_LABEL_UNKNOWN, 2});
    pb_list_free(&list);
    cr_assert(list.count == 0 && !list.items);
    pb_list_free(&list);
}

Test(list, quoted_commas_quotes_and_newlines) {
    pb_list list = parse_good("path,split,label,group\n\"a,b.png\",train,0,\"one\ntwo\"\n\"say \"\"x\"\".png\",test,1, kept \n");
    cr_assert_eq(list.count, 2);
    expect_item(&list, 0, (pb_list_item){"a,b.png", "", "", "one\ntwo", PB_SPLIT_TRAIN, PB_LABEL_NORMAL, 0});
    expect_item(&list, 1, (pb_list_item){"say \"x\".png", "", "", " kept ", PB_SPLIT_TEST, PB_LABEL_DEFECTIVE, 1});
    pb_list_free(&list);
}

Test(list, what_is_left_out_leaves_the_others_their_positions) {
    pb_list list = parse_good("path,split,label\na,train,0\nb,train,0\nc,test,1\nd,test,0\n");
    pb_list_leave_out(&list, (const bool[]){true, false, true, false});
    cr_assert_eq(list.count, 2);
    expect_item(&list, 0, (pb_list_item){"b", "", "", "", PB_SPLIT_TRAIN, PB_LABEL_NORMAL, 1});
    expect_item(&list, 1, (pb_list_item){"d", "", "", "", PB_SPLIT_TEST, PB_LABEL_NORMAL, 3});
    pb_list_leave_out(&list, (const bool[]){true, true});
    cr_assert_eq(list.count, 0);
    pb_list_free(&list);
}

Test(list, forms_of_a_text_file) {
    static const char *const FORMS[] = {
        HEADER "a,train,0\nb,test,1\n",                   /* plain */
        HEADER "a,train,0\nb,test,1",                     /* no newline at the end */
        "path,split,label\r\na,train,0\r\nb,test,1\r\n",  /* CR LF */
        "\xef\xbb\xbf" HEADER "a,train,0\nb,test,1\n",    /* byte order mark */
        "\n" HEADER "\r\n\na,train,0\n\n\nb,test,1\n\n",  /* empty lines */
        "\"path\",\"split\",\"label\"\n\"a\",\"train\",\"0\"\n\"b\",\"test\",\"1\"",
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        pb_list list = parse_good(FORMS[i]);
        cr_assert_eq(list.count, 2, "form %zu", i);
        expect_item(&list, 0, (pb_list_item){"a", "", "", "", PB_SPLIT_TRAIN, PB_LABEL_NORMAL, 0});
        expect_item(&list, 1, (pb_list_item){"b", "", "", "", PB_SPLIT_TEST, PB_LABEL_DEFECTIVE, 1});
        pb_list_free(&list);
    }
}

Test(list, folder_of_the_list) {
    static const char *const NAMES[][2] = {{"x.csv", "."}, {"/x.csv", "/"}, {"/a/b/x.csv", "/a/b"}, {"a/", "a"}};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        pb_list list;
        pb_status status = pb_list_parse(NAMES[i][0], HEADER "a,train,0\n", strlen(HEADER "a,train,0\n"), &list);
        cr_assert_eq(status.code, PB_OK);
        cr_assert_str_eq(list.folder, NAMES[i][1]);
        pb_list_free(&list);
    }
}

Test(list, many_items) {
    enum { COUNT = 5000 };
    char *text = malloc(COUNT * 32 + 32);
    size_t size = (size_t)sprintf(text, HEADER);
    for (int i = 0; i < COUNT; i++)
        size += (size_t)sprintf(text + size, "image-%d.png,%s,%d\n", i, i % 3 ? "train" : "test", i % 2);
    pb_list list;
    pb_status status = parse(text, size, &list);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert_eq(list.count, COUNT);
    char path[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(path, sizeof path, "image-%d.png", i);
        expect_item(&list, (size_t)i, (pb_list_item){path, "", "", "", i % 3 ? PB_SPLIT_TRAIN : PB_SPLIT_TEST, i % 2, (size_t)i});
    }
    pb_list_free(&list);
    free(text);
}

Test(list, bad_columns) {
    expect_refused("", "lists/my.csv: empty");
    expect_refused("\n\n", "lists/my.csv: empty");
    expect_refused(HEADER, "lists/my.csv: no images are listed");
    expect_refused("path,split\na,train\n", "lists/my.csv: line 1: column label is missing");
    expect_refused("label,split\n0,train\n", "lists/my.csv: line 1: column path is missing");
    expect_refused("path,label\na,0\n", "lists/my.csv: line 1: column split is missing");
    expect_refused("path,split,label,quality\n", "lists/my.csv: line 1: unknown column \"quality\"");
    expect_refused("path,split,label,Mask\n", "lists/my.csv: line 1: unknown column \"Mask\"");
    expect_refused("path,split,label,path\n", "lists/my.csv: line 1: column path stands there twice");
    expect_refused("path,split,label,class,group,mask,path,mask\n", "lists/my.csv: line 1: column path stands there twice");
    expect_refused("path,split,label,\n", "lists/my.csv: line 1: unknown column \"\"");
}

Test(list, bad_rows_are_named_by_line) {
    expect_refused(HEADER "a,train,0\nb,trian,0\n", "lists/my.csv: line 3: split \"trian\"");
    expect_refused(HEADER "a,,0\n", "lists/my.csv: line 2: split \"\"");
    expect_refused(HEADER "a,train,2\n", "lists/my.csv: line 2: label \"2\"");
    expect_refused(HEADER "a,train,00\n", "lists/my.csv: line 2: label \"00\"");
    expect_refused(HEADER ",train,0\n", "lists/my.csv: line 2: the path is empty");
    expect_refused(HEADER "a,train\n", "lists/my.csv: line 2: 2 fields where the first row has 3");
    expect_refused(HEADER "a,train,0,x,y,z,1,2\n", "lists/my.csv: line 2: 8 fields where the first row has 3");
    expect_refused(HEADER "\n\r\n\na,train,0\nb,no,0", "lists/my.csv: line 6: split \"no\"");
    expect_refused(HEADER "\n\r\n\nb,no,0", "lists/my.csv: line 5: split \"no\"");
    expect_refused("path,split,label,group\n\"a\",train,0,\"1\n2\n3\"\nb,train,x,\n", "lists/my.csv: line 5: label \"x\"");
    expect_refused("path,split,label,group\nb,train,x,\"1\n2\n3\"\n", "lists/my.csv: line 2: label \"x\"");
}

Test(list, bad_text) {
    expect_refused(HEADER "a\"b,train,0\n", "lists/my.csv: line 2: a quote");
    expect_refused(HEADER "a,train,0\n\"a\"b,train,0\n", "lists/my.csv: line 3: a quote");
    expect_refused(HEADER "a,train,0\nb,train,0\n\"c,train,0\nd,train,0\n", "lists/my.csv: line 4: a quote");
    expect_bytes_refused(HEADER "a\0b,train,0\n", sizeof HEADER "a\0b,train,0\n" - 1, "lists/my.csv: line 2: not UTF-8");
    expect_bytes_refused("p\0a\0t\0h\0", 8, "lists/my.csv: line 1: not UTF-8");
}

Test(list, utf8) {
    static const char *const GOOD[] = {"\xc3\xa4",         "\xe2\x82\xac", "\xf0\x9f\x94\xa9",
                                       "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80"};
    static const char *const BAD[] = {"\xe4",         "\xc0\xaf",         "\xe0\x80\xaf",     "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80", "\xf0\x80\x80\xaf", "\xe2\x82",         "\x80",         "\xc3(",
                                      "\xe2(\xa1",    "\xe2\x82(",        "\xf0\x9f\x94(",    "\xff\xfe"};
    char text[64];
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        snprintf(text, sizeof text, HEADER "x%s,train,0", GOOD[i]);
        pb_list list = parse_good(text);
        cr_assert_str_eq(list.items[0].path + 1, GOOD[i]);
        pb_list_free(&list);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        snprintf(text, sizeof text, HEADER "a,train,0\nx%s,train,0", BAD[i]);
        expect_refused(text, "lists/my.csv: line 3: not UTF-8");
    }
}

Test(list, doubled_paths) {
    expect_refused(HEADER "a,train,0\nb,train,0\na,test,1\n", "lists/my.csv: line 4: the path a stands already in line 2");
    expect_refused(HEADER "z,train,0\nz,train,0\na,test,1\na,test,1\n", "lists/my.csv: line 3: the path z");
    expect_refused(HEADER "a,train,0\nb,train,0\nb,test,1\na,test,1\na,test,1\n", "lists/my.csv: line 4: the path b");
}

/* --- MVTec AD --------------------------------------------------------------------------------------------------- */

static char root[ORACLE_PATH];

static void setup(void) { oracle_folder(root); }
static void teardown(void) { oracle_remove(root); }

/* Makes an empty file with its folders. */
static void touch(const char *name) {
    char path[2 * ORACLE_PATH];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    oracle_write(path, "", 0);
}

static void make_tree(void) {
    static const char *const FILES[] = {
        "readme.txt", "bottle/license.txt", "bottle/train/good/001.png", "bottle/train/good/000.png", "bottle/train/good/.hidden",
        "bottle/test/good/000.png", "bottle/test/broken, large/000.png", "bottle/test/broken, large/010.jpg",
        "bottle/ground_truth/broken, large/000_mask.png", "bottle/ground_truth/broken, large/010_mask.png",
        "bottle small/train/good/000.png", "bottle small/test/scratch/0.5.png"};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        touch(FILES[i]);
}

static void expect_text(const char *from, const char *expected) {
    char *text;
    size_t size;
    pb_status status = pb_list_mvtec(from, &text, &size);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert_str_eq(text, expected);
    cr_assert_eq(size, strlen(expected));
    pb_release(&text);
}

#define COLUMNS "path,split,label,class,group,mask\n"

/* "bottle small/" stands before "bottle/" in byte order, although the folder "bottle" stands before "bottle small". */
Test(list_mvtec, classes, .init = setup, .fini = teardown) {
    make_tree();
    expect_text(root, COLUMNS
                "\"bottle small/test/scratch/0.5.png\",test,1,\"bottle small\",\"scratch\",\"\"\n"
                "\"bottle small/train/good/000.png\",train,0,\"bottle small\",\"good\",\"\"\n"
                "\"bottle/test/broken, large/000.png\",test,1,\"bottle\",\"broken, large\","
                "\"bottle/ground_truth/broken, large/000_mask.png\"\n"
                "\"bottle/test/broken, large/010.jpg\",test,1,\"bottle\",\"broken, large\","
                "\"bottle/ground_truth/broken, large/010_mask.png\"\n"
                "\"bottle/test/good/000.png\",test,0,\"bottle\",\"good\",\"\"\n"
                "\"bottle/train/good/000.png\",train,0,\"bottle\",\"good\",\"\"\n"
                "\"bottle/train/good/001.png\",train,0,\"bottle\",\"good\",\"\"\n");
}

/* The root itself is a class; and what comes out goes in again. */
Test(list_mvtec, one_class, .init = setup, .fini = teardown) {
    make_tree();
    char name[2 * ORACLE_PATH], *text;
    snprintf(name, sizeof name, "%s/bottle small/", root);
    expect_text(name, COLUMNS
                "\"test/scratch/0.5.png\",test,1,\"bottle small\",\"scratch\",\"\"\n"
                "\"train/good/000.png\",train,0,\"bottle small\",\"good\",\"\"\n");
    snprintf(name, sizeof name, "%s/bottle/", root);
    size_t size;
    pb_status status = pb_list_mvtec(name, &text, &size);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    pb_list list;
    status = pb_list_parse(name, text, size, &list);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert_eq(list.count, 5);
    expect_item(&list, 1, (pb_list_item){"test/broken, large/010.jpg", "ground_truth/broken, large/010_mask.png", "bottle",
                                         "broken, large", PB_SPLIT_TEST, PB_LABEL_DEFECTIVE, 1});
    name[strlen(name) - 1] = '\0';
    cr_assert_str_eq(list.folder, name);
    pb_list_free(&list);
    pb_release(&text);
}

static void expect_no_layout(const char *from, const char *part) {
    char *text = root;
    size_t size;
    pb_status status = pb_list_mvtec(from, &text, &size);
    cr_assert_eq(status.code, PB_E_INPUT, "%s: %s", part, status.message);
    cr_assert_not_null(strstr(status.message, part), "\"%s\" lacks \"%s\"", status.message, part);
    cr_assert_null(text);
}

Test(list_mvtec, other_layouts, .init = setup, .fini = teardown) {
    expect_no_layout(oracle_join(root, "nowhere"), "nowhere: cannot list");
    touch("a.png");
    expect_no_layout(oracle_join(root, "a.png"), "a.png: cannot list");
    expect_no_layout(root, "no folder train and no folders of classes");
    touch("bottle/a.png");
    expect_no_layout(root, "bottle: not in the layout of MVTec AD: it has no folder train");
    touch("bottle/train/good/a.png");
    expect_no_layout(root, "bottle: not in the layout of MVTec AD: it has no folder test");
    touch("bottle/test/bad/a.png");
    touch("bottle/test/bad/more/a.png");
    expect_no_layout(root, "bottle/test/bad/more: not a file");
    cr_assert_eq(remove(oracle_join(root, "bottle/test/bad/more/a.png")), 0);
    cr_assert_eq(remove(oracle_join(root, "bottle/test/bad/more")), 0);
    touch("bottle/ground_truth/bad/b_mask.png");
    expect_no_layout(root, "bottle/ground_truth/bad/a_mask.png: missing mask of a.png");
    touch("bottle/ground_truth/bad/a_mask.png");
    touch("bottle/train/bad/a.png");
    expect_no_layout(root, "train must hold one folder, good");
}
