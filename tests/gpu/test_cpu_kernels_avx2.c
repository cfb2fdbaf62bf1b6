#define SET "avx2"
#define SUITE cpu_kernels_avx2
#include "kernels_cases.h"
