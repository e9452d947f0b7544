# SPDX-License-Identifier: BSD-3-Clause
"""The table of scripts/kernel-results: what was measured, next to the goals.

Results are dicts of lists, `name: [value of each seed]`; a name that is missing or has None was not possible there."""

import re
import statistics
import textwrap

DOCUMENT = "docs/kernel-results.md"
KINDS = ("call", "loop", "plain", "dontneed", "page_pool", "recv", "sizes")
STRUCTS = ("sk_buff", "skb_shared_info", "sock", "tcp_sock", "msghdr", "page_pool")
KIB, MIB = 1024, 1 << 20

# How frags are received and given back, bytes of a niov, bytes of a recvmsg: the cells of recv-cost.
RECEIVES = [("plain", 4 * KIB, r) for r in (MIB, 64 * KIB, 16 * KIB)] + [
    (how, niov, r)
    for niov in (4 * KIB, 64 * KIB)
    for how in ("setsockopt", "recvmsg", "run", "run-recvmsg")
    for r in (MIB, 64 * KIB, 16 * KIB)]
PROTOCOLS = ("tcp4", "tcp6", "udp4", "udp6")
STREAM_SIZES, DATAGRAM_SIZES = (1, 1024, 16384, 65536), (1, 1024, 16384, 65487)
LOOP_SIZES = {"tcp": (1024, 4096, 16384, 65536), "udp": (1024, 4096, 16384, 65487)}
PLAIN_PERCENT = 0.1

WHY = {
    "ranges": "Each range is an sk_buff of its own in the error queue, with a head of its own. Taking it out, writing 12 bytes and "
              "freeing both is what a range costs; the sk_buffs go back in bulk, their heads and their charge cannot. It takes "
              "notifications that could not be merged to see several: another kind of entry between them, or sends that finish out "
              "of order. The error queue wants a recvmsg() for each.",
    "control": "A sendmsg() with another control message tests whether the socket has SO_ZEROCOPY before the protocol is called and "
               "whether an answer is due after it; without control data neither is.",
}


def number(value):
    return "–" if value is None else f"{value:,.0f}".replace(",", " ")


def signed(value, digits=0):
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def size_name(n):
    if n in (65487,):
        return "64 KiB*"
    return f"{n} B" if n < KIB else f"{n // KIB} KiB" if n < MIB else f"{n // MIB} MiB"


class Table:
    """Values by name, goals and verdicts."""

    def __init__(self, before, after):
        self.before, self.after = before, after
        self.verdicts = []

    @staticmethod
    def value(results, name):
        values = results.get(name) or [None]
        return None if None in values else statistics.median(values)

    def b(self, name):
        return self.value(self.before, name)

    def a(self, name):
        return self.value(self.after, name)

    @staticmethod
    def spread(*results):
        """The largest difference between seeds, in percent."""
        worst = 0.0
        for name, values in ((n, v) for r in results for n, v in r.items()):
            if None not in values and not name.startswith("recv/") and max(values):
                worst = max(worst, 100 * (max(values) - min(values)) / max(values))
        return worst

    def goal(self, what, value, limit, most=True, unit="", digits=0):
        """Judges a value, remembers it for the summary. Return: 'reached', or by how much it is missed."""
        if value is None:
            verdict = "not measured"
        elif value <= limit if most else value >= limit:
            verdict = "reached"
        else:
            verdict = f"missed by {abs(value - limit):.{digits}f}{unit}"
        sign = "≤" if most else "≥"
        text = f"{value:.{digits}f}{unit}" if value is not None else "–"
        self.verdicts.append((what, f"{sign} {limit:.{digits}f}{unit}", text, verdict))
        return verdict


def minus(x, y):
    return None if x is None or y is None else x - y


def percent(before, after):
    return None if not before or after is None else 100 * (after - before) / before


def rows(header, lines):
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(out + ["| " + " | ".join(str(c) for c in line) + " |" for line in lines])


