# SPDX-License-Identifier: BSD-3-Clause
"""devmem-top beside jobs of devmem-perf: what its tests share. DEVMEM_BUILD is the build directory."""
import contextlib
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ["DEVMEM_BUILD"]
TOP = f"{BUILD}/tools/devmem-top"
PERF = f"{BUILD}/tools/devmem-perf"
PLUGIN = f"{BUILD}/plugin/libnccl-net-devmem.so"
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("NCCL_")}
_failed = []


def check(what, holds, shown=""):
    print(f"{'ok' if holds else 'not ok'} - {what}", flush=True)
    if not holds:
        _failed.append(what)
        print("    " + str(shown)[-4000:].replace("\n", "\n    "), flush=True)


def skip(why):
    print(f"skip: {why}")
    sys.exit(1 if _failed else 77)


def end():
    print(f"{len(_failed)} failed")
    sys.exit(bool(_failed))


def top(directory, *args):
    return subprocess.run([TOP, "--dir", directory, *args], env=CLEAN, capture_output=True, text=True, timeout=60, check=False)


def top_json(directory, *args):
    done = top(directory, "--json", "-d", "1", *args)
    return json.loads(done.stdout)


def perf(directory, *args, **env):
    env = {**CLEAN, "NCCL_DEVMEM_IFNAME": "=lo", "NCCL_DEVMEM_STATS_DIR": directory, **env}
    return [PERF, *args, "--plugin", PLUGIN, "--limit", "200"], env


@contextlib.contextmanager
def job(directory, *args, ranks=2, **env):
    """A job that moves bytes until the test is done with it."""
    names = [word for r in range(ranks) for word in ("--rank-env", f"{r}:RANK={r}")]
    argv, env = perf(directory, "all_reduce", "-n", str(ranks), "--sizes", "4M", "--iters", "1000000", *names, *args, **env)
    with subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as p:
        runs = False
        try:
            runs = until(lambda: p.poll() is not None or moving(directory, ranks), 60) and p.poll() is None
            if not runs:
                check("the job runs", False, top(directory, "-b").stdout)
            yield p
        finally:
            p.send_signal(signal.SIGTERM)
            _, said = p.communicate(timeout=60)
            if not runs or p.returncode not in (-signal.SIGTERM, 128 + signal.SIGTERM, 0, 1):
                print(f"the job ended with {p.returncode}: {said[-2000:]}")


def sent(process):
    return sum(process["counters"]["sent_" + path] for path in ("copy", "zerocopy", "devmem"))


def moving(directory, ranks):
    done = top(directory, "--json", "-d", "0.1")
    procs = json.loads(done.stdout)["processes"] if done.returncode == 0 else []
    return len(procs) == ranks and all(sent(p) > 1 << 20 for p in procs)


def files(directory):
    return glob.glob(f"{directory}/nccl-devmem-stats.*")


def until(what, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def value(metrics, name, **labels):
    return sum(v for _, have, v in metrics[name][1] if labels.items() <= have.items())


def near(a, b):
    return b > 0 and abs(a - b) <= 0.01 * b


@contextlib.contextmanager
def hosts(n, *options):
    """Network namespaces joined to a network (scripts/hosts); their names."""
    if os.getuid() != 0:
        skip("network namespaces want root")
    name = f"top-{os.getpid()}-"
    made = subprocess.run([f"{ROOT}/scripts/hosts", "up", str(n), "--name", name, *options], stdout=subprocess.PIPE, text=True, check=True)
    try:
        yield made.stdout.strip().split(",")
    finally:
        subprocess.run([f"{ROOT}/scripts/hosts", "down", str(n), "--name", name], check=True)


def on_host(netns, *argv):
    return subprocess.run(["ip", "netns", "exec", netns, *argv], stdout=subprocess.PIPE, text=True, check=True).stdout
