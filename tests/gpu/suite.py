#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""NCCL on a real GPU, through the plugin in each of its modes and through NCCL's own sockets, in one interleaved run.

Exit status: 0 all right, 1 something was wrong, 2 usage, 77 this machine cannot run it, with the reason."""

import argparse
import datetime
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import collectives  # noqa: E402
import judge  # noqa: E402
import launch  # noqa: E402
import modes  # noqa: E402
import probe  # noqa: E402
import table  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXIT_SKIP = 77
WORLD = 2
GIB = 1 << 30
# GPU memory of a process before it has any buffer, and what checking takes beside the buffers.
CONTEXT, CHECKING = 1.5 * GIB, 1 * GIB
# Seconds that a run may take beyond the time it has for its cases: start, connecting, the last case's checks.
START = {"torch": 25, "c": 5}
SLACK = 150
# Seconds that are kept back for each training, with its start.
TRAINING = 45
# Smaller messages may travel in the control stream, which would leave the modes nothing to differ in.
TELLING_SIZE = 1 << 20


def say(text):
    print(text, flush=True)


def comma_list(known):
    def parse(text):
        words = text.split(",")
        for w in words:
            if w not in known:
                raise argparse.ArgumentTypeError(f"'{w}' is none of {', '.join(known)}")
        return words
    return parse


def size_list(text):
    factors = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    try:
        sizes = [int(w[:-1]) * factors[w[-1]] if w[-1:] in factors else int(w) for w in text.split(",")]
    except ValueError as e:
        raise argparse.ArgumentTypeError("sizes are numbers of bytes with commas; K, M and G multiply by 1024") from e
    if min(sizes) < 1 or max(sizes) > 2 * GIB or max(sizes) < TELLING_SIZE:
        raise argparse.ArgumentTypeError("sizes go from 1 to 2G, and one has to be 1M or more: small messages take the same way in "
                                         "all modes")
    return sizes


def setting(text):
    """(mode or None, name, value)"""
    name, equals, value = text.partition("=")
    mode, colon, rest = name.rpartition(":")
    if not equals or not rest or colon and mode not in modes.MODES:
        raise argparse.ArgumentTypeError(f"{text}: NAME=VALUE or MODE:NAME=VALUE is wanted, with a mode of {', '.join(modes.MODES)}")
    return mode or None, rest, value


def options():
    p = argparse.ArgumentParser(prog="tests/gpu/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ops = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "sendrecv", "all_to_all")
    build = pathlib.Path(os.environ.get("DEVMEM_BUILD", ROOT / "build"))
    p.add_argument("--plugin", type=pathlib.Path, default=build / "plugin/libnccl-net-devmem.so", help="(%(default)s)")
    p.add_argument("--program", choices=("auto", "torch", "c"), default="auto",
                   help="torch: torch.distributed; c: NCCL alone, without the training; auto: torch where it can be used")
    p.add_argument("--modes", type=comma_list(list(modes.MODES)), default=list(modes.MODES), help="(all) " + ", ".join(modes.MODES))
    p.add_argument("--ops", type=comma_list(ops), default=list(ops), help="(all) " + ", ".join(ops))
    p.add_argument("--dtypes", type=comma_list(("fp32", "bf16")), default=["fp32", "bf16"], help="(both) fp32, bf16")
    p.add_argument("--sizes", type=size_list, default=list(collectives.SIZES), help="bytes (8 B to 1 GiB)")
    p.add_argument("--rounds", type=int, default=3, help="how often each mode is run, in turn (%(default)s)")
    p.add_argument("--time", type=int, default=1200, 
                   help="seconds for everything, about; large sizes are timed less often when it is short (%(default)s)")
    p.add_argument("--iterations", type=int, default=collectives.ITERATIONS, help="timed calls of a case at most (%(default)s)")
    p.add_argument("--steps", type=int, default=200, help="training steps; 0: no training (%(default)s)")
    p.add_argument("--hidden", type=int, default=1024, help="width of the network that is trained (%(default)s)")
    p.add_argument("--device", type=int, default=0, help="GPU, as CUDA counts them (%(default)s)")
    p.add_argument("--env", action="append", type=setting, default=[], metavar="[MODE:]NAME=VALUE",
                   help="for every rank, in every mode or one; stronger than the mode's own; may be repeated")
    p.add_argument("--write", nargs="?", const=str(ROOT / table.DOCUMENT), metavar="FILE", help=f"write the results ({table.DOCUMENT})")
    p.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="keep logs and JSON there")
    p.add_argument("--bench", type=pathlib.Path, default=build / "tests/gpu/nccl-bench", help="the program of --program c (%(default)s)")
    s = p.add_argument_group("with --program c", "libraries in place of the system's; with --cuda the GPU is a stand-in, and figures "
                                                 "mean nothing")
    for name, what in (("--nccl", "libnccl.so.2"), ("--cuda", "libcuda.so.1"), ("--nvml", "libnvidia-ml.so.1"),
                       ("--emulation", "kernels of the stand-in")):
        s.add_argument(name, metavar="FILE", help=what)
    o = p.parse_args()
    o.standin = bool(o.cuda)
    if o.standin and (o.program != "c" or o.write or not o.nccl):
        p.error("a stand-in for the GPU goes with --program c and --nccl, and its figures are not written down")
    if modes.BASELINE not in o.modes or len(o.modes) < 2:
        p.error(f"--modes: {modes.BASELINE} and at least one other, since they are compared")
    if o.rounds < 1 or o.time < 60 or o.steps < 0 or o.iterations < 1:
        p.error("--rounds and --iterations are at least 1, --time is at least 60, --steps at least 0")
    return o


def look(o):
    """What is here, from a process of its own."""
    command = [sys.executable, HERE / "probe.py", "--plugin", o.plugin, "--device", str(o.device)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        raise SystemExit("probe.py did not end in 300 seconds: the GPU's driver or torch hangs when it is asked what there is") from None
    if done.returncode:
        raise SystemExit(f"probe.py ended with {done.returncode}: the GPU's libraries crashed when they were asked what there is")
    return json.loads(done.stdout)


def choose_program(o, f):
    """'torch' or 'c', and why there is no training (None when there is)."""
    why = f["torch"].get("why")
    if o.program == "auto" and why and "why" not in f["nccl"] and o.bench.exists():
        return "c", why
    if o.program == "c":
        return "c", "asked for with --program c"
    return "torch", None if o.steps else "asked for with --steps 0"


def largest_buffer(free):
    """Bytes of the largest operation: two ranks share the GPU, each with an input and an output of that size."""
    return max(0, int(((free - WORLD * CONTEXT) / WORLD - CHECKING) / 2))


def leave_out(o, f):
    """Takes out of @o.modes what cannot work here. Return: lines that say why."""
    if o.standin or f["cuda"].get("gdr") != 0:
        return []
    staged = [m for m in o.modes if modes.MODES[m].staged]
    o.modes = [m for m in o.modes if m not in staged]
    return [f"{m}: left out, the driver says that this GPU has no GPUDirect RDMA, so NCCL hands the plugin host memory alone"
            for m in staged]


class Suite:
    """The runs. @left_out: lines about what was not run."""

    def __init__(self, o, facts, program, work, left_out):
        self.o, self.facts, self.program, self.work, self.left_out = o, facts, program, work, left_out
        self.max_bytes = 0 if o.standin else largest_buffer(facts["cuda"]["free"])
        self.runs = []

    def environment(self, mode, rank, log):
        """Of the caller's environment everything but what would change NCCL: that is what the modes are about."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NCCL_", "STANDIN_"))}
        extra = {k: v for m, k, v in self.o.env if m in (None, mode.name)}
        return {**env, **modes.environment(mode, rank, self.o.plugin.resolve(), log, extra)}

    def command(self, what, rank, where, seconds, meet):
        o = self.o
        common = ["--rank", rank, "--out", where / f"{rank}.json", "--device", o.device]
        cases = ["--ops", ",".join(o.ops), "--dtypes", ",".join(o.dtypes), "--sizes", ",".join(map(str, o.sizes)),
                 "--max-bytes", self.max_bytes, "--iterations", o.iterations, "--seconds", f"{seconds:.0f}"]
        plugin = o.plugin.resolve()
        if self.program == "c":
            libraries = [x for name in ("nccl", "cuda", "nvml", "emulation") if getattr(o, name) for x in (f"--{name}", getattr(o, name))]
            return [o.bench, *common, *cases, "--plugin", plugin, "--rendezvous", f"fd:{meet[rank].fileno()}", *libraries]
        program = [sys.executable, HERE / f"{what}.py", *common, "--plugin", plugin, "--init", where / "meet"]
        return program + (cases if what == "collectives" else ["--steps", o.steps, "--hidden", o.hidden])

    def run(self, what, mode, number, seconds):
        where = self.work / f"{number}-{what}-{mode.name.replace('+', '-')}"
        where.mkdir()
        logs = [where / f"nccl.{r}.log" for r in range(WORLD)]
        outputs = [where / f"{r}.out" for r in range(WORLD)]
        meet = socket.socketpair()
        try:
            ends = launch.run([self.command(what, r, where, seconds, meet) for r in range(WORLD)],
                              [self.environment(mode, r, logs[r]) for r in range(WORLD)], outputs, seconds + SLACK,
                              descriptors=[(s.fileno(),) for s in meet])
        finally:
            for s in meet:
                s.close()
        run = judge.Run(mode.name, what, number, [self.load(where / f"{r}.json") for r in range(WORLD)],
                        [self.read(x) for x in logs], ends)
        self.runs.append(run)
        return run, outputs

    @staticmethod
    def read(path):
        return path.read_text(errors="replace") if path.exists() else ""

    @staticmethod
    def load(path):
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            return None

    def plan(self, training):
        """(program, mode, round), the modes in another order in each round."""
        names = self.o.modes
        for number in range(self.o.rounds):
            at = number % len(names)
            for name in names[at:] + names[:at]:
                yield "collectives", modes.MODES[name], number
        for name in names if training else ():
            yield "train", modes.MODES[name], self.o.rounds

    def go(self, training):
        todo = list(self.plan(training))
        end = time.monotonic() + self.o.time
        for at, (what, mode, number) in enumerate(todo):
            trainings = sum(w == "train" for w, _, _ in todo[at:])
            rest = len(todo) - at - trainings
            share = TRAINING if what == "train" else (end - time.monotonic() - trainings * TRAINING) / rest
            started = time.monotonic()
            run, outputs = self.run(what, mode, number, max(10, share - START[self.program]))
            bad = judge.run_problems(run)
            say(f"{at + 1}/{len(todo)} {run.name()}: {time.monotonic() - started:.0f} s, {len(bad)} problems" if bad else
                f"{at + 1}/{len(todo)} {run.name()}: {time.monotonic() - started:.0f} s, all right")
            for b in bad[:10]:
                say(f"    {b}")
            if any(run.ends):
                self.show(run, outputs)

    @staticmethod
    def show(run, outputs):
        """The end of what failed ranks said."""
        for i, (path, log) in enumerate(zip(outputs, run.logs)):
            for line in (Suite.read(path).splitlines()[-15:] + [f"NCCL WARN {w}" for w in judge.log_facts(log)["warnings"][-5:]]):
                say(f"    rank {i}| {line}")


