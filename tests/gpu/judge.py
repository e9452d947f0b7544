# SPDX-License-Identifier: BSD-3-Clause
"""What has to be true of the runs: each of the mode that it says, all results right, and alike in all modes.

Every function returns a list of problems in words; an empty one is good. A Run is what one start of a pair of ranks left."""

import re
from collections import Counter
from dataclasses import dataclass, field

import modes

NETWORK = re.compile(r"NCCL INFO Using network (\S+)")
CHANNEL = re.compile(r"NCCL INFO (?:Channel|Ring) \S+ ?:? .*?via (NET/([^/\s]+)/\S*|P2P\S*|SHM\S*|\S+)")
PLUGIN = re.compile(r"NET/Devmem: (.*)")
WARNING = re.compile(r"NCCL WARN (.*)")
# A loss of the reference may differ in the last bits where the GPU's library chose another kernel.
REFERENCE_TOLERANCE = 1e-3


@dataclass
class Run:
    """@ranks: each rank's JSON (None where there is none), @logs: its NCCL log, @ends: how its process ended ('' when well)."""
    mode: str
    program: str
    round: int
    ranks: list = field(default_factory=list)
    logs: list = field(default_factory=list)
    ends: list = field(default_factory=list)

    def name(self):
        return f"{self.program}, {self.mode}, round {self.round}"


def log_facts(text):
    """What NCCL's log says about the way that the bytes took."""
    ways = [m.group(2) or m.group(1) for m in CHANNEL.finditer(text)]
    return {"networks": sorted(set(NETWORK.findall(text))), "ways": sorted(set(ways)),
            "gdr": len(re.findall(r"\[receive\] via NET/\S*GDRDMA", text)),
            "plugin": PLUGIN.findall(text), "warnings": WARNING.findall(text)}


def evidence(mode, counters, facts, must):
    """Was this rank's run one of @mode? @must: payload bytes that it cannot have done without."""
    bad = []
    if facts["networks"] != [mode.network]:
        bad.append(f"NCCL used the network {', '.join(facts['networks']) or '(none named in its log)'}, not {mode.network}")
    if facts["ways"] != [mode.network]:
        bad.append(f"channels went by {', '.join(facts['ways']) or 'nothing that the log names'}, not by NET/{mode.network} alone")
    if not mode.plugin:
        if counters is not None:
            bad.append("the plugin was loaded, though it is not to be used")
        return bad
    if counters is None:
        return bad + ["the plugin was not loaded into the process when the run ended"]
    if not facts["plugin"]:
        bad.append("NCCL's log has no line of the plugin (NET/Devmem: ...)")
    got = modes.received(counters)
    if got < must or must == 0:
        bad.append(f"the plugin received {got} bytes, and the operations cannot do with less than {must}")
    for text, holds in mode.expect:
        if not holds(counters, must):
            bad.append(f"does not hold: {text} ({', '.join(f'{k} {v}' for k, v in counters.items() if v and relevant(k))}; "
                       f"{must} bytes had to be received)")
    return bad


def relevant(counter):
    return counter.startswith(("recv_", "placed_", "gpu_"))


def run_problems(run):
    """One run by itself: it ended well, was of its mode, and found nothing wrong."""
    bad = []
    mode = modes.MODES[run.mode]
    for i, (result, log, end) in enumerate(zip(run.ranks, run.logs, run.ends)):
        where = f"{run.name()}, rank {i}"
        facts = log_facts(log)
        if end:
            bad.append(f"{where}: {end}")
        if result is None:
            bad.append(f"{where}: left no result")
            continue
        if result.get("error"):
            bad.append(f"{where}: {result['error']}")
            continue
        bad += [f"{where}: {p}" for p in evidence(mode, result.get("counters"), facts, result.get("must_receive", 0))]
        for r in result.get("results", ()):
            if r["wrong"]:
                bad.append(f"{where}: {r['op']} {r['dtype']} of {r['bytes']} bytes: {r['wrong']} wrong elements, first: {r['first_wrong']}")
        if result["program"] == "collectives" and not result.get("results"):
            bad.append(f"{where}: ran not a single case")
    return bad


def usable(runs, program):
    return [r for r in runs if r.program == program and all(x and not x.get("error") for x in r.ranks)]


