/* h5_column.c: columns: datasets of 1 to 3 dimensions whose first counts items.
 *
 * How one is stored follows from how it is filled. Whole columns are chunked, with Fletcher-32; integers are shuffled and
 * deflated first, since offsets, sizes and labels shrink by much, floats hardly. Columns that are filled piece by piece either
 * grow at their end (chunked, not deflated: they hold what is compressed already, or floats) or lie reserved (contiguous, for
 * blocks in any order, whose bytes must not depend on it).
 *
 * A file that is read may be of anybody. `examine` looks, before values are read: stored in this file, of the type and rank
 * expected, and of no more values than the file could hold however well it is packed.
 */
#include "io/h5.h"

#include "base/fault.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of zlib, which makes the bytes: never change it, or the same input is another file. Most bytes of values for one of the
 * file. */
enum { DEFLATE_LEVEL = 4, INFLATION_MOST = 1100 /* deflate packs at most 1032 to 1 */ };

/* --- types ------------------------------------------------------------------------------------------------------ */

/* By pb_h5_type. */
static const size_t TYPE_BYTES[] = {1, 1, 4, 8, 4, 8};

/* Little-endian in the file, whatever the machine; HDF5 converts. */
static hid_t file_type(pb_h5_type type) {
    switch (type) {
    case PB_H5_U8:
        return H5T_STD_U8LE;
    case PB_H5_I8:
        return H5T_STD_I8LE;
    case PB_H5_U32:
        return H5T_STD_U32LE;
    case PB_H5_U64:
        return H5T_STD_U64LE;
    case PB_H5_F32:
        return H5T_IEEE_F32LE;
    case PB_H5_F64:
        return H5T_IEEE_F64LE;
    }
    return H5I_INVALID_HID;
}

static hid_t memory_type(pb_h5_type type) {
    switch (type) {
    case PB_H5_U8:
        return H5T_NATIVE_UINT8;
    case PB_H5_I8:
        return H5T_NATIVE_INT8;
    case PB_H5_U32:
        return H5T_NATIVE_UINT32;
    case PB_H5_U64:
        return H5T_NATIVE_UINT64;
    case PB_H5_F32:
        return H5T_NATIVE_FLOAT;
    case PB_H5_F64:
        return H5T_NATIVE_DOUBLE;
    }
    return H5I_INVALID_HID;
}

static bool is_integer(pb_h5_type type) { return type != PB_H5_F32 && type != PB_H5_F64; }

/* Of one item in memory, 0 where a dimension is 0. */
static uint64_t item_bytes(const pb_h5_column *column) {
    return TYPE_BYTES[column->type] * column->size[1] * column->size[2];
}

/* --- creating --------------------------------------------------------------------------------------------------- */

/* Contiguous as HDF5 likes it (for nothing at all); chunks with Fletcher-32; deflated before that; contiguous with a place at
 * once. */
typedef enum storage { STORE_PLAIN, STORE_CHECKED, STORE_DEFLATED, STORE_RESERVED } storage;

/* Items a chunk, such that the chunks of a column are of about equal size and the last one is nearly full. At most
 * PB_H5_CHUNK_BYTES, or one item. The column is not empty. */
static hsize_t chunk_items(const pb_h5_column *column) {
    uint64_t most = PB_H5_CHUNK_BYTES / item_bytes(column);
    if (most == 0)
        most = 1;
    uint64_t chunks = (column->size[0] + most - 1) / most;
    return (column->size[0] + chunks - 1) / chunks;
}

/* Filters work in the order in which they are set, so the checksum is of what lies in the file. Reserved: the place is given at
 * once and not filled, since every item is going to be written. */
static bool set_storage(hid_t list, const pb_h5_column *column, storage how, hsize_t items) {
    if (H5Pset_obj_track_times(list, 0) < 0)
        return false;
    if (how == STORE_RESERVED)
        return H5Pset_layout(list, H5D_CONTIGUOUS) >= 0 && H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) >= 0 &&
               H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0;
    if (how == STORE_PLAIN)
        return true;
    hsize_t chunk[PB_H5_RANK_MAX] = {items, column->size[1], column->size[2]};
    return H5Pset_chunk(list, column->rank, chunk) >= 0 &&
           (how != STORE_DEFLATED || (H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, DEFLATE_LEVEL) >= 0)) &&
           H5Pset_fletcher32(list) >= 0;
}