def revision():
    try:
        done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=60,
                              check=False)
        return done.stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def facts_table(o, f, program, suite):
    rank = next((r.ranks[0] for r in suite.runs if r.ranks[0] and not r.ranks[0].get("error")), {})
    v = rank.get("versions", {})
    c, t = f["cuda"], f["torch"]
    api = c.get("driver_api", 0)
    rows = [("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")),
            ("plugin", revision()),
            ("GPU", f"{c.get('name', v.get('gpu', 'unknown'))}, compute capability {c.get('cc_major')}.{c.get('cc_minor')}, "
                    f"{c.get('total', 0) / GIB:.0f} GiB ({c.get('free', 0) / GIB:.0f} GiB free)"),
            ("GPUDirect RDMA, dmabuf export", f"{yes(c.get('gdr'))}, {yes(c.get('dmabuf'))}"),
            ("driver", f"{f['driver'] or 'unknown'} (CUDA {api // 1000}.{api // 10 % 100})"),
            ("NCCL", v.get("nccl") or t.get("nccl") or f["nccl"].get("version", "unknown")),
            ("torch", f"{t['version']} (CUDA {t['cuda']})" if program == "torch" else "not used"),
            ("Python", f["python"]), ("kernel", f"{f['kernel']} {f['machine']}"), ("processors", str(os.cpu_count())),
            ("two processes on the GPU", "with MPS" if f["mps"] else "in turns (no MPS)"),
            ("rounds", str(o.rounds))]
    return rows


