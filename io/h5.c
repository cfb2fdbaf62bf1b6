/* h5.c: HDF5 files of ours: the library's settings, its errors as statuses, opening, closing, and the header. io/h5.h says which
 * settings and why; columns are in h5_column.c, ragged ones in h5_ragged.c, where bytes lie in h5_layout.c.
 *
 * HDF5 reports by a stack of errors that the last call has left; pb_h5_fail_at is called right after the call that failed, before
 * another one clears it. Identifiers below 0 are failures; closing one of these fails too, and says nothing, since printing is
 * off. So the code below closes what it may not have got, instead of branching for each.
 */
#include "io/h5.h"

#include "base/fault.h"
#include "base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the library's settings ------------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool prepared; /* whether all of prepare() worked */

/* Once in a process. Plugins are never loaded: a file could name one, and that is code from a file (invariant 10). External links
 * are forgotten for the same reason: a file must not make us open another. */
static void prepare(void) {
    /* The exit handler would try to close a file that a full disk keeps from being closed. It must go before anything else. */
    prepared = H5dont_atexit() >= 0;
    prepared = H5PLset_loading_state(0) >= 0 && prepared;
    prepared = H5Lunregister(H5L_TYPE_EXTERNAL) >= 0 && prepared;
}

/* Before the first call of each function that has no open file yet. HDF5 has one error stack a thread, each with its own printing
 * to be turned off. */
static pb_status enter_library(void) {
    static _Thread_local bool quiet;
    pthread_once(&once, prepare);
    if (!prepared)
        return pb_fail(PB_E_INTERNAL, "HDF5 refused its settings: it was in use before patchbank used it");
    if (!quiet)
        quiet = H5Eset_auto2(H5E_DEFAULT, NULL, NULL) >= 0;
    return pb_ok();
}

/* --- errors ----------------------------------------------------------------------------------------------------- */

/* What the error stack has to say. */
typedef struct trouble {
    int error;              /* errno of the failed system call, 0: it was none */
    char description[200];  /* what the innermost function said */
} trouble;

/* One entry of the stack, innermost first (H5E_WALK_UPWARD). errno stands in the text of the entry whose system call failed; HDF5
 * has no other place for it. */
static herr_t look_at_entry(unsigned depth, const H5E_error2_t *entry, void *context) {
    trouble *found = context;
    const char *number = entry->desc ? strstr(entry->desc, "errno = ") : NULL;
    if (number && found->error == 0)
        found->error = atoi(number + strlen("errno = "));
    if (depth == 0 && entry->desc)
        snprintf(found->description, sizeof found->description, "%s", entry->desc);
    return 0;
}

/* With an errno the system's reason decides the code, as everywhere; without one a file being read is bad input, and one being
 * written the machine's failure. */
pb_status pb_h5_fail_at(const pb_h5 *h5, const char *file, int line, const char *what, const char *name) {
    trouble found = {0, ""};
    char action[160];
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_at_entry, &found);
    snprintf(action, sizeof action, "%s%s%s", what, name[0] ? " " : "", name);
    if (found.error != 0)
        return pb_fail_errno_at(found.error, file, line, h5->name, action);
    return pb_fail_at(h5->writing ? PB_E_SYSTEM : PB_E_INPUT, file, line, "%s: %s: %s", h5->name, action,
                      found.description[0] ? found.description : "HDF5 gives no reason");
}

/* --- files ------------------------------------------------------------------------------------------------------ */

/* For both ways of opening. V110 as least and most version: the format of 1.10, whatever the library. No locks are taken
 * (io/h5.h). STRONG: closing the file closes what may be open in it after a failure. */
