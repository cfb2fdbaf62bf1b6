/* In place of gpu/cuda/driver.c: the emulator needs no driver. */
#include "gpu/cuda/cuda.h"

const char *pb_cuda_no_driver(void) { return ""; }