def yes(value):
    return "unknown" if value is None else "yes" if value else "no"


def commands(o):
    out = ["tests/gpu/run " + shlex.join(a for a in sys.argv[1:]), ""]
    for name in o.modes:
        mode = modes.MODES[name]
        env = {"NCCL_NET": "Devmem", "NCCL_NET_PLUGIN": "libnccl-net-devmem.so"} if mode.plugin else {}
        out.append(f"{name}: " + " ".join(f"{k}={v}" for k, v in {**env, **mode.env}.items()))
    every = modes.environment(modes.MODES[modes.BASELINE], 0, "", "")
    own = modes.MODES[modes.BASELINE].env
    out.append("all: " + " ".join(f"{k}={v}" for k, v in every.items() if k.startswith("NCCL_") and k not in own and k != "NCCL_DEBUG_FILE")
               + " (rank 1: NCCL_HOSTID=devmem-gpu-1)")
    return out + [f"{m or 'all'}, by --env: {k}={v}" for m, k, v in o.env]


def report(o, f, program, suite, no_training):
    wanted = [("collectives", m) for m in o.modes] + ([] if no_training else [("train", m) for m in o.modes])
    problems = judge.all_problems(suite.runs, wanted)
    say("")
    for header, rows in (table.collective_rows(suite.runs, o.modes), table.training_rows(suite.runs, o.modes)):
        if rows:
            say(table.text(header, rows) + "\n")
    say("busbw in GB/s, median of the rounds; × is the ratio to Socket"
        + (". THE GPU IS A STAND-IN: the figures mean nothing" if o.standin else ""))
    left_out = suite.left_out + table.skipped_lines(suite.runs) + ([f"training: left out: {no_training}"] if no_training else [])
    for line in left_out:
        say(line)
    warned = sorted({w for r in suite.runs for log in r.logs for w in judge.log_facts(log)["warnings"]})
    for w in warned[:10]:
        say(f"NCCL warned: {w}")
    for p in problems:
        say(f"PROBLEM: {p}")
    if o.write:
        text = table.document(facts_table(o, f, program, suite), suite.runs, o.modes, commands(o), problems, left_out)
        pathlib.Path(o.write).write_text(text, encoding="utf-8")
        say(f"written: {o.write}")
    say(f"{len(suite.runs)} runs, {len(problems)} problems" + (f", {len(suite.left_out)} modes left out" if suite.left_out else ""))
    return 1 if problems else 0