def key(result):
    return result["op"], result["dtype"], result["bytes"]


def collective_problems(runs):
    """All modes had the same cases, and got the same bits out of each, on each rank, in each round."""
    bad, seen, ran = [], {}, {}
    for run in usable(runs, "collectives"):
        for i, rank in enumerate(run.ranks):
            for r in rank["results"]:
                seen.setdefault((i, *key(r)), Counter())[tuple(r["digests"])] += 1
                ran.setdefault(run.mode, set()).add(key(r))
    for (rank, op, dtype, size), digests in sorted(seen.items()):
        if len(digests) > 1:
            bad.append(f"{op} {dtype} of {size} bytes: rank {rank} has {len(digests)} different results: "
                       + ", ".join("/".join(d) for d in digests))
    every = set().union(*ran.values()) if ran else set()
    for mode in sorted({r.mode for r in runs if r.program == "collectives"}):
        missing = every - ran.get(mode, set())
        if missing:
            op, dtype, size = min(missing, key=lambda k: (k[2], k))
            bad.append(f"{mode}: {len(missing)} of {len(every)} cases did not run in any round, the smallest {op} {dtype} of {size} bytes")
    return bad


def near(a, b):
    return abs(a - b) <= REFERENCE_TOLERANCE * max(abs(a), abs(b), 1e-3)


def training_problems(runs):
    """Losses and weights are the same to the last bit in every mode, the weights on every rank, the losses near the reference's, and
    the training is one: the loss falls to less than half."""
    bad, losses, weights = [], {}, {}
    for run in usable(runs, "train"):
        for i, rank in enumerate(run.ranks):
            losses.setdefault((i, tuple(rank["losses"])), []).append(run.name())
            weights.setdefault(rank["weights"], []).append(f"{run.name()}, rank {i}")
            values = [float.fromhex(x) for x in rank["losses"]]
            if len(values) != rank["steps"] or not values:
                bad.append(f"{run.name()}, rank {i}: {len(values)} losses in {rank['steps']} steps")
                continue
            if not sum(values[-10:]) / len(values[-10:]) < 0.5 * values[0]:
                bad.append(f"{run.name()}, rank {i}: the loss went from {values[0]:.4f} to {values[-1]:.4f}: nothing was learnt")
            reference = run.ranks[0].get("reference")
            if reference is None:
                bad.append(f"{run.name()}: rank 0 made no reference")
                continue
            for step, (mine, theirs) in enumerate(zip(values, reference)):
                if not near(mine, float.fromhex(theirs[i])):
                    bad.append(f"{run.name()}, rank {i}: loss {mine:.6f} in step {step}, in the reference {float.fromhex(theirs[i]):.6f}")
                    break
    for rank in sorted({i for i, _ in losses}):
        kinds = {k: v for k, v in losses.items() if k[0] == rank}
        if len(kinds) > 1:
            (_, a), (_, b) = list(kinds)[:2]
            step = next((s for s, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            names = " and ".join(v[0] for v in list(kinds.values())[:2])
            bad.append(f"training: losses of rank {rank} differ from step {step} on: {names}")
    if len(weights) > 1:
        bad.append("training: final weights differ: " + "; ".join(f"{w} in {', '.join(v)}" for w, v in weights.items()))
    return bad


def blind_spots(runs):
    """Would the checks have noticed if one mode had silently run as another? Holds each run's evidence against every other mode."""
    bad = []
    for run in usable(runs, "collectives"):
        for other in modes.MODES.values():
            if other.name == run.mode:
                continue
            if not any(evidence(other, x.get("counters"), log_facts(log), x.get("must_receive", 0))
                       for x, log in zip(run.ranks, run.logs)):
                bad.append(f"{run.name()} would also have passed for {other.name}: the checks do not tell the two apart")
    return bad


def all_problems(runs, wanted):
    """@wanted: (program, mode) that has to be among the runs."""
    bad = [f"{program}, {mode}: was not run" for program, mode in wanted
           if not any(r.program == program and r.mode == mode for r in runs)]
    for run in runs:
        bad += run_problems(run)
    return bad + collective_problems(runs) + training_problems(runs) + blind_spots(runs)
