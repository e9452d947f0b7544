#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the GPU suite on a machine that has no GPU: selfcheck.py [logic|ranks] [-v], both parts when none is named.

logic: everything that judges and shows results, on made-up runs, right ones and wrong ones; each check has to find what it is there
to find. With DEVMEM_BUILD, a build directory, also the C program's arithmetic. ranks: the ranks' programs on the CPU over gloo;
exit status 77 where no interpreter has torch."""

import contextlib
import copy
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
import collectives  # noqa: E402
import counters  # noqa: E402
import judge  # noqa: E402
import launch  # noqa: E402
import modes  # noqa: E402
import probe  # noqa: E402
import suite  # noqa: E402
import table  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20

LOG = """host:1:2 [0] NCCL INFO NET/{net} : Using [0]lo:127.0.0.1<0>
host:1:2 [0] NCCL INFO Assigned NET plugin {net} to comm
host:1:2 [0] NCCL INFO Using network {net}
{plugin}host:1:2 [0] NCCL INFO Channel 00/02 : 0 1
host:1:2 [0] NCCL INFO Trees [0] 1/-1/-1->0->-1 [1] -1/-1/-1->0->1
host:1:2 [0] NCCL INFO Channel 00/0 : 1[0] -> 0[0] [receive] via {way}/0{gdr}
host:1:2 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[0] [send] via {way}/0{gdr}/Shared
"""
MUST = 64 * MIB


def log_of(mode):
    net = mode.network
    return LOG.format(net=net, way=f"NET/{net}", gdr="/GDRDMA(PCI)" if "staged" in mode.name else "",
                      plugin="host:1:2 [0] NCCL INFO NET/Devmem: device 0: lo 127.0.0.1\n" if mode.plugin else "")


def counters_of(mode):
    if not mode.plugin:
        return None
    c = dict.fromkeys(counters.names(), 0)
    c["recv_inline"] = 1000
    if mode.name == "host":
        c["recv_copy"] = MUST
    else:
        c["recv_staged"] = MUST
        if mode.name == "staged+gather":
            c.update(placed_gpu=MUST, gpu_launches=50)
        else:
            c.update(placed_unpack=MUST, gpu_copies=100)
    return c


def result(op="all_reduce", dtype="fp32", size=MIB, busbw=1.0, digest="00aa"):
    return {"op": op, "dtype": dtype, "bytes": size, "wrong": 0, "first_wrong": None, "digests": [digest, digest], "iterations": 5,
            "seconds": 0.1, "busbw": busbw}


def made_run(name, number=0, busbw=1.0):
    mode = modes.MODES[name]
    rank = {"program": "collectives", "error": None, "counters": counters_of(mode), "must_receive": MUST, "skipped": [],
            "results": [result(size=s, busbw=busbw, digest=f"{s:04x}") for s in (8, MIB)]}
    return judge.Run(name, "collectives", number, [copy.deepcopy(rank), copy.deepcopy(rank)], [log_of(mode)] * 2, ["", ""])


def made_training(name):
    mode = modes.MODES[name]
    losses = [[(2.0 * 0.9 ** s + 0.01 * r).hex() for r in range(2)] for s in range(30)]
    ranks = [{"program": "train", "error": None, "counters": counters_of(mode), "must_receive": MUST, "steps": 30, "weights": "12ab",
              "losses": [x[r] for x in losses], "seconds_a_step": 0.004} for r in range(2)]
    ranks[0].update(reference=copy.deepcopy(losses), reference_weights="12ab")
    return judge.Run(name, "train", 1, ranks, [log_of(mode)] * 2, ["", ""])


def made_suite():
    runs = [made_run(m, n, busbw=b * (1 + n / 10)) for n in range(3)
            for m, b in (("socket", 2.0), ("host", 1.0), ("staged+gather", 0.5), ("staged+unpack", 3.0))]
    return runs + [made_training(m) for m in modes.MODES]


WANTED = [(p, m) for p in ("collectives", "train") for m in modes.MODES]


class Judging(unittest.TestCase):
    """A suite where all is well, and everything that can go wrong with it."""

    def setUp(self):
        self.runs = made_suite()

    def find(self, mode, program="collectives"):
        return next(r for r in self.runs if r.mode == mode and r.program == program)

    def problems(self):
        return judge.all_problems(self.runs, WANTED)

    def must_find(self, *words):
        found = self.problems()
        self.assertTrue(any(all(w in p for w in words) for p in found), f"no problem with {words} among {found}")

    def test_all_is_well(self):
        self.assertEqual(self.problems(), [])

    def test_every_mode_by_socket(self):
        """Socket in place of the plugin, in log and counters: the defect that the suite must never miss."""
        for name in modes.MODES:
            if name == modes.BASELINE:
                continue
            with self.subTest(name):
                self.runs = made_suite()
                run = self.find(name)
                run.logs = [log_of(modes.MODES["socket"])] * 2
                for r in run.ranks:
                    r["counters"] = None
                self.must_find(name, "Socket, not Devmem")
                self.must_find(name, "was not loaded")

    def test_socket_by_the_plugin(self):
        run = self.find("socket")
        run.logs = [log_of(modes.MODES["host"])] * 2
        self.must_find("socket", "Devmem, not Socket")
        self.runs = made_suite()
        self.find("socket").ranks[1]["counters"] = counters_of(modes.MODES["host"])
        self.must_find("socket", "rank 1", "plugin was loaded")

    def test_modes_are_told_apart_by_counters_alone(self):
        names = [m.name for m in modes.MODES.values() if m.plugin]
        for a in names:
            for b in names:
                if a == b:
                    continue
                with self.subTest(f"{a} as {b}"):
                    self.runs = made_suite()
                    for r in self.find(b).ranks:
                        r["counters"] = counters_of(modes.MODES[a])
                    self.must_find(b, "does not hold")

    def test_blind_spot(self):
        """If a mode lost what tells it from another, the suite says so."""
        lax = modes.Mode("lax", "Devmem", "", {}, ())
        modes.MODES["lax"] = lax
        try:
            self.assertTrue(any("also have passed for lax" in p for p in judge.blind_spots([self.find("host")])))
        finally:
            del modes.MODES["lax"]

    def test_one_rank_alone_is_seen(self):
        self.find("staged+gather").ranks[1]["counters"]["placed_gpu"] = MUST // 2
        self.must_find("staged+gather", "rank 1", "put in place by the GPU")

    def test_other_transports(self):
        for way in ("P2P/CUMEM", "SHM/direct/direct"):
            with self.subTest(way):
                self.runs = made_suite()
                run = self.find("host")
                run.logs = [run.logs[0], run.logs[1] + f"host:1:2 [0] NCCL INFO Channel 01/0 : 0[0] -> 1[0] via {way}\n"]
                self.must_find("host", "rank 1", way)

    def test_empty_log(self):
        self.find("host").logs = ["", ""]
        self.must_find("host", "none named")
        self.must_find("host", "no line of the plugin")

    def test_two_networks(self):
        run = self.find("host")
        run.logs = [x + "host:1:2 [0] NCCL INFO Using network Socket\n" for x in run.logs]
        self.must_find("host", "Devmem, Socket")

    def test_too_few_bytes(self):
        self.find("host").ranks[0]["must_receive"] = 2 * MUST
        self.must_find("host", "cannot do with less")
        self.runs = made_suite()
        self.find("host").ranks[0]["must_receive"] = 0
        self.must_find("host", "cannot do with less")

    def test_wrong_values(self):
        self.find("staged+unpack").ranks[1]["results"][0].update(wrong=3, first_wrong="element 7 is 1.0, not 2.0")
        self.must_find("staged+unpack", "rank 1", "3 wrong", "element 7")

    def test_other_bits(self):
        self.find("staged+gather").ranks[0]["results"][1]["digests"][1] = "ffff"
        self.must_find("rank 0 has 2 different results", "ffff")

    def test_missing_cases(self):
        for run in self.runs:
            if run.mode == "host" and run.program == "collectives":
                for r in run.ranks:
                    del r["results"][1]
        self.must_find("host: 1 of 2 cases did not run")

    def test_case_of_one_round_is_enough(self):
        for r in self.find("host").ranks:
            del r["results"][1]
        self.assertEqual(self.problems(), [])

    def test_no_cases(self):
        for r in self.find("host").ranks:
            r["results"] = []
        self.must_find("host", "not a single case")

    def test_ends(self):
        self.find("socket").ends = ["", "exit status 2"]
        self.must_find("socket", "rank 1", "exit status 2")
        self.runs = made_suite()
        self.find("socket").ranks[0] = None
        self.must_find("socket", "rank 0", "no result")
        self.runs = made_suite()
        self.find("socket").ranks[0]["error"] = "RuntimeError: x"
        self.must_find("socket", "rank 0", "RuntimeError")

    def test_mode_not_run(self):
        self.runs = [r for r in self.runs if r.mode != "staged+unpack"]
        self.must_find("collectives, staged+unpack: was not run")
        self.must_find("train, staged+unpack: was not run")

    def test_losses(self):
        self.find("host", "train").ranks[1]["losses"][17] = (float.fromhex(self.find("host", "train").ranks[1]["losses"][17])
                                                             * (1 + 2 ** -52)).hex()
        self.must_find("losses of rank 1 differ from step 17")

    def test_losses_away_from_reference(self):
        for run in self.runs:
            if run.program == "train":
                run.ranks[0]["reference"][5][1] = (9.0).hex()
        self.must_find("rank 1", "step 5", "9.0")
        self.runs = made_suite()
        del self.find("host", "train").ranks[0]["reference"]
        self.must_find("host", "no reference")

    def test_training_that_is_none(self):
        for run in self.runs:
            if run.program == "train":
                for r in range(2):
                    run.ranks[r]["losses"] = [(2.0).hex()] * 30
                run.ranks[0]["reference"] = [[(2.0).hex()] * 2] * 30
        self.must_find("nothing was learnt")

    def test_not_a_number(self):
        for run in self.runs:
            if run.program == "train":
                run.ranks[0]["losses"] = [(2.0).hex()] + ["nan"] * 29
        self.must_find("nothing was learnt")

    def test_weights(self):
        self.find("host", "train").ranks[1]["weights"] = "0"
        self.must_find("final weights differ", "host")

    def test_fewer_steps(self):
        self.find("host", "train").ranks[0]["losses"].pop()
        self.must_find("29 losses in 30 steps")


class Tables(unittest.TestCase):
    def test_figures(self):
        header, rows = table.collective_rows(made_suite(), list(modes.MODES))
        self.assertEqual(header, ["operation", "type", "size", "Socket", "host", "×", "staged+gather", "×", "staged+unpack", "×"])
        self.assertEqual(rows[0], ["all_reduce", "fp32", "8 B", "2.20", "1.10", "0.50", "0.550", "0.25", "3.30", "1.50"])
        self.assertEqual([r[2] for r in rows], ["8 B", "1 MiB"])
        self.assertAlmostEqual(table.spread(made_suite()), 100 * 0.2 / 1.1)

    def test_order(self):
        cases = [("all_to_all", "fp32", 8), ("all_reduce", "bf16", 8), ("all_reduce", "fp32", 1 << 30), ("all_reduce", "fp32", 8)]
        self.assertEqual(sorted(cases, key=table.order), cases[::-1][0:1] + [cases[2], cases[1], cases[0]])

    def test_words(self):
        self.assertEqual([table.size_name(n) for n in (8, 1024, MIB + 8, 128 * MIB, 1 << 30)],
                         ["8 B", "1 KiB", "1 MiB + 8 B", "128 MiB", "1 GiB"])
        self.assertEqual([table.rate(x) for x in (None, 123.4, 12.34, 1.234, 0.1234, 0.00001234)],
                         ["–", "123", "12.3", "1.23", "0.123", "1.2e-05"])
        self.assertEqual(table.ratio(1.0, None), "–")

    def test_text_columns(self):
        lines = table.text(*table.collective_rows(made_suite(), list(modes.MODES))).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertEqual(len({len(x) for x in lines}), 1)

    def test_document(self):
        runs = made_suite()
        runs[0].ranks[0]["skipped"] = [{"op": "all_reduce", "dtype": "fp32", "bytes": 1 << 30, "reason": "too large"}]
        good = table.document([("GPU", "x")], runs, list(modes.MODES), ["tests/gpu/run"], [], table.skipped_lines(runs))
        for part in ("| GPU | x |", "| all_reduce | fp32 | 8 B | 2.20 |", "left out 1 GiB: too large", "tests/gpu/run", "30 steps",
                     "Every result was right", "| staged+unpack | 4.0 |"):
            self.assertIn(part, good)
        bad = table.document([], runs, list(modes.MODES), [], ["it broke"], [])
        self.assertIn("- it broke", bad)
        self.assertNotIn("Every result was right", bad)
        self.assertNotIn("are the same to the last bit", bad)

    def test_failed_runs_have_no_figures(self):
        runs = [made_run("socket"), made_run("host")]
        runs[1].ranks[1]["error"] = "x"
        self.assertEqual(table.collective_rows(runs, ["socket", "host"])[1][0][4:], ["–", "–"])


class Logs(unittest.TestCase):
    def test_lines_of_nccl(self):
        for line, way in (("Channel 00/0 : 1[0] -> 0[0] [receive] via NET/Devmem/0/GDRDMA(PCI)/Shared", "Devmem"),
                          ("Channel 00/0 : 0[f000] -> 1[f000] [send] via NET/Socket/0", "Socket"),
                          ("Channel 03/1 : 0[0] -> 1[0] [send] via NET/Devmem/1(2)/GDRDMA", "Devmem"),
                          ("Channel 00 : 0[0] -> 1[0] via P2P/direct pointer", "P2P/direct"),
                          ("Channel 00/0 : 0[0] -> 1[0] via SHM/direct/direct", "SHM/direct/direct")):
            self.assertEqual(judge.log_facts(f"h:1:2 [0] NCCL INFO {line}\n")["ways"], [way], line)

    def test_others(self):
        f = judge.log_facts(log_of(modes.MODES["staged+gather"]) + "\nh:1:2 [0] socket.cc:9 NCCL WARN something odd\n")
        self.assertEqual(f["networks"], ["Devmem"])
        self.assertEqual(f["gdr"], 1)
        self.assertEqual(f["plugin"], ["device 0: lo 127.0.0.1"])
        self.assertEqual(f["warnings"], ["something odd"])


class Probing(unittest.TestCase):
    GOOD = {"nodes": ["/dev/nvidia0"], "cuda": {"name": "GPU", "compute_mode": 0, "free": 1 << 36}, "plugin": {"versions": [12]},
            "torch": {"version": "2"}, "nccl": {"version": "2.30.7"}}

    def verdict(self, program="torch", **changes):
        return probe.verdict({**copy.deepcopy(self.GOOD), **changes}, program)

    def test_good(self):
        self.assertIsNone(self.verdict())
        self.assertIsNone(self.verdict("c", torch={"why": "no torch"}))

    def test_reasons(self):
        for changes, program, kind, words in (
                ({"nodes": []}, "torch", "skip", "/dev/nvidia0"),
                ({"cuda": {"why": "libcuda.so.1 cannot"}}, "torch", "skip", "libcuda.so.1"),
                ({"cuda": {"name": "GPU", "compute_mode": 3}}, "torch", "skip", "exclusive"),
                ({"torch": {"why": "no usable torch"}}, "torch", "skip", "torch"),
                ({"nccl": {"why": "libnccl.so.2 cannot"}}, "c", "skip", "libnccl.so.2"),
                ({"plugin": {"why": "no plugin at x", "remedy": "build it"}}, "torch", "skip", "remedy: build it"),
                ({"plugin": {"why": "cannot be loaded: libnl", "missing_library": True}}, "c", "skip", "libnl"),
                ({"plugin": {"why": "undefined symbol: x", "missing_library": False}}, "torch", "fail", "undefined symbol")):
            got = self.verdict(program, **changes)
            self.assertIsNotNone(got, changes)
            self.assertEqual(got[0], kind, changes)
            self.assertIn(words, got[1])

    def test_plugins(self):
        self.assertIn("no plugin at", probe.plugin_facts("/nonexistent/x.so")["why"])
        with tempfile.NamedTemporaryFile(suffix=".so") as f:
            f.write(b"no library")
            f.flush()
            self.assertFalse(probe.plugin_facts(f.name)["missing_library"])
        self.assertIn("not this project's", probe.plugin_facts("libc.so.6" if os.path.exists("libc.so.6") else libc())["why"])

    def test_cuda(self):
        """The calls into libcuda, on the stand-in for it, where that was built."""
        path = os.path.join(os.environ.get("DEVMEM_BUILD", "/nonexistent"), "tests/standin/lib/libcuda.so.1")
        if not os.path.exists(path):
            self.skipTest(f"no {path}")
        code = f"import json, probe; c = probe.Cuda({path!r}); c.call('cuInit', 0); print(json.dumps(c.device(0)))"
        done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual(found["compute_mode"], 0)
        self.assertGreaterEqual(found["cc_major"], 7)
        self.assertGreater(found["total"], 1 << 28)
        self.assertTrue(0 < found["free"] <= found["total"])
        code = f"import probe; c = probe.Cuda({path!r}); c.call('cuInit', 0); c.device(99)"
        done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, timeout=60, check=False)
        self.assertRegex(done.stderr, "RuntimeError: cuDeviceGet: error 101, ")

    def test_nodes(self):
        with tempfile.TemporaryDirectory() as d:
            self.assertEqual(probe.nodes(d), [])
            pathlib.Path(d, "nvidiactl").touch()
            self.assertEqual(probe.nodes(d), [])
            pathlib.Path(d, "nvidia0").touch()
            self.assertEqual(probe.nodes(d), [f"{d}/nvidia0"])

    def test_versions(self):
        self.assertEqual([probe.nccl_version(n) for n in (2708, 21803, 22907, 23007)], ["2.7.8", "2.18.3", "2.29.7", "2.30.7"])

    def test_memory(self):
        gib = 1 << 30
        self.assertGreaterEqual(suite.largest_buffer(9 * gib), gib)
        self.assertLess(suite.largest_buffer(8 * gib), gib)
        self.assertEqual(suite.largest_buffer(2 * gib), 0)

    def test_run_skips_without_a_gpu(self):
        if probe.nodes():
            self.skipTest("there is a GPU")
        done = subprocess.run([HERE / "run"], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 77, done.stdout + done.stderr)
        self.assertRegex(done.stdout, "^skip: no GPU: ")

    def test_run_refuses(self):
        for arguments, word in ((["--sizes", "8"], "1M"), (["--modes", "host"], "socket"), (["--modes", "socket,x"], "'x'"),
                                (["--cuda", "x"], "stand-in"), (["--env", "X"], "NAME=VALUE"), (["--env", "x:A=b"], "MODE:")):
            done = subprocess.run([HERE / "run", *arguments], capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(word, done.stderr)


def libc():
    """The path of a library that is no plugin."""
    import ctypes

    ctypes.CDLL("libc.so.6")
    return probe.mapped("libc.so") or probe.mapped("libc-")


class Counting(unittest.TestCase):
    def test_names(self):
        names = counters.names()
        self.assertEqual(names[:3], ["msgs_sent", "msgs_received", "sent_inline"])
        for needed in ("recv_inline", "recv_copy", "recv_devmem", "recv_linear", "recv_staged", "placed_gpu", "placed_unpack",
                       "gpu_launches", "gpu_copies"):
            self.assertIn(needed, names)

    def test_not_loaded(self):
        self.assertIsNone(counters.read("/nonexistent/plugin.so"))

    @unittest.skipUnless(os.environ.get("DEVMEM_BUILD"), "no DEVMEM_BUILD: nothing was built")
    def test_plugin(self):
        import _ctypes
        import ctypes

        path = os.path.join(os.environ["DEVMEM_BUILD"], "plugin/libnccl-net-devmem.so")
        if not os.path.exists(path):
            self.skipTest(f"no {path}")
        self.assertIsNone(counters.read(path))
        library = ctypes.CDLL(path)
        self.assertEqual(set(counters.read(path).values()), {0})
        _ctypes.dlclose(library._handle)
        self.assertIsNone(counters.read(path))


class Launching(unittest.TestCase):
    """Ranks that fail, hang, or disobey."""

    def launch(self, scripts, seconds=60, notice=1):
        with tempfile.TemporaryDirectory() as d:
            outputs = [pathlib.Path(d, str(i)) for i in range(len(scripts))]
            started = time.monotonic()
            ends = launch.run([["bash", "-c", s] for s in scripts], [os.environ] * len(scripts), outputs, seconds, notice)
            return ends, [o.read_text() for o in outputs], time.monotonic() - started

    def test_good(self):
        ends, outputs, _ = self.launch(["echo a; echo b >&2", "echo c"])
        self.assertEqual((ends, outputs), (["", ""], ["a\nb\n", "c\n"]))

    def test_status_and_signal(self):
        self.assertEqual(self.launch(["exit 3", "kill -9 $$"])[0], ["exit status 3", "ended by signal 9 (SIGKILL)"])

    def test_hang(self):
        ends, _, took = self.launch(["sleep 600", "true"], seconds=1)
        self.assertIn("did not end in 1 seconds", ends[0])
        self.assertLess(took, 300)

    def test_other_rank_failed(self):
        ends, _, took = self.launch(["sleep 600", "exit 1"])
        self.assertIn("after the other rank had failed", ends[0])
        self.assertEqual(ends[1], "exit status 1")
        self.assertLess(took, 300)

    def test_disobedient_with_children(self):
        for seconds in (1, 10, 60):
            ends, outputs, took = self.launch(["trap '' TERM; sleep 600 & echo $!; wait; while :; do sleep 1; done"], seconds=seconds)
            if outputs[0]:  # a busy machine may not have come to that
                break
        self.assertIn("did not end", ends[0])
        self.assertLess(took, 300)
        child = int(outputs[0].split()[0])
        for _ in range(600):
            try:
                with open(f"/proc/{child}/stat", encoding="ascii") as f:
                    if f.read().split()[2] == "Z":
                        break
            except OSError:
                break
            time.sleep(0.1)
        else:
            os.kill(child, signal.SIGKILL)
            self.fail("a child of a rank lived on")


class Planning(unittest.TestCase):
    def test_bytes(self):
        """What a rank must receive, against the bytes of each block that is not its own."""
        for op, want in (("all_reduce", 100), ("all_gather", 50), ("reduce_scatter", 50), ("all_to_all", 50), ("sendrecv", 100)):
            self.assertEqual(collectives.must_receive(op, 100, 2, 1, 0), want)
        self.assertEqual([collectives.must_receive("broadcast", 100, 2, r, 0) for r in (0, 1)], [0, 100])
        self.assertEqual(collectives.must_receive("all_reduce", 400, 4, 0, 0), 600)

    def test_small_first(self):
        cases = collectives.cases(("a", "b"), ("x", "y"), (100, 8))
        self.assertEqual(cases[0], ("a", "x", 8))
        self.assertEqual([c[2] for c in cases], [8] * 4 + [100] * 4)

    def test_interleaving(self):
        class Options:
            modes, rounds = ["socket", "host", "staged+gather"], 3
        s = suite.Suite.__new__(suite.Suite)
        s.o = Options
        plan = [(p, m.name, n) for p, m, n in s.plan(True)]
        self.assertEqual([m for p, m, n in plan if n == 1], ["host", "staged+gather", "socket"])
        self.assertEqual(len(plan), 12)
        self.assertEqual({m for p, m, n in plan if p == "train"}, set(Options.modes))

    def test_no_gdr(self):
        for gdr, left in ((1, 4), (None, 4), (0, 2)):
            o = type("Options", (), {"modes": list(modes.MODES), "standin": False})
            lines = suite.leave_out(o, {"cuda": {"gdr": gdr}})
            self.assertEqual((len(o.modes), len(lines)), (left, 4 - left))
        self.assertEqual(o.modes, ["socket", "host"])
        self.assertIn("GPUDirect RDMA", lines[0])

    def test_report(self):
        """What the user sees in the end, and the file that is written."""
        f = {"cuda": {"name": "Card", "cc_major": 9, "cc_minor": 0, "total": 1 << 37, "free": 1 << 36, "gdr": 1, "dmabuf": None,
                      "driver_api": 13000}, "torch": {"version": "2.11", "cuda": "13.0", "nccl": "2.28.9"}, "nccl": {"why": "none"},
             "driver": "580.1", "python": "3.12", "kernel": "7.2", "machine": "x86_64", "mps": False}
        runs = made_suite()
        with tempfile.TemporaryDirectory() as d:
            o = type("Options", (), {"modes": list(modes.MODES), "write": f"{d}/x.md", "rounds": 3, "standin": False,
                                     "env": [suite.setting("host:A=b")]})
            made = type("Suite", (), {"runs": runs, "left_out": []})
            with contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual(suite.report(o, f, "torch", made, None), 0)
            text = pathlib.Path(o.write).read_text(encoding="utf-8")
            self.assertIn("16 runs, 0 problems", out.getvalue())
            for part in ("| GPU | Card, compute capability 9.0, 128 GiB (64 GiB free) |", "| driver | 580.1 (CUDA 13.0) |",
                         "| NCCL | 2.28.9 |", "| GPUDirect RDMA, dmabuf export | yes, unknown |", "host, by --env: A=b",
                         "staged+unpack: NCCL_NET=Devmem", "in turns (no MPS)", "| all_reduce | fp32 | 1 MiB |"):
                self.assertIn(part, text)
            runs[3].ranks[0]["results"][0]["wrong"] = 1
            with contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual(suite.report(o, f, "torch", made, None), 1)
            self.assertIn("PROBLEM: collectives, staged+unpack", out.getvalue())
            self.assertIn("**1 checks failed:**", pathlib.Path(o.write).read_text(encoding="utf-8"))

    def test_environment(self):
        os.environ["NCCL_NET"] = "Fabric"
        try:
            s = suite.Suite.__new__(suite.Suite)
            env = [suite.setting("NCCL_PROTO=Simple"), suite.setting("host:A=b=c")]
            s.o = type("Options", (), {"plugin": pathlib.Path("/x/p.so"), "env": env})
            a, b = (s.environment(modes.MODES["staged+unpack"], r, "/tmp/log") for r in (0, 1))
            self.assertEqual((a["NCCL_NET"], a["NCCL_NET_PLUGIN"], a["NCCL_DEVMEM_PLACE"]), ("Devmem", "/x/p.so", "unpack"))
            self.assertEqual(a["NCCL_PROTO"], "Simple")
            self.assertNotEqual(a["NCCL_HOSTID"], b["NCCL_HOSTID"])
            self.assertNotIn("A", a)
            self.assertEqual(s.environment(modes.MODES["host"], 0, "x")["A"], "b=c")
            self.assertEqual(s.environment(modes.MODES["socket"], 0, "x")["NCCL_NET"], "Socket")
        finally:
            del os.environ["NCCL_NET"]


if __name__ == "__main__":
    import selfcheck_ranks

    part = next((a for a in sys.argv[1:] if a in ("logic", "ranks")), None)
    if part == "ranks" and not selfcheck_ranks.TORCH:
        print(f"skip: {selfcheck_ranks.NO_TORCH}")
        sys.exit(77)
    loader, tests = unittest.TestLoader(), unittest.TestSuite()
    if part != "ranks":
        tests.addTests([loader.loadTestsFromModule(sys.modules["__main__"]),
                        loader.loadTestsFromTestCase(selfcheck_ranks.Arithmetic)])
    if part != "logic":
        tests.addTests(loader.loadTestsFromTestCase(selfcheck_ranks.Gloo))
    outcome = unittest.TextTestRunner(verbosity=2 if "-v" in sys.argv else 1).run(tests)
    for test, why in outcome.skipped:
        print(f"skipped: {test.id()}: {why}")
    sys.exit(not outcome.wasSuccessful())
