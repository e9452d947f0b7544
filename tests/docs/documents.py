# SPDX-License-Identifier: BSD-3-Clause
"""The documents of the tree and their fenced blocks.

Before each block of commands (```sh) stands a comment that readers do not see, which says who runs it:

    <!-- run: host -->                     tests/docs/test-commands, on this machine
    <!-- run: guest -->                    tests/vm/docs/test-commands, in a guest with sdm
    <!-- run: by PATH, PATH: what -->      tests that exist, which run the same programs
    <!-- run: none: needs ... -->          nobody: what hardware or software it needs

host and guest take, with commas, `exit N` (statuses up to N are as they should be), `short` (devmem-perf compare and scale are told to
be brief), `root` (only as root) and `sdm` (the guest's eth0 has an sdm0 on it). What stands for a reader's own files is replaced by
files of the build, see STANDS_FOR. Before a block of quoted log lines (```text) may stand

    <!-- log: source -->                   each line is one that a source file can print
    <!-- log: devmem -->                   and comes in a run over devmem, in a guest; host: of host memory
    <!-- log: netkit -->                   the same for tests/vm/docs/test-netkit
    <!-- log: doctor -->                   the same for devmem-doctor's lines, on a guest's host that is well
"""
import glob
import os
import re
import shlex
import subprocess

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
BUILD = os.environ.get("DEVMEM_BUILD", os.path.join(ROOT, "build"))
PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "examples/**/README.md", "kernel-patches/**/README.md",
            "tests/**/README.md")
STANDS_FOR = {"/path/to/other-plugin.so": "tests/conformance/libnccl-net-plain-tcp.so",
              "libnccl-net-x.so": "tests/conformance/libnccl-net-plain-tcp.so",
              "libnccl-net-sock.so": "tests/conformance/libnccl-net-plain-tcp.so"}
BRIEF = {"compare": "--cells uni:1M --groups 1 --seconds 0.05",
         "scale": "--ranks 2 --connections 1,4 --sockets 1 --seconds 0.01 --storm 20"}
# Namespaces with names are the block's own, also where two such tests run at a time.
OWN_NAMES = 'mkdir -p /run/netns && mount -t tmpfs names /run/netns && ip link set lo up && exec "$@"'
MARK = re.compile(r"<!-- *(run|log): *(.*?) *-->$")
FENCE = re.compile(r"^( *)```([a-z]*)$")


class Block:
    """A fenced block: where it is, its language, its comment (kind, words) and its text."""

    def __init__(self, path, line, language, mark):
        self.path, self.line, self.language, self.lines = path, line, language, []
        self.kind, self.words = mark or ("", "")

    @property
    def where(self):
        return f"{os.path.relpath(self.path, ROOT)}:{self.line}"

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"

    @property
    def how(self):
        """host, guest, by or none."""
        return re.split(r"[ ,:]", self.words, maxsplit=1)[0] if self.kind == "run" else ""

    @property
    def worst(self):
        """The highest exit status of a command that is as it should be."""
        found = [w for w in self.with_ if w.startswith("exit ")]
        return int(found[0].split()[1]) if found else 0

    @property
    def with_(self):
        """What stands behind host or guest."""
        return re.split(r", *", self.words)[1:] if self.how in ("host", "guest") else []

    @property
    def tests(self):
        """The tests that a `by` names."""
        return re.split(r", *", re.sub(r"^by ", "", self.words).split(":")[0])


def documents():
    found = []
    for pattern in PATTERNS:
        found += glob.glob(os.path.join(ROOT, pattern), recursive=True)
    return sorted(f for f in found if "/build" not in os.path.relpath(f, ROOT))


def blocks(path):
    """The blocks of one document, and what is wrong with their fences."""
    found, wrong, block, indent, mark = [], [], None, "", None
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            fence = FENCE.match(line)
            if block is not None:
                if fence and fence[1] == indent and not fence[2]:
                    block = None
                else:
                    block.lines.append(line[len(indent):])
                continue
            marked = MARK.search(line)
            if marked:
                mark = (marked[1], marked[2])
            elif fence:
                indent, block = fence[1], Block(path, number, fence[2], mark)
                found.append(block)
                mark = None
            elif line.strip():
                if mark:
                    wrong.append(f"{os.path.relpath(path, ROOT)}:{number}: a comment with run: or log: stands before no block")
                mark = None
    if block is not None:
        wrong.append(f"{block.where}: the block does not end")
    return found, wrong


