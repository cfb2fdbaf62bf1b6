#!/usr/bin/python3
"""Tests of slurm/'s shell with stand-ins for sbatch, srun and scontrol: settings, what is asked of Slurm, when a job requeues.

Usage:  test_scripts.py PATCHBANK
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "slurm"))
PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "patchbank"

# srun ends with $CODE, as Slurm makes it end where that is "slurm", or waits (10 s at most) for USR1 and ends with 75 where it is
# "wait"; what it was given is kept, the last time in a line a word, and of each time in one line.
SRUN = """#!/bin/bash
printf '%s\\n' "$@" >"$STATE/srun"
echo "$*" >>"$STATE/sruns"
[ "$CODE" != wait ] || { trap 'exit 75' USR1; touch "$STATE/listens"; for ((i = 0; i < 500; i++)); do sleep 0.02; done; }
[ "$CODE" != slurm ] || exit "${SLURM_EXIT_ERROR:-1}"
exit "$CODE"
"""
SCONTROL = """#!/bin/bash
[ "$1" = requeue ] || { echo "$4" >>"$STATE/shown"
  echo "JobId=7 JobName=x JobState=$JOB_STATE Restarts=$RESTARTED Requeue=1"; exit 0; }
echo "$2" >"$STATE/requeued"
exit "${SCONTROL_CODE:-0}"
"""
SBATCH = """#!/bin/bash
printf '%s\\n' "$@" >"$STATE/sbatch"
echo "$PATCHBANK_CONF" >"$STATE/conf"
"""


class ScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name
        os.mkdir(self.path("bin"))
        for name, text in (("bin/srun", SRUN), ("bin/scontrol", SCONTROL), ("bin/sbatch", SBATCH)):
            self.write(name, text)
            os.chmod(self.path(name), 0o755)
        self.environment = dict(
            os.environ, STATE=self.state, PATH=self.path("bin") + ":" + os.environ["PATH"], PATCHBANK_SLURM=SCRIPTS,
            PATCHBANK_CONF=self.path("patchbank.conf"), PATCHBANK_SETTINGS="", CODE="0", SLURM_JOB_ID="7", JOB_STATE="RUNNING",
            RESTARTED="0")
        self.settings("ARCHIVE=parts", "WEIGHTS=random:7", "BANK='a bank.h5'", "RESTARTS=3")

    def path(self, name):
        return os.path.join(self.state, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        if not os.path.exists(self.path(name)):
            return None
        with open(self.path(name), encoding="utf-8") as file:
            return file.read().splitlines()

    def gate(self):
        os.mkdir(self.path("gate"))
        self.write("gate/manifest.json", "")

    def settings(self, *lines):
        self.write("patchbank.conf", "".join(line + "\n" for line in lines))

    def bash(self, *words, **environment):
        return subprocess.run(["bash", *words], env=dict(self.environment, **environment), cwd=self.state, capture_output=True,
                              text=True, check=False)

    def train(self, code, **environment):
        """Exit code of train.sbatch, whether it was requeued, and what it said."""
        done = self.bash(os.path.join(SCRIPTS, "train.sbatch"), CODE=str(code), **environment)
        return done.returncode, self.read("requeued") == ["7"], done.stderr


class Job(ScriptTest):
    def test_codes_are_met_as_the_program_advises(self):
        """`patchbank --help` has a line for each exit code: meaning; advice."""
        told = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
        advice = {int(code): words for code, words in re.findall(r"^ +(\d+)  .*; (.*)$", told, flags=re.MULTILINE)}
        self.assertEqual({0, 1, 64, 65, 69, 70, 74, 75} - set(advice), set(), told)
        for code, words in advice.items():
            with self.subTest(code=code):
                if os.path.exists(self.path("requeued")):
                    os.remove(self.path("requeued"))
                self.assertEqual(self.train(code)[:2], (code, words.startswith(("retry", "requeue"))))

    def test_lost_ranks_requeue_and_crashes_do_not(self):
        for code, requeued in ((137, True), (138, True), (141, True), (143, True), (134, False), (139, False), (127, False)):
            with self.subTest(code=code):
                if os.path.exists(self.path("requeued")):
                    os.remove(self.path("requeued"))
                self.assertEqual(self.train(code)[:2], (code, requeued))

    def test_a_step_that_slurm_cannot_start_is_not_a_no(self):
        self.assertEqual(self.train("slurm")[:2], (74, True))

    def test_restarts_are_limited(self):
        self.assertEqual(self.train(75, SLURM_RESTART_COUNT="2", RESTARTED="2")[:2], (75, True))
        os.remove(self.path("requeued"))
        code, requeued, said = self.train(75, SLURM_RESTART_COUNT="3", RESTARTED="3")
        self.assertEqual((code, requeued), (75, False))
        self.assertIn("after 3 restarts, as many as RESTARTS allows", said)

    def test_who_is_not_current_requeues_nobody(self):
        """A cancelled job would come back to life; a run that was replaced would requeue its successor."""
        self.assertEqual(self.train(75, JOB_STATE="SIGNALING")[:2], (75, True))
        os.remove(self.path("requeued"))
        code, requeued, said = self.train(75, JOB_STATE="COMPLETING")
        self.assertEqual((code, requeued), (75, False))
        self.assertIn("not requeued: Slurm ends this job", said)
        for code in (0, 75):
            for restarted in ("1", "10"):
                code, requeued, said = self.train(code, RESTARTED=restarted)
                self.assertEqual((code, requeued), (75, False))
                self.assertIn("the job runs elsewhere by now", said)
                self.assertNotIn("done", said)

    def test_a_task_of_an_array_requeues_itself_alone(self):
        """Job 7 is the array's last task, and all of them."""
        self.write("sources", "a a.csv\nb a.csv\n")
        self.write("a.csv", "")
        self.settings("SOURCES=sources", "ARCHIVES=archives", "RESTARTS=3")
        done = self.bash(os.path.join(SCRIPTS, "pack.sbatch"), CODE="75", SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="2")
        self.assertEqual((done.returncode, self.read("requeued")), (75, ["7_2"]), done.stderr)
        self.assertEqual(set(self.read("shown")), {"7_2"})
        self.assertIn("7.0", self.read("srun"))

    def test_requeueing_that_fails_is_said(self):
        self.assertIn("Slurm does not requeue it: submit it again", self.train(75, SCONTROL_CODE="1")[2])

    def test_words_of_the_command(self):
        self.settings("ARCHIVE=parts", "WEIGHTS=random:7", "BANK='a bank.h5'", "DEVICE=cuda", 'TRAIN_OPTIONS="--taps 4,10"',
                      'PATCHBANK="apptainer run p.sif"')
        self.assertEqual(self.train(0)[0], 0)
        self.assertEqual(self.read("srun"), [
            "--mpi=pmix", "--kill-on-bad-exit=1", "apptainer", "run", "p.sif", "train", "--archive", "parts",
            "--weights", "random:7", "--bank", "a bank.h5", "--generation", "7.0", "--device", "cuda", "--taps", "4,10"])

    def test_warning_is_handed_on(self):
        job = subprocess.Popen(["bash", os.path.join(SCRIPTS, "train.sbatch")], env=dict(self.environment, CODE="wait"),
                               cwd=self.state, stderr=subprocess.PIPE, text=True)
        while not os.path.exists(self.path("listens")):
            self.assertIsNone(job.poll())
        job.send_signal(subprocess.signal.SIGUSR1)
        said = job.communicate(timeout=20)[1]
        self.assertEqual((job.returncode, self.read("requeued")), (75, ["7"]), said)
        self.assertIn("exit code 75: requeued", said)

    def test_warning_between_two_steps_starts_no_other(self):
        self.write("job", '. "$PATCHBANK_SLURM/common.sh"\nbegin\nkill -USR1 $$\nrun touch began\nfinish $?\n')
        done = self.bash("job")
        self.assertEqual((done.returncode, os.path.exists(self.path("began"))), (75, False), done.stderr)

    def test_warning_while_a_step_begins_is_handed_on(self):
        """The signal comes when the step has begun and the script does not know its number: right before it takes it."""
        self.write("job", '. "$PATCHBANK_SLURM/common.sh"\nbegin\nset -T\n'
                   'trap \'[[ $BASH_COMMAND != "child=\\$!"* || -n $sent ]] || { sent=1; kill -USR1 $$; }\' DEBUG\n'
                   'run srun\nfinish $?\n')
        done = self.bash("job", CODE="wait")
        self.assertIn(done.returncode, (75, 138), done.stderr)  # as srun listens already or not
        self.assertEqual(self.read("requeued"), ["7"], done.stderr)

    def test_prepare_comes_first(self):
        self.settings("ARCHIVE=parts", "WEIGHTS=random:7", "BANK=b", "PREPARE='false here'")
        code, _, said = self.train(0)
        self.assertEqual((code, self.read("srun")), (69, None))
        self.assertIn("PREPARE failed: false here", said)


