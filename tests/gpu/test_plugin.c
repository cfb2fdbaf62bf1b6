/* Plugins that cannot be used are refused with the reason. One that can is opened in tests/gpu/cuda. */
#include "gpu/plugin.h"

#include "base/log.h"
#include "capture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void expect_refused(const char *path, const char *words) {
    pb_device *device;
    pb_device_plugin_path(path);
    pb_status status = pb_device_open("cuda:0", 1, &device);
    cr_assert_eq(status.code, PB_E_UNSUPPORTED, "%s", status.message);
    cr_assert_null(device);
    cr_assert_eq(strncmp(status.message, "device cuda:0: plugin ", 22), 0, "%s", status.message);
    cr_assert_not_null(strstr(status.message, words), "\"%s\" not in: %s", words, status.message);
}

Test(plugin, one_that_is_not_there) {
    expect_refused("/nowhere/plugin.so", "/nowhere/plugin.so not found");
    expect_refused(NULL, "libpatchbank_cuda.so not found beside the program or in ../lib/patchbank"); /* of this test */
    expect_refused("", "beside the program");
}

Test(plugin, one_that_is_no_library) { expect_refused(PB_SOURCE_DIR "/README.md", "cannot be opened"); }

Test(plugin, one_without_a_table) { expect_refused(PB_PLUGIN_OTHER, "exports no device table"); }

Test(plugin, one_of_another_version) {
    char words[80];
    snprintf(words, sizeof words, "plugin of table version 3, this program has %d", PB_DEVICE_TABLE_VERSION);
    expect_refused(PB_PLUGIN_OLD, words);
}

static void note_cuda(void *context, const char *name, bool usable, const char *about) {
    if (strcmp(name, "cuda") == 0 && !usable)
        snprintf(context, 200, "%s", about);
}

/* As if they were the program's: rank, job and level. */
Test(plugin, its_log_lines_are_the_programs) {
    char text[4096];
    pb_device_plugin_path(PB_PLUGIN_LOGS);
    pb_log_setup(3, "train", PB_LOG_INFO);
    capture of = capture_begin();
    pb_device_each(note_cuda, NULL);
    capture_end(&of, text, sizeof text);
    cr_assert_not_null(strstr(text, " warn  rank=3 job=train event=said x=1\n"), "%s", text);
    cr_assert_null(strstr(text, "hidden"), "%s", text);
}

Test(plugin, the_reason_is_listed) {
    char about[200] = "";
    pb_device_plugin_path("/nowhere/plugin.so");
    pb_device_each(note_cuda, about);
    cr_assert_str_eq(about, "plugin /nowhere/plugin.so not found");
}
