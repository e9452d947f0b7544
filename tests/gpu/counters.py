# SPDX-License-Identifier: BSD-3-Clause
"""The plugin's counters, from the library that NCCL has loaded into this process."""

import _ctypes
import ctypes
import os
import pathlib
import re

HEADER = pathlib.Path(__file__).resolve().parents[2] / "include/nccl_devmem.h"


def names(header=HEADER):
    """The rows of NCCL_DEVMEM_COUNTERS, in the order of the struct."""
    text = pathlib.Path(header).read_text()
    table = text[text.index("#define NCCL_DEVMEM_COUNTERS(C)"):text.index("struct nccl_devmem_counters {")]
    return re.findall(r"C\((\w+), \"", table)


def read(path, header=HEADER):
    """The counters as a dict; None when nobody has loaded @path into this process. NCCL unloads the library with its last
    communicator, so the handle is given back at once."""
    try:
        library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None
    try:
        get = library.nccl_devmem_counters_get
        get.restype, get.argtypes = ctypes.c_size_t, (ctypes.c_void_p, ctypes.c_size_t)
        rows = names(header)
        have = get(None, 0) // 8
        if have < len(rows):
            raise RuntimeError(f"{path} has {have} counters, {header} {len(rows)}: they are not of one version")
        buffer = (ctypes.c_uint64 * len(rows))()
        get(buffer, ctypes.sizeof(buffer))
        return dict(zip(rows, buffer))
    finally:
        _ctypes.dlclose(library._handle)
