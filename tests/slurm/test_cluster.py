#!/usr/bin/python3
"""Tests of tests/slurm/cluster.py: two clusters at once, with and without nodes of their own; nothing stays behind.

Usage:  test_cluster.py PATCHBANK
"""

import os
import signal
import subprocess
import sys
import unittest

import cluster
from fixture import NOT_INSTALLED

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "patchbank"


def ranks_meet(running):
    """Four ranks on two nodes agree that a file is missing: exit code 65, told once, by rank 0."""
    done = subprocess.run(["srun", "--mpi=pmix", "--nodes=2", "--ntasks=4", PROGRAM, "info", "--bank", "none"],
                          env=running.environment, capture_output=True, text=True, check=False)
    return done.returncode == 65 and done.stderr.count("none: cannot open") == 1


class ClusterTest(unittest.TestCase):
    def assert_gone(self, folder):
        self.assertFalse(os.path.exists(folder))
        self.assertEqual(cluster.processes_of(os.path.join(folder, "slurm.conf")), [])

    def test_two_at_once(self):
        with cluster.Cluster(2) as one, cluster.Cluster(2, own_nodes=False) as other:
            folders = [one.folder, other.folder]
            self.assertNotEqual(*folders)
            self.assertTrue(ranks_meet(one))
            self.assertTrue(ranks_meet(other))
            names = one.slurm("srun", "--nodes=2", "--ntasks=2", "hostname").split()
            self.assertEqual(sorted(names), ["n1", "n2"] if one.own_nodes else [os.uname().nodename] * 2)
        for folder in folders:
            self.assert_gone(folder)

    def test_a_node_comes_back(self):
        with cluster.Cluster(2) as running:
            job = int(running.slurm("sbatch", "--parsable", "--nodes=2", "--output=/dev/null", "--wrap", "srun sleep 600"))
            cluster.wait_for(lambda: len(running.processes_of_job(job)) >= 4, 20, "the step runs")
            running.kill_node("n2")
            self.assertEqual(running.processes_on("n2"), [])
            self.assertNotEqual(running.processes_on("n1"), [])
            running.slurm("scancel", str(job))
            running.restore()
            self.assertEqual(running.wait(job)["JobState"], "CANCELLED")
            cluster.wait_for(lambda: running.states() == ["idle", "idle"], 30, "both nodes idle")

    def test_killed_users_leave_nothing(self):
        user = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "cluster.py"), "sh", "-c",
                                 "echo $SLURM_CONF; srun --nodes=2 sleep 600"], stdout=subprocess.PIPE, text=True)
        conf = user.stdout.readline().strip()
        cluster.wait_for(lambda: sum("SLURM_PROCID" in names for _, names in cluster.processes_of(conf)) == 2, 20, "both sleep")
        user.send_signal(signal.SIGKILL)
        user.wait()
        cluster.wait_for(lambda: not cluster.processes_of(conf) and not os.path.exists(os.path.dirname(conf)), 20, "all gone")
        user.stdout.close()


if __name__ == "__main__":
    if not cluster.installed():
        sys.exit(NOT_INSTALLED)
    unittest.main()
