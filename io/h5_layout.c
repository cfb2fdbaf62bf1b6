/* h5_layout.c: where the bytes of a column lie in its file, so that pread(2) can get them while HDF5 is in use by another thread
 * (io/stream.h, decision 0023).
 *
 * The chunks of a column that was written front to back lie nearly always one behind the other, with a gap where HDF5 put
 * something of its own. A run is such a stretch. Asking HDF5 for chunk k takes time proportional to k, so not all are asked for:
 * the first and the last are, and where two are as far apart as the chunks between them are long, these are taken to lie between.
 * Else the middle one is asked for, and both halves are treated likewise. For r runs of n chunks that is about r log2(n)
 * questions.
 *
 * That chunks between lie in order is inferred, not promised, so nothing here is a verdict: whoever reads compares with a CRC32C.
 */
#include "base/memory.h"
#include "io/h5.h"

/* A dataset whose layout is being found. dataset and space are open; chunks: how many its bytes take. */
typedef struct search {
    const pb_h5 *h5;
    const char *name;
    hid_t dataset, space;
    uint64_t chunks;
    pb_h5_layout *layout;
    size_t room; /* of layout->runs */
} search;

/* The bytes are there, but cannot be had without HDF5. No damage: they are read the other way. */
static pb_status not_direct(const search *s, const char *why) {
    return pb_fail(PB_E_INPUT, "%s: dataset %s %s", s->h5->name, s->name, why);
}

/* The address of chunk `chunk`; it must be there, whole and within the file. HDF5 numbers chunks by their order in its index, so
 * the offset tells whether this one is at its place. Filters that were left out for a chunk (`skipped`) would change its size,
 * which is compared. */
static pb_status ask(const search *s, uint64_t chunk, uint64_t *address) {
    hsize_t offset, size;
    unsigned skipped;
    haddr_t place;
    if (H5Dget_chunk_info(s->dataset, s->space, chunk, &offset, &skipped, &place, &size) < 0)
        return pb_h5_fail(s->h5, "cannot find the chunks of", s->name);
    if (offset != chunk * s->layout->chunk_bytes || size != s->layout->stride || place > s->h5->size ||
        s->h5->size - place < size)
        return not_direct(s, "has chunks that are missing or of another length");
    *address = place;
    return pb_ok();
}

/* A run of one chunk, at the end of the list. */
static pb_status add_run(search *s, uint64_t first, uint64_t address) {
    pb_h5_layout *layout = s->layout;
    if (layout->count == s->room) {
        size_t room = 2 * s->room + 8;
        PB_TRY(pb_resize(&layout->runs, s->room, room, sizeof *layout->runs, "places of chunks"));
        s->room = room;
    }
    layout->runs[layout->count++] = (pb_h5_run){.first = first, .count = 1, .address = address};
    return pb_ok();
}

/* Adds the chunks behind `low`, the last one of the last run, up to `high`. Where they lie as one stretch the run is made longer;
 * else halves. As deep as there are bits in the number of chunks. */
static pb_status add_up_to(search *s, uint64_t low, uint64_t low_address, uint64_t high, uint64_t high_address) {
    uint64_t middle = low + (high - low) / 2, address = 0;
    if (high_address > low_address && (high_address - low_address) / s->layout->stride == high - low &&
        (high_address - low_address) % s->layout->stride == 0) {
        s->layout->runs[s->layout->count - 1].count += high - low;
        return pb_ok();
    }
    if (high - low == 1)
        return add_run(s, high, high_address);
    PB_TRY(ask(s, middle, &address));
    PB_TRY(add_up_to(s, low, low_address, middle, address));
    return add_up_to(s, middle, address, high, high_address);
}

