# SPDX-License-Identifier: BSD-3-Clause
"""What the ranks fill their buffers with, what must come out of each operation, and how that is compared.

Element i of a buffer is a function of (seed, i) alone, so every rank can work out what every other rank sent, and a byte that
comes from the wrong place is seen. The values are small integers: sums of them are exact in each type, in any order, so that
results can be compared bit by bit with each other and with the reference. Everything works in chunks, since the buffers may
fill most of the GPU."""

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
BITS = {"fp32": torch.int32, "bf16": torch.int16}
ITEMSIZE = {"fp32": 4, "bf16": 2}
# Largest integer up to which all integers are exact.
EXACT = {"fp32": 1 << 24, "bf16": 1 << 8}
CHUNK = 1 << 24
GUARD = 64
OPS = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "sendrecv", "all_to_all")
MASK32 = 0xFFFFFFFF


def mix(index, seed):
    """A 32-bit hash of each element of @index (int64, < 2^30), the same on any device. No product leaves 63 bits."""
    x = (index * 2654435761 + (seed * 40503 + 12345)) & MASK32
    x = x ^ (x >> 16)
    x = (x * 0x45D9F3B) & MASK32
    x = x ^ (x >> 16)
    x = (x * 0x119DE1F3) & MASK32
    return x ^ (x >> 15)


def values(dtype, world, seed, first, count, device):
    """Elements first..first+count of the buffer that @seed names; a sum over @world of them is exact."""
    most = EXACT[dtype] // world
    index = torch.arange(first, first + count, dtype=torch.int64, device=device)
    return (mix(index, seed) % (2 * most + 1) - most).to(DTYPES[dtype])


def chunks(count):
    for first in range(0, count, CHUNK):
        yield first, min(CHUNK, count - first)


def fill(tensor, dtype, world, seed):
    for first, n in chunks(tensor.numel()):
        tensor[first:first + n] = values(dtype, world, seed, first, n, tensor.device)


def poison(tensor, dtype):
    """All bits set: not a number, and no value of ours."""
    tensor.view(BITS[dtype]).fill_(-1)


def rank_seed(salt, rank):
    return salt * 64 + rank


def counts(op, dtype, size, world):
    """Elements of input and output for an operation whose larger buffer has @size bytes, as nccl-tests counts them."""
    n = size // ITEMSIZE[dtype]
    if op == "all_gather":
        return n // world, n
    if op == "reduce_scatter":
        return n, n // world
    return n, n


def fits(op, dtype, size, world):
    """Can the operation be done with exactly @size bytes?"""
    unit = ITEMSIZE[dtype] * (world if op in ("all_gather", "reduce_scatter", "all_to_all") else 1)
    return size % unit == 0


def root_of(salt, world):
    return salt % world


def expected(op, dtype, world, rank, salt, first, n, total, device):
    """Elements first..first+n of the @total that @rank must find in its output."""
    def of(source, at, count):
        return values(dtype, world, rank_seed(salt, source), at, count, device)

    if op == "broadcast":
        return of(root_of(salt, world), first, n)
    if op == "sendrecv":
        return of((rank - 1) % world, first, n)
    if op in ("all_reduce", "reduce_scatter"):
        at = first + (rank * total if op == "reduce_scatter" else 0)
        result = of(0, at, n)
        for other in range(1, world):
            result = result + of(other, at, n)
        return result
    # Blocks, one from each rank: all_gather's are whole inputs, all_to_all's the rank's share of each.
    block = total // world
    parts = []
    while n:
        source, inside = divmod(first, block)
        m = min(n, block - inside)
        parts.append(of(source, inside + (rank * block if op == "all_to_all" else 0), m))
        first, n = first + m, n - m
    return torch.cat(parts)


def verify(out, op, dtype, world, rank, salt):
    """Compares bit by bit. Return: number of wrong elements, and the first of them as text (None when all are right)."""
    wrong, found = 0, None
    for first, n in chunks(out.numel()):
        want = expected(op, dtype, world, rank, salt, first, n, out.numel(), out.device)
        differ = (out[first:first + n].view(BITS[dtype]) != want.view(BITS[dtype])).nonzero().flatten()
        if differ.numel() and found is None:
            at = int(differ[0])
            found = f"element {first + at} is {float(out[first + at])}, not {float(want[at])}"
        wrong += differ.numel()
    return wrong, found


def guard_is_whole(full, dtype):
    return bool((full[-GUARD:].view(BITS[dtype]) == -1).all())


def digest(tensor, dtype):
    """64 bits over value and place of each element, the same on any device."""
    total = 0
    for first, n in chunks(tensor.numel()):
        bits = tensor[first:first + n].view(BITS[dtype]).to(torch.int64) & MASK32
        index = torch.arange(first, first + n, dtype=torch.int64, device=tensor.device)
        low = mix((bits ^ mix(index, 1)) & 0x3FFFFFFF, 2) + (bits >> 30)
        high = mix((bits >> 2) ^ (mix(index, 3) & 0x3FFFFFFF), 4)
        total += int(low.sum()) + (int(high.sum()) << 17)
    return f"{total & 0xFFFFFFFFFFFFFFFF:016x}"
