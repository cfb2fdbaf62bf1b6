/* Finds NCCL. Never linked: a plugin that needs it could not be opened on a node without.
 *
 * A library that is not found is looked for again by the next call; one that is found but does not do (a function missing, too
 * old) is not opened again, and its reason stays.
 */
#include "gpu/cuda/nccl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libnccl.so.2"

enum { VERSION_LEAST = 21400 };

/* Filled once, by the rank's own thread. */
static pb_nccl functions;
static char trouble[160]; /* "": none found */

/* dlsym gives an object pointer; POSIX says that it may be a function's. */
static void find(void *library, const char *name, void *function_out) {
    void *symbol = dlsym(library, name);
    memcpy(function_out, &symbol, sizeof symbol);
    if (!symbol && !trouble[0])
        snprintf(trouble, sizeof trouble, LIBRARY " has no %s", name);
}

/* `trouble` keeps the first function that is missing. */
static void find_all(void *library) {
#define FIND(result, name, arguments) find(library, "nccl" #name, &functions.name);
    PB_NCCL_FUNCTIONS(FIND)
#undef FIND
}

/* 2.14 is the first with communicators that do not block. NCCL counts major * 10000 + minor * 100 + patch from 2.9 on. */
static void check_version(void) {
    int version = 0;
    pb_nccl_result result = functions.GetVersion(&version);
    if (result != PB_NCCL_SUCCESS)
        snprintf(trouble, sizeof trouble, LIBRARY ": %.100s", functions.GetErrorString(result));
    else if (version < VERSION_LEAST)
        snprintf(trouble, sizeof trouble, LIBRARY " is NCCL %d.%d, 2.14 is the least", version / 10000, version / 100 % 100);
}

const pb_nccl *pb_nccl_library(const char **why_not) {
    static void *library; /* stays open: its threads live in it */
    *why_not = trouble;
    if (library)
        return trouble[0] ? NULL : &functions;
    trouble[0] = '\0';
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(trouble, sizeof trouble, LIBRARY " not found");
        return NULL;
    }
    find_all(library);
    if (!trouble[0])
        check_version();
    return trouble[0] ? NULL : &functions;
}