def section_calls(t):
    lines, none, some, many = [], [], [], []
    names = [("sendmsg, nothing asked", "send"), ("error queue: a notification", "errqueue.hit"),
             ("error queue: empty", "errqueue.empty"), ("poll", "poll")]
    for text, name in names:
        for p in PROTOCOLS:
            lines.append((text, p, number(t.b(f"{p}.{name}")), number(t.a(f"{p}.{name}")),
                          signed(minus(t.a(f"{p}.{name}"), t.b(f"{p}.{name}")))))
    asked = [("asks for 1, nothing finished", "ask1.ranges0", none), ("asks for 16, nothing finished", "ask16.ranges0", none),
             ("asks for 1, gets 1 range", "ask1.ranges1", some), ("asks for 16, gets 1 range", "ask16.ranges1", some),
             ("asks for 16, gets 2 ranges", "ask16.ranges2", many), ("asks for 16, gets 4 ranges", "ask16.ranges4", many),
             ("asks for 16, gets 16 ranges", "ask16.ranges16", many)]
    for text, name, group in asked:
        for p in PROTOCOLS:
            if not t.after.get(f"{p}.send.{name}"):
                continue
            more = minus(t.a(f"{p}.send.{name}"), t.b(f"{p}.send"))
            group.append(more)
            lines.append((f"sendmsg {text}", p, "–", number(t.a(f"{p}.send.{name}")), f"{signed(more)} to a plain one"))
    if not lines or not none:
        return ""
    t.goal("sendmsg that asks, nothing finished: added instructions", max(none), 250)
    t.goal("sendmsg that gets a range: added instructions", max(some), 700)
    if many:
        t.goal("sendmsg that gets 16 separate ranges: added instructions", max(many), 700)
    limit1 = []
    for p in ("udp4", "udp6"):
        old = t.b(f"{p}.errqueue.hit"), t.b(f"{p}.errqueue.empty")
        new = minus(t.a(f"{p}.zcsend.ask16.own"), t.b(f"{p}.zcsend"))
        if None in old or new is None:
            continue
        limit1.append(new)
        lines.append(("a notification for each send: two reads, or asking for 16", p, number(sum(old)), number(new),
                      signed(percent(sum(old), new), 1) + " %"))
    if limit1:
        t.goal("UDP, limit 1, for each notification", max(limit1), 1000)
    return ("## A zerocopy notification: single calls\n\nInstructions of a system call, 1 KiB sent; the least of 400. Asking is the "
            "`SCM_ZC_NOTIFICATION` message; “added” is to what a plain `sendmsg` costs without the series. Several ranges are made "
            "with timestamps between them, so with UDP alone.\n\n"
            + rows(("call", "socket", "without", "with the series", "difference"), lines))


def section_loop(t):
    lines, worst = [], {1: None, 32: None}
    for p in PROTOCOLS:
        for size in LOOP_SIZES[p[:3]]:
            for limit in (1, 32):
                old, new = t.b(f"{p}.{size}.limit{limit}.old"), t.a(f"{p}.{size}.limit{limit}.new")
                if not old or not new:
                    continue
                ratio = 100 * old / new
                worst[limit] = min(ratio, worst[limit] or ratio)
                lines.append((p, size_name(size), limit, number(old / 32), number(new / 32), f"{ratio:.2f}"))
    if not lines:
        return ""
    t.goal("whole send, limit 1, worst cell", worst[1], 101, most=False, digits=2)
    t.goal("whole send, limit 32, worst cell", worst[32], 99.9, most=False, digits=2)
    return ("## Sending with completions, as a whole\n\n"
            + textwrap.fill(
                "Instructions of the sender's system calls for each send. The limit is how many sends are made before completions are "
                "collected, as in `msg_zerocopy` of the kernel's selftests. Old, on the kernel without the series: after that many "
                "sends the error queue is read until it is empty. New: the next send asks for up to 16 ranges. 100 means that both cost "
                "the same, more that the new way costs less. 32 sends are a round; of each call in it the median of 61 rounds, "
                "summed. TCP goes over loopback, so the receiver's work up to its socket, copying included, is part of a send. UDP "
                "goes to a device that drops. 64 KiB* is 65 487 bytes, the largest datagram of both families.", 120)
            + "\n\n" + rows(("socket", "bytes", "limit", "old", "new", "100 · old / new"), lines))


