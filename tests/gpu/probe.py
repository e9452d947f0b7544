#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Finds out what this machine has, and says what is missing for the suite. Prints JSON; run as a process of its own, so that no CUDA
context stays behind.

    probe.py --plugin PATH [--device N]"""

import argparse
import ctypes
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

# CUdevice_attribute of the driver API.
ATTRIBUTES = {"compute_mode": 20, "cc_major": 75, "cc_minor": 76, "gdr": 116, "dmabuf": 124}
COMPUTE_MODES = {0: "default", 2: "prohibited", 3: "exclusive process"}
LIBRARY_REMEDY = {"libnl-3.so.200": "libnl-3-200", "libnl-genl-3.so.200": "libnl-genl-3-200", "libdrm.so.2": "libdrm2"}


def nodes(root="/dev"):
    """Where a GPU of NVIDIA's shows itself to user space: the driver's nodes, or WSL's."""
    return sorted(glob.glob(f"{root}/nvidia[0-9]*")) + sorted(glob.glob(f"{root}/dxg"))


class Cuda:
    """As much of libcuda as is needed to look."""

    def __init__(self, name="libcuda.so.1"):
        self.lib = ctypes.CDLL(name)

    def call(self, name, *args):
        r = getattr(self.lib, name)(*args)
        if r:
            text = ctypes.c_char_p()
            self.lib.cuGetErrorString(r, ctypes.byref(text))
            raise RuntimeError(f"{name}: error {r}, {(text.value or b'unknown').decode()}")

    def integer(self, name, *args):
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value), *args)
        return value.value

    def device(self, ordinal):
        dev = self.integer("cuDeviceGet", ordinal)
        name = ctypes.create_string_buffer(128)
        self.call("cuDeviceGetName", name, 128, dev)
        out = {"name": name.value.decode(errors="replace")}
        for key, number in ATTRIBUTES.items():
            try:
                out[key] = self.integer("cuDeviceGetAttribute", number, dev)
            except RuntimeError:
                out[key] = None  # an attribute that the driver is too old for
        ctx, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(ctx), dev)
        try:
            self.call("cuCtxPushCurrent_v2", ctx)
            self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
            self.call("cuCtxPopCurrent_v2", ctypes.byref(ctx))
        finally:
            self.call("cuDevicePrimaryCtxRelease_v2", dev)
        out.update(free=free.value, total=total.value)
        return out


def cuda(ordinal):
    """{} and a reason, or what the driver says."""
    try:
        driver = Cuda()
    except OSError as e:
        return {"why": f"libcuda.so.1, the GPU driver's library, cannot be loaded ({e})"}
    try:
        driver.call("cuInit", 0)
        count = driver.integer("cuDeviceGetCount")
        out = {"driver_api": driver.integer("cuDriverGetVersion"), "devices": count}
        if ordinal >= count:
            return {**out, "why": f"there is no GPU {ordinal}: the driver has {count}"}
        return {**out, **driver.device(ordinal)}
    except (RuntimeError, AttributeError) as e:
        return {"why": str(e)}


def torch_facts():
    """What this interpreter's torch can do."""
    try:
        import torch
        import torch.distributed as dist
    except Exception as e:  # broken installations raise anything
        return {"why": f"{sys.executable} has no usable torch ({type(e).__name__}: {e})"}
    out = {"version": torch.__version__, "cuda": torch.version.cuda, "gloo": False}
    if not dist.is_available():
        return {**out, "why": "torch was built without torch.distributed"}
    out["gloo"] = not hasattr(dist, "is_gloo_available") or dist.is_gloo_available()
    if not torch.version.cuda or not dist.is_nccl_available():
        return {**out, "why": f"torch {torch.__version__} was built without CUDA or without NCCL"}
    nccl = torch.cuda.nccl.version()
    out["nccl"] = ".".join(map(str, nccl)) if isinstance(nccl, tuple) else str(nccl)
    if not torch.cuda.is_available():
        return {**out, "why": f"torch {torch.__version__} finds no GPU (torch.cuda.is_available() is false)"}
    return out