def commands(text):
    """The simple commands in a block or a line of shell: lists of words. Comments and what is in quotes are left as they are."""
    found = []
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            continue  # a here-document's text, or the like
        command = []
        for word in words + [";"]:
            if re.fullmatch(r"[|&;()]+", word):
                found += [command] if command else []
                command = []
            else:
                command.append(word)
    return found


def program(words):
    """The program of a simple command, behind assignments, sudo and such; and its arguments."""
    words = list(words)
    while words and (re.match(r"\w+=", words[0]) or words[0] in ("sudo", "exec", "env", "nice", "srun", "!")):
        words.pop(0)
    return (words[0], words[1:]) if words else ("", [])


def tool_path(name):
    """Where a program of this project is: one that a build makes, or a script of the tree; else None."""
    built = {"devmem-conformance": "tests/conformance/devmem-conformance", "devmem-train": "examples/train/devmem-train"}
    if name.startswith("devmem-"):
        return os.path.join(BUILD, built.get(name, f"tools/{name}"))
    path = os.path.join(ROOT, name)
    return path if "/" in name and not name.startswith("/") and os.path.isfile(path) else None


_help = {}


def tool_help(path, first=""):
    """What PATH --help says, or that of its subcommand @first where it has one."""
    words = (path, first) if first in ("compare", "scale") else (path,)
    if words not in _help:
        with open(path, "rb") as f:
            text = f.read()
        # A script that has no help, nor shows its head at a wrong option, might do its work instead.
        if text.startswith(b"#!") and not re.search(rb"--help|argparse|sed -n '\d", text):
            _help[words] = ""
            return ""
        done = subprocess.run([*words, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        _help[words] = done.stdout + done.stderr if done.returncode in (0, 2) else ""
    return _help[words]


def unknown_options(words):
    """The options in a simple command of ours that the program's --help does not tell: (program, options)."""
    name, arguments = program(words)
    path = tool_path(name)
    if not path or not os.access(path, os.X_OK):
        return name, []
    options = []
    for word in arguments:
        if word == "--":
            break
        if re.match(r"--?[a-zA-Z]", word):
            options.append(word.split("=")[0])
    if not options or options in (["--help"], ["-h"]):
        return name, []
    text = tool_help(path, arguments[0])
    return name, [o for o in options if not re.search(rf"(?<![\w-]){re.escape(o)}(?![\w-])", text)]


def environment():
    """That of commands from documents: the programs that were built come first, and nothing of NCCL's is set."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NCCL_")}
    path = ":".join(f"{BUILD}/{d}" for d in ("tools", "examples/train", "tests/conformance"))
    return {**clean, "PATH": f"{path}:{clean['PATH']}", "LD_LIBRARY_PATH": f"{BUILD}/plugin", "DEVMEM_BUILD": BUILD}


def run_block(block, cwd=ROOT, timeout=240, before=()):
    """Runs a block as a shell script, behind the command @before. Returns None, or what went wrong."""
    text = block.text
    for name, path in STANDS_FOR.items():
        text = re.sub(rf"(?<![\w/.-]){re.escape(name)}(?![\w.])", f"{BUILD}/{path}", text)
    if "short" in block.with_:
        for mode, brief in BRIEF.items():
            text = re.sub(rf"^(devmem-perf {mode}\b.*?)(\s+#.*)?$", rf"\1 {brief}", text, flags=re.M)
    if "root" in block.with_:
        before = (*before, "unshare", "--mount", "--net", "sh", "-c", OWN_NAMES, "sh")
    script = f"trap 's=$?; [ $s -le {block.worst} ] || exit $s' ERR\nset -o pipefail\n{text}"
    try:
        done = subprocess.run([*before, "bash", "-c", script], cwd=cwd, env=environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as e:
        return f"not done after {timeout} s:\n{(e.output or b'').decode(errors='replace')[-2000:]}"
    if done.returncode > block.worst or done.returncode < 0:
        return f"exit status {done.returncode}:\n{done.stdout[-3000:]}"
    return None
