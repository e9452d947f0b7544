/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one table of environment variables. Each row makes NCCL_DEVMEM_<NAME>, its parsing,
 * its range check, its line in the log and its paragraph in docs/environment.md.
 *
 *   PARAM_INT(id, default, min, max, help)      plain integer
 *   PARAM_SIZE(id, default, min, max, help)     bytes; K, M, G suffixes (powers of 1024)
 *   PARAM_BOOL(id, default, help)               0|1|no|yes|off|on|false|true
 *   PARAM_CHOICE(id, default, choices, help)    one of the '|'-separated words
 *   PARAM_STR(id, default, help)                free text
 *   PARAM_FALLBACK(id, variable)                read instead when the row's own is not set (optional to define)
 *
 * No include guard: the includer defines the macros first.
 */
/* clang-format off */
#ifndef PARAM_FALLBACK
#define PARAM_FALLBACK(id, variable)
#endif
PARAM_STR(IFNAME, "",
	  "Interfaces to use, in NCCL_SOCKET_IFNAME's syntax: a comma list of name prefixes; a leading '^' excludes, a leading '=' asks for exact names. "
	  "Empty: NCCL_SOCKET_IFNAME if that is set, else every Ethernet interface that is up and has an address; loopback only when there is nothing else.")
PARAM_FALLBACK(IFNAME, "NCCL_SOCKET_IFNAME")
PARAM_CHOICE(FAMILY, "auto", "auto|inet|inet6", "Address family of the connections. auto takes IPv4 where an interface has both.")
PARAM_CHOICE(REQUIRE, "none", "none|zerocopy|devmem",
	     "Lowest rung of the ladder that is acceptable. A step below it is an error instead of a warning. devmem is about receiving, and about sending from dmabufs; zerocopy is about sending.")
PARAM_CHOICE(SEND, "auto", "auto|copy|zerocopy|devmem",
	     "Highest send path to try. auto is devmem for dmabuf memory and zerocopy for host memory, but to peers on the same host what costs less: copying, or lending memory to the socket (NCCL_DEVMEM_SPLICE_MIN); zerocopy always lends there.")
PARAM_CHOICE(RECV, "auto", "auto|copy|devmem|staged",
	     "Highest receive path to try. staged receives into host memory and has the GPU's copy engine bring the bytes to the receive pool, from where they go on as devmem's do: "
	     "it lets everything behind the pool run without a devmem NIC, and is no gain for a job.")
PARAM_CHOICE(PLACE, "auto", "auto|gather|unpack",
	     "Who brings received bytes from the receive pool in GPU memory to NCCL's buffer: gather is a kernel or copy engine of the plugin's and works with every protocol; unpack is NCCL's own kernel (NCCL_NET_DEVICE_UNPACK), "
	     "which costs no pass over the data but rules out LL, LL128 and PAT. auto is gather.")
PARAM_CHOICE(GATHER, "auto", "auto|kernel|copy",
	     "What of the GPU gathers: a small kernel, or the copy engine with a copy for each piece. auto measures both when the first connection of a GPU is made. LL and LL128 need the kernel.")
PARAM_CHOICE(POOL_MEMORY, "auto", "auto|udmabuf|dmaheap|drm|cuda",
	     "Where the receive pool's dmabuf comes from. auto takes cuda for receives into GPU memory; for others it tries dmaheap, then udmabuf, then drm.")
PARAM_STR(DRM_DEVICE, "", "DRM node for drm memory, for instance /dev/dri/card0. Empty: the first node that can export a dumb buffer.")
PARAM_SIZE(POOL_SIZE, 64 << 20, 1 << 20, 4095LL << 20,
	   "Receive pool for each NIC. Kept above the sum of the receive buffers of all data sockets: connections that would exceed it are received by copy.")
PARAM_SIZE(STAGE_SIZE, 16 << 20, 1 << 20, 1 << 30,
	   "Staging memory of each GPU, once in GPU memory beside the receive pool and once in pinned host memory, in blocks of 256K: for what does not come through a devmem NIC.")
PARAM_SIZE(NIOV_SIZE, 0, 0, 128 << 10,
	   "Size of the pieces (net_iovs) that the receive pool is divided into: a power of two from 4K. More than a page needs kernel-patches/7.2, a NIC driver that takes it, and memory in long runs (dmaheap has it, udmabuf not); smaller sizes are tried where that is not so. 0 chooses: 64K in pools from 64M up, else a page.")
