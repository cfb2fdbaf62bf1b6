#define SET "plain"
#define SUITE cpu_kernels_plain
#include "kernels_cases.h"
