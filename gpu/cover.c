/* The front of covers, as gpu/device.c is that of the other operations: checks what no kind of device needs to check again, and
 * answers PB_E_UNSUPPORTED for a kind without covers.
 *
 * In the order of a cover's life: create, write, place, read, add, then the steps of a round. Contracts: gpu/cover.h.
 */
#include "gpu/cover.h"

#include "gpu/device_table.h"

pb_status pb_device_cover_create(pb_device *device, size_t capacity, int dim, uint32_t first_index, pb_cover **cover_out) {
    PB_ASSERT(capacity < UINT32_MAX - first_index && dim >= 1);
    *cover_out = NULL;
    PB_NEED(device, cover_create);
    return device->table->cover_create(device, capacity, dim, first_index, cover_out);
}

void pb_device_cover_free(pb_device *device, pb_cover **cover) {
    if (!*cover)
        return;
    device->table->cover_free(device, *cover);
    *cover = NULL;
}

pb_status pb_device_cover_write(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                                int64_t *not_finite) {
    PB_ASSERT(cover && not_finite && (count == 0 || rows));
    PB_NEED(device, cover_write);
    return device->table->cover_write(device, cover, first, count, rows, not_finite);
}

/* Returns nothing, so a missing slot is asserted; a kind with covers has it. */
void pb_device_cover_place(pb_device *device, pb_cover *cover, uint32_t first_index) {
    PB_ASSERT(cover && device->table->cover_place);
    device->table->cover_place(device, cover, first_index);
}

pb_status pb_device_cover_read(pb_device *device, const pb_cover *cover, size_t first, size_t count,
                               float *host_rows) {
    PB_ASSERT(cover && (count == 0 || host_rows));
    PB_NEED(device, cover_read);
    return device->table->cover_read(device, cover, first, count, host_rows);
}

pb_status pb_device_cover_add(pb_device *device, pb_cover *cover, const float *centres, size_t count) {
    PB_ASSERT(cover && (count == 0 || centres));
    PB_NEED(device, cover_add);
    return device->table->cover_add(device, cover, centres, count);
}

pb_status pb_device_cover_refresh(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most) {
    PB_ASSERT(cover && count && most);
    PB_NEED(device, cover_refresh);
    return device->table->cover_refresh(device, cover, floor, count, most);
}

pb_status pb_device_cover_settle(pb_device *device, pb_cover *cover, size_t *count) {
    PB_ASSERT(cover && count);
    PB_NEED(device, cover_settle);
    return device->table->cover_settle(device, cover, count);
}

pb_status pb_device_cover_key(pb_device *device, pb_cover *cover, size_t position, uint64_t *key) {
    PB_ASSERT(cover && key);
    PB_NEED(device, cover_key);
    return device->table->cover_key(device, cover, position, key);
}

pb_status pb_device_cover_raise(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count) {
    PB_ASSERT(cover && count);
    PB_NEED(device, cover_raise);
    return device->table->cover_raise(device, cover, floor, count);
}

pb_status pb_device_cover_candidates(pb_device *device, pb_cover *cover, pb_candidate *candidates, float *rows) {
    PB_ASSERT(cover);
    PB_NEED(device, cover_candidates);
    return device->table->cover_candidates(device, cover, candidates, rows);
}

pb_status pb_device_cover_select(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                                 uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next) {
    PB_ASSERT(cover && (count == 0 || (candidates && rows)) && (most == 0 || (picked && distance2)) && made && next);
    PB_NEED(device, cover_select);
    return device->table->cover_select(device, cover, candidates, rows, count, floor, most, picked, distance2, made, next);
}

pb_status pb_device_cover_update(pb_device *device, pb_cover *cover, const pb_candidate *candidates, size_t count) {
    PB_ASSERT(cover && (count == 0 || candidates));
    PB_NEED(device, cover_update);
    return device->table->cover_update(device, cover, candidates, count);
}
