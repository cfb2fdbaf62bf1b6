/* The front of the slots of gpu/ahead.h, and what stands for them where a device has none. A device has all slots of copies or
 * none, and likewise of recordings (gpu/device_table.h), so one slot of each group tells. */
#include "gpu/ahead.h"

#include "base/memory.h"
#include "gpu/device_table.h"

#include <string.h>

/* Writes through the address of any object pointer: see base/memory.c. */
static void store(void *pointer, void *value) { memcpy(pointer, &value, sizeof value); }

/* *pointer_out is NULL after every error. */
pb_status pb_device_host_alloc(pb_device *device, size_t bytes, void *pointer_out, const char *what) {
    void *memory = NULL;
    store(pointer_out, NULL);
    if (!device || !device->table->host_alloc)
        return pb_allocate(pointer_out, bytes, 1, what);
    PB_TRY(device->table->host_alloc(device, bytes, &memory, what));
    store(pointer_out, memory);
    return pb_ok();
}

/* Memory of a device without such slots came from pb_allocate and goes back there. */
void pb_device_host_release(pb_device *device, void *pointer_inout) {
    void *memory;
    memcpy(&memory, pointer_inout, sizeof memory);
    if (!device || !device->table->host_alloc)
        pb_release(pointer_inout);
    else if (memory)
        device->table->host_release(device, memory);
    store(pointer_inout, NULL);
}

bool pb_device_sends_ahead(const pb_device *device) { return device->table->send; }

/* Without a slot the copy is done on return, which is earlier than the contract asks for: arrive, spent and sent then have
 * nothing to wait for. */
pb_status pb_device_send(pb_device *device, int place, void *to_device, const void *from_host, size_t bytes) {
    PB_ASSERT(place >= 0 && place < PB_PLACES && (bytes == 0 || (to_device && from_host)));
    return device->table->send ? device->table->send(device, place, to_device, from_host, bytes)
                               : pb_device_upload(device, to_device, from_host, bytes);
}

pb_status pb_device_arrive(pb_device *device) { return device->table->arrive ? device->table->arrive(device) : pb_ok(); }

pb_status pb_device_spent(pb_device *device, int place) {
    PB_ASSERT(place >= 0 && place < PB_PLACES);
    return device->table->spent ? device->table->spent(device, place) : pb_ok();
}

pb_status pb_device_sent(pb_device *device) { return device->table->sent ? device->table->sent(device) : pb_ok(); }

bool pb_device_records(const pb_device *device) { return device->table->record_begin; }

pb_status pb_device_record_begin(pb_device *device) {
    PB_NEED(device, record_begin);
    return device->table->record_begin(device);
}

pb_status pb_device_record_end(pb_device *device, pb_recording **recording_out) {
    *recording_out = NULL;
    PB_NEED(device, record_end);
    return device->table->record_end(device, recording_out);
}

/* *replayed is false after an error too. */
pb_status pb_device_replay(pb_device *device, const pb_recording *recording, bool *replayed) {
    *replayed = false;
    PB_NEED(device, replay);
    return device->table->replay(device, recording, replayed);
}

void pb_device_recording_free(pb_device *device, pb_recording **recording) {
    if (*recording)
        device->table->recording_free(device, *recording);
    *recording = NULL;
}
