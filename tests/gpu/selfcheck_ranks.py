# SPDX-License-Identifier: BSD-3-Clause
"""The part of selfcheck.py that runs the ranks' programs: torch over gloo on the CPU, and nccl-bench's arithmetic."""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

import collectives
import judge
import launch
import modes
import suite

HERE = pathlib.Path(__file__).resolve().parent
WORLDS = (2, 3)
SIZES = "8,24,1032,65544,1048584"


def find_torch():
    """An interpreter with torch and gloo, which may be another than the one that runs this."""
    for python in filter(None, (os.environ.get("PYTHON"), sys.executable, "/usr/bin/python3")):
        try:
            code = ("import torch.distributed as d; assert d.is_available()\n"
                    "print('gloo' if not hasattr(d, 'is_gloo_available') or d.is_gloo_available() else '')")
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and done.stdout.strip() == "gloo":
            return python
    return None


TORCH = find_torch()
NO_TORCH = "no python3 here has torch with gloo; remedy: install python3-torch"


def mix(index, seed):
    """tensors.mix once more, in plain integers."""
    mask = 0xFFFFFFFF
    x = (index * 2654435761 + seed * 40503 + 12345) & mask
    x = ((x ^ x >> 16) * 0x45D9F3B) & mask
    x = ((x ^ x >> 16) * 0x119DE1F3) & mask
    return x ^ x >> 15


def element(dtype, world, salt, rank, index):
    most = {"fp32": 1 << 24, "bf16": 1 << 8}[dtype] // world
    return mix(index, salt * 64 + rank) % (2 * most + 1) - most


def reference(op, dtype, world, rank, salt, count_in):
    """The whole output of @rank in plain integers, from the definition of each operation."""
    inputs = [[element(dtype, world, salt, r, i) for i in range(count_in)] for r in range(world)]
    share = count_in // world
    if op == "all_reduce":
        return [sum(v) for v in zip(*inputs)]
    if op == "reduce_scatter":
        return [sum(v) for v in zip(*inputs)][rank * share:(rank + 1) * share]
    if op == "all_gather":
        return [v for part in inputs for v in part]
    if op == "broadcast":
        return inputs[salt % world]
    if op == "sendrecv":
        return inputs[(rank - 1) % world]
    return [v for part in inputs for v in part[rank * share:(rank + 1) * share]]


def bits(dtype, value):
    whole = struct.unpack("<I", struct.pack("<f", float(value)))[0]
    return whole if dtype == "fp32" else whole >> 16  # exact: what would be cut off is 0


def digest(dtype, output):
    total = 0
    for i, value in enumerate(output):
        b = bits(dtype, value)
        if dtype == "bf16" and b & 0x8000:
            b |= 0xFFFF0000
        low = mix((b ^ mix(i, 1)) & 0x3FFFFFFF, 2) + (b >> 30)
        high = mix((b >> 2) ^ (mix(i, 3) & 0x3FFFFFFF), 4)
        total += low + (high << 17)
    return f"{total & 0xFFFFFFFFFFFFFFFF:016x}"


class Ranks(unittest.TestCase):
    """What the ranks' programs say of themselves, over gloo."""

    def pair(self, program, world, *arguments, seconds=150):
        with tempfile.TemporaryDirectory() as d:
            out = [pathlib.Path(d, f"{r}.json") for r in range(world)]
            commands = [[TORCH, HERE / program, "--backend", "gloo", "--rank", r, "--world", world, "--init", pathlib.Path(d, "meet"),
                         "--out", out[r], *arguments] for r in range(world)]
            ends = launch.run(commands, [os.environ] * world, [pathlib.Path(d, f"{r}.out") for r in range(world)], seconds)
            texts = "\n".join(pathlib.Path(d, f"{r}.out").read_text() for r in range(world))
            return ends, [json.loads(o.read_text()) if o.exists() else None for o in out], texts


