"""check_summary.py FILE JOB EXIT RANKS STEP=COUNT...: a summary is complete, and its sums are those of its ranks.

STEP=COUNT: the steps in their order, each with the number of items that all ranks have done in it; "STEP=": nothing is counted.
"""
import json
import math
import socket
import sys

path, job, code, ranks = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with open(path, encoding="utf-8") as file:
    summary = json.load(file)
assert summary["format"] == "patchbank-summary" and summary["version"] == 1 and summary["job"] == job, summary
assert summary["status"]["exit"] == code and (summary["status"]["message"] != "") == (code != 0), summary["status"]
assert summary["ranks"] == ranks == len(summary["per_rank"]) and summary["seconds"] > 0
assert summary["began"] <= summary["ended"] and summary["options"]["summary"] == path

rows = summary["per_rank"]
assert [row["rank"] for row in rows] == list(range(ranks))
assert all(row["host"] == socket.gethostname() and 1e6 < row["peak_bytes"] < 1e10 and row["pid"] > 0 for row in rows)
assert len({row["pid"] for row in rows}) == ranks
total, peak = summary["all"], summary["all"]["peak"]
assert peak["bytes"] == max(row["peak_bytes"] for row in rows) == rows[peak["rank"]]["peak_bytes"]
assert total["collectives"] == rows[0]["collectives"] > 0
assert total["sent_bytes"] == sum(row["sent_bytes"] for row in rows)
for name in ("processor_s", "waiting_s"):
    assert math.isclose(total[name], sum(row[name] for row in rows), rel_tol=1e-9), name

names = [row["step"] for row in summary["steps"]]
assert [f"{name}=" for name in names] == [word[:word.index("=") + 1] for word in sys.argv[5:]], names
COUNTS = ("images", "picks", "rows")
STAGES = [f"{stage}_{what}_s" for stage in ("read", "decode", "device") for what in ("busy", "wait")]
for i, (step, word) in enumerate(zip(summary["steps"], sys.argv[5:])):
    parts = [row["steps"][i] for row in rows]
    assert all(part["step"] == step["step"] for part in parts)
    count = word[word.index("=") + 1:]
    unit = next((unit for unit in COUNTS if unit in step), None)
    assert (unit is None) == (count == ""), step
    if unit:
        assert step[unit] == int(count) == sum(part[unit] for part in parts), step
        assert math.isclose(step["per_s"] * step["seconds"], step[unit], rel_tol=1e-9, abs_tol=1e-9), step
    assert step["seconds"] == max(part["seconds"] for part in parts)
    assert step["sent_bytes"] == sum(part["sent_bytes"] for part in parts)
    for part in parts:
        assert 0 <= part["waiting_s"] <= part["seconds"] and 0 <= part["processor_s"] < 60, part
    working = [part["seconds"] - part["waiting_s"] for part in parts]
    assert working[step["slowest"]["rank"]] == max(working) and step["slowest"]["working_s"] == max(working), step
    if "stages" in step:
        assert step["stages"]["bottleneck"] in ("read", "decode", "device")
        for name in STAGES + ["read_bytes"]:
            assert math.isclose(step["stages"][name], sum(part["stages"][name] for part in parts if "stages" in part),
                                rel_tol=1e-9), name
assert sum(step["seconds"] for step in rows[0]["steps"]) <= summary["seconds"]