/* chunk: items of one. growing: the first dimension may be extended later. */
static pb_status make_dataset(const pb_h5 *h5, const pb_h5_column *column, storage how, hsize_t chunk, bool growing,
                              hid_t *dataset) {
    hsize_t size[PB_H5_RANK_MAX] = {column->size[0], column->size[1], column->size[2]};
    hsize_t most[PB_H5_RANK_MAX] = {growing ? H5S_UNLIMITED : size[0], size[1], size[2]};
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(column->rank, size, most);
    *dataset = H5I_INVALID_HID;
    if (set_storage(list, column, how, chunk))
        *dataset = H5Dcreate2(h5->id, column->name, file_type(column->type), space, H5P_DEFAULT, list, H5P_DEFAULT);
    pb_status status = *dataset >= 0 ? pb_ok() : pb_h5_fail(h5, "cannot make dataset", column->name);
    H5Pclose(list);
    H5Sclose(space);
    return status;
}

/* Closing a dataset writes its chunks: here a full disk shows first. */
static pb_status close_dataset(const pb_h5 *h5, hid_t dataset, const char *name) {
    return H5Dclose(dataset) >= 0 ? pb_ok() : pb_h5_fail(h5, "cannot write", name);
}

pb_status pb_h5_create_group(const pb_h5 *h5, const char *name) {
    hid_t list = H5Pcreate(H5P_GROUP_CREATE);
    hid_t group = H5Pset_obj_track_times(list, 0) >= 0 ? H5Gcreate2(h5->id, name, H5P_DEFAULT, list, H5P_DEFAULT)
                                                       : H5I_INVALID_HID;
    pb_status status = group >= 0 ? pb_ok() : pb_h5_fail(h5, "cannot make group", name);
    if (group >= 0 && H5Gclose(group) < 0)
        pb_keep_first(&status, pb_h5_fail(h5, "cannot write group", name));
    H5Pclose(list);
    return status;
}