PARAM_INT(QUEUES, 1, 1, 64, "RX queues of each NIC to bind to the pool; taken from the highest free queue down, queue 0 is never taken.")
PARAM_INT(SOCKETS, 0, 0, 16, "Data sockets a connection. 0 chooses: 1 on loopback, 8 from 100 Gbit/s, 4 from 50 Gbit/s, else 1 on a NIC with devmem and 2 on others.")
PARAM_SIZE(CHUNK_SIZE, 256 << 10, 4 << 10, 4 << 20,
	   "Largest piece of a message given to one data socket at a time. Smaller ones leave more short last packets, "
	   "each with a token of its own. Where it is not set, a connection with one data socket takes 1M, but in frames.")
PARAM_BOOL(FRAMES, 1, "Whether messages carry their description with them on the data sockets where the receiving CPU sees the bytes (any path but devmem and staged). Otherwise the control socket tells of them, at the price of more system calls.")
PARAM_SIZE(INLINE_MAX, 8 << 10, 0, 64 << 10, "Messages up to this size travel in the control stream.")
PARAM_SIZE(ZEROCOPY_MIN, 32 << 10, 4 << 10, 1 << 30, "Pieces of host memory smaller than this are copied even when zerocopy is on.")
PARAM_SIZE(SPLICE_MIN, 64 << 10, 4 << 10, 1 << 30,
	   "To peers on the same host, and wherever the kernel copies zerocopy sends, messages of host memory from this size on are lent to the socket through a pipe (vmsplice, splice) instead: "
	   "they are copied once, by the receiver, and done when it says that it has them. Only where that costs less than copying, which is tried now and then; NCCL_DEVMEM_SEND=copy says never, zerocopy always.")
PARAM_SIZE(SNDBUF, 0, 0, 1 << 30, "SO_SNDBUF of data sockets. 0 chooses: 384K to peers on the same host, where more only passes through the caches, unless net.core.wmem_max is less; to others what the kernel finds.")
PARAM_SIZE(RCVBUF, 0, 0, 1 << 30, "SO_RCVBUF of data sockets. 0 leaves it to the kernel, but on devmem bounds it so that all sockets fit in the pool.")
PARAM_STR(CONGESTION, "", "TCP congestion control of data sockets (TCP_CONGESTION). Empty: reno to peers on the same host, where pacing only costs, else the system's default.")
PARAM_INT(CONNECT_TIMEOUT, 30000, 100, 3600000, "Milliseconds until a connection that does not come up is an error.")
PARAM_INT(PEER_TIMEOUT, 30000, 1000, 3600000, "Milliseconds of silence of a dead host until it is an error. A host that answers is not dead, however long its process takes to receive.")
PARAM_BOOL(IO_URING, 1,
	   "Whether io_uring tells what happens on sockets, so that looking for it is no system call: it delivers what comes on control sockets, and knows when a full data socket has room again, when sends are complete, and on devmem when half of a chunk has come. "
	   "For connections without frames (devmem, staged); wants Linux 6.0 and a sandbox that allows io_uring. Otherwise each look is a call, mostly in vain.")
PARAM_BOOL(ZC_NOTIFICATION, 1, "Whether sends bring completions back in sendmsg's control data where the kernel can do that (kernel-patches/7.2). Otherwise the error queue is read.")
PARAM_BOOL(RECYCLE, 1, "Whether receives give tokens back in recvmsg's control data where the kernel can do that (kernel-patches/7.2). Otherwise SO_DEVMEM_DONTNEED does.")
PARAM_BOOL(TOKEN_RUNS, 1, "Whether one token stands for a run of frags, a packet's mostly, where the kernel can do that (kernel-patches/7.2). Otherwise each frag has its own.")
PARAM_BOOL(NIC_SETUP, 1, "Whether the plugin may set header split, RSS and flow rules itself. What it changed is put back at the end.")
PARAM_STR(STATE_DIR, "/run/nccl-devmem", "Where it is recorded what was changed on a NIC, so that the next start can put it back after a crash.")
PARAM_STR(BROKER, "/run/nccl-devmem/broker.sock",
	  "Socket of the broker (devmem-nicd), which binds receive queues and sets flow rules for processes without CAP_NET_ADMIN. Only root's is used. off: none.")
PARAM_STR(STATS_DIR, "/dev/shm", "Where the process shows its counters while it runs, for devmem-top: a file of about 150K in this directory, memory if it is a tmpfs. off: nowhere.")
PARAM_CHOICE(LOG, "info", "error|warn|info|debug", "Lines up to this level are handed to NCCL's logger.")
PARAM_BOOL(PROFILE, 1, "Whether a profiler plugin that NCCL has loaded (NCCL_PROFILER_PLUGIN) is told of each isend and irecv, as NCCL's own sockets would tell it: descriptor, direction, size. Net API 11 on (NCCL 2.28).")
PARAM_BOOL(SUMMARY, 1, "Log bytes by path, tokens and completions when the last communicator ends.")
/* clang-format on */
#undef PARAM_FALLBACK
