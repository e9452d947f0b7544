#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Data-parallel training with PyTorch: enough of it to see which path the gradients take.

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 train.py [--steps N] [--megabytes N]

Each rank trains the same model on data of its own. At the end the weights of all ranks are compared bit by bit, and rank 0 tells how many
bytes went by which path, from the plugin's own counters. Exit status 1: weights differ, or with --require bytes took another path.
"""
import argparse
import ctypes
import os
import sys

# The first rows of NCCL_DEVMEM_COUNTERS in nccl_devmem.h, in its order; the struct only ever grows at its end.
COUNTERS = ("msgs_sent", "msgs_received", "sent_inline", "sent_copy", "sent_zerocopy", "sent_devmem", "recv_inline", "recv_copy",
            "recv_devmem", "recv_linear", "frags", "tokens_out", "tokens_in")
PLUGIN = "libnccl-net-devmem.so"


def plugin_counters(name=os.environ.get("NCCL_NET_PLUGIN", "")):
    """What the plugin in this process has counted, or None where NCCL has not loaded it. To be asked before NCCL unloads it, which is
    when the last process group goes."""
    try:
        library = ctypes.CDLL(name if "/" in name else PLUGIN, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None
    get = library.nccl_devmem_counters_get
    get.restype, get.argtypes = ctypes.c_size_t, (ctypes.c_void_p, ctypes.c_size_t)
    values = (ctypes.c_uint64 * len(COUNTERS))()
    get(values, ctypes.sizeof(values))
    return dict(zip(COUNTERS, values))


def path_report(counted):
    """One line for people, and whether all that was received on data sockets came by devmem."""
    if counted is None:
        return f"{PLUGIN} is not loaded: NCCL took another network; NCCL_DEBUG=INFO says why", False
    received = sum(counted[f"recv_{path}"] for path in ("copy", "devmem", "linear"))
    text = (f"sent: devmem {counted['sent_devmem']}, zerocopy {counted['sent_zerocopy']}, copy {counted['sent_copy']}; "
            f"received: devmem {counted['recv_devmem']}, linear {counted['recv_linear']}, copy {counted['recv_copy']}; "
            f"tokens: {counted['tokens_out']} issued, {counted['tokens_in']} given back")
    return text, received > 0 and counted["recv_devmem"] == received


def train(torch, distributed, steps, megabytes):
    """Returns whether all ranks ended with the same weights."""
    rank, local = distributed.get_rank(), int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(local)
    torch.manual_seed(1)
    side = max(64, int((megabytes * 2**20 / 4 / 2) ** 0.5))
    model = torch.nn.Sequential(torch.nn.Linear(side, side), torch.nn.ReLU(), torch.nn.Linear(side, side)).cuda()
    model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[local])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(100 + rank)
    for step in range(steps):
        data = torch.randn(64, side, device="cuda")
        loss = (model(data) - data).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0 and (step + 1) % 10 == 0:
            print(f"step {step + 1}: loss {loss.item():.6f}", flush=True)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    first = weights.clone()
    distributed.broadcast(first, src=0)
    same = torch.tensor([int(torch.equal(first, weights))], device="cuda")
    distributed.all_reduce(same, op=distributed.ReduceOp.MIN)
    return bool(same.item())


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("--steps", type=int, default=100, help="steps of the optimizer (100)")
    ap.add_argument("--megabytes", type=int, default=64, help="gradients in a step (64)")
    ap.add_argument("--require", action="store_true", help="exit status 1 unless all was received by devmem")
    args = ap.parse_args()
    try:
        import torch
        from torch import distributed
    except ImportError as err:
        sys.exit(f"train.py wants PyTorch with CUDA: {err}")
    if not torch.cuda.is_available():
        sys.exit("train.py wants a GPU: torch.cuda.is_available() is False")

    distributed.init_process_group("nccl")
    same = train(torch, distributed, args.steps, args.megabytes)
    text, fast = path_report(plugin_counters())
    if distributed.get_rank() == 0:
        print(f"weights are {'the same on all ranks' if same else 'DIFFERENT'}\n{text}", flush=True)
    distributed.destroy_process_group()
    sys.exit(0 if same and (fast or not args.require) else 1)


if __name__ == "__main__":
    main()
