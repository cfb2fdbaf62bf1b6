#include "base/version.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The version has one place, project() of the top CMakeLists.txt. */
Test(version, is_that_of_the_project) {
    FILE *file = fopen(PB_SOURCE_DIR "/CMakeLists.txt", "r");
    cr_assert_not_null(file);
    char line[512], expected[64] = "";
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "project(patchbank VERSION %63s", expected) == 1)
            break;
    fclose(file);
    cr_assert_str_not_empty(expected);
    cr_assert_str_eq(pb_version(), expected);
}

Test(version, commit_is_one_word) {
    cr_assert_str_not_empty(pb_version_commit());
    cr_assert_eq(strcspn(pb_version_commit(), " \n\""), strlen(pb_version_commit()));
}
