#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One rank of the collectives: checks each against a reference worked out here, then times it, and writes JSON.

Operations, sizes and bus bandwidth are as in nccl-tests: the size is that of the larger buffer, in bytes. Each case is checked before
and after it is timed, each time with other values, and the last timed call too; the output is poisoned first, so that neither bytes
left over nor bytes never written can pass. With --backend gloo the same runs on the CPU: gloo does not have all operations, so there they
are put together from sends and receives, and what is tested is this program, not gloo."""

import sys
import time

sys.dont_write_bytecode = True
import rank as ranks  # noqa: E402

SIZES = (8, 1 << 10, 64 << 10, (1 << 20) + 8, 16 << 20, 128 << 20, 1 << 30)
ITERATIONS = 100
# The share of the time left that one case may take for itself before the others have had theirs.
CASE_SHARE = 3


def bus_factor(op, world):
    """Bus bandwidth is size / time times this (nccl-tests, doc/PERFORMANCE.md)."""
    if op == "all_reduce":
        return 2 * (world - 1) / world
    if op in ("all_gather", "reduce_scatter", "all_to_all"):
        return (world - 1) / world
    return 1.0


def must_receive(op, size, world, rank, root):
    """The payload bytes that @rank cannot do without receiving over the network; protocols may add to them."""
    if op == "broadcast":
        return 0 if rank == root else size
    return int(size * bus_factor(op, world))


def cases(ops, dtypes, sizes):
    """Small before large: what the small ones leave of the time goes to the large ones."""
    return [(op, dtype, size) for size in sorted(sizes) for dtype in dtypes for op in ops]


class Caller:
    """The operations, as torch has them."""

    def __init__(self, rank):
        self.dist, self.rank, self.world, self.torch = rank.dist, rank.rank, rank.world, rank.torch

    def prepare(self, op, inp, out, root):
        """What is done in place starts from a copy of the input; only the checked calls need it."""
        if op == "all_reduce" or (op == "broadcast" and self.rank == root):
            out.copy_(inp)

    def call(self, op, inp, out, root):
        dist = self.dist
        if op == "all_reduce":
            dist.all_reduce(out)
        elif op == "all_gather":
            dist.all_gather_into_tensor(out, inp)
        elif op == "reduce_scatter":
            dist.reduce_scatter_tensor(out, inp)
        elif op == "broadcast":
            dist.broadcast(out, root)
        elif op == "all_to_all":
            dist.all_to_all_single(out, inp)
        else:
            ops = [dist.P2POp(dist.isend, inp, (self.rank + 1) % self.world),
                   dist.P2POp(dist.irecv, out, (self.rank - 1) % self.world)]
            for work in dist.batch_isend_irecv(ops):
                work.wait()


class GlooCaller(Caller):
    """The same from sends and receives of bytes, which is what every gloo has."""

    def exchange(self, pieces):
        """@pieces: what each rank is to get. Return: what each has sent. Sizes are all alike."""
        got = [self.torch.empty_like(p) for p in pieces]
        work = []
        for other in range(self.world):
            if other == self.rank:
                got[other].copy_(pieces[other])
            else:
                work.append(self.dist.isend(pieces[other].view(self.torch.uint8), other))
                work.append(self.dist.irecv(got[other].view(self.torch.uint8), other))
        for w in work:
            w.wait()
        return got

    def call(self, op, inp, out, root):
        blocks = [b.contiguous() for b in inp.view(self.world, -1)] if op in ("reduce_scatter", "all_to_all") else None
        if op == "all_reduce":
            got = self.exchange([out.clone()] * self.world)
            out.copy_(sum(got[1:], got[0]))
        elif op == "all_gather":
            out.copy_(self.torch.cat(self.exchange([inp] * self.world)))
        elif op == "reduce_scatter":
            got = self.exchange(blocks)
            out.copy_(sum(got[1:], got[0]))
        elif op == "broadcast":
            out.copy_(self.exchange([out.clone()] * self.world)[root])
        elif op == "all_to_all":
            out.copy_(self.torch.cat(self.exchange(blocks)))
        else:
            out.copy_(self.exchange([inp] * self.world)[(self.rank - 1) % self.world])


class Case:
    """Buffers of one case, and what happened to them."""

    def __init__(self, rank, caller, op, dtype, size):
        import tensors

        self.t, self.r, self.caller = tensors, rank, caller
        self.op, self.dtype, self.size = op, dtype, size
        n_in, n_out = tensors.counts(op, dtype, size, rank.world)
        torch_type = tensors.DTYPES[dtype]
        self.inp = rank.torch.empty(n_in, dtype=torch_type, device=rank.device)
        self.full = rank.torch.empty(n_out + tensors.GUARD, dtype=torch_type, device=rank.device)
        self.out = self.full[:n_out]
        self.result = {"op": op, "dtype": dtype, "bytes": size, "wrong": 0, "first_wrong": None, "digests": []}
        self.received = 0

    def go(self, root):
        self.caller.call(self.op, self.inp, self.out, root)
        self.received += must_receive(self.op, self.size, self.r.world, self.r.rank, root)

    def check(self, salt):
        """One call whose result is looked at. Return: its seconds."""
        t, r, root = self.t, self.r, self.t.root_of(salt, self.r.world)
        t.fill(self.inp, self.dtype, r.world, t.rank_seed(salt, r.rank))
        t.poison(self.full, self.dtype)
        self.caller.prepare(self.op, self.inp, self.out, root)
        r.barrier()
        started = time.perf_counter()
        self.go(root)
        r.sync()
        seconds = time.perf_counter() - started
        self.look(salt)
        self.result["digests"].append(t.digest(self.out, self.dtype))
        return seconds

    def look(self, salt):
        """Compares the output with what it has to be."""
        t, r = self.t, self.r
        wrong, first = t.verify(self.out, self.op, self.dtype, r.world, r.rank, salt)
        if not t.guard_is_whole(self.full, self.dtype):
            wrong, first = wrong + 1, first or "bytes behind the end of the output were written"
        self.result["wrong"] += wrong
        self.result["first_wrong"] = self.result["first_wrong"] or first

    def measure(self, seconds, most):
        """Times as many calls as fit in @seconds, 1 to @most. The last of them is looked at as well, except all_reduce's, which torch has
        in place only: it goes on adding."""
        r, root = self.r, self.t.root_of(1, self.r.world)
        in_place = self.op == "all_reduce" or (self.op == "broadcast" and r.rank == root)
        once = r.slowest(self.check(1))
        iterations = r.from_first(max(1, min(most, int(seconds / max(once, 1e-6)))))
        if not in_place:
            self.t.poison(self.full, self.dtype)
        r.barrier()
        started = time.perf_counter()
        for _ in range(iterations):
            self.go(root)
        r.sync()
        took = r.slowest(time.perf_counter() - started) / iterations
        if self.op != "all_reduce":
            self.look(1)
        self.check(2)
        self.result.update(iterations=iterations, seconds=took, busbw=self.size * bus_factor(self.op, r.world) / took / 1e9)


def plan(options, world):
    """Splits the cases that were asked for into those to run and those that are left out, with the reason."""
    import tensors

    run, skipped = [], []
    for op, dtype, size in cases(options.ops.split(","), options.dtypes.split(","), map(int, options.sizes.split(","))):
        reason = None
        if not tensors.fits(op, dtype, size, world):
            reason = f"{size} bytes are no whole number of elements for each of {world} ranks"
        elif options.max_bytes and size > options.max_bytes:
            reason = f"more than the {options.max_bytes} bytes that free GPU memory allows"
        if reason:
            skipped.append({"op": op, "dtype": dtype, "bytes": size, "reason": reason})
        else:
            run.append((op, dtype, size))
    return run, skipped


def body(options):
    def run(rank, result):
        todo, result["skipped"] = plan(options, rank.world)
        result["results"] = []
        result["must_receive"] = 0
        caller = (GlooCaller if rank.backend == "gloo" else Caller)(rank)
        deadline = time.monotonic() + options.seconds
        for at, (op, dtype, size) in enumerate(todo):
            left = deadline - time.monotonic()
            if not rank.from_first(left > 0):
                result["skipped"] += [{"op": o, "dtype": d, "bytes": s, "reason": "out of time"} for o, d, s in todo[at:]]
                break
            case = Case(rank, caller, op, dtype, size)
            case.measure(left / (len(todo) - at) / CASE_SHARE, options.iterations)
            result["results"].append(case.result)
            result["must_receive"] += case.received
            del case
            if rank.backend == "nccl" and size >= 128 << 20:
                rank.torch.cuda.empty_cache()
        return all(r["wrong"] == 0 for r in result["results"])
    return run


def main():
    p = ranks.parser(__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--ops", default="all_reduce,all_gather,reduce_scatter,broadcast,sendrecv,all_to_all")
    p.add_argument("--dtypes", default="fp32,bf16")
    p.add_argument("--sizes", default=",".join(map(str, SIZES)), help="bytes, with commas")
    p.add_argument("--max-bytes", type=int, default=0, help="leave larger sizes out; 0: none")
    p.add_argument("--iterations", type=int, default=ITERATIONS, help="timed calls at most")
    p.add_argument("--seconds", type=float, default=120, help="time for all cases; those that find none left are left out")
    options = p.parse_args()
    return ranks.run(options, "collectives", body(options))


if __name__ == "__main__":
    sys.exit(main())