class Nightly(ScriptTest):
    NIGHT = ("WEIGHTS=random:7", "STORE=store", "GATE_ARCHIVE=gate", "NEW_LIST=new.csv", "NIGHTS=nights", "NIGHT=n")

    def night(self, *settings):
        """Exit code of nightly.sbatch, whether it began a step, and what it said."""
        self.settings(*self.NIGHT, *settings)
        done = self.bash(os.path.join(SCRIPTS, "nightly.sbatch"))
        return done.returncode, self.read("sruns") is not None, done.stderr

    def test_what_is_missing_is_told_before_anything_is_made(self):
        code, began, said = self.night()
        self.assertEqual((code, began), (64, False))
        self.assertIn("GATE_ARCHIVE: gate: no archive", said)
        self.gate()
        for options in ("--taps 4 --ratios 10%,1%", "--ratios=10%,1%"):
            code, began, said = self.night(f"TRAIN_OPTIONS='{options}'")
            self.assertEqual((code, began), (64, False))
            self.assertIn("--ratios takes one ratio", said)
        self.assertFalse(os.path.exists(self.path("nights")))
        for options in ("--taps 4,10 --ratios 10%", "--ratios 1% --taps 4,10"):
            self.assertEqual(self.night(f"TRAIN_OPTIONS='{options}'")[:2], (0, True))
            shutil.rmtree(self.path("nights"))

    def test_a_list_without_images_is_a_night_without_work(self):
        self.gate()
        for text in ("", "\n", "path,split,label\n", "path,split,label\n\n"):
            self.write("new.csv", text)
            code, began, said = self.night()
            self.assertEqual((code, began, os.path.exists(self.path("nights/n/published"))), (0, False, False), said)
            self.assertIn("nothing new tonight: new.csv lists no image", said)
        self.write("new.csv", "path,split,label\na.png,train,0")
        self.assertEqual(self.night()[:2], (0, True))

    def test_a_first_version_that_came_meanwhile_is_compared_with(self):
        """Another night publishes while this one trains."""
        self.gate()
        self.write("bin/srun", '#!/bin/bash\necho "$@" >>"$STATE/steps"\n'
                   '[[ " $* " != *" train "* ]] || mkdir -p store/versions/000001\n')
        self.settings("WEIGHTS=random:7", "STORE=store", "GATE_ARCHIVE=gate", "NEW_LIST=new.csv", "NIGHTS=nights", "NIGHT=n")
        done = self.bash(os.path.join(SCRIPTS, "nightly.sbatch"))
        self.assertEqual(done.returncode, 0, done.stderr)
        steps = [step for step in self.read("steps") if " score " in step or " publish " in step]
        self.assertEqual(len(steps), 3, steps)
        self.assertIn("--bank store --results nights/n/current-results", steps[1])
        self.assertIn("--current-results nights/n/current-results", steps[2])


    def test_a_night_that_was_killed_when_it_had_published_is_done(self):
        """An update of its own bank would be another version."""
        self.gate()
        for folder in ("nights/n", "store/versions/000002"):
            os.makedirs(self.path(folder))
        self.write("nights/n/updated-000001.h5", "bank")
        self.write("store/versions/000002/bank.h5", "bank")
        self.settings("WEIGHTS=random:7", "STORE=store", "GATE_ARCHIVE=gate", "NEW_LIST=new.csv", "NIGHTS=nights", "NIGHT=n",
                      "NIGHTLY=update")
        done = self.bash(os.path.join(SCRIPTS, "nightly.sbatch"))
        self.assertEqual((done.returncode, self.read("srun"), self.read("nights/n/published")), (0, None, []), done.stderr)


