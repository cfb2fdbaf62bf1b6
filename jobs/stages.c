/* stages.c: sums of stages, and the verdict on them. A pipeline is held up by the stage that is never waiting. */
#include "jobs/stages.h"

#include "base/log.h"

/* Busy time's part of all; a stage that did nothing has none. */
static double share(double busy_s, double wait_s) { return busy_s > 0 ? busy_s / (busy_s + wait_s) : 0; }

const char *pb_stages_bottleneck(const pb_stages *stages) {
    double read = share(stages->read_busy_s, stages->read_wait_s);
    double decode = share(stages->decode_busy_s, stages->decode_wait_s);
    double device = share(stages->device_busy_s, stages->device_wait_s);
    if (device >= decode && device >= read)
        return "device";
    return decode >= read ? "decode" : "read";
}

void pb_stages_add(pb_stages *stages, const pb_stages *more) {
    stages->read_busy_s += more->read_busy_s;
    stages->read_wait_s += more->read_wait_s;
    stages->decode_busy_s += more->decode_busy_s;
    stages->decode_wait_s += more->decode_wait_s;
    stages->device_busy_s += more->device_busy_s;
    stages->device_wait_s += more->device_wait_s;
    stages->images += more->images;
    stages->bytes += more->bytes;
    stages->read_again += more->read_again;
}

/* As whole microseconds, so that the sum does not depend on an order. */
static double sum_seconds(pb_comm *comm, double seconds) {
    return (double)pb_comm_sum_u64(comm, (uint64_t)(seconds * 1e6), "times of the pipeline") / 1e6;
}

/* A collective for each number: nine, once a pass. */
pb_stages pb_stages_sum(pb_comm *comm, const pb_stages *mine) {
    pb_stages all;
    all.read_busy_s = sum_seconds(comm, mine->read_busy_s);
    all.read_wait_s = sum_seconds(comm, mine->read_wait_s);
    all.decode_busy_s = sum_seconds(comm, mine->decode_busy_s);
    all.decode_wait_s = sum_seconds(comm, mine->decode_wait_s);
    all.device_busy_s = sum_seconds(comm, mine->device_busy_s);
    all.device_wait_s = sum_seconds(comm, mine->device_wait_s);
    all.images = pb_comm_sum_u64(comm, mine->images, "images of the pipeline");
    all.bytes = pb_comm_sum_u64(comm, mine->bytes, "bytes of the pipeline");
    all.read_again = pb_comm_sum_u64(comm, mine->read_again, "images read again");
    return all;
}

void pb_stages_log(pb_comm *comm, const char *pass, const pb_stages *mine) {
    pb_stages all = pb_stages_sum(comm, mine);
    pb_log_once(PB_LOG_INFO, "pipeline",
                "pass=%s images=%llu bytes=%llu read_busy_s=%.3f read_wait_s=%.3f decode_busy_s=%.3f decode_wait_s=%.3f "
                "device_busy_s=%.3f device_wait_s=%.3f read_again=%llu bottleneck=%s",
                pass, (unsigned long long)all.images, (unsigned long long)all.bytes, all.read_busy_s, all.read_wait_s,
                all.decode_busy_s, all.decode_wait_s, all.device_busy_s, all.device_wait_s, (unsigned long long)all.read_again,
                pb_stages_bottleneck(&all));
}