@unittest.skipUnless(TORCH, NO_TORCH)
class Gloo(Ranks):
    def test_collectives(self):
        """Right results, told right; digests as worked out here from the definitions."""
        for world in WORLDS:
            with self.subTest(world=world):
                ends, ranks, texts = self.pair("collectives.py", world, "--sizes", SIZES, "--iterations", "2", "--seconds", "60")
                self.assertEqual(ends, [""] * world, texts)
                for r, rank in enumerate(ranks):
                    self.assertEqual([x for x in rank["results"] if x["wrong"]], [])
                    sizes = {x["bytes"] for x in rank["results"]}
                    self.assertIn(1048584, sizes)
                    for x in rank["results"]:
                        self.assertGreater(x["busbw"], 0)
                        if x["bytes"] > 2000:
                            continue
                        n = x["bytes"] // {"fp32": 4, "bf16": 2}[x["dtype"]]
                        n = n // world if x["op"] == "all_gather" else n
                        want = [digest(x["dtype"], reference(x["op"], x["dtype"], world, r, salt, n)) for salt in (1, 2)]
                        self.assertEqual(x["digests"], want, x)
                self.assertEqual({(x["op"], x["dtype"]) for x in ranks[0]["results"]},
                                 {(o, t) for o in ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "sendrecv", "all_to_all")
                                  for t in ("fp32", "bf16")})

    def test_calls_as_with_nccl(self):
        """The calls that --backend nccl makes, as far as every gloo has them too."""
        code = ("import sys; sys.path.insert(0, %r); sys.argv[0] = 'collectives.py'\n"
                "import collectives, torch.distributed as dist\n"
                "collectives.GlooCaller = collectives.Caller\n"
                "assert dist.all_gather_into_tensor and dist.reduce_scatter_tensor\n"
                "sys.exit(collectives.main())\n") % str(HERE)
        with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
            f.write(code)
            f.flush()
            ops = "all_reduce,broadcast,sendrecv,all_to_all"
            ends, ranks, texts = self.pair(f.name, 2, "--sizes", "8,65544", "--dtypes", "fp32", "--iterations", "3", "--ops", ops)
        self.assertEqual(ends, ["", ""], texts)
        self.assertEqual({x["op"] for x in ranks[1]["results"]}, set(ops.split(",")))
        self.assertEqual([x for r in ranks for x in r["results"] if x["wrong"]], [])

    def test_as_the_suite_starts_them(self):
        """The suite's own command lines, files and environment, but for the backend."""
        class Suite(suite.Suite):
            def command(self, what, rank, where, seconds, meet):
                whole = super().command(what, rank, where, seconds, meet)
                return [TORCH, *whole[1:], "--backend", "gloo"]
        o = type("Options", (), {"plugin": pathlib.Path("/nonexistent.so"), "device": 0, "ops": ["all_reduce"], "dtypes": ["bf16"],
                                 "sizes": [1032], "iterations": 2, "steps": 20, "hidden": 32, "env": [], "standin": False})
        with tempfile.TemporaryDirectory() as d:
            s = Suite(o, {"cuda": {"free": 1 << 36}}, "torch", pathlib.Path(d), [])
            for what in ("collectives", "train"):
                run, outputs = s.run(what, modes.MODES["host"], 3, 60)
                self.assertEqual(run.ends, ["", ""], [p.read_text() for p in outputs])
                self.assertEqual([r["rank"] for r in run.ranks], [0, 1])
                self.assertGreater(run.ranks[1]["must_receive"], 0)
                self.assertIsNone(run.ranks[1]["counters"])
                # NCCL has not had a part in it, and that is seen.
                found = judge.run_problems(run)
                self.assertTrue(any("was not loaded" in p for p in found), found)
                self.assertTrue(any("none named" in p for p in found), found)

    def test_one_wrong_bit(self):
        """A bit that flips in one element of one rank, on the way out of the operation."""
        code = ("import sys; sys.path.insert(0, %r); sys.argv[0] = 'collectives.py'\n"
                "import collectives, torch\n"
                "call = collectives.GlooCaller.call\n"
                "def flip(self, op, inp, out, root):\n"
                "    call(self, op, inp, out, root)\n"
                "    if self.rank == 1 and op == 'all_gather' and out.numel() > 1000: out.view(torch.int16)[777] ^= 4\n"
                "collectives.GlooCaller.call = flip\n"
                "sys.exit(collectives.main())\n") % str(HERE)
        with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
            f.write(code)
            f.flush()
            ends, ranks, texts = self.pair(f.name, 2, "--sizes", "8,65544", "--iterations", "2", "--seconds", "60")
        self.assertEqual(ends, ["", "exit status 1"], texts)
        wrong = [(x["op"], x["dtype"], x["bytes"]) for x in ranks[1]["results"] if x["wrong"]]
        self.assertEqual(wrong, [("all_gather", "fp32", 65544), ("all_gather", "bf16", 65544)])
        found = {x["dtype"]: x["first_wrong"] for x in ranks[1]["results"] if x["wrong"]}
        self.assertRegex(found["fp32"], "^element 388 is ")
        self.assertRegex(found["bf16"], "^element 777 is ")

    def test_nothing_written(self):
        """An operation that leaves the output as it was, and one that writes behind its end."""
        code = ("import sys; sys.path.insert(0, %r); sys.argv[0] = 'collectives.py'\n"
                "import collectives, torch\n"
                "call = collectives.GlooCaller.call\n"
                "def lazy(self, op, inp, out, root):\n"
                "    if op != 'sendrecv': call(self, op, inp, out, root)\n"
                "    if op == 'all_to_all': out.as_strided((out.numel() + 1,), (1,))[-1] = 0\n"
                "collectives.GlooCaller.call = lazy\n"
                "sys.exit(collectives.main())\n") % str(HERE)
        with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
            f.write(code)
            f.flush()
            ends, ranks, texts = self.pair(f.name, 2, "--sizes", "1032", "--dtypes", "fp32", "--iterations", "1", "--seconds", "60")
        self.assertEqual(ends, ["exit status 1"] * 2, texts)
        wrong = {x["op"]: (x["wrong"], x["first_wrong"]) for x in ranks[0]["results"] if x["wrong"]}
        self.assertEqual(set(wrong), {"sendrecv", "all_to_all"})
        self.assertEqual(wrong["sendrecv"][0], 3 * 258)
        self.assertIn("behind the end", wrong["all_to_all"][1])

    def test_out_of_time_and_too_large(self):
        ends, ranks, texts = self.pair("collectives.py", 2, "--sizes", "8,12,64,1024", "--max-bytes", "64", "--seconds", "0")
        self.assertEqual(ends, ["", ""], texts)
        self.assertEqual(ranks[0]["results"], [])
        reasons = {(x["bytes"], x["reason"]) for x in ranks[1]["skipped"]}
        self.assertIn((64, "out of time"), reasons)
        self.assertTrue(any(b == 1024 and "free GPU memory" in r for b, r in reasons))
        self.assertTrue(any(b == 12 and "no whole number" in r for b, r in reasons))

    def test_dead_peer(self):
        """A rank that dies is told, and the other does not wait for ever."""
        code = ("import sys, os; sys.path.insert(0, %r); sys.argv[0] = 'collectives.py'\n"
                "import collectives\n"
                "call = collectives.GlooCaller.call\n"
                "def die(self, op, inp, out, root):\n"
                "    if self.rank == 1 and op == 'broadcast': os._exit(9)\n"
                "    call(self, op, inp, out, root)\n"
                "collectives.GlooCaller.call = die\n"
                "sys.exit(collectives.main())\n") % str(HERE)
        with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
            f.write(code)
            f.flush()
            ends, ranks, _ = self.pair(f.name, 2, "--sizes", "1024", "--iterations", "1", "--timeout", "60")
        self.assertEqual(ends[1], "exit status 9")
        self.assertTrue(ends[0])
        self.assertIsNone(ranks[1])

    def test_training(self):
        """DDP, its reference, and the judge's word on both."""
        ends, ranks, texts = self.pair("train.py", 2, "--steps", "200", "--hidden", "96")
        self.assertEqual(ends, ["", ""], texts)
        run = judge.Run("socket", "train", 0, ranks, ["", ""], ends)
        self.assertEqual(judge.training_problems([run]), [])
        self.assertEqual([s[1] for s in ranks[0]["reference"]], ranks[1]["losses"])
        self.assertEqual(ranks[0]["reference_weights"], ranks[1]["weights"])

    def test_training_without_reduction(self):
        """If gradients were not exchanged, the judge would see it."""
        code = ("import sys; sys.path.insert(0, %r); sys.argv[0] = 'train.py'\n"
                "import torch, train\n"
                "class Alone(torch.nn.Module):\n"
                "    def __init__(self, net, **kw): super().__init__(); self.net = net\n"
                "    def forward(self, x): return self.net(x)\n"
                "torch.nn.parallel.DistributedDataParallel = Alone\n"
                "sys.exit(train.main())\n") % str(HERE)
        with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
            f.write(code)
            f.flush()
            ends, ranks, texts = self.pair(f.name, 2, "--steps", "60", "--hidden", "64")
        self.assertEqual(ends, ["", ""], texts)
        found = judge.training_problems([judge.Run("socket", "train", 0, ranks, ["", ""], ends)])
        self.assertTrue(any("final weights differ" in p for p in found), found)
        self.assertTrue(any("in the reference" in p for p in found), found)


