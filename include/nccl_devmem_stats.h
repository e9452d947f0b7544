/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a process with libnccl-net-devmem.so shows of itself while it runs: one file for each process, in shared memory.
 *
 * The file is NCCL_DEVMEM_STATS_DIR/nccl-devmem-stats.<PID namespace>.<PID>.<start>, where <start> is field 22 of /proc/PID/stat. It is
 * there from the first init() of the plugin to the last finalize(); that of a process that was killed is removed by the next reader or plugin
 * that may do so. It is not a file to trust: anybody can write one into /dev/shm. Readers should read(2) it instead of mapping it (its
 * owner can truncate it), and check every offset.
 *
 * All numbers are in the host's byte order. The writer takes no lock: each number is written whole (relaxed atomic stores), but no two of
 * them belong to the same instant. Totals only grow, but for a connection's: they begin anew with its @id.
 *
 * Versions: readers refuse another @version. Within one version structures grow at their end only: the size of an entry stands in
 * its section, and what an older writer does not have is to be taken as 0.
 */
#ifndef NCCL_DEVMEM_STATS_H
#define NCCL_DEVMEM_STATS_H

#include <stdint.h>

#include "nccl_devmem.h"

#define NCCL_DEVMEM_STATS_MAGIC	  0x6d64737461747331ULL /* "1stats" "dm", stored last */
#define NCCL_DEVMEM_STATS_VERSION 1
#define NCCL_DEVMEM_STATS_PREFIX  "nccl-devmem-stats."

/* Entries of each section in version 1 files that this library writes. */
#define NCCL_DEVMEM_STATS_NICS	16
#define NCCL_DEVMEM_STATS_POOLS 16
#define NCCL_DEVMEM_STATS_STEPS 16
#define NCCL_DEVMEM_STATS_CONNS 256

/*
 * What a connection's oldest unfinished request waits for. A poll is a test() that was not done, of which one in 16 is classified and
 * counted sixteenfold.
 *
 * PEER:   receive: nothing is known of the message yet; the peer has not sent it.
 * NET:    receive: its bytes are announced and under way.
 * TOKENS: receive: bytes may be there, but are not read while too much of the pool is lent out.
 * UNPACK: receive: all bytes are here and are being gathered, or unpacked by NCCL's kernel.
 * WINDOW: send: the kernel takes no more (socket buffer full: the peer's window, or the network).
 * ACK:    send: the kernel has all, and the memory is not free before the peer has acknowledged it (zerocopy, devmem).
 */
#define NCCL_DEVMEM_STATS_STAGES(S)                 \
	S(PEER, "peer", "the peer to send")         \
	S(NET, "net", "bytes under way")            \
	S(TOKENS, "tokens", "tokens to come back")  \
	S(UNPACK, "unpack", "gathering, unpacking") \
	S(WINDOW, "window", "room to send")         \
	S(ACK, "ack", "acknowledgement")

enum nccl_devmem_stats_stage {
#define S(id, name, text) NCCL_DEVMEM_STAGE_##id,
	NCCL_DEVMEM_STATS_STAGES(S)
#undef S
		NCCL_DEVMEM_STAGE_COUNT
};

/* Bucket i of a latency histogram: requests that took less than 2^i microseconds and not less than half of that; the last has the rest. */
#define NCCL_DEVMEM_STATS_BUCKETS 24

/* A table in the file: @count entries of @size bytes from @offset on. */
struct nccl_devmem_stats_section {
	uint32_t offset;
	uint32_t size;
	uint32_t count;
	uint32_t reserved;
};

/*
 * @pid, @start, @pidns: as in the name. @opened_ns: CLOCK_REALTIME. @host: uname -n. @program: comm of the process. @plugin: its version.
 * @counters: one entry, struct nccl_devmem_counters (nccl_devmem.h), which has its own rule of growth.
 * @conns_left_out: connections that found no free entry.
 */
struct nccl_devmem_stats {
	uint64_t magic;
	uint32_t version;
	uint32_t size;
	uint64_t pidns;
	uint64_t start;
	uint32_t pid;
	uint32_t reserved;
	uint64_t opened_ns;
	char host[64];
	char program[16];
	char plugin[32];
	struct nccl_devmem_stats_section counters;
	struct nccl_devmem_stats_section nics;
	struct nccl_devmem_stats_section pools;
	struct nccl_devmem_stats_section steps;
	struct nccl_devmem_stats_section conns;
	uint64_t conns_left_out;
};

/* A device that the plugin offers NCCL; unused while @ifindex is 0. @pci: of the device, empty for a virtual one. */
struct nccl_devmem_stats_nic {
	uint32_t ifindex;
	uint32_t speed_mbps;
	char name[16];
	char pci[32];
	char gpu[64];
};

/*
 * A receive pool; unused while @size is 0. Bytes. @reserved: promised to sockets now, of @limit that can be. @free_least: the least
 * that was not promised, ever: at 0 connections are received by copy.
 */
struct nccl_devmem_stats_pool {
	uint64_t size;
	uint64_t limit;
	uint64_t reserved;
	uint64_t free_least;
	char nic[16];
	char memory[16];
	char queues[32];
	char gpu[64];
};

/* A step down the ladder as the log told it; unused while @id is 0. @id: of the text, the same for the same reason everywhere. */
struct nccl_devmem_stats_step {
	uint32_t id;
	uint8_t sends;
	uint8_t from;
	uint8_t to;
	uint8_t reserved;
	char nic[16];
	char reason[224];
	char remedy[192];
};

/* @path of a connection, @from and @to of a step. */
enum nccl_devmem_stats_path {
	NCCL_DEVMEM_PATH_COPY,
	NCCL_DEVMEM_PATH_ZEROCOPY,
	NCCL_DEVMEM_PATH_DEVMEM
};

/*
 * A send or receive comm. @id: not 0 while it lives, and never used twice in a process; a reader that finds it changed after reading the
 * rest has read two halves. @path: of the last message that was not in the control stream.
 * @posted, @msgs, @bytes: requests posted and done, and payload of those done.
 * @latency: of one request in 32, from isend() or irecv() to the test() that says done; @latency_ns: their sum.
 * @polls: tests that were not done, by stage. @stage: at the last look.
 * What TCP tells (TCP_INFO, tcp(7)), summed over the connection's sockets, read about twice a second while the comm is used; @tcp_ns is
 * when, CLOCK_MONOTONIC, 0 never. @busy_us, @rwnd_us, @sndbuf_us: time with data to send, of that stopped by the peer's window, by our
 * send buffer. @rtt_us: the largest smoothed one; @rtt_least_us: the smallest ever.
 * @lent: tokens with requests or waiting to be given back, when TCP was asked. @later: 0; an entry is whole cache lines.
 */
struct nccl_devmem_stats_conn {
	uint64_t id;
	uint32_t sends;
	uint32_t path;
	uint32_t n_socks;
	uint32_t stage;
	char nic[16];
	char peer[80];
	uint64_t opened_ns;
	uint64_t posted;
	uint64_t msgs;
	uint64_t bytes;
	uint64_t latency_ns;
	uint64_t latency[NCCL_DEVMEM_STATS_BUCKETS];
	uint64_t polls[NCCL_DEVMEM_STAGE_COUNT];
	uint64_t tcp_ns;
	uint64_t bytes_acked;
	uint64_t bytes_received;
	uint64_t retransmits;
	uint64_t busy_us;
	uint64_t rwnd_us;
	uint64_t sndbuf_us;
	uint32_t rtt_us;
	uint32_t rtt_least_us;
	uint32_t lent;
	uint32_t reserved;
	uint64_t later[5];
};

#endif
