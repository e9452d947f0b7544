# SPDX-License-Identifier: BSD-3-Clause
"""Log lines that documents quote, against what the sources can print.

Every string literal of the plugin and the tools is a format. A line matches if one of them produces it; a part that a %s stands for and
that is a sentence of its own has to be one that another format produces."""
import functools
import glob
import os
import re

import documents as d

# Lines of NCCL's own, which the test in the guest compares with a run.
OF_NCCL = re.compile(r"NCCL INFO (?!NET/Devmem:)")
# The kernel's own words, which come through a %s (net/core/devmem.c).
OF_KERNEL = {"Device doesn't support DMA"}
LITERAL = r'"(?:[^"\\\n]|\\.)*"'
PIECES = re.compile(rf"(?:{LITERAL}|\bPRI[dux]\d+\b)(?:\s*(?:{LITERAL}|\bPRI[dux]\d+\b|EDGE_NAME))*")
SPEC = re.compile(r"%(?:[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?)(?:hh|h|ll|l|z|j|t)?([a-zA-Z%])")


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text)


def regular(text):
    """A format as a regular expression with a group for each %s."""
    out, at = "", 0
    for spec in SPEC.finditer(text):
        out += re.escape(text[at:spec.start()])
        at = spec.end()
        out += {"s": "(.*?)", "c": ".", "%": "%", "d": r"-?\d+", "i": r"-?\d+", "u": r"\d+", "x": "[0-9a-f]+", "p": r"0x[0-9a-f]+"}.get(
            spec[1], r"-?[0-9.]+")
    return re.compile(out + re.escape(text[at:]), re.S)


@functools.lru_cache(maxsize=None)
def strings():
    """All string literals of the sources, neighbours joined."""
    found = set()
    for path in glob.glob(f"{d.ROOT}/plugin/**/*.[ch]", recursive=True) + glob.glob(f"{d.ROOT}/tools/**/*.[ch]", recursive=True):
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/|//[^\n]*|\\\n", " ", f.read(), flags=re.S)
        # A macro that is a string stands for it.
        for name, value in re.findall(rf"#define (\w+)\s+({LITERAL}(?:[ \t]*{LITERAL})*)\s*\n", text):
            text = re.sub(rf"(?<!define )\b{name}\b", lambda m, v=value: v, text)
        for pieces in PIECES.findall(text):
            whole = "".join(p[1:-1] if p[0] == '"' else "u" if p.startswith("PRI") else ""
                            for p in re.findall(rf"{LITERAL}|\bPRI[dux]\d+\b", pieces))
            found.add(unescape(whole).rstrip("\n"))
    return found


@functools.lru_cache(maxsize=None)
def literals():
    """Strings without a place for anything, and the words of lists of choices."""
    return {word for s in strings() if "%" not in s for word in [s, *s.split("|")]}


@functools.lru_cache(maxsize=None)
def formats():
    # Of a few letters anything could be made.
    found = {s for s in strings() if len(re.findall("[a-zA-Z]", SPEC.sub("", s))) >= 4}
    return sorted((regular(f) for f in found), key=lambda r: -len(r.pattern))


def stands(text):
    """May @text stand for a %s? Nothing, a name with a digit or a path; a string of the sources; what a format makes; a list of these."""
    if not text.strip() or re.fullmatch(r"\S*[\d/<]\S*", text) or text.strip(" ,;:") == "":
        return True
    if text in literals() or text in OF_KERNEL or printable(text):
        return True
    # nic_probe.c, no_driver(): a format without a word of its own.
    driver = re.fullmatch(r"\w+: (?:driver \w+|this device) ([^:]*)(?:: (.*))?", text)
    if driver:
        return driver[1] in literals() and (not driver[2] or stands(driver[2]))
    return ", " in text and all(stands(part) for part in text.split(", "))


@functools.lru_cache(maxsize=None)
def printable(text):
    """Can the sources print @text?"""
    if "; remedy: " in text:
        reason, remedy = text.split("; remedy: ", 1)
        return printable(reason) and printable(remedy)
    for one in formats():
        match = one.fullmatch(text)
        if match and all(stands(g) for g in match.groups()):
            return True
    return False


def strip(line):
    """A line without what NCCL or a shell puts in front of it."""
    return re.sub(r"^(?:NCCL (?:INFO|WARN) )?(?:NET/Devmem: )?", "", line.strip())


DOCTOR = re.compile(r"(?:ok|note|warn|FAIL) +(\S+) +([a-z-]+) +(.*)")


def doctors(line):
    """Is it a line of devmem-doctor: a check that it has, and a text that it can print?"""
    parts = DOCTOR.fullmatch(line.strip())
    # The subject is not told again at the head of the text.
    return bool(parts) and parts[2] in literals() and (stands(parts[3]) or printable(f"{parts[1]}: {parts[3]}"))


def mutants(text):
    """The line with one of its longer words changed: a check that takes these takes anything."""
    for word in sorted(set(re.findall(r"(?<![\w/.<-])(?<!driver )[a-z]{5,}(?![\w/.>-])", text))):
        yield re.sub(rf"\b{word}\b", word[::-1] + "x", text)


def normal(line):
    """For comparing a quoted line with one of a run: names of interfaces and numbers are all one."""
    line = re.sub(r"^.*?(NCCL (?:INFO|WARN)) (?:\w+\.c:\d+ )?", r"\1 ", line.strip())
    line = re.sub(r"\b(?:eth\d|sdm\d)\b", "IF", line)
    line = re.sub(r"\b\d[\d.]*", "N", line)
    return re.sub(r" +", " ", line)


def blocks(*words):
    """All blocks of quoted lines, or those with one of these words."""
    found = []
    for path in d.documents():
        found += [b for b in d.blocks(path)[0] if b.kind == "log" and (not words or b.words in words)]
    return found


if not os.path.isdir(f"{d.ROOT}/plugin"):
    raise RuntimeError("no sources")