def section_plain(t):
    lines, worst = [], {}
    for p in PROTOCOLS:
        sizes = STREAM_SIZES if p[:3] == "tcp" else DATAGRAM_SIZES
        for op in ("send", "sendmsg", "sendmsg-control", "recv", "recvmsg", "recvmsg-control"):
            cells = []
            for size in sizes:
                old, new = t.b(f"{p}.{op}.{size}"), t.a(f"{p}.{op}.{size}")
                change = percent(old, new)
                if change is None:
                    cells.append("–")
                    continue
                cells.append(f"{number(old)} {signed(new - old)} ({signed(change, 2)} %)")
                key = (p[:3].upper(), op)
                worst[key] = max(change, worst.get(key, change))
            if cells.count("–") < len(cells):
                lines.append((p, op, *cells))
    if not lines:
        return ""
    for (proto, op), change in sorted(worst.items()):
        t.goal(f"{proto} {op}, worst size: change", change, PLAIN_PERCENT, unit=" %", digits=2)
    return ("## Without these features\n\n"
            + textwrap.fill(
                "Instructions of a system call that uses nothing of the series: without it, and what is added with it. The least of "
                "400. `-control` is with a control message (sendmsg: SO_PRIORITY; recvmsg: an empty buffer). TCP over loopback, UDP "
                "to a device that drops, what UDP receives over loopback.", 120)
            + "\n\n" + rows(("socket", "call", "1 B", "1 KiB", "16 KiB", "64 KiB(*)"), lines))


def section_dontneed(t):
    if t.b("dontneed.bare") is None:
        return ""
    lines = [(text, number(t.b(n)), number(t.a(n)), signed(minus(t.a(n), t.b(n)))) for text, n in (
        ("SO_DEVMEM_DONTNEED, one token", "dontneed.bare"), ("the same under a cgroup's program", "dontneed.program"),
        ("TCP_NODELAY, to compare", "nodelay.bare"), ("the same under a cgroup's program", "nodelay.program"))]
    old, new = (minus(f("dontneed.program"), f("dontneed.bare")) for f in (t.b, t.a))
    lines.append(("what the program adds to SO_DEVMEM_DONTNEED", signed(old), signed(new), ""))
    t.goal("DONTNEED under a cgroup program: added instructions", new, 10)
    return ("## SO_DEVMEM_DONTNEED and cgroup programs\n\nInstructions of a setsockopt() call; the least of 400. The program lets all "
            "pass; the token is one that was never given out.\n\n" + rows(("call", "without", "with the series", "difference"), lines))


def section_page_pool(t):
    names = {"page_pool01": "fast path: to the pool's cache", "page_pool02": "through the ptr_ring", "page_pool03": "to the page allocator"}
    lines, worst = [], None
    for name, text in names.items():
        old, new = t.b(f"page_pool.{name}"), t.a(f"page_pool.{name}")
        change = percent(old, new)
        if change is not None:
            worst = max(change, worst if worst is not None else change)
            lines.append((text, f"{old / 1000:.3f}", f"{new / 1000:.3f}", f"{signed(change, 2)} %"))
    if not lines:
        return ""
    t.goal("page_pool, worst path: change", worst, PLAIN_PERCENT, unit=" %", digits=2)
    return ("## page_pool\n\nThe kernel's own `bench_page_pool`, run outside of softirq; instructions to allocate and return a page, "
            "200 000 times.\n\n" + rows(("path", "without", "with the series", "change"), lines))


def section_receive(t):
    def cell(results, how, niov, read):
        return Table.value(results, f"recv/niov-{niov}/read-{read}/{how}")

    names = {"plain": "copied, no devmem", "setsockopt": "freed by setsockopt", "recvmsg": "freed in recvmsg",
             "run": "runs of frags, freed by setsockopt", "run-recvmsg": "runs of frags, freed in recvmsg"}
    lines = []
    for how, niov in dict.fromkeys((h, n) for h, n, _ in RECEIVES):
        cells = []
        for read in (MIB, 64 * KIB, 16 * KIB):
            old, new = (cell(r, how, niov, read) for r in (t.before, t.after))
            cells += [number(old), number(new)]
        if any(c != "–" for c in cells):
            lines.append((names[how], "–" if how == "plain" else size_name(niov), *cells))
    if not lines:
        return ""

    def best(niov, read):
        values = [v for how in names if how != "plain" for v in [cell(t.after, how, niov, read)] if v is not None]
        return min(values) if values else None

    for text, niov, read, limit in (("4 KiB niovs, 1 MiB reads", 4 * KIB, MIB, 190000), ("64 KiB niovs, 1 MiB reads", 64 * KIB, MIB, 30000),
                                    ("4 KiB niovs, 16 KiB reads", 4 * KIB, 16 * KIB, 420000)):
        t.goal(f"devmem receive, {text}, a MiB", best(niov, read), limit)
    calls = []
    for how in ("setsockopt", "recvmsg", "run", "run-recvmsg"):
        values = [cell(t.after, how + "/calls", 4 * KIB, read) for read in (MIB, 64 * KIB, 16 * KIB)]
        if any(v is not None for v in values):
            calls.append((names[how], *(number(v) for v in values)))
    inband = [v for how in ("recvmsg", "run-recvmsg") for read in (MIB, 64 * KIB, 16 * KIB)
              for v in [cell(t.after, how + "/calls", 4 * KIB, read)] if v is not None]
    t.goal("calls only for tokens, a MiB, where recvmsg brings them", max(inband) if inband else None, 0)
    return ("## Receiving\n\n"
            + textwrap.fill(
                "Instructions for a MiB of the receiver's system calls: the receives, and what gives frags back. Each round the peer "
                "fills the socket with 1 MiB and sleeps, then it is drained; the median of 21 rounds, 9000-byte packets, sdm. In each "
                "cell without and with the series; – where that kernel cannot.", 120)
            + "\n\n" + rows(("way", "niov", "1 MiB reads: without", "with", "64 KiB: without", "with", "16 KiB: without", "with"), lines)
            + ("\n\nCalls that do nothing but give tokens back, for a MiB, niovs of 4 KiB, with the series:\n\n"
               + rows(("way", "1 MiB reads", "64 KiB", "16 KiB"), calls) if calls else ""))


