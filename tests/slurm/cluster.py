#!/usr/bin/python3
"""A throw-away Slurm of a few nodes on this host, with the standard library alone.

Usage:  cluster.py [--nodes N] COMMAND...     runs COMMAND while the cluster is up, with the cluster's environment

As a module: `with Cluster(nodes=3) as cluster:` gives its folder, environment and nodes. Nothing is installed, no system
service is touched, everything lies in one new folder below $TMPDIR, and sockets listen on this host only; several clusters live
side by side. Needs slurmctld, slurmd, munged (Debian: slurm-wlm munge). Exit status: COMMAND's; 77 where these are missing.

Nodes are told apart as MPI tells hosts apart: where unshare(1) may be used, each slurmd gets a host name and a /dev/shm of its
own. Elsewhere nodes share both, shared memory segments of ranks of different nodes would collide, and MPI is kept to TCP.

Nothing stays behind, whatever becomes of the process that uses the cluster: a guard, which is nobody's child, waits for that
process to close a pipe (as a killed process does), ends all that has this cluster's SLURM_CONF in its environment (daemons,
steps, ranks), and removes the folder.
"""

import argparse
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DAEMONS = ("slurmctld", "slurmd", "munged")
SEARCHED = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"      # daemons are not on everybody's path
CPUS = 8                # of a node, whatever this host has: jobs here mostly wait
SECONDS_TO_START = 20
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "BOOT_FAIL", "DEADLINE")
OWN_NODE = ["unshare", "--uts", "--mount", "sh", "-c",
            'hostname "$0" && mount -t tmpfs tmpfs /dev/shm && mount --bind "$1" /etc/hosts && shift && exec "$@"']

# cred_expire: a requeued job starts again that many seconds later (120 unless told otherwise). SlurmdTimeout: how soon a node
# that does not answer is down (the least in practice is 25 s, which the next ping takes).
SLURM_CONF = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
TmpFS={folder}/tmp.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=5
KillWait=5
MessageTimeout=10
MinJobAge=600
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny,EnableIPv6
MailProg=/bin/true
{nodes}
PartitionName=debug Nodes=n[1-{count}] Default=YES MaxTime=60 DefaultTime=10 State=UP
"""


class ClusterError(Exception):
    """The cluster does not do what the tests need of it; the text says what and where to look."""


def installed():
    return all(shutil.which(daemon, path=SEARCHED) for daemon in DAEMONS)


def environment_of(pid):
    """{name: value} of a process as it was started, {} when it has ended (a zombie has none)."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def processes_of(conf):
    """[(pid, environment)] of what runs with this SLURM_CONF."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            environment = environment_of(name)
            if environment.get("SLURM_CONF") == conf:
                found.append((int(name), environment))
    return found


def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_all(pids):
    """Kills them; they, as found before."""
    for pid in pids:
        kill(pid, signal.SIGKILL)
    return pids


def wait_for(condition, seconds, what):
    """Until condition() is true; its value. Raises with `what` when that takes longer."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise ClusterError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def clean(folder):
    """Ends everything of the cluster and removes it. Who is killed cannot start anything new; what it started before is seen in
    the next round."""
    conf = os.path.join(folder, "slurm.conf")
    for _ in range(100):
        if not kill_all([pid for pid, _ in processes_of(conf)]):
            break
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def guard(folder):
    """Waits as nobody's child for the end of standard input, then cleans."""
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    os.chdir("/")
    sys.stdin.buffer.read()
    clean(folder)


