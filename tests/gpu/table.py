# SPDX-License-Identifier: BSD-3-Clause
"""Tables of the figures: busbw of each mode beside Socket's, for the terminal and for docs/results.md."""

import statistics

import modes

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DOCUMENT = "docs/results.md"


def size_name(n):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if n >= unit:
            rest = n % unit
            return f"{n // unit} {name}" + (f" + {rest} B" if rest else "")
    return f"{n} B"


def rate(value):
    """GB/s with three digits that count."""
    if value is None:
        return "–"
    for limit, digits in ((100, 0), (10, 1), (1, 2)):
        if value >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def ratio(value, base):
    return "–" if value is None or not base else f"{value / base:.2f}"


def busbw(runs):
    """{case: {mode: [GB/s of each round]}}, of runs that ended without an error."""
    out = {}
    for run in runs:
        if run.program != "collectives" or any(not x or x.get("error") for x in run.ranks):
            continue
        for r in run.ranks[0]["results"]:
            out.setdefault((r["op"], r["dtype"], r["bytes"]), {}).setdefault(run.mode, []).append(r["busbw"])
    return out


def order(case):
    op, dtype, size = case
    ops = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "sendrecv", "all_to_all")
    return ops.index(op) if op in ops else len(ops), op, dtype != "fp32", dtype, size


def collective_rows(runs, names):
    """Header and rows: the case, busbw of the baseline, then busbw and its ratio to the baseline's for each other mode. Medians over
    the rounds."""
    others = [n for n in names if n != modes.BASELINE]
    header = ["operation", "type", "size", "Socket"]
    for name in others:
        header += [name, "×"]
    rows = []
    figures = busbw(runs)
    for case in sorted(figures, key=order):
        medians = {m: statistics.median(v) for m, v in figures[case].items()}
        base = medians.get(modes.BASELINE)
        row = [case[0], case[1], size_name(case[2]), rate(base)]
        for name in others:
            row += [rate(medians.get(name)), ratio(medians.get(name), base)]
        rows.append(row)
    return header, rows


def spread(runs):
    """The median over all cases and modes of (largest − smallest) / median between rounds, in percent; None with one round."""
    parts = [100 * (max(v) - min(v)) / statistics.median(v)
             for by_mode in busbw(runs).values() for v in by_mode.values() if len(v) > 1 and statistics.median(v) > 0]
    return statistics.median(parts) if parts else None


def training_rows(runs, names):
    header = ["network", "ms a step", "first loss", "last loss", "weights", "reference's weights"]
    rows = []
    for name in names:
        good = [r for r in runs if r.program == "train" and r.mode == name and all(x and not x.get("error") for x in r.ranks)]
        if not good:
            continue
        first = good[0].ranks[0]
        loss = [float.fromhex(x) for x in first["losses"]]
        ms = 1000 * statistics.median(r.ranks[0]["seconds_a_step"] for r in good)
        same = "the same" if first.get("reference_weights") == first["weights"] else "others"
        rows.append([name, f"{ms:.1f}", f"{loss[0]:.6f}", f"{loss[-1]:.6f}", first["weights"], same])
    return header, rows


def text(header, rows):
    """Columns for the terminal; words to the left, figures to the right."""
    widths = [max(len(str(r[i])) for r in [header, *rows]) for i in range(len(header))]
    left = 3 if header[0] == "operation" else 1

    def line(cells):
        return "  ".join(f"{c:<{w}}" if i < left else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, widths))).rstrip()
    return "\n".join([line(header), *map(line, rows)])


def markdown(header, rows):
    return "\n".join("| " + " | ".join(map(str, r)) + " |" for r in [header, ["---"] * len(header), *rows])


def skipped_lines(runs):
    """What was left out, once for each reason."""
    reasons = {}
    for run in runs:
        for rank in run.ranks:
            for s in (rank or {}).get("skipped", ()):
                reasons.setdefault((run.mode if s["reason"] == "out of time" else "all modes", s["reason"]), set()).add(s["bytes"])
    return [f"{who}: left out {', '.join(size_name(n) for n in sorted(sizes))}: {reason}"
            for (who, reason), sizes in sorted(reasons.items())]


def document(facts, runs, names, commands, problems, left_out):
    """docs/results.md. @facts: (what, value) pairs; @problems: those found, since a table with a defect behind it has to say so."""
    collectives, training = collective_rows(runs, names), training_rows(runs, names)
    parts = ["# Results on a GPU", "",
             "Written by `tests/gpu/run --write`; do not edit. What is measured, and what it cannot show: "
             "[tests/gpu/README.md](../tests/gpu/README.md).", "",
             "| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in facts), ""]
    if problems:
        parts += [f"**{len(problems)} checks failed:**", "", *(f"- {p}" for p in problems), ""]
    else:
        parts += ["Every result was right, bit by bit, and the same in every mode; every run was seen, in the plugin's counters and NCCL's "
                  "log, to have taken the way of its mode.", ""]
    wide = spread(runs)
    if collectives[1]:
        parts += ["## Collectives", "",
                  "Bus bandwidth in GB/s as nccl-tests counts it, the median of the rounds; × is the ratio to Socket's. Both ranks "
                  "share one GPU and one loopback device: the columns can be compared with each other, not with figures of two machines."
                  + (f" Between rounds the figures differ by {wide:.0f} % (the median of all)." if wide is not None else ""), "",
                  markdown(*collectives), ""]
    if training[1]:
        steps = next(r.ranks[0]["steps"] for r in runs if r.program == "train" and r.ranks[0] and not r.ranks[0].get("error"))
        parts += ["## Training", "",
                  f"{steps} steps with DistributedDataParallel. Losses of every step and the final weights "
                  + ("differ: see above." if problems else "are the same to the last bit in every mode."), "", markdown(*training), ""]
    if left_out:
        parts += ["## Left out", "", *(f"- {s}" for s in left_out), ""]
    parts += ["## Commands", "", "```", *commands, "```", ""]
    return "\n".join(parts)
