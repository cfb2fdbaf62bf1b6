#define SET "avx512"
#define SUITE cpu_kernels_avx512
#include "kernels_cases.h"
