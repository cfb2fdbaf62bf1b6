#define SET "avx2"
#define SUITE cpu_cover_avx2
#include "cover_cases.h"
