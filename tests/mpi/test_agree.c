#include "ranks.h"

Test(agree, all_well) { passes_at_all_sizes(PB_CASES, "agree-ok"); }
Test(agree, one_rank_fails) { passes_at_all_sizes(PB_CASES, "agree-one"); }
Test(agree, worst_code_then_lowest_rank) { passes_at_all_sizes(PB_CASES, "agree-worst"); }
Test(agree, agreed_status_keeps_its_rank) { passes_at_all_sizes(PB_CASES, "agree-twice"); }
