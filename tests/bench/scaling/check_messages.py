"""check_messages.py REAL SIMULATED MPIEXEC: what the simulation counts is what real ranks count.

Both programs run the same selection and search on 1 to 4 ranks: picks, rounds, neighbours, collectives and bytes must be equal,
and the calls of MPI add up to them. On 16 and 100 simulated ranks the picks are those of one rank, and the ring of search sends
what its formula says.
"""
import json
import subprocess
import sys

real, simulated, mpiexec = sys.argv[1:4]
POINTS, DIM, PICKS, QUERIES, TIMES = 12000, 24, 150, 50, 3
HOW = [str(word) for word in (POINTS, DIM, PICKS, QUERIES, TIMES)]


def answer(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=120, check=True, text=True)
    return json.loads(done.stdout)


def simulate(ranks):
    found = answer([simulated, str(ranks)] + HOW)
    mpi = {part: found[part].pop("mpi") for part in ("select", "search")}
    for part, calls in mpi.items():
        collectives = sum(calls[kind][0] for kind in calls if kind != "message")
        # The simulation counts the messages of one rank as this rank's counters do, and agreements among the collectives.
        assert collectives + calls["message"][0] == found[part]["collectives"], (ranks, part, calls, found)
    # All that is gathered or reduced in selection is what the ranks give: 8 bytes of each to an agreement, the rest once.
    calls = mpi["select"]
    given = calls["allgather"][1] + ranks * calls["allreduce"][1]
    assert given == found["select"]["sent_all"], (ranks, given, found["select"])
    assert mpi["search"]["message"][0] == TIMES * (ranks - 1), mpi["search"]
    return found


one = simulate(1)
for ranks in (1, 2, 3, 4):
    expected = answer([mpiexec, "-n", str(ranks), "--map-by", ":OVERSUBSCRIBE", real] + HOW)
    found = simulate(ranks)
    assert found == expected, f"{ranks} ranks: simulated {found}, real {expected}"
    assert found["picks_digest"] == one["picks_digest"] and found["rounds"] == one["rounds"]
for ranks in (16, 100):
    found = simulate(ranks)
    assert found["picks_digest"] == one["picks_digest"], ranks
    assert abs(found["rounds"] - one["rounds"]) <= 3, (ranks, found["rounds"], one["rounds"])
    # Each of the ring's ranks hands on all shards but one: PICKS rows but its neighbour's part, each time, and an agreement.
    least = TIMES * (PICKS - PICKS // ranks - 1) * DIM * 4
    assert least <= found["search"]["sent_most"] <= TIMES * (PICKS * DIM * 4 + 8), found["search"]
print("picks, rounds, collectives and bytes of 1 to 4 ranks are equal; 16 and 100 ranks pick the same")
