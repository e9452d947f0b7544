# SPDX-License-Identifier: BSD-3-Clause
"""Reads a Dockerfile of the kind that the examples have: no here-documents, no other escape than the backslash."""
import re


def instructions(text):
    """Pairs of an instruction and the rest of its line, lines joined and comments away."""
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()
