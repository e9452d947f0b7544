// SPDX-License-Identifier: BSD-3-Clause
#include <inttypes.h>
#include <string.h>

#include "base/counter.h"
#include "base/log.h"

_Alignas(COUNTER_PAGE) union counter_page counter_page;
_Static_assert(sizeof(counter_page) == COUNTER_PAGE, "whole pages");

__attribute__((visibility("default"))) size_t
nccl_devmem_counters_get(struct nccl_devmem_counters *out, size_t size)
{
	struct nccl_devmem_counters now;

#define C(field, text) now.field = counter_read(field);
	NCCL_DEVMEM_COUNTERS(C)
#undef C
	if (out)
		memcpy(out, &now, size < sizeof(now) ? size : sizeof(now));
	return sizeof(now);
}

void counter_log_summary(void)
{
	struct nccl_devmem_counters c;
	uint64_t sent, received, calls;

	nccl_devmem_counters_get(&c, sizeof(c));
	sent = c.sent_inline + c.sent_copy + c.sent_zerocopy + c.sent_devmem + c.sent_staged;
	received = c.recv_inline + c.recv_copy + c.recv_devmem + c.recv_linear + c.recv_staged;
	calls = c.sys_send + c.sys_recv + c.sys_ctrl + c.sys_errqueue + c.sys_dontneed + c.sys_ask +
		c.sys_uring;

	log_info("sent %" PRIu64 " bytes in %" PRIu64 " messages: devmem %" PRIu64
		 ", zerocopy %" PRIu64 ", copy %" PRIu64 ", staged %" PRIu64 ", inline %" PRIu64,
		 sent, c.msgs_sent, c.sent_devmem, c.sent_zerocopy, c.sent_copy, c.sent_staged,
		 c.sent_inline);
	log_info("received %" PRIu64 " bytes in %" PRIu64 " messages: devmem %" PRIu64
		 ", linear %" PRIu64 ", copy %" PRIu64 ", staged %" PRIu64 ", inline %" PRIu64,
		 received, c.msgs_received, c.recv_devmem, c.recv_linear, c.recv_copy,
		 c.recv_staged, c.recv_inline);
	if (c.placed_gpu || c.placed_unpack)
		log_info("put in place by the GPU: %" PRIu64 " bytes in %" PRIu64
			 " launches and %" PRIu64 " copies; left to NCCL's kernels: %" PRIu64,
			 c.placed_gpu, c.gpu_launches, c.gpu_copies, c.placed_unpack);
	log_info("tokens: %" PRIu64 " issued, %" PRIu64 " given back (%" PRIu64
		 " in recvmsg); zerocopy sends: %" PRIu64 " started, %" PRIu64
		 " completed (%" PRIu64 " error queue, %" PRIu64 " in band), %" PRIu64
		 " copied by the kernel",
		 c.tokens_out, c.tokens_in, c.tokens_in_recv, c.zc_sends,
		 c.zc_done_errqueue + c.zc_done_inband, c.zc_done_errqueue, c.zc_done_inband,
		 c.zc_copied);
	if (c.rx_binds)
		log_info("receive bindings: %" PRIu64 ", of which the broker made %" PRIu64,
			 c.rx_binds, c.rx_binds_broker);
	log_info("system calls: %" PRIu64 " (%.1f per MiB); steps down the ladder: %" PRIu64
		 ", strangers dropped: %" PRIu64,
		 calls,
		 sent + received ? (double)calls * (1 << 20) / (double)(sent + received) : 0.0,
		 c.steps_down, c.strangers);
}
