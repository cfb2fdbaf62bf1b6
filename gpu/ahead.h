/* ahead.h: what keeps a device busy: the images of the next batch come while it computes, and all operations of a batch begin
 * with one call.
 *
 * A device without these has plain answers: what is sent is uploaded at once, and nothing is recorded. Results are the same bits.
 * Not collective; a device is used by one thread at a time.
 */
#ifndef PB_GPU_AHEAD_H
#define PB_GPU_AHEAD_H

#include "gpu/device.h"

/* Host memory that the device copies from by itself. Errors: PB_E_SYSTEM. Released by pb_device_host_release, which sets *pointer
 * to NULL and takes NULL. A device that is NULL gives plain host memory. Pinned on CUDA, so it is a scarce kind: for trays and
 * batches, not for data. Zeroed or not is the device's affair. */
PB_CHECKED pb_status pb_device_host_alloc(pb_device *device, size_t bytes, void *pointer_out, const char *what);
void pb_device_host_release(pb_device *device, void *pointer_inout);

/* Whether pb_device_send returns long before the copy is done. */
bool pb_device_sends_ahead(const pb_device *device);

/* Places in device memory that are sent to by turns, numbered from 0. Two: one is worked on while the other is filled, and the
 * host is never more than one batch ahead (decision 0025). */
enum { PB_PLACES = 2 };

/* Begins a copy from host memory to place number `place`, beside the operations that are queued. It begins when those before the
 * last pb_device_spent of that place are done. from_host stays as it is until pb_device_sent; memory of pb_device_host_alloc, or
 * the copy is not beside anything. Errors: PB_E_SYSTEM. `place` names the order, not the memory: to_device is whatever the caller
 * uses by turns. */
PB_CHECKED pb_status pb_device_send(pb_device *device, int place, void *to_device, const void *from_host, size_t bytes);

/* Operations called from now on find in place whatever was sent. Does not wait. Errors: PB_E_SYSTEM. To be called after
 * pb_device_send and before the first operation that reads what was sent. */
PB_CHECKED pb_status pb_device_arrive(pb_device *device);

/* No operation called from now on reads what was sent to the place. Does not wait. Errors: PB_E_SYSTEM. Without it the next
 * pb_device_send to the place would not wait for the operations called since the one before. */
PB_CHECKED pb_status pb_device_spent(pb_device *device, int place);

/* Returns when whatever was sent has left host memory. Errors: PB_E_SYSTEM. The operations that read it need not have begun. */
PB_CHECKED pb_status pb_device_sent(pb_device *device);

/* Operations that are recorded: which, with which arguments and memory. */
typedef struct pb_recording pb_recording;

/* Whether the device can record; the functions below are for such a device only. */
bool pb_device_records(const pb_device *device);

/* From begin to end, operations are noted instead of done, those that neither copy to or from the host nor need memory that they
 * do not have: each must have been done before with the same arguments. end must follow begin, whatever failed between.
 * Out: *recording_out, owned by the caller; NULL on an error. Errors: PB_E_SYSTEM; the device goes on as if nothing had been
 * recorded. */
PB_CHECKED pb_status pb_device_record_begin(pb_device *device);
PB_CHECKED pb_status pb_device_record_end(pb_device *device, pb_recording **recording_out);

/* Queues what was recorded, as if its operations were called again. *replayed: false when it cannot be any more, because memory
 * inside the device has moved: nothing is queued then. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_device_replay(pb_device *device, const pb_recording *recording, bool *replayed);

/* Sets *recording to NULL; NULL is fine. */
void pb_device_recording_free(pb_device *device, pb_recording **recording);

#endif
