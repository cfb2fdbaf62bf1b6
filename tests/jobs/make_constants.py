"""make_constants.py FILE: constants of an imagined cluster, as `patchbank bench constants` writes them."""
import json
import sys

constants = {
    "format": "patchbank-constants", "version": 1, "device": "imagined", "backbone": "wide_resnet50_2", "taps": "2,3",
    "options": "", "ranks": 2, "ranks_a_host": 2, "threads": 2, "batch": 32, "host_cores": 16, "host_bytes": 2.5e11,
    "device_is_host": 1, "images": 1000, "patches": 784, "dim": 1536, "selection_dim": 128, "image_bytes": 50000,
    "path_bytes": 40, "process_bytes": 5e8, "start_s": 2, "start_processor_s": 1,
    "read_bytes_per_s": 1e9, "decode_images_per_s": 500,
    "network_images_per_s": 110, "extract_images_per_s": 100, "extract_processor_s": 0.02, "select_point_s": 1e-6,
    "select_pair_s": 1e-10, "select_pick_s": 1e-6, "select_speedup": 2, "rounds": 40, "rounds_picks": 2000,
    "candidates_a_pick": 7, "spread": 0.3,
    "compare_pairs_per_s": 1e8, "compare_pair_processor_s": 2e-8, "search_pairs_per_s": 1e11, "search_pair_processor_s": 1e-11,
    "score_image_processor_s": 1e-5, "write_bytes_per_s": 5e8, "memory_bytes_per_s": 2e10, "latency_s": 2e-6,
    "link_bytes_per_s": 5e9}
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(constants, file, indent=2)
