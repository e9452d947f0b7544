# SPDX-License-Identifier: BSD-3-Clause
"""A strict reader of Prometheus' text format, version 0.0.4."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)$")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


def labels_of(text):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        assert m, f"labels: {text[at:]!r}"
        assert m[1] not in labels, f"label {m[1]} twice: {text!r}"
        labels[m[1]] = re.sub(r"\\(.)", lambda e: "\n" if e[1] == "n" else e[1], m[2])
        at = m.end()
    assert not text.endswith(","), text
    return labels


def check_histogram(name, samples):
    series = {}
    for n, labels, value in samples:
        rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        series.setdefault(rest, {}).setdefault(n[len(name):], []).append((labels.get("le"), value))
    for rest, parts in series.items():
        buckets = parts["_bucket"]
        bounds = [float(le.replace("+Inf", "inf")) for le, _ in buckets]
        assert bounds == sorted(set(bounds)) and bounds[-1] == math.inf, f"{name}{rest}: bounds {bounds}"
        counts = [v for _, v in buckets]
        assert counts == sorted(counts), f"{name}{rest}: {counts}"
        assert parts["_count"] == [(None, counts[-1])] and len(parts["_sum"]) == 1, f"{name}{rest}"


def parse(text):
    """{metric: (type, [(name, labels, value)])}; AssertionError for what the format does not allow."""
    assert text.endswith("\n"), "the last line has no end"
    metrics, current, seen = {}, None, set()
    for line in text[:-1].split("\n"):
        assert line == line.strip() and line, f"blank: {line!r}"
        m = re.match(rf"# (HELP|TYPE) ({NAME}) (.+)$", line)
        if m and m[1] == "HELP":
            assert m[2] not in metrics, f"{m[2]} is described twice"
            current = m[2]
            metrics[current] = (None, [])
            continue
        if m:
            assert m[2] == current and metrics[current] == (None, []) and m[3] in TYPES, line
            metrics[current] = (m[3], [])
            continue
        m = SAMPLE.match(line)
        assert m, f"no sample: {line!r}"
        kind, samples = metrics[current]
        allowed = [current + s for s in ("_bucket", "_sum", "_count")] if kind == "histogram" else [current]
        assert m[1] in allowed, f"{m[1]} stands among {current}"
        assert kind != "counter" or current.endswith("_total"), current
        labels = labels_of(m[2] or "")
        key = (m[1], tuple(sorted(labels.items())))
        assert key not in seen, f"twice: {line}"
        seen.add(key)
        value = float(m[3])
        assert value >= 0 and math.isfinite(value), line
        samples.append((m[1], labels, value))
    for name, (kind, samples) in metrics.items():
        assert kind, f"{name} has no type"
        if kind == "histogram":
            check_histogram(name, samples)
    return metrics