def section_sizes(t, layouts):
    if not layouts:
        return ""
    lines, changed = [], 0
    for s in STRUCTS:
        sizes = [re.search(r"/\* size: (\d+)", text) for text in (layouts[0][s], layouts[1][s])]
        same = layouts[0][s] == layouts[1][s]
        changed += not same
        lines.append((f"`struct {s}`", *(m.group(1) if m else "–" for m in sizes), "the same" if same else "differ"))
    t.goal("structures whose fields changed", changed, 0)
    return ("## Sizes\n\nBytes, by pahole; and whether every field lies where it did.\n\n"
            + rows(("structure", "without", "with the series", "fields"), lines))


def document(before, after, layouts, facts):
    t = Table(before, after)
    sections = [s for s in (section_calls(t), section_loop(t), section_receive(t), section_dontneed(t), section_plain(t),
                            section_page_pool(t), section_sizes(t, layouts)) if s]
    missed = sum(v != "reached" for *_, v in t.verdicts)
    spread = "one seed of its random numbers." if facts["seeds"] == 1 else (
        f"each of {facts['seeds']} seeds of its random\nnumbers, of which the median is shown; the largest difference between seeds in any "
        f"line below is {Table.spread(before, after):.2f} %.\nWhat is received has one seed, and 21 rounds.")
    head = f"""# What the kernel series costs and saves

Written by `scripts/kernel-results --write`; do not edit. Without the series means Linux {facts['release']} as Debian ships it, with it the same
with kernel-patches/7.2, both configured by kernel-patches/config{' (images given by hand)' if facts['given'] else ''}. {facts['qemu']};
{facts['cc']}; {facts['boots']} guests, {facts['minutes']:.0f} minutes.

## Method

Both kernels run in QEMU's emulator with an instruction clock (`tests/vm/guest --instructions`): one instruction of the guest is a
nanosecond of its time stamp counter, so a difference of `rdtsc` around a system call is a count of instructions, the same on any
host under any load. A fresh guest for each configuration and {spread}

Instructions are not time: caches, TLB misses, locks that are fought over, mitigations and the speed of an entry into the kernel are
not in them. A change that saves system calls saves more on hardware than it does here. Copies are `rep movsq`, an instruction for 8
bytes; static branches are loads and jumps, since the configuration has no jump labels; stack variables are zeroed.

## Goals: {len(t.verdicts) - missed} of {len(t.verdicts)} reached

{rows(('what', 'goal', 'measured', ''), t.verdicts)}
"""
    if facts["left_out"]:
        head += f"\nLeft out of this run: {', '.join(facts['left_out'])}.\n"
    if any("16 separate" in v[0] and v[3] != "reached" for v in t.verdicts):
        head += "\n" + textwrap.fill("16 separate ranges: " + WHY["ranges"], 130) + "\n"
    if any("sendmsg-control" in v[0] and v[3] != "reached" for v in t.verdicts):
        head += "\n" + textwrap.fill("sendmsg-control: " + WHY["control"], 130) + "\n"
    return head + "\n" + "\n\n".join(sections) + "\n"