class Settings(ScriptTest):
    def refused(self, said, *words):
        """submit.sh ends with 64 and this one line, and asks Slurm for nothing."""
        done = self.bash(os.path.join(SCRIPTS, "submit.sh"), *(words or ("train",)))
        self.assertEqual((done.returncode, self.read("sbatch")), (64, None), done.stderr)
        self.assertIn(said, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_wrong_lines(self):
        conf = self.path("patchbank.conf")
        for lines, said in ((["NODES=2", "ARCHIV=x"], f"{conf}:2: ARCHIV: no such setting; {SCRIPTS}/patchbank.conf.example"),
                            (["rm -rf x"], f"{conf}:1: expected NAME=value: rm -rf x"),
                            (["NODES = 2"], f"{conf}:1: expected NAME=value: NODES = 2"),
                            (["LOGS=--taps 4"], f"{conf}:1: not an assignment, are quotes missing: LOGS=--taps 4"),
                            (["BANK='x"], f"{conf}:1: not an assignment, are quotes missing: BANK='x"),
                            (["NODES=many"], "NODES: many is no number"), (["RESTARTS="], "RESTARTS: nothing is no number"),
                            (["NIGHTLY=often"], "NIGHTLY: often: expected retrain or update")):
            with self.subTest(lines=lines):
                self.settings(*lines)
                self.refused(said)

    def test_missing_file(self):
        os.remove(self.path("patchbank.conf"))
        self.refused("patchbank.conf: cannot be read; PATCHBANK_CONF names the settings")

    def test_wrong_words(self):
        self.refused("submit.sh: NODE: no such setting", "train", "NODE=2")
        self.refused("usage: submit.sh pack|train|score", "trian")
        self.refused("usage: submit.sh", "")
        self.refused("SOURCES is not set; set it in", "pack")
        self.refused("SOURCES: none cannot be read or is empty", "pack", "SOURCES=none")

    def test_missing_setting_of_a_job(self):
        self.settings("ARCHIVE=parts", "BANK=b")
        code, requeued, said = self.train(0)
        self.assertEqual((code, requeued, self.read("srun")), (64, False, None))
        self.assertIn(f"WEIGHTS is not set; set it in {self.path('patchbank.conf')}", said)

    def test_what_slurm_is_asked_for(self):
        self.settings("NODES=4", "GRES=gpu:2", "MEMORY=9G", "WARNING=120", "LOGS=l",
                      'SBATCH_OPTIONS="--partition=gpu --account=a"')
        done = self.bash(os.path.join(SCRIPTS, "submit.sh"), "train", "NODES=8", "BANK=x y", "--dependency=afterok:3")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.read("sbatch"), [
            "--parsable", "--export=ALL", "--requeue", "--open-mode=append", "--signal=B:USR1@120", "--output=l/%x-%j.out",
            "--nodes=8", "--ntasks-per-node=1", "--cpus-per-task=1", "--time=04:00:00", "--mem=9G", "--gres=gpu:2",
            "--partition=gpu", "--account=a", "--dependency=afterok:3", SCRIPTS + "/train.sbatch"])
        self.assertEqual(self.read("conf"), [self.path("patchbank.conf")])
        self.assertTrue(os.path.isdir(self.path("l")))

    def test_a_limit_that_leaves_no_time_before_its_warning(self):
        script, setting = os.path.join(SCRIPTS, "submit.sh"), "WARNING=4000"
        for time in ("66", "66:40", "01:06:40", "0-1", "0-1:06", "0-1:06:40", "00:08:09"):
            with self.subTest(time=time):
                self.refused(f"TIME: {time} is not longer than WARNING, 4000 seconds", "train", setting, "TIME=" + time)
        for time in ("67", "66:41", "1:06:41", "0-2", "0-1:07", "0-1:06:41", "1-0", "UNLIMITED"):
            with self.subTest(time=time):
                done = self.bash(script, "train", setting, "TIME=" + time)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn("--time=" + time, self.read("sbatch"))
                os.remove(self.path("sbatch"))

    def test_a_task_for_each_source(self):
        self.write("sources", "a a.csv\nb folder\nc missing\n../d a.csv")  # the last line counts, ended or not
        self.write("a.csv", "")
        os.makedirs(self.path("archives/done"))
        os.mkdir(self.path("folder"))
        self.write("archives/done/manifest.json", "")
        self.settings("SOURCES=sources", "ARCHIVES=archives", "ARRAY_LIMIT=5")
        self.bash(os.path.join(SCRIPTS, "submit.sh"), "pack")
        self.assertIn("--array=1-4%5", self.read("sbatch"))
        for task, words in ((1, ["--archive", "archives/a", "--list", "a.csv"]),
                            (2, ["--archive", "archives/b", "--mvtec", "folder"])):
            done = self.bash(os.path.join(SCRIPTS, "pack.sbatch"), SLURM_ARRAY_TASK_ID=str(task))
            self.assertEqual((done.returncode, self.read("srun")[4:8]), (0, words), done.stderr)
        os.remove(self.path("srun"))
        for task, said in ((3, "expected NAME SOURCE, a list or folder that is there: c missing"), (4, "expected NAME SOURCE")):
            done = self.bash(os.path.join(SCRIPTS, "pack.sbatch"), SLURM_ARRAY_TASK_ID=str(task))
            self.assertEqual((done.returncode, self.read("srun")), (64, None))
            self.assertIn(said, done.stderr)
        self.write("sources", "done a.csv\n")
        done = self.bash(os.path.join(SCRIPTS, "pack.sbatch"), SLURM_ARRAY_TASK_ID="1")
        self.assertEqual((done.returncode, self.read("srun")), (0, None), done.stderr)
        self.assertIn("archives/done is there", done.stderr)

    def test_a_pack_that_left_its_state(self):
        """It is called again; that the archive is there is what it then says by 65, and nothing else is good."""
        self.write("sources", "a a.csv\n")
        self.write("a.csv", "")
        os.makedirs(self.path("archives/a/state"))
        self.settings("SOURCES=sources", "ARCHIVES=archives")
        for there in (False, True):
            for code in (0, 65, 69, 70):
                done = self.bash(os.path.join(SCRIPTS, "pack.sbatch"), SLURM_ARRAY_TASK_ID="1", CODE=str(code))
                self.assertEqual(done.returncode, 0 if there and code == 65 else code, done.stderr)
                self.assertEqual(self.read("srun")[3:6], ["pack", "--archive", "archives/a"])
                os.remove(self.path("srun"))
            self.write("archives/a/manifest.json", "")

    def test_a_night_makes_what_is_not_made(self):
        """Nor what was killed before it had removed its state."""
        self.gate()
        self.settings("WEIGHTS=w", "STORE=store", "GATE_ARCHIVE=gate", "NEW_LIST=new.csv", "NIGHTS=nights", "NIGHT=n")
        outputs = {"pack": ("archive/manifest.json", "archive/state"), "train": ("trained.h5", "trained.h5.state"),
                   "score": ("trained-results/results.h5", "trained-results/state")}
        for left in (None, *outputs):
            with self.subTest(left=left):
                for folder in ("archive", "trained-results"):
                    os.makedirs(self.path("nights/n/" + folder))
                for output, _ in outputs.values():
                    self.write("nights/n/" + output, "")
                if left:
                    os.mkdir(self.path("nights/n/" + outputs[left][1]))
                done = self.bash(os.path.join(SCRIPTS, "nightly.sbatch"))
                jobs = [line.split()[3] for line in self.read("sruns")]
                self.assertEqual((done.returncode, jobs), (0, [left, "bank"] if left else ["bank"]), done.stderr)
                os.remove(self.path("sruns"))
                shutil.rmtree(self.path("nights"))

    def test_all_scripts_are_sound_shell(self):
        for name in os.listdir(SCRIPTS):
            if name.endswith((".sh", ".sbatch")):
                done = self.bash("-n", os.path.join(SCRIPTS, name))
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
