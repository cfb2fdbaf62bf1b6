"""make_status.py FILE AGE_S [KEY=VALUE...]: what a running job writes into its state folder, of the age that is asked for."""
import json
import os
import sys
import time

path, age = sys.argv[1], float(sys.argv[2])
status = {"format": "patchbank-status", "version": 1, "job": "train", "step": "extract", "done": 150, "total": 600,
          "unit": "images", "per_s": 12.5, "left_s": 36.0, "note": "", "step_s": 12.0, "still_s": 0.5, "ranks": 4,
          "host": "node7", "pid": 4711, "generation": "17.2", "began": "2026-11-24T05:15:37.123Z",
          "written": "2026-11-24T05:15:49.123Z", "written_unix_s": time.time() - age}
for word in sys.argv[3:]:
    key, value = word.split("=", 1)
    status[key] = type(status[key])(value)
os.makedirs(os.path.dirname(path), exist_ok=True)
with open(path, "w", encoding="utf-8") as file:
    json.dump(status, file)