class Cluster:
    """Use as a context manager. Nodes are n1, n2, ...; each has CPUS processors and a GPU that is /dev/null."""

    def __init__(self, nodes=2, own_nodes=None):
        """own_nodes: whether nodes get a host name and /dev/shm of their own; None: where that is allowed."""
        self.count = nodes
        self.own_nodes = self.may_unshare() if own_nodes is None else own_nodes
        self.folder = self.conf = self.guard = None
        self.environment = dict(os.environ)

    @staticmethod
    def may_unshare():
        return subprocess.run([*OWN_NODE, "x", "/etc/hosts", "true"], capture_output=True, check=False).returncode == 0

    def __enter__(self):
        for attempt in (1, 2, 3):    # a port that was free may be taken by the time that a daemon wants it
            try:
                self.start()
                return self
            except ClusterError:
                self.stop()
                if attempt == 3:
                    raise

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.folder = tempfile.mkdtemp(prefix="pb-slurm-")
        self.conf = os.path.join(self.folder, "slurm.conf")
        self.guard = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--guard", self.folder],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.chmod(self.folder, 0o755)
        self.make_environment()
        self.write_files()
        socket_file = self.path("munge.socket")
        self.daemon("munged", "--force", f"--key-file={self.path('munge.key')}", f"--socket={socket_file}",
                    f"--pid-file={self.path('munge.pid')}", f"--log-file={self.path('munge.log')}",
                    f"--seed-file={self.path('munge.seed')}")
        self.daemon("slurmctld", "-f", self.conf)
        for node in self.nodes():
            self.start_node(node)
        wait_for(lambda: self.states().count("idle") == self.count, SECONDS_TO_START, "nodes idle")

    def stop(self):
        """The guard's work, waited for."""
        if self.guard:
            self.guard.stdin.close()
            self.guard.stdout.read()
            self.guard.stdout.close()
            self.guard.wait()
            self.guard = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def nodes(self):
        return [f"n{number}" for number in range(1, self.count + 1)]

    def make_environment(self):
        """What jobs inherit from whoever submits them: Open MPI stays on this host, and its files in the cluster's folder."""
        for name in [name for name in self.environment if name.startswith(("SLURM_", "SBATCH_", "OMPI_MCA_", "PMIX_"))]:
            del self.environment[name]
        self.environment.update(
            PATH=SEARCHED, SLURM_CONF=self.conf, TMPDIR=self.path("tmp"), OMPI_MCA_pml="ob1", OMPI_MCA_btl_tcp_if_include="lo",
            OMPI_MCA_oob_tcp_if_include="lo", OMPI_MCA_mpi_yield_when_idle="1", OMPI_MCA_rmaps_base_oversubscribe="1",
            OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_WAIT_POLICY="passive")
        if not self.own_nodes:
            self.environment["OMPI_MCA_btl"] = "self,tcp"

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def write_files(self):
        ports, held = [], []
        for _ in range(self.count + 1):
            held.append(socket.socket())
            held[-1].bind(("127.0.0.1", 0))
            ports.append(held[-1].getsockname()[1])
        for port in held:
            port.close()
        host = socket.gethostname().split(".")[0]
        nodes = "\n".join(f"NodeName={node} NodeHostname={node if self.own_nodes else host} NodeAddr=127.0.0.1 Port={port} "
                          f"CPUs={CPUS} RealMemory=4000 Gres=gpu:1 State=UNKNOWN" for node, port in zip(self.nodes(), ports[1:]))
        for folder in ("state", "tmp", *(f"{kind}.{node}" for kind in ("spool", "tmp") for node in self.nodes())):
            os.mkdir(self.path(folder))
        self.write("slurm.conf", SLURM_CONF.format(host=host, ports=ports, user=getpass.getuser(), folder=self.folder,
                                                   nodes=nodes, count=self.count))
        self.write("gres.conf", f"NodeName=n[1-{self.count}] Name=gpu Count=1 File=/dev/null\n")
        # The default fence ("mixed") lets a rank leave MPI_Init before another is ready: one launch in 80 crashed.
        self.write("mpi.conf", "PMIxCollFence=ring\n")
        with open("/etc/hosts", encoding="utf-8") as file:
            self.write("hosts", file.read() + f"\n127.0.0.1 {' '.join(self.nodes())}\n")
        with open(os.open(self.path("munge.key"), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(128))

    def daemon(self, *command, **more):
        """Starts what puts itself into the background."""
        done = subprocess.run(command, env=dict(self.environment, **more), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"{command[0]}: exit status {done.returncode}: {done.stderr.strip()}")

    # ------------------------------------------------------------------------------------------ nodes

    def start_node(self, node):
        """Starts a node's slurmd, again after kill_node or kill_slurmd."""
        command = ["slurmd", "-N", node, "-f", self.conf]
        if self.own_nodes:
            command = [*OWN_NODE, node, self.path("hosts"), *command]
        self.daemon(*command, LOCAL_NODE=node)

    def states(self):
        return self.slurm("sinfo", "-h", "-N", "-o", "%t").split()

    def processes_on(self, node):
        """[pid] of the node's daemon and steps (LOCAL_NODE, inherited) and of its batch scripts and ranks (SLURMD_NODENAME)."""
        return [pid for pid, environment in processes_of(self.conf)
                if node in (environment.get("LOCAL_NODE"), environment.get("SLURMD_NODENAME"))]

    def processes_of_job(self, job):
        """[(pid, node, environment)] of a job's scripts, srun and ranks, of all its runs."""
        return [(pid, environment.get("SLURMD_NODENAME"), environment) for pid, environment in processes_of(self.conf)
                if environment.get("SLURM_JOB_ID") == str(job)]

    def ranks(self, job):
        """[(pid, node)] of a job's ranks."""
        return [(pid, node) for pid, node, environment in self.processes_of_job(job) if "PMIX_RANK" in environment]

    def kill_slurmd(self, node):
        """Only the node's daemon dies; its steps and ranks live on."""
        with open(self.path(f"slurmd.{node}.pid"), encoding="utf-8") as file:
            kill(int(file.read()), signal.SIGKILL)

    def kill_node(self, node):
        """The node crashes; when this returns, nothing of it lives. Its daemon first, so that nobody reports the death of the
        others. Who is killed may live a little longer, or have started something just before."""
        self.kill_slurmd(node)
        wait_for(lambda: not kill_all(self.processes_on(node)), 20, f"all of {node} is dead")

    def restore(self):
        """Brings nodes back that were killed."""
        for node in self.nodes():
            with open(self.path(f"slurmd.{node}.pid"), encoding="utf-8") as file:
                if environment_of(int(file.read())).get("SLURM_CONF") != self.conf:
                    self.start_node(node)
        wait_for(lambda: not set(self.states()) & {"down", "down*", "idle*"}, SECONDS_TO_START, "nodes are back")

    # ------------------------------------------------------------------------------------------- jobs

    def slurm(self, *command, check=True):
        """Standard output of a command of Slurm."""
        done = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if check and done.returncode != 0:
            raise ClusterError(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def job(self, job):
        """{name: value} of a job, as `scontrol show job` has it: JobState, Restarts, ExitCode, NodeList, ..."""
        lines = self.slurm("scontrol", "-o", "show", "job", str(job)).split()
        return dict(word.split("=", 1) for word in lines if "=" in word)

    def wait(self, job, seconds=120):
        """The job when it has ended for good, with exit_code as a number."""
        def ended():
            now = self.job(job)
            return now if now["JobState"] in ENDED else None
        job = wait_for(ended, seconds, f"job {job} ended")
        job["exit_code"] = int(job["ExitCode"].split(":")[0])
        return job


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--guard":
        guard(sys.argv[2])
        return 0
    parser = argparse.ArgumentParser(description="Runs a command beside a throw-away Slurm on this host.")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("no command is given")
    if not installed():
        print("cluster.py: slurmctld, slurmd and munged are not all installed (jobs/install.sh test)", file=sys.stderr)
        return 77
    with Cluster(arguments.nodes) as cluster:
        return subprocess.run(arguments.command, env=cluster.environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
