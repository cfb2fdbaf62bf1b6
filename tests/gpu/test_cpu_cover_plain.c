#define SET "plain"
#define SUITE cpu_cover_plain
#include "cover_cases.h"
