# SPDX-License-Identifier: BSD-3-Clause
"""What the programs of one rank share: options, process groups, how they end, and what they leave for the judge."""

import argparse
import datetime
import json
import os
import sys
import time
import traceback

sys.dont_write_bytecode = True
import counters  # noqa: E402

EXIT_WRONG, EXIT_ERROR = 1, 2


def parser(text):
    p = argparse.ArgumentParser(description=text)
    p.add_argument("--backend", choices=("nccl", "gloo"), default="nccl", help="gloo: on the CPU, to test this program")
    p.add_argument("--rank", type=int, required=True)
    p.add_argument("--world", type=int, default=2)
    p.add_argument("--init", required=True, help="file over which the ranks meet; must not exist yet")
    p.add_argument("--out", required=True, help="where the results go, as JSON")
    p.add_argument("--plugin", default="", help="the plugin whose counters are to be read")
    p.add_argument("--device", type=int, default=0, help="GPU, as CUDA counts them")
    p.add_argument("--timeout", type=int, default=120, help="seconds that one operation may take")
    return p


class Rank:
    """The process groups: the one that is tested, and one over gloo for everything that is not to be measured."""

    def __init__(self, options):
        import torch
        import torch.distributed as dist

        self.torch, self.dist = torch, dist
        self.rank, self.world, self.backend = options.rank, options.world, options.backend
        self.plugin = options.plugin
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        torch.set_num_threads(1)
        if self.backend == "nccl":
            torch.cuda.set_device(options.device)
            self.device = torch.device("cuda", options.device)
        else:
            self.device = torch.device("cpu")
        timeout = datetime.timedelta(seconds=options.timeout)
        dist.init_process_group(self.backend, init_method=f"file://{os.path.abspath(options.init)}", rank=self.rank,
                                world_size=self.world, timeout=timeout)
        self.control = dist.new_group(backend="gloo", timeout=timeout) if self.backend == "nccl" else None

    def sync(self):
        if self.backend == "nccl":
            self.torch.cuda.synchronize()

    def barrier(self):
        self.sync()
        self.dist.all_reduce(self.torch.zeros(1), group=self.control)

    def from_first(self, value):
        """An integer that rank 0 decides."""
        t = self.torch.tensor([int(value)], dtype=self.torch.int64)
        self.dist.broadcast(t, 0, group=self.control)
        return int(t[0])

    def slowest(self, seconds):
        t = self.torch.tensor([seconds], dtype=self.torch.float64)
        self.dist.all_reduce(t, op=self.dist.ReduceOp.MAX, group=self.control)
        return float(t[0])

    def versions(self):
        torch = self.torch
        v = {"python": sys.version.split()[0], "torch": torch.__version__, "backend": self.backend}
        if self.backend == "nccl":
            nccl = torch.cuda.nccl.version()
            v["nccl"] = ".".join(map(str, nccl)) if isinstance(nccl, tuple) else str(nccl)
            v["cuda"] = torch.version.cuda
            v["gpu"] = torch.cuda.get_device_name(self.device)
        return v

    def counters(self):
        return counters.read(self.plugin) if self.plugin else None

    def end(self):
        self.barrier()
        self.dist.destroy_process_group()


def write(path, result):
    """Whole or not at all: a reader never finds half a file."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
        f.flush()
        os.fsync(f.fileno())
    os.rename(path + ".new", path)


def run(options, program, body):
    """Runs @body(rank, result), which fills @result and returns whether everything was right. Return: the exit status. The counters are
    read before the communicator goes, since the plugin goes with it."""
    result = {"program": program, "rank": options.rank, "world": options.world, "error": None}
    started = time.monotonic()
    status = EXIT_ERROR
    try:
        rank = Rank(options)
        result["versions"] = rank.versions()
        right = body(rank, result)
        rank.barrier()
        result["counters"] = rank.counters()
        rank.end()
        status = 0 if right else EXIT_WRONG
    except BaseException as e:  # whatever it was, the judge is to know
        result["error"] = f"{type(e).__name__}: {e}"
        traceback.print_exc()
    result["seconds"] = time.monotonic() - started
    write(options.out, result)
    sys.stdout.flush()
    sys.stderr.flush()
    if status == EXIT_ERROR:
        os._exit(status)  # a group with a dead peer may never let go
    return status