class Arithmetic(unittest.TestCase):
    """The reference of this file, which everything else is held against, on cases that can be done in the head."""

    def test_definitions(self):
        two = [[element("fp32", 2, 5, r, i) for i in range(4)] for r in (0, 1)]
        self.assertEqual(reference("all_reduce", "fp32", 2, 0, 5, 4), [a + b for a, b in zip(*two)])
        self.assertEqual(reference("reduce_scatter", "fp32", 2, 1, 5, 4), [a + b for a, b in zip(*two)][2:])
        self.assertEqual(reference("all_gather", "fp32", 2, 1, 5, 4), two[0] + two[1])
        self.assertEqual(reference("broadcast", "fp32", 2, 0, 5, 4), two[1])
        self.assertEqual(reference("sendrecv", "fp32", 2, 0, 5, 4), two[1])
        self.assertEqual(reference("all_to_all", "fp32", 2, 1, 5, 4), two[0][2:] + two[1][2:])

    def test_exact(self):
        """No sum is rounded in either type, or results could differ without anything being wrong."""
        for dtype in ("fp32", "bf16"):
            for world in (2, 3, 4):
                most = max(abs(element(dtype, world, 1, r, i)) for r in range(world) for i in range(2000))
                self.assertLessEqual(world * most, {"fp32": 1 << 24, "bf16": 1 << 8}[dtype])
                self.assertGreater(most, {"fp32": 1 << 21, "bf16": 50}[dtype])

    def test_pattern_of_the_c_program(self):
        """nccl-bench has its own code for all this; it has to expect the same bits."""
        program = os.path.join(os.environ.get("DEVMEM_BUILD", "/nonexistent"), "tests/gpu/gpu-pattern")
        if not os.path.exists(program):
            self.skipTest(f"no {program}: set DEVMEM_BUILD to a build directory")
        for op in ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "sendrecv", "all_to_all"):
            for dtype, item in (("fp32", 4), ("bf16", 2)):
                for world in (2, 3):
                    size = 60 * item * world
                    n = size // item // (world if op == "all_gather" else 1)
                    rank, salt = world - 1, 7
                    done = subprocess.run([program, op, dtype, str(size), str(world), str(rank), str(salt)], capture_output=True, text=True,
                                          timeout=60, check=False)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(done.stdout.strip(), digest(dtype, reference(op, dtype, world, rank, salt, n)), (op, dtype, world))

    def test_bus_factors(self):
        self.assertEqual([collectives.bus_factor(o, 4) for o in ("all_reduce", "all_gather", "broadcast", "sendrecv")], [1.5, 0.75, 1, 1])
