/* A plugin of an earlier build, for test_plugin.c: of its table only the version is looked at. */
#include <stdint.h>

static const struct {
    uint32_t version;
} TABLE = {3};

const void *pb_device_plugin(void);
const void *pb_device_plugin(void) { return &TABLE; }