def main():
    o = options()
    if o.standin:
        f, program, no_training = {}, "c", "the stand-in has no torch"
    else:
        f = look(o)
        program, no_training = choose_program(o, f)
        verdict = probe.verdict(f, program)
        if verdict:
            say(f"{verdict[0]}: {verdict[1]}")
            return EXIT_SKIP if verdict[0] == "skip" else 1
        with_what = (f"torch {f['torch']['version']} with NCCL {f['torch']['nccl']}" if program == "torch" else
                     f"NCCL {f['nccl']['version']}, no torch")
        say(f"{f['cuda']['name']}, driver {f['driver'] or 'unknown'}; {with_what}")
    if program == "c" and not o.bench.exists():
        say(f"skip: no {o.bench}: it is part of the build (cmake --build)")
        return EXIT_SKIP
    work = o.keep or pathlib.Path(tempfile.mkdtemp(prefix="devmem-gpu."))
    work.mkdir(parents=True, exist_ok=True)
    suite = Suite(o, f, program, work, leave_out(o, f))
    status = EXIT_SKIP
    try:
        if suite.max_bytes and suite.max_bytes < max(o.sizes):
            say(f"{f['cuda']['free'] / GIB:.1f} GiB of GPU memory are free: sizes up to {table.size_name(suite.max_bytes)} are run")
        if suite.max_bytes and suite.max_bytes < TELLING_SIZE or not o.standin and not suite.max_bytes:
            say(f"skip: {f['cuda']['free'] / GIB:.1f} GiB of free GPU memory are too little for two processes")
            return EXIT_SKIP
        if len(o.modes) < 2:
            say("skip: " + "; ".join(suite.left_out))
            return EXIT_SKIP
        status = 1
        suite.go(not no_training)
        status = report(o, f, program, suite, no_training)
    finally:
        if o.keep or status == 1:
            say(f"logs: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
