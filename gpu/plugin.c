/* Finds and opens the plugin of CUDA devices.
 *
 * The plugin is looked for and opened once, when a device of its kind is first wanted, and stays open to the end. RTLD_LOCAL
 * keeps its copies of our functions (base/, shapes of networks) apart from the program's. The version of the table is asked
 * before any slot is used. Not thread safe: devices are opened by the rank's own thread.
 */
#include "gpu/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN "libpatchbank_cuda.so"

static char given[PATH_MAX]; /* by pb_device_plugin_path; "" when none was */

void pb_device_plugin_path(const char *path) { snprintf(given, sizeof given, "%s", path ? path : ""); }

/* Folder of the program, without a slash at the end; "." when the system does not tell. */
static void program_folder(char *folder, size_t size) {
    ssize_t length = readlink("/proc/self/exe", folder, size - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    else
        snprintf(folder, size, ".");
}

/* The plugin's path: as given, or beside the program (a build folder), or where it is installed. Only whether it can be read is
 * asked here; what it is, dlopen tells. */
static pb_status find(char *path, size_t size) {
    static const char *const PLACES[] = {"", "../lib/patchbank/"};
    if (given[0]) {
        snprintf(path, size, "%s", given);
        return access(path, R_OK) == 0 ? pb_ok() : pb_fail(PB_E_UNSUPPORTED, "plugin %s not found", path);
    }
    char folder[PATH_MAX];
    program_folder(folder, sizeof folder);
    for (size_t p = 0; p < sizeof PLACES / sizeof *PLACES; p++) {
        snprintf(path, size, "%s/%s%s", folder, PLACES[p], PLUGIN);
        if (access(path, R_OK) == 0)
            return pb_ok();
    }
    return pb_fail(PB_E_UNSUPPORTED, "plugin %s not found beside the program or in ../lib/patchbank", PLUGIN);
}

/* The table of an opened plugin, NULL when it has none. dlsym gives an object pointer; POSIX says that it may be a function's. */
static const pb_device_table *table_of(void *library) {
    void *symbol = dlsym(library, "pb_device_plugin");
    const pb_device_table *(*plugin)(void);
    memcpy(&plugin, &symbol, sizeof plugin);
    return plugin ? plugin() : NULL;
}

/* A failure is not remembered: the next call tries again. The plugin's own log lines go through the program's writer, which knows
 * the rank. */
pb_status pb_plugin_table(const pb_device_table **table) {
    static const pb_device_table *opened; /* never closed: CUDA's runtime lives in it to the end of the process */
    char path[2 * PATH_MAX];
    *table = opened;
    if (opened)
        return pb_ok();
    PB_TRY(find(path, sizeof path));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return pb_fail(PB_E_UNSUPPORTED, "plugin cannot be opened: %s", dlerror());
    const pb_device_table *found = table_of(library);
    pb_status status = pb_ok();
    if (!found)
        status = pb_fail(PB_E_UNSUPPORTED, "plugin %s: exports no device table", path);
    else if (found->version != PB_DEVICE_TABLE_VERSION)
        status = pb_fail(PB_E_UNSUPPORTED, "plugin of table version %u, this program has %d: %s", found->version,
                         PB_DEVICE_TABLE_VERSION, path);
    if (pb_failed(&status)) {
        dlclose(library);
        return status;
    }
    found->log_to(pb_log_write);
    *table = opened = found;
    return status;
}
