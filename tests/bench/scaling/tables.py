#!/usr/bin/python3
"""tables.py SIMULATED [PATCHBANK CONSTANTS]: the simulated ranks' tables of docs/SCALING.md, as Markdown.

Counts calls of MPI on 1 to 1,024 simulated ranks, and turns them into time by the usual model of a network: a message costs
ALPHA, a byte BETA. Algorithms as in Open MPI: agreements, and what is gathered in short parts, go by recursive doubling
(ceil(log2 P) messages one after the other), long gathers round a ring (P - 1 messages), broadcasts down a binomial tree. The
second table asks `patchbank plan` for the time of the work itself, by CONSTANTS of `bench constants`.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

simulated = sys.argv[1]
POINTS, DIM, PICKS, QUERIES, TIMES = 65536, 32, 655, 32, 3
ALPHA_S, BETA_S = 2e-6, 1e-10   # 2 microseconds; 10 GB/s a rank
RING_FROM = 80 * 1024           # total bytes of an allgather from which Open MPI 4.1 goes round a ring
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def doublings(ranks):
    return math.ceil(math.log2(ranks))


def gather_s(ranks, calls, total):
    """Seconds of `calls` allgathers that bring everybody `total` bytes in all."""
    if calls == 0 or ranks == 1:
        return 0
    messages = ranks - 1 if total / calls >= RING_FROM else doublings(ranks)
    return calls * messages * ALPHA_S + total * (ranks - 1) / ranks * BETA_S


def seconds(ranks, mpi):
    agreements = mpi["allreduce"][0] + mpi["bcast"][0]
    return (agreements * doublings(ranks) * ALPHA_S + gather_s(ranks, *mpi["allgather"]) +
            mpi["message"][0] * ALPHA_S + mpi["message"][1] * BETA_S)


def counts():
    picks = set()
    print("| ranks | rounds | collectives of selection | given by a rank, at most, KB | arrives at each, KB | messages, ms | "
          "messages of a search | sent by a rank, KB | messages, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for ranks in RANKS:
        command = [simulated, str(ranks)] + [str(word) for word in (POINTS, DIM, PICKS, QUERIES, TIMES)]
        row = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        select, search = row["select"], row["search"]
        picks.add(row["picks_digest"])
        ring = {kind: [calls / TIMES, total / TIMES] for kind, (calls, total) in search["mpi"].items()}
        print(f"| {ranks:,} | {row['rounds']} | {select['collectives']} | {select['sent_most'] / 1e3:.1f} | "
              f"{select['mpi']['allgather'][1] / 1e3:,.0f} | {1e3 * seconds(ranks, select['mpi']):.2f} | "
              f"{ring['message'][0]:,.0f} | {search['sent_most'] / TIMES / 1e3:.1f} | {1e3 * seconds(ranks, ring):.2f} |")
    assert len(picks) == 1, "ranks pick differently"


def shares(patchbank, constants):
    """Time of the work of a large archive, by the plan, with the messages' share."""
    with open(constants, encoding="utf-8") as file:
        site = json.load(file)
    site["latency_s"], site["link_bytes_per_s"] = ALPHA_S, 1 / BETA_S
    print("\n| ranks | extraction, s | selection | collecting | messages | share | scoring: extraction | search | messages | "
          "share |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path, answer = os.path.join(folder, "site.json"), os.path.join(folder, "plan.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(site, file)
        for ranks in (1, 16, 64, 256, 1024):
            subprocess.run([patchbank, "plan", "--constants", path, "--train-images", "127551", "--test-images", "127551",
                            "--ranks", str(ranks), "--json", answer], stdout=subprocess.DEVNULL, check=True)
            with open(answer, encoding="utf-8") as file:
                plan = json.load(file)
            cells = [f"{ranks:,}"]
            for job, parts in (("train", ("extract_s", "select_s", "collect_s")), ("score", ("extract_s", "search_s"))):
                cells += [f"{plan[job][part]:,.1f}" for part in parts] + [f"{plan[job]['messages_s']:.2f}"]
                cells.append(f"{100 * plan[job]['messages_s'] / plan[job]['seconds']:.1f} %")
            print(f"| {' | '.join(cells)} |")


counts()
if len(sys.argv) > 3:
    shares(sys.argv[2], sys.argv[3])
