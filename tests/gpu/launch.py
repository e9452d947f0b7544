# SPDX-License-Identifier: BSD-3-Clause
"""Starts the ranks of one run and sees that they end, in a bounded time, whatever happens to them."""

import os
import signal
import subprocess
import time

# How long the others may take to notice that one has failed, and to obey a signal.
NOTICE, OBEY = 20, 5


def stop(process):
    """Ends a rank and what it started: each has a session of its own."""
    for sig, patience in ((signal.SIGTERM, OBEY), (signal.SIGKILL, OBEY)):
        try:
            os.killpg(process.pid, sig)
        except ProcessLookupError:
            pass
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        if sig == signal.SIGTERM:
            # The rank is gone, what it started may not be.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return


def describe(process, reason):
    if reason:
        return reason
    if process.returncode == 0:
        return ""
    if process.returncode < 0:
        return f"ended by signal {-process.returncode} ({signal.Signals(-process.returncode).name})"
    return f"exit status {process.returncode}"


def run(commands, environments, outputs, seconds, notice=NOTICE, descriptors=None):
    """Runs all commands at once, their output into the files @outputs; @descriptors: those that each inherits. Return: for each how it
    ended, '' when well. None of them is left after @seconds, or @notice seconds after the first has failed, but for the
    moments that signals take."""
    processes, files, reasons = [], [], [""] * len(commands)
    try:
        for command, env, output, fds in zip(commands, environments, outputs, descriptors or [()] * len(commands)):
            files.append(open(output, "wb"))
            processes.append(subprocess.Popen([str(c) for c in command], env=env, stdin=subprocess.DEVNULL, stdout=files[-1],
                                              stderr=subprocess.STDOUT, start_new_session=True, pass_fds=fds))
        deadline, failed = time.monotonic() + seconds, False
        while None in [p.poll() for p in processes]:
            if not failed and any(p.returncode for p in processes):
                failed = True
                deadline = min(deadline, time.monotonic() + notice)
            if time.monotonic() > deadline:
                for i, p in enumerate(processes):
                    if p.poll() is None:
                        reasons[i] = (f"still ran {notice} seconds after the other rank had failed, and was ended" if failed else
                                      f"did not end in {seconds:.0f} seconds, and was ended")
                break
            time.sleep(0.05)
    finally:
        for p in processes:
            if p.poll() is None:
                stop(p)
        for f in files:
            f.close()
    return [describe(p, reason) for p, reason in zip(processes, reasons)]
