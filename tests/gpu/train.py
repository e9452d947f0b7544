#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One rank of a small training with DistributedDataParallel: writes each step's loss, exactly, and the weights' digest.

Everything is deterministic, and gradients of two ranks are halved before they are added, so the losses have to be the same to the
last bit whatever network carries them. Rank 0 then does the same training by itself, on both halves of every batch, without any
network: the reference."""

import os
import sys
import time

sys.dont_write_bytecode = True
import rank as ranks  # noqa: E402

FEATURES, CLASSES, BATCH = 64, 10, 128
RATE, MOMENTUM = 0.05, 0.9


def model(torch, hidden):
    torch.manual_seed(1)
    n = torch.nn
    return n.Sequential(n.Linear(FEATURES, hidden), n.ReLU(), n.Linear(hidden, hidden), n.ReLU(), n.Linear(hidden, CLASSES))


def batches(torch, world, steps):
    """A problem that can be learnt: which of ten random directions is a noisy point nearest to. Made on the CPU, alike everywhere.
    Yields each step's points and labels, a share for each rank."""
    g = torch.Generator().manual_seed(2)
    centres = torch.randn(CLASSES, FEATURES, generator=g)
    for _ in range(steps):
        labels = torch.randint(CLASSES, (world, BATCH), generator=g)
        points = centres[labels] + 1.5 * torch.randn(world, BATCH, FEATURES, generator=g)
        yield points, labels


def weights_digest(net):
    import tensors

    return tensors.digest(tensors.torch.cat([p.detach().flatten() for p in net.parameters()]), "fp32")


def optimizer(torch, net):
    return torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)


def train_reference(rank, options):
    """The training of all ranks in one process: gradients divided by the number of ranks, then added. Return: losses[step][rank]."""
    torch = rank.torch
    net = model(torch, options.hidden).to(rank.device)
    opt = optimizer(torch, net)
    losses = []
    for points, labels in batches(torch, rank.world, options.steps):
        grads, step = None, []
        for r in range(rank.world):
            net.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(points[r].to(rank.device)), labels[r].to(rank.device))
            loss.backward()
            step.append(float(loss).hex())
            mine = [p.grad.detach().clone() / rank.world for p in net.parameters()]
            grads = mine if grads is None else [a + b for a, b in zip(grads, mine)]
        for p, g in zip(net.parameters(), grads):
            p.grad = g
        opt.step()
        losses.append(step)
    return losses, weights_digest(net)


def body(options):
    def run(rank, result):
        torch = rank.torch
        torch.use_deterministic_algorithms(True)
        if rank.backend == "nccl":
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        net = model(torch, options.hidden).to(rank.device)
        ddp = torch.nn.parallel.DistributedDataParallel(net, device_ids=[rank.device.index] if rank.backend == "nccl" else None,
                                                        bucket_cap_mb=options.bucket_mb)
        opt = optimizer(torch, ddp)
        losses = []
        rank.barrier()
        started = time.perf_counter()
        for points, labels in batches(torch, rank.world, options.steps):
            opt.zero_grad()
            loss = torch.nn.functional.cross_entropy(ddp(points[rank.rank].to(rank.device)), labels[rank.rank].to(rank.device))
            loss.backward()
            opt.step()
            losses.append(float(loss.detach()).hex())
        rank.sync()
        took = rank.slowest(time.perf_counter() - started)
        size = sum(p.numel() for p in net.parameters()) * 4
        result.update(steps=options.steps, hidden=options.hidden, gradient_bytes=size, losses=losses, weights=weights_digest(net),
                      seconds_a_step=took / options.steps,
                      must_receive=int(options.steps * size * 2 * (rank.world - 1) / rank.world))
        if rank.rank == 0:
            result["reference"], result["reference_weights"] = train_reference(rank, options)
        return True
    return run


def main():
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    p = ranks.parser(__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--steps", type=int, default=200)
    p.add_argument("--hidden", type=int, default=1024, help="width of the two hidden layers")
    p.add_argument("--bucket-mb", type=float, default=1, help="DDP's bucket: how much is reduced at a time")
    options = p.parse_args()
    return ranks.run(options, "train", body(options))


if __name__ == "__main__":
    sys.exit(main())
