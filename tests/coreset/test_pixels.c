#include "ranks.h"

Test(pixels, figures_are_those_of_the_sorted_pixels) { passes_at_all_sizes(PB_CASES, "pixels-plain"); }
Test(pixels, ties_are_one_point_of_the_curve) { passes_at_all_sizes(PB_CASES, "pixels-ties"); }
Test(pixels, the_area_ends_within_a_tie) { passes_at_all_sizes(PB_CASES, "pixels-limit"); }
Test(pixels, too_many_regions_are_refused) { passes_at_all_sizes(PB_CASES, "pixels-regions"); }
Test(pixels, one_kind_alone_has_no_figures) { passes_at_all_sizes(PB_CASES, "pixels-one-kind"); }
Test(pixels, without_memory_all_ranks_fail) { passes_at_all_sizes(PB_CASES, "pixels-no-memory"); }
