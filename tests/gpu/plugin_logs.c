/* A plugin that says something when it is asked for its devices, for test_plugin.c. It has a copy of base/log.c, as the real one
 * has. */
#include "base/log.h"
#include "gpu/plugin.h"

static void say(pb_device_visitor *visit, void *context) {
    (void)visit;
    (void)context;
    pb_log(PB_LOG_WARN, "said", "x=%d", 1);
    pb_log(PB_LOG_DEBUG, "hidden", "x=%d", 2);
}

static const pb_device_table TABLE = {.version = PB_DEVICE_TABLE_VERSION, .log_to = pb_log_forward, .each = say};

const pb_device_table *pb_device_plugin(void) { return &TABLE; }
