"""infeed beside other loaders, on the same work and the same files.

    python3 -m venv .venv && .venv/bin/pip install -r benches/peers-requirements.txt
    cargo build --release
    .venv/bin/python benches/peers.py DIR --workloads w512,w224,wtrain --rounds 5 --json raw.json

DIR is a folder of JPEGs, best small enough for the page cache. Each measurement has a process of its
own; within a round infeed and every peer take turns, so that a ratio compares neighbours in time. An
epoch warms up, the epochs after it are counted over their whole span. Memory is the proportional set
size (shared pages are shared out) summed over the process and its workers, at its peak. Peers that
are not installed are named and skipped. Linux only. Ctrl-C prints what there is.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from peer_loaders import CORES, PEERS, WORKLOADS, files

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 900


def processes(session):
    """Ids of the processes that belong to a session."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                yield entry


def memory_bytes(session):
    """Proportional set size of a session's processes."""
    total = 0
    for process in processes(session):
        try:
            lines = Path("/proc", process, "smaps_rollup").read_text().splitlines()
        except OSError:
            # It has ended since.
            continue
        total += next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
    return total


def run(command):
    """Runs a command in a session of its own: its last line, read as JSON, and its peak of memory."""
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    peak, ends = 0, time.monotonic() + PATIENCE_SECONDS
    try:
        while True:
            try:
                out, err = child.communicate(timeout=EVERY_SECONDS)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, memory_bytes(child.pid))
                if time.monotonic() > ends:
                    raise RuntimeError(f"no end after {PATIENCE_SECONDS} s")
    finally:
        # Workers that outlive their parent, and all of them after Ctrl-C.
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
    if child.returncode != 0:
        last = (err.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise RuntimeError(last[:200])
    return {**json.loads(out.strip().splitlines()[-1]), "peak_pss_bytes": peak}


def command(loader, workload, options, images):
    if loader != "infeed":
        script = str(HERE / "peer_loaders.py")
        return [sys.executable, script, loader, workload, options.dir, str(options.epochs)]
    flags = ["--workload", workload, "--loader-only", "--json"]
    counts = ["--images", str(images), "--epochs", str(options.epochs)]
    return [options.infeed, "bench", options.dir, *flags, *counts]


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def median_of(rows, key):
    return statistics.median(row[key] for row in rows)


def table(workload, results):
    """A markdown table of one workload; ratios are medians of the ratios within a round."""
    rows = {}
    for row in results["measurements"]:
        if row["workload"] == workload and "error" not in row:
            rows.setdefault(row["loader"], {})[row["round"]] = row
    ours = rows.get("infeed", {})
    lines = [
        f"| {workload} | images/s | infeed / peer | peak memory, MiB | infeed / peer |",
        "| --- | --- | --- | --- | --- |",
    ]
    for loader, by_round in rows.items():
        rate = median_of(by_round.values(), "images_per_second")
        peak = median_of(by_round.values(), "peak_pss_bytes") / MIB
        ratios = ["", ""]
        shared = [number for number in by_round if number in ours]
        if loader != "infeed" and shared:
            ratios = [
                f"{statistics.median(ours[n][key] / by_round[n][key] for n in shared):.2f}"
                for key in ("images_per_second", "peak_pss_bytes")
            ]
        lines.append(f"| {loader} | {rate:.0f} | {ratios[0]} | {peak:.0f} | {ratios[1]} |")
    return "\n".join(lines)


def report(results):
    versions, failed = {}, {}
    for row in results["measurements"]:
        if "error" in row:
            failed[row["loader"], row["workload"]] = row["error"]
        elif row["loader"] == "infeed":
            versions["infeed"] = row["version"]
        else:
            versions.update(row["versions"])
    machine = results["machine"]
    listed = ", ".join(f"{package} {number}" for package, number in sorted(versions.items()))
    print(f"\n{results['date']}, {machine['cores']} cores, {machine['cpu']}, {machine['os']}")
    print(f"{results['images']} images, medians of {results['rounds']} rounds of", end=" ")
    print(f"{results['epochs']} warm epochs. {listed}")
    print(f"`{results['command']}`")
    for workload in results["workloads"]:
        print(f"\n{table(workload, results)}")
    for (loader, workload), error in failed.items():
        print(f"\nskipped: {loader} on {workload}: {error}")


def save(path, results):
    if path:
        unfinished = Path(f"{path}.unfinished")
        unfinished.write_text(json.dumps(results, indent=1))
        unfinished.replace(path)


def measure_all(options, results):
    """Adds measurements to `results` as they are made."""
    failed = set()
    for number in range(options.rounds):
        for workload in options.workloads:
            for loader in ["infeed", *options.peers]:
                if (loader, workload) in failed:
                    continue
                row = {"loader": loader, "workload": workload, "round": number}
                try:
                    row |= run(command(loader, workload, options, results["images"]))
                    told = f"{row['images_per_second']:.0f} images/s"
                except (RuntimeError, ValueError, OSError) as error:
                    failed.add((loader, workload))
                    row["error"] = told = str(error)
                print(f"round {number + 1} {workload} {loader}: {told}", file=sys.stderr, flush=True)
                results["measurements"].append(row)
                save(options.json, results)


def names(known):
    def split(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name}: expected some of {', '.join(known)}")
        return chosen

    return split


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--peers", type=names(PEERS), default=list(PEERS), metavar="NAMES")
    parser.add_argument(
        "--workloads", type=names(WORKLOADS), default=list(WORKLOADS), metavar="NAMES"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="warm ones, counted")
    parser.add_argument("--json", metavar="FILE", help="raw figures, saved after each measurement")
    infeed = str(HERE.parent / "target" / "release" / "infeed")
    parser.add_argument("--infeed", default=infeed, metavar="PROGRAM")
    options = parser.parse_args()
    images = len(files(options.dir))
    if images == 0:
        sys.exit(f"{options.dir}: no JPEG was found there")
    results = {
        "date": date.today().isoformat(),
        "machine": {"cpu": cpu(), "cores": CORES, "os": platform.platform()},
        "command": " ".join(["python", *sys.argv]),
        "images": images,
        "rounds": options.rounds,
        "epochs": options.epochs,
        "workloads": options.workloads,
        "measurements": [],
    }
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        measure_all(options, results)
    except KeyboardInterrupt:
        print("interrupted; until then:", file=sys.stderr)
    report(results)


if __name__ == "__main__":
    main()
