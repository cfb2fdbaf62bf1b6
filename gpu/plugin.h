/* plugin.h: private to gpu/: kinds of devices that come as a shared library, so that one program starts on nodes with and without
 * a GPU's driver.
 *
 * There is one: "cuda", libpatchbank_cuda.so. It exports pb_device_plugin, and nothing else. Collectivity: not collective; each
 * rank opens its own. Not thread safe.
 */
#ifndef PB_GPU_PLUGIN_H
#define PB_GPU_PLUGIN_H

#include "gpu/device_table.h"

/* What the plugin exports: its table, static. The one symbol that gpu/cuda/export.map leaves visible. */
const pb_device_table *pb_device_plugin(void);

/* The table of the plugin, opened at the first call that finds it and kept. Errors: PB_E_UNSUPPORTED when it is not found, cannot
 * be opened, is none, or was built for another version of the table; *table is then NULL. */
PB_CHECKED pb_status pb_plugin_table(const pb_device_table **table);

#endif