/* A chunk that was never written would read as zeros; a column of ours has all of them. */
static pb_status find_runs(search *s) {
    hsize_t chunks;
    uint64_t first, last;
    if (H5Dget_num_chunks(s->dataset, s->space, &chunks) < 0)
        return pb_h5_fail(s->h5, "cannot count the chunks of", s->name);
    if (chunks != s->chunks)
        return not_direct(s, "has chunks that are missing");
    if (chunks == 0)
        return pb_ok();
    PB_TRY(ask(s, 0, &first));
    PB_TRY(ask(s, chunks - 1, &last));
    PB_TRY(add_run(s, 0, first));
    return chunks == 1 ? pb_ok() : add_up_to(s, 0, first, chunks - 1, last);
}

/* How chunks are stored: as they are, or with Fletcher-32 behind each, of 4 bytes. Any other filter changes the bytes. */
static pb_status examine_chunks(search *s, hid_t list) {
    hsize_t chunk = 0;
    unsigned options = 0;
    size_t values = 0;
    int filters = H5Pget_nfilters(list);
    bool plain = filters == 0;
    if (filters == 1)
        plain = H5Pget_filter2(list, 0, &options, &values, NULL, 0, NULL, NULL) == H5Z_FILTER_FLETCHER32;
    if (!plain || H5Pget_chunk(list, 1, &chunk) != 1 || chunk == 0 || chunk > s->h5->size)
        return not_direct(s, "is compressed or has a filter");
    s->layout->chunk_bytes = chunk;
    s->layout->stride = chunk + (filters == 1 ? 4 : 0);
    s->chunks = s->layout->bytes / chunk + (s->layout->bytes % chunk != 0);
    return find_runs(s);
}

/* One chunk of all bytes. */
static pb_status examine_contiguous(search *s) {
    haddr_t address = H5Dget_offset(s->dataset);
    uint64_t bytes = s->layout->bytes;
    s->layout->chunk_bytes = s->layout->stride = bytes;
    if (bytes == 0)
        return pb_ok();
    if (address == HADDR_UNDEF || address > s->h5->size || s->h5->size - address < bytes)
        return not_direct(s, "does not lie in the file");
    return add_run(s, 0, address);
}

/* With a user block addresses would count from behind it; our files have none. */
static pb_status examine(search *s) {
    hid_t list = H5Dget_create_plist(s->dataset), file_list = H5Fget_create_plist(s->h5->id);
    hsize_t user_block = 0;
    pb_status status = pb_ok();
    H5D_layout_t layout = H5Pget_layout(list);
    if (H5Pget_userblock(file_list, &user_block) < 0 || user_block != 0)
        status = not_direct(s, "is in a file with a user block");
    else if (layout == H5D_CHUNKED)
        status = examine_chunks(s, list);
    else if (layout == H5D_CONTIGUOUS)
        status = examine_contiguous(s);
    else
        status = not_direct(s, "is part of its header");
    H5Pclose(file_list);
    H5Pclose(list);
    return status;
}

/* pb_h5_examine has made sure that it is a vector of bytes within this file; here it is only asked where. */
pb_status pb_h5_locate(const pb_h5 *h5, const char *name, pb_h5_layout *layout_out) {
    pb_h5_column column = pb_h5_vector(name, PB_H5_U8, 0);
    *layout_out = (pb_h5_layout){0};
    PB_TRY(pb_h5_examine(h5, &column));
    layout_out->bytes = column.size[0];
    search s = {.h5 = h5, .name = name, .layout = layout_out};
    s.dataset = H5Dopen2(h5->id, name, H5P_DEFAULT);
    if (s.dataset < 0)
        return pb_h5_fail(h5, "cannot open dataset", name);
    s.space = H5Dget_space(s.dataset);
    pb_status status = examine(&s);
    H5Sclose(s.space);
    H5Dclose(s.dataset);
    if (pb_failed(&status))
        pb_h5_layout_free(layout_out);
    return status;
}

void pb_h5_layout_free(pb_h5_layout *layout) {
    pb_release(&layout->runs);
    *layout = (pb_h5_layout){0};
}
