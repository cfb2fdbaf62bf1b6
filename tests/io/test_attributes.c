/* Checks io/attributes.c; how they are written is checked with the files that carry them. */
#include "io/attributes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void set(pb_attributes *attributes, const char *name, const char *value) {
    pb_status status = pb_attributes_set(attributes, name, value);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
}

Test(attributes, keep_order_and_replace) {
    pb_attributes attributes = {0};
    char value[] = "first";
    set(&attributes, "seed", value);
    set(&attributes, "backbone", "efficientnet-lite0");
    set(&attributes, "note", "");
    value[0] = 'F'; /* the attributes have a copy */
    cr_assert_str_eq(pb_attributes_get(&attributes, "seed"), "first");
    set(&attributes, "seed", "42");
    cr_assert_eq(attributes.count, 3);
    cr_assert_str_eq(attributes.names[0], "seed");
    cr_assert_str_eq(attributes.names[1], "backbone");
    cr_assert_str_eq(attributes.names[2], "note");
    cr_assert_str_eq(pb_attributes_get(&attributes, "seed"), "42");
    cr_assert_str_eq(pb_attributes_get(&attributes, "note"), "");
    cr_assert_null(pb_attributes_get(&attributes, "see"));
    cr_assert_null(pb_attributes_get(&attributes, "seed2"));
    pb_attributes_free(&attributes);
    cr_assert_eq(attributes.count, 0);
    cr_assert_null(attributes.names);
    cr_assert_null(attributes.values);
    pb_attributes_free(&attributes);
}

Test(attributes, own_value_may_be_set_again) {
    pb_attributes attributes = {0};
    set(&attributes, "a", "text");
    set(&attributes, "a", pb_attributes_get(&attributes, "a"));
    cr_assert_str_eq(pb_attributes_get(&attributes, "a"), "text");
    pb_attributes_free(&attributes);
}

Test(attributes, many_and_long) {
    pb_attributes attributes = {0};
    char name[64], value[512];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%062d.", i); /* the longest name there may be */
        set(&attributes, name, value + i);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%062d.", i);
        cr_assert_str_eq(attributes.names[i], name);
        cr_assert_str_eq(pb_attributes_get(&attributes, name), value + i);
    }
    pb_attributes_free(&attributes);
}