static hid_t access_list(void) {
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && (H5Pset_libver_bounds(list, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 || H5Pset_file_locking(list, 0, 1) < 0 ||
                      H5Pset_fclose_degree(list, H5F_CLOSE_STRONG) < 0)) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

/* The creation list is also that of the root group, whose attributes shall keep their order. */
static hid_t creation_list(void) {
    hid_t list = H5Pcreate(H5P_FILE_CREATE);
    if (list >= 0 && (H5Pset_obj_track_times(list, 0) < 0 || H5Pset_attr_creation_order(list, H5P_CRT_ORDER_TRACKED) < 0)) {
        H5Pclose(list);
        return H5I_INVALID_HID;
    }
    return list;
}

/* H5F_ACC_TRUNC: the temporary file is there already, empty (pb_output_begin). */
pb_status pb_h5_create(pb_h5 *h5, const pb_output *output) {
    PB_ASSERT(!h5->open && output->temporary[0] != '\0');
    *h5 = (pb_h5){.writing = true};
    snprintf(h5->name, sizeof h5->name, "%s", output->final);
    PB_TRY(enter_library());
    hid_t access = access_list(), creation = creation_list();
    h5->id = H5Fcreate(output->temporary, H5F_ACC_TRUNC, creation, access);
    pb_status status = h5->id >= 0 ? pb_ok() : pb_h5_fail(h5, "cannot create the HDF5 file", "");
    h5->open = h5->id >= 0;
    H5Pclose(access);
    H5Pclose(creation);
    return status;
}

/* The size bounds every claim that is made in the file. */
static pb_status open_with(pb_h5 *h5, hid_t access) {
    hsize_t size;
    h5->id = H5Fopen(h5->name, H5F_ACC_RDONLY, access);
    if (h5->id < 0)
        return pb_h5_fail(h5, "cannot open as HDF5 file", "");
    h5->open = true;
    if (H5Fget_filesize(h5->id, &size) < 0)
        return pb_h5_fail(h5, "cannot examine the HDF5 file", "");
    h5->size = size;
    return pb_ok();
}

pb_status pb_h5_open(pb_h5 *h5, const char *path) {
    PB_ASSERT(!h5->open);
    *h5 = (pb_h5){.writing = false};
    PB_TRY(pb_path_join("", path, h5->name));
    PB_TRY(enter_library());
    hid_t access = access_list();
    pb_status status = open_with(h5, access);
    H5Pclose(access);
    if (pb_failed(&status))
        pb_keep_first(&status, pb_h5_close(h5));
    return status;
}

/* A file that cannot be closed stays open within HDF5; for us it is closed, and the process ends without HDF5's exit handler. */
pb_status pb_h5_close(pb_h5 *h5) {
    if (!h5->open)
        return pb_ok();
    pb_status status = pb_ok();
    if (H5Fclose(h5->id) < 0)
        status = pb_h5_fail(h5, "cannot close", "");
    if (h5->writing && pb_fault("io.close"))
        pb_keep_first(&status, pb_fail_errno(ENOSPC, h5->name, "cannot close"));
    h5->open = false;
    return status;
}

/* --- header ----------------------------------------------------------------------------------------------------- */

/* The two attributes that every file has, and that pb_h5_read_header keeps to itself. */
static const char FORMAT_NAME[] = "format", VERSION_NAME[] = "format_version";

/* A fixed-length type: variable-length text lives in a heap that has no checksum. */
static hid_t text_type(size_t size) {
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, size) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

/* The closing 0 is stored too, so that an empty text has a size, which HDF5 wants above 0. */
static pb_status write_attribute(const pb_h5 *h5, const char *name, const char *value) {
    if (pb_fault("io.write"))
        return pb_fail_errno(ENOSPC, h5->name, "cannot write");
    hid_t type = text_type(strlen(value) + 1), space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(h5->id, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool written = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    pb_status status = written ? pb_ok() : pb_h5_fail(h5, "cannot write attribute", name);
    if (attribute >= 0 && H5Aclose(attribute) < 0)
        pb_keep_first(&status, pb_h5_fail(h5, "cannot close attribute", name));
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

pb_status pb_h5_write_header(const pb_h5 *h5, const char *format, int version, const pb_attributes *attributes) {
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    PB_TRY(write_attribute(h5, FORMAT_NAME, format));
    PB_TRY(write_attribute(h5, VERSION_NAME, number));
    for (size_t i = 0; attributes && i < attributes->count; i++)
        PB_TRY(write_attribute(h5, attributes->names[i], attributes->values[i]));
    return pb_ok();
}

/* Reads an opened attribute into a new text, owned by the caller even after a failure. Another program's file may have anything
 * there, so type and size are looked at before memory is taken; one byte more than the size ends a text that does not end
 * itself. */
static pb_status read_text(const pb_h5 *h5, hid_t attribute, hid_t type, const char *name, char **text_out) {
    size_t size = H5Tget_size(type);
    hid_t space = H5Aget_space(attribute);
    bool scalar = H5Sget_simple_extent_type(space) == H5S_SCALAR;
    H5Sclose(space);
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || !scalar)
        return pb_fail(PB_E_INPUT, "%s: not a file of patchbank: attribute %s is not one text of fixed length", h5->name, name);
    if (size == 0 || size > h5->size)
        return pb_fail(PB_E_INPUT, "%s: attribute %s claims %zu bytes", h5->name, name, size);
    PB_TRY(pb_allocate(text_out, size + 1, 1, "an attribute"));
    if (H5Aread(attribute, type, *text_out) < 0)
        return pb_h5_fail(h5, "cannot read attribute", name);
    return pb_ok();
}

/* What is handed through H5Aiterate2, which knows only "go on" and "stop". */
typedef struct header_reader {
    const pb_h5 *h5;
    pb_attributes *attributes;
    pb_status status;
} header_reader;

/* Called for each attribute; -1 stops the walk with reader->status. */
static herr_t read_attribute(hid_t location, const char *name, const H5A_info_t *info, void *context) {
    header_reader *reader = context;
    (void)info;
    if (strlen(name) >= sizeof *reader->attributes->names) {
        reader->status = pb_fail(PB_E_INPUT, "%s: attribute name %.80s is too long", reader->h5->name, name);
        return -1;
    }
    char *text = NULL;
    hid_t attribute = H5Aopen(location, name, H5P_DEFAULT);
    if (attribute < 0) {
        reader->status = pb_h5_fail(reader->h5, "cannot open attribute", name);
        return -1;
    }
    hid_t type = H5Aget_type(attribute);
    reader->status = read_text(reader->h5, attribute, type, name, &text);
    if (!pb_failed(&reader->status))
        reader->status = pb_attributes_set(reader->attributes, name, text);
    H5Tclose(type);
    H5Aclose(attribute);
    pb_release(&text);
    return pb_failed(&reader->status) ? -1 : 0;
}

/* A file without the two attributes is no file of ours. Versions are whole numbers from 1; older ones are read. */
static pb_status check_format(const pb_h5 *h5, const pb_attributes *all, const char *format, int version) {
    const char *found = pb_attributes_get(all, FORMAT_NAME), *number = pb_attributes_get(all, VERSION_NAME);
    if (!found || !number)
        return pb_fail(PB_E_INPUT, "%s: not a %s file: attributes %s and %s are missing", h5->name, format, FORMAT_NAME,
                       VERSION_NAME);
    if (strcmp(found, format) != 0)
        return pb_fail(PB_E_INPUT, "%s: is a %.60s file, not a %s file", h5->name, found, format);
    char *end;
    long value = strtol(number, &end, 10);
    if (number[0] < '1' || number[0] > '9' || *end != '\0')
        return pb_fail(PB_E_INPUT, "%s: %s is %.20s, expected a number", h5->name, VERSION_NAME, number);
    if (value > version)
        return pb_fail(PB_E_INPUT, "%s: version %ld of %s is newer than this build reads (%d): use a newer patchbank", h5->name,
                       value, format, version);
    return pb_ok();
}

static pb_status copy_others(const pb_attributes *all, pb_attributes *attributes) {
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->names[i], FORMAT_NAME) != 0 && strcmp(all->names[i], VERSION_NAME) != 0)
            PB_TRY(pb_attributes_set(attributes, all->names[i], all->values[i]));
    return pb_ok();
}

/* Read all, then judge, then hand over: of a file that is refused nothing is added to *attributes. */
pb_status pb_h5_read_header(const pb_h5 *h5, const char *format, int version, pb_attributes *attributes) {
    pb_attributes all = {0};
    header_reader reader = {.h5 = h5, .attributes = &all, .status = pb_ok()};
    /* Iterating by creation order works only where it was tracked, which is so in every file of ours. */
    herr_t result = H5Aiterate2(h5->id, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, read_attribute, &reader);
    if (result < 0 && !pb_failed(&reader.status))
        reader.status = pb_h5_fail(h5, "cannot read the attributes", "");
    if (!pb_failed(&reader.status))
        reader.status = check_format(h5, &all, format, version);
    if (!pb_failed(&reader.status))
        reader.status = copy_others(&all, attributes);
    pb_attributes_free(&all);
    return reader.status;
}
