#include "ranks.h"

Test(agree, all_well) { passes_at_all_sizes(PB_CASES, "agree-ok"); }
Test(agree, one_rank_fails) { passes_at_all_sizes(PB_CASES, "agree-one"); }
Test(agree, severest_failure_wins) { passes_at_all_sizes(PB_CASES, "agree-worst"); }
Test(agree, lowest_rank_of_equally_severe_failures) { passes_at_all_sizes(PB_CASES, "agree-lowest"); }
Test(agree, agreed_status_keeps_its_rank) { passes_at_all_sizes(PB_CASES, "agree-twice"); }
Test(agree, equal_texts_cost_one_small_message) { passes_at_all_sizes(PB_CASES, "equal-texts"); }
Test(agree, different_texts_are_shown) { passes_at_all_sizes(PB_CASES, "different-texts"); }
Test(agree, long_different_texts_are_cut) { passes_at_all_sizes(PB_CASES, "different-long-texts"); }
