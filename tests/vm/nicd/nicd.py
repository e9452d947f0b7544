# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of devmem-nicd share: two hosts, brokers and jobs on them, what they leave, and a client that speaks to a broker
by itself."""
import array
import errno
import fcntl
import glob
import os
import signal
import socket
import struct
import subprocess
import time

ROOT = os.path.realpath(f"{os.path.dirname(os.path.realpath(__file__))}/../../..")
BUILD = os.environ["DEVMEM_BUILD"]
NICD = f"{BUILD}/tools/devmem-nicd"
STATE = f"{BUILD}/tests/vm/nicd/nic-state"
PLUGIN = f"{BUILD}/plugin/libnccl-net-devmem.so"
DIR = "/run/broker-test"
CONF = f"{DIR}/nicd.conf"
RECORDS = "/run/nccl-devmem"
NAME = "brk-"
USER = 65534
failures = []


def sh(command):
    return subprocess.run(command, shell=True, check=True, text=True, capture_output=True, timeout=120).stdout


def check(what, holds, shown=""):
    print(f"{'ok' if holds else 'not ok'} - {what}", flush=True)
    if not holds:
        failures.append(what)
        print("    " + str(shown).replace("\n", "\n    "), flush=True)


def on_host(i, *command, uid=None, env=None, **more):
    """A process in a host's network namespace, perhaps of a user without any privilege."""
    who = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"] if uid is not None else []
    base = {k: v for k, v in os.environ.items() if not k.startswith("NCCL_")}
    return subprocess.Popen(["ip", "netns", "exec", f"{NAME}{i}", *who, *command], text=True, env={**base, **(env or {})}, **more)


def sock(i):
    return f"{DIR}/{i}.sock"


def log_text(i):
    with open(f"{DIR}/broker-{i}.log", encoding="utf-8", errors="replace") as f:
        return f.read()


def write_conf(text, mode=0o644):
    with open(CONF, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(CONF, mode)


def good_conf():
    write_conf(f"# who is served\n[broker]\nusers = {USER}, 4242   # the job's\ninterfaces = sdm0\nqueues = 4\n")


class Broker:
    """Listens when it is there; @env: of its own. With @wait False it may also die before."""
    def __init__(self, i, env=None, wait=True):
        with open(f"{DIR}/broker-{i}.log", "a", encoding="utf-8") as log:
            self.p = on_host(i, NICD, "broker", "--listen", sock(i), "--conf", CONF, env=env, stdout=log, stderr=log)
        self.i = i
        if wait and not self.lives_to_listen():
            check("the broker listens", False, log_text(i))

    def lives_to_listen(self):
        for _ in range(300):
            if self.p.poll() is not None:
                return False
            if os.path.exists(sock(self.i)) and self.answers():
                return True
            time.sleep(0.1)
        return False

    def answers(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            return s.connect_ex(sock(self.i)) == 0

    def workers(self):
        return workers_of(self.p.pid)

    def kill(self, sig=signal.SIGKILL):
        self.p.send_signal(sig)
        return self.p.wait(timeout=60)


def workers_of(broker):
    """Its children; of a broker that has ended (None): all that serve somebody."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat, encoding="utf-8", errors="replace") as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        fields = rest.split()
        if fields[0] != "Z" and (name == "devmem-nicd job" if broker is None else int(fields[1]) == broker):
            found.append(int(stat.split("/")[2]))
    return found


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def state():
    return "".join(sh(f"ip netns exec {NAME}{i} {STATE} sdm0") for i in (0, 1))


def records():
    return [n for n in os.listdir(RECORDS) if n != "lock"] if os.path.isdir(RECORDS) else []


def clean(what, before):
    """All as before: settings, rules, bindings, records; within 30 s."""
    now = left = None
    for _ in range(300):
        now, left = state(), records()
        if now == before and not left:
            check(what, True)
            return
        time.sleep(0.1)
    check(what, False, f"{now}before:\n{before}records: {left}\n{log_text(0)[-3000:]}\n{log_text(1)[-2000:]}")


def job_env(i, **more):
    return {"NCCL_DEVMEM_IFNAME": "=sdm0", "NCCL_DEVMEM_BROKER": sock(i), "NCCL_DEBUG": "INFO", **more}


def start_ranks(program, port, uid=USER, env=None, **more):
    return [on_host(i, *program, "--ranks", "2", "--rank", str(i), "--rendezvous", f"10.77.0.1:{port}", "--plugin", PLUGIN,
                    uid=uid, env={**job_env(i), **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
            for i in (0, 1)]


def finish_ranks(ranks, timeout=200):
    out = []
    for p in ranks:
        try:
            out.append(p.communicate(timeout=timeout)[0])
        except subprocess.TimeoutExpired:
            p.kill()
            out.append(p.communicate()[0] + "\ntimed out")
    return out


def perf(*more):
    return [f"{BUILD}/tools/devmem-perf", "sendrecv", "--memory", "udmabuf", "--sizes", "1M", "--warmup", "0", *more]



# A client by itself: the wire of plugin/nic/broker_wire.h.

REQUEST = struct.Struct("=IHHIi16sIIII")
ANSWER = struct.Struct("=IHHiIIIII64I224s192s")
MAGIC = 0x64766d62
PROBE, BIND, STEER, UNSTEER, WITHDRAW, RELEASE = range(1, 7)


def dmabuf(size=1 << 20):
    memfd = os.memfd_create("lie", os.MFD_ALLOW_SEALING)
    os.ftruncate(memfd, size)
    fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    dev = os.open("/dev/udmabuf", os.O_RDWR)
    fd = fcntl.ioctl(dev, 0x40187542, bytearray(struct.pack("=IIQQ", memfd, 1, 0, size)), True)
    os.close(dev)
    return fd


class Client:
    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(60)
        self.s.connect(sock(0))

    def ask(self, op, fds=(), magic=MAGIC, version=1, name=b"sdm0", index=None, queues=1, handle=0, rule=0, cut=None):
        index = socket.if_nametoindex("sdm0") if index is None else index
        data = REQUEST.pack(magic, version, op, 0, index, name, queues, 0, handle, rule)[:cut]
        self.s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def hear(self):
        data, control, _, _ = self.s.recvmsg(ANSWER.size, socket.CMSG_SPACE(32))
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the broker has ended")
        fields = ANSWER.unpack(data)
        fds = array.array("i")
        for _, _, got in control:
            fds.frombytes(got[:len(got) - len(got) % fds.itemsize])
        return {"err": fields[3], "handle": fields[4], "rule": fields[5], "fds": list(fds),
                "text": fields[-2].split(b"\0")[0].decode() + " / " + fields[-1].split(b"\0")[0].decode()}

    def call(self, op, **more):
        self.ask(op, **more)
        return self.hear()


def connected():
    """A TCP connection of this host with itself, on the NIC's address."""
    listener = socket.create_server(("10.77.0.1", 0))
    s = socket.create_connection(listener.getsockname())
    return s, listener