def nccl_facts():
    """A libnccl.so.2 by itself, for the program that needs no torch."""
    try:
        lib = ctypes.CDLL("libnccl.so.2")
    except OSError as e:
        return {"why": f"libnccl.so.2 cannot be loaded ({e})"}
    number = ctypes.c_int()
    if lib.ncclGetVersion(ctypes.byref(number)):
        return {"why": "ncclGetVersion() failed"}
    return {"version": nccl_version(number.value), "path": mapped("libnccl")}


def nccl_version(n):
    """NCCL's integer: 2.9 and newer are major × 10000 + minor × 100 + patch."""
    return f"{n // 10000}.{n // 100 % 100}.{n % 100}" if n >= 10000 else f"{n // 1000}.{n // 100 % 10}.{n % 100}"


def mapped(part):
    """The file of a library in this process."""
    with open("/proc/self/maps", encoding="utf-8") as f:
        for line in f:
            if part in line and "/" in line:
                return line[line.index("/"):].strip()
    return None


def plugin_facts(path):
    if not os.path.exists(path):
        return {"why": f"no plugin at {path}", "remedy": "build it: cmake --preset release && cmake --build build"}
    try:
        lib = ctypes.CDLL(path)
    except OSError as e:
        missing = re.match(r"(\S+): cannot open shared object file", str(e))
        package = LIBRARY_REMEDY.get(missing.group(1)) if missing else None
        return {"why": f"the plugin cannot be loaded: {e}", "missing_library": bool(missing),
                "remedy": f"install {package}" if package else ""}
    versions = [v for v in range(6, 13) if hasattr(lib, f"ncclNetPlugin_v{v}")]
    out = {"versions": versions, "counters": hasattr(lib, "nccl_devmem_counters_get")}
    if not versions or not out["counters"]:
        out.update(why=f"{path} is not this project's plugin: it has ncclNetPlugin_v{versions} and "
                       f"{'a' if out['counters'] else 'no'} nccl_devmem_counters_get", missing_library=False)
    return out


def smi():
    """The driver's version, from the kernel or from nvidia-smi."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as f:
            found = re.search(r"(\d+\.\d+(?:\.\d+)?)  ", f.read())
            if found:
                return found.group(1)
    except OSError:
        pass
    if shutil.which("nvidia-smi"):
        try:
            done = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True,
                                  timeout=60, check=False)
            if done.returncode == 0 and done.stdout.strip():
                return done.stdout.split()[0]
        except (OSError, subprocess.TimeoutExpired):
            pass
    return None


def facts(plugin, ordinal):
    out = {"nodes": nodes(), "kernel": platform.release(), "machine": platform.machine(), "python": platform.python_version(),
           "driver": smi(), "plugin": plugin_facts(plugin), "cuda": {}, "torch": {}, "nccl": {},
           "mps": os.path.exists(os.path.join(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"), "control"))}
    # A machine without a GPU is not asked further: that torch is missing as well is no news then.
    if out["nodes"]:
        out["cuda"] = cuda(ordinal)
    if out["cuda"] and "why" not in out["cuda"]:
        out["torch"] = torch_facts()
        out["nccl"] = nccl_facts()
    return out


def verdict(f, programs):
    """Why the suite cannot run here: ('skip' or 'fail', reason), or None. @programs: 'torch' or 'c'."""
    if not f["nodes"]:
        return "skip", "no GPU: there is neither a /dev/nvidia0 nor a /dev/dxg"
    c = f["cuda"]
    if "why" in c:
        return "skip", c["why"]
    if c.get("compute_mode"):
        mode = COMPUTE_MODES.get(c["compute_mode"], c["compute_mode"])
        return "skip", (f"{c['name']} is in compute mode {mode}, and two processes are to share it: its administrator would have to set "
                        "it to default")
    p = f["plugin"]
    if "why" in p:
        kind = "skip" if p.get("missing_library", True) else "fail"
        return kind, p["why"] + (f"; remedy: {p['remedy']}" if p.get("remedy") else "")
    if programs == "torch" and "why" in f["torch"]:
        return "skip", f["torch"]["why"]
    if programs == "c" and "why" in f["nccl"]:
        return "skip", f["nccl"]["why"]
    return None


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--plugin", required=True)
    p.add_argument("--device", type=int, default=0)
    o = p.parse_args()
    json.dump(facts(os.path.abspath(o.plugin), o.device), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