/* An empty column is a dataset all the same, so that every file of a kind has the same names. */
pb_status pb_h5_write(const pb_h5 *h5, const pb_h5_column *column, const void *values) {
    if (pb_fault("io.write"))
        return pb_fail_errno(ENOSPC, h5->name, "cannot write");
    hid_t dataset;
    bool empty = column->size[0] == 0 || item_bytes(column) == 0; /* HDF5 has no chunks of nothing */
    storage how = empty ? STORE_PLAIN : is_integer(column->type) ? STORE_DEFLATED : STORE_CHECKED;
    PB_TRY(make_dataset(h5, column, how, empty ? 0 : chunk_items(column), false, &dataset));
    pb_status status = pb_ok();
    if (!empty && H5Dwrite(dataset, memory_type(column->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        status = pb_h5_fail(h5, "cannot write", column->name);
    pb_keep_first(&status, close_dataset(h5, dataset, column->name));
    return status;
}

/* A dataset without values yet. */
static pb_status make_empty(const pb_h5 *h5, const pb_h5_column *column, storage how, hsize_t chunk, bool growing) {
    hid_t dataset;
    if (pb_fault("io.write"))
        return pb_fail_errno(ENOSPC, h5->name, "cannot write");
    PB_TRY(make_dataset(h5, column, how, chunk, growing, &dataset));
    return close_dataset(h5, dataset, column->name);
}

pb_status pb_h5_reserve(const pb_h5 *h5, const pb_h5_column *column) {
    return make_empty(h5, column, STORE_RESERVED, 0, false);
}

pb_status pb_h5_create_growing(const pb_h5 *h5, const pb_h5_column *column, uint64_t chunk) {
    PB_ASSERT(column->size[0] == 0 && chunk > 0);
    return make_empty(h5, column, STORE_CHECKED, chunk, true);
}

/* --- items of a dataset ----------------------------------------------------------------------------------------- */

/* The same items in the file and in memory. */
typedef struct selection {
    hid_t file, memory; /* dataspaces */
} selection;

/* Items first .. first + count - 1 of an open dataset, whole. What is selected must be dropped, also after a failure. */
static bool select_items(hid_t dataset, const pb_h5_column *column, uint64_t first, uint64_t count, selection *selected) {
    hsize_t start[PB_H5_RANK_MAX] = {first, 0, 0}, size[PB_H5_RANK_MAX] = {count, column->size[1], column->size[2]};
    selected->file = H5Dget_space(dataset);
    selected->memory = H5Screate_simple(column->rank, size, NULL);
    return selected->file >= 0 && selected->memory >= 0 &&
           H5Sselect_hyperslab(selected->file, H5S_SELECT_SET, start, NULL, size, NULL) >= 0;
}

static void drop_selection(selection *selected) {
    H5Sclose(selected->file);
    H5Sclose(selected->memory);
}

/* Writes items of an open dataset. */
static pb_status put_items(const pb_h5 *h5, hid_t dataset, const pb_h5_column *column, uint64_t first, uint64_t count,
                           const void *values) {
    if (pb_fault("io.write"))
        return pb_fail_errno(ENOSPC, h5->name, "cannot write");
    selection selected = {H5I_INVALID_HID, H5I_INVALID_HID};
    hid_t type = memory_type(column->type);
    bool done = select_items(dataset, column, first, count, &selected) &&
                H5Dwrite(dataset, type, selected.memory, selected.file, H5P_DEFAULT, values) >= 0;
    pb_status status = done ? pb_ok() : pb_h5_fail(h5, "cannot write", column->name);
    drop_selection(&selected);
    return status;
}

/* As pb_h5_write_items; growing: the dataset is first extended to column->size[0]. Opened and closed for each call: blocks are
 * large, and then there is nothing to keep track of. */
static pb_status open_and_put(const pb_h5 *h5, const pb_h5_column *column, bool growing, uint64_t first, uint64_t count,
                              const void *values) {
    PB_ASSERT(first <= column->size[0] && count <= column->size[0] - first);
    if (count == 0)
        return pb_ok();
    hid_t dataset = H5Dopen2(h5->id, column->name, H5P_DEFAULT);
    if (dataset < 0)
        return pb_h5_fail(h5, "cannot open dataset", column->name);
    /* Extended and filled under one opening: a kill in between leaves a temporary file, which is nobody's. */
    pb_status status = pb_ok();
    if (growing && H5Dset_extent(dataset, (const hsize_t[]){column->size[0], column->size[1], column->size[2]}) < 0)
        status = pb_h5_fail(h5, "cannot extend dataset", column->name);
    if (!pb_failed(&status))
        status = put_items(h5, dataset, column, first, count, values);
    pb_keep_first(&status, close_dataset(h5, dataset, column->name));
    return status;
}

pb_status pb_h5_write_items(const pb_h5 *h5, const pb_h5_column *column, uint64_t first, uint64_t count, const void *values) {
    return open_and_put(h5, column, false, first, count, values);
}

pb_status pb_h5_append_items(const pb_h5 *h5, pb_h5_column *column, uint64_t count, const void *values) {
    uint64_t first = column->size[0];
    column->size[0] += count;
    return open_and_put(h5, column, true, first, count, values);
}

/* --- checking and reading --------------------------------------------------------------------------------------- */

/* Storage in other files is legal HDF5, but nothing that a file of ours has. */
static pb_status check_storage(const pb_h5 *h5, hid_t dataset, const char *name) {
    hid_t list = H5Dget_create_plist(dataset);
    H5D_layout_t layout = H5Pget_layout(list);
    int external = H5Pget_external_count(list);
    H5Pclose(list);
    if ((layout != H5D_CHUNKED && layout != H5D_CONTIGUOUS && layout != H5D_COMPACT) || external != 0)
        return pb_fail(PB_E_INPUT, "%s: dataset %s keeps its values outside of the file", h5->name, name);
    return pb_ok();
}

/* Exactly the type in the file: another would be converted without a word, and be another format. */
static pb_status check_type(const pb_h5 *h5, hid_t dataset, const pb_h5_column *column) {
    hid_t type = H5Dget_type(dataset);
    htri_t equal = H5Tequal(type, file_type(column->type));
    H5Tclose(type);
    if (equal <= 0)
        return pb_fail(PB_E_INPUT, "%s: dataset %s has not the type of that column", h5->name, column->name);
    return pb_ok();
}

/* Sizes of the dimensions that there are; the rest stay as the caller set them. */
static pb_status get_size(const pb_h5 *h5, hid_t dataset, const pb_h5_column *column, hsize_t size[PB_H5_RANK_MAX]) {
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank == column->rank)
        H5Sget_simple_extent_dims(space, size, NULL);
    H5Sclose(space);
    if (rank != column->rank)
        return pb_fail(PB_E_INPUT, "%s: dataset %s has %d dimensions, expected %d", h5->name, column->name, rank, column->rank);
    return pb_ok();
}

/* A few hundred bytes can claim exabytes; believing them would look like a machine without memory. With this every allocation by
 * what a file says is bounded by the file's size. */
static pb_status check_claim(const pb_h5 *h5, const pb_h5_column *column, const hsize_t size[PB_H5_RANK_MAX]) {
    uint64_t bytes = TYPE_BYTES[column->type];
    bool overflow = false;
    for (int i = 0; i < PB_H5_RANK_MAX; i++)
        overflow = __builtin_mul_overflow(bytes, (uint64_t)size[i], &bytes) || overflow;
    if (overflow || bytes / INFLATION_MOST > h5->size)
        return pb_fail(PB_E_INPUT, "%s: dataset %s claims more values than a file of %ju bytes can hold", h5->name, column->name,
                       (uintmax_t)h5->size);
    return pb_ok();
}

static pb_status examine(const pb_h5 *h5, hid_t dataset, const pb_h5_column *column, hsize_t size[PB_H5_RANK_MAX]) {
    PB_TRY(check_storage(h5, dataset, column->name));
    PB_TRY(check_type(h5, dataset, column));
    PB_TRY(get_size(h5, dataset, column, size));
    return check_claim(h5, column, size);
}

/* Opens a dataset and finds its size. On error nothing is open. */
static pb_status open_dataset(const pb_h5 *h5, const pb_h5_column *column, hsize_t size[PB_H5_RANK_MAX], hid_t *dataset) {
    for (int i = 0; i < PB_H5_RANK_MAX; i++)
        size[i] = 1;
    *dataset = H5Dopen2(h5->id, column->name, H5P_DEFAULT);
    if (*dataset < 0)
        return pb_h5_fail(h5, "cannot open dataset", column->name);
    pb_status status = examine(h5, *dataset, column, size);
    if (pb_failed(&status))
        H5Dclose(*dataset);
    return status;
}

/* What is examined here and read later is examined again then: the file is open, and costs little. */
pb_status pb_h5_examine(const pb_h5 *h5, pb_h5_column *column) {
    hid_t dataset;
    hsize_t size[PB_H5_RANK_MAX];
    PB_TRY(open_dataset(h5, column, size, &dataset));
    H5Dclose(dataset);
    for (int i = 0; i < PB_H5_RANK_MAX; i++)
        column->size[i] = size[i];
    return pb_ok();
}

/* Reads items of an open dataset. With PB_H5_UNCHECKED HDF5 still goes through Fletcher-32's filter, but does not compare. */
static pb_status get_items(const pb_h5 *h5, hid_t dataset, const pb_h5_column *column, pb_h5_check check, uint64_t first,
                           uint64_t count, void *values) {
    selection selected = {H5I_INVALID_HID, H5I_INVALID_HID};
    hid_t type = memory_type(column->type), list = H5Pcreate(H5P_DATASET_XFER);
    bool done = H5Pset_edc_check(list, check == PB_H5_CHECKED ? H5Z_ENABLE_EDC : H5Z_DISABLE_EDC) >= 0 &&
                select_items(dataset, column, first, count, &selected) &&
                H5Dread(dataset, type, selected.memory, selected.file, list, values) >= 0;
    pb_status status = done ? pb_ok() : pb_h5_fail(h5, "cannot read dataset", column->name);
    drop_selection(&selected);
    H5Pclose(list);
    return status;
}

/* The file must have exactly the sizes described, since memory was taken by these. */
pb_status pb_h5_read_items(const pb_h5 *h5, const pb_h5_column *column, pb_h5_check check, uint64_t first, uint64_t count,
                           void *values) {
    PB_ASSERT(first <= column->size[0] && count <= column->size[0] - first);
    hid_t dataset;
    hsize_t size[PB_H5_RANK_MAX];
    PB_TRY(open_dataset(h5, column, size, &dataset));
    pb_status status = pb_ok();
    for (int i = 0; i < column->rank; i++)
        if (size[i] != column->size[i])
            pb_keep_first(&status, pb_fail(PB_E_INPUT, "%s: dataset %s has %ju values in dimension %d, expected %ju", h5->name,
                                           column->name, (uintmax_t)size[i], i, (uintmax_t)column->size[i]));
    if (!pb_failed(&status) && count > 0 && item_bytes(column) > 0)
        status = get_items(h5, dataset, column, check, first, count, values);
    H5Dclose(dataset);
    return status;
}

pb_status pb_h5_read(const pb_h5 *h5, const pb_h5_column *column, void *values) {
    return pb_h5_read_items(h5, column, PB_H5_CHECKED, 0, column->size[0], values);
}
