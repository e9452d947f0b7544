# SPDX-License-Identifier: BSD-3-Clause
"""The ways in which NCCL is run, and what has to be true of a run for it to have been that way.

@expect: what each rank's counters must say: text and a function of (counters, must) where must is the payload bytes that the rank
cannot have done without receiving. In the staged modes nearly all of them must have taken the way of the mode; what is
small may travel in the control stream (NCCL_DEVMEM_INLINE_MAX)."""

from dataclasses import dataclass, field

MOST = 0.9


@dataclass(frozen=True)
class Mode:
    name: str
    network: str
    help: str
    env: dict = field(default_factory=dict)
    expect: tuple = ()

    @property
    def plugin(self):
        return self.network == "Devmem"

    @property
    def staged(self):
        return self.env.get("NCCL_DEVMEM_RECV") == "staged"


def received(c):
    return c["recv_inline"] + c["recv_copy"] + c["recv_devmem"] + c["recv_linear"] + c["recv_staged"]


# NCCL uses GPU pointers only with a NIC near the GPU; lo is near nothing.
STAGED = {"NCCL_DEVMEM_RECV": "staged", "NCCL_NET_GDR_LEVEL": "SYS", "NCCL_NET_GDR_READ": "1"}

MODES = {m.name: m for m in (
    Mode("socket", "Socket", "NCCL's own transport over TCP", {"NCCL_NET": "Socket", "NCCL_NET_PLUGIN": "none"}),
    Mode("host", "Devmem", "the plugin without a devmem NIC: NCCL brings bytes through its own host buffers", {}, (
        ("bytes were received by copy", lambda c, must: c["recv_copy"] > 0),
        ("no byte was staged", lambda c, must: c["recv_staged"] == 0),
        ("no byte was put in place by the GPU or left to unpack", lambda c, must: c["placed_gpu"] == c["placed_unpack"] == 0))),
    Mode("staged+gather", "Devmem", "received into host memory, brought to the pool on the GPU, put in place there by the plugin",
         {**STAGED, "NCCL_DEVMEM_PLACE": "gather"}, (
             ("nearly all bytes were staged", lambda c, must: c["recv_staged"] >= MOST * must),
             ("nearly all bytes were put in place by the GPU", lambda c, must: c["placed_gpu"] >= MOST * must),
             ("no byte was left to unpack", lambda c, must: c["placed_unpack"] == 0),
             ("the GPU was given kernels or copies", lambda c, must: c["gpu_launches"] + c["gpu_copies"] > 0))),
    Mode("staged+unpack", "Devmem", "the same, but NCCL's own kernels put the bytes in place (NCCL_NET_DEVICE_UNPACK)",
         {**STAGED, "NCCL_DEVMEM_PLACE": "unpack"}, (
             ("nearly all bytes were staged", lambda c, must: c["recv_staged"] >= MOST * must),
             ("nearly all bytes were left to unpack", lambda c, must: c["placed_unpack"] >= MOST * must),
             ("the plugin put next to nothing in place itself", lambda c, must: c["placed_gpu"] <= (1 - MOST) * must))),
)}
BASELINE = "socket"


def environment(mode, rank, plugin, log, extra=None):
    """What NCCL finds in the environment of a rank. NCCL_HOSTID makes two ranks on one GPU look like two hosts, which is what lets NCCL
    accept them and makes it use the network; the rest keeps both on loopback and away from anything else."""
    env = {
        "NCCL_HOSTID": f"devmem-gpu-{rank}",
        "NCCL_SOCKET_IFNAME": "lo",
        "NCCL_IB_DISABLE": "1",
        "NCCL_MNNVL_ENABLE": "0",
        "NCCL_NVLS_ENABLE": "0",
        "NCCL_COLLNET_ENABLE": "0",
        "NCCL_RAS_ENABLE": "0",
        "NCCL_DEBUG": "INFO",
        "NCCL_DEBUG_SUBSYS": "INIT,NET,ENV",
        "NCCL_DEBUG_FILE": str(log),
        "GLOO_SOCKET_IFNAME": "lo",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if mode.plugin:
        env.update({"NCCL_NET": "Devmem", "NCCL_NET_PLUGIN": str(plugin)})
    env.update(mode.env)
    env.update(extra or {})
    return env
