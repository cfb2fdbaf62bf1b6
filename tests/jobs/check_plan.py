"""check_plan.py PLAN JOB SUMMARY [PART]: how far a plan was from what happened; memory within PART (0.25) or it fails.

Prints a row: memory of rank 0 and of the others, processor seconds and seconds, each as predicted / measured. Time is shown and
not judged: other work on the machine changes it.
"""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    plan = json.load(file)[sys.argv[2]]
with open(sys.argv[3], encoding="utf-8") as file:
    summary = json.load(file)
part = float(sys.argv[4]) if len(sys.argv) > 4 else 0.25
assert summary["status"]["exit"] == 0 and summary["ranks"] == plan["ranks"], (summary["status"], plan["ranks"])
ranks = summary["per_rank"]
memory = [("rank 0", plan["root_bytes"], ranks[0]["peak_bytes"])]
if len(ranks) > 1:
    memory.append(("others", plan["rank_bytes"], max(row["peak_bytes"] for row in ranks[1:])))
shown = [f"{name} {predicted / 2**20:.0f} / {measured / 2**20:.0f} MiB" for name, predicted, measured in memory]
print(f"{sys.argv[2]} on {len(ranks)}: {', '.join(shown)}; processor {plan['processor_s']:.2f} / "
      f"{summary['all']['processor_s']:.2f} s; {plan['seconds']:.2f} / {summary['seconds']:.2f} s")
for name, predicted, measured in memory:
    assert abs(predicted / measured - 1) <= part, f"{name}: {predicted:.0f} bytes predicted, {measured} measured"
