#define SET "avx512"
#define SUITE cpu_cover_avx512
#include "cover_cases.h"
