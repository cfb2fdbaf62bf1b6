#include "coreset/outlier.h"

#include "ranks.h"

Test(outlier, points_on_a_line) { passes_at_all_sizes(PB_CASES, "outlier-line"); }
Test(outlier, scores_by_their_definitions) { passes_at_all_sizes(PB_CASES, "outlier-plain"); }
Test(outlier, few_and_equal_and_far_rows) { passes_at_all_sizes(PB_CASES, "outlier-few"); }
Test(outlier, limit_by_sorting) { passes_at_all_sizes(PB_CASES, "outlier-limit"); }
