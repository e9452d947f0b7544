/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Public extras of libnccl-net-devmem.so beside NCCL's own tables: the counters, for tools and tests.
 */
#ifndef NCCL_DEVMEM_H
#define NCCL_DEVMEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One row per counter: C(field, text). All are totals of the process since the library was loaded.
 * New rows are appended only, so an older caller's struct stays a prefix.
 */
#define NCCL_DEVMEM_COUNTERS(C)                                                         \
	C(msgs_sent, "messages sent")                                                   \
	C(msgs_received, "messages received")                                           \
	C(sent_inline, "payload bytes sent in the control stream")                      \
	C(sent_copy, "payload bytes sent by copy")                                      \
	C(sent_zerocopy, "payload bytes sent from host memory: MSG_ZEROCOPY, or lent")  \
	C(sent_devmem, "payload bytes sent from a dmabuf")                              \
	C(recv_inline, "payload bytes received in the control stream")                  \
	C(recv_copy, "payload bytes received by copy")                                  \
	C(recv_devmem, "payload bytes received in the dmabuf pool")                     \
	C(recv_linear, "payload bytes of devmem sockets that arrived in host memory")   \
	C(frags, "fragments received in the dmabuf pool")                               \
	C(tokens_out, "tokens issued by the kernel")                                    \
	C(tokens_in, "tokens given back")                                               \
	C(zc_sends, "zerocopy sends started")                                           \
	C(zc_done_errqueue, "zerocopy sends completed through the error queue")         \
	C(zc_done_inband, "zerocopy sends completed in sendmsg's msg_control")          \
	C(zc_copied, "zerocopy sends that the kernel copied after all")                 \
	C(sys_send, "send system calls on data sockets")                                \
	C(sys_recv, "receive system calls on data sockets")                             \
	C(sys_ctrl, "system calls on control sockets")                                  \
	C(sys_errqueue, "error queue reads")                                            \
	C(sys_dontneed, "SO_DEVMEM_DONTNEED calls")                                     \
	C(steps_down, "steps down the ladder, each counted once per NIC and reason")    \
	C(conns, "connections made (both directions)")                                  \
	C(strangers, "connections dropped because they could not authenticate")         \
	C(rx_binds, "receive bindings made")                                            \
	C(tx_binds, "send bindings made")                                               \
	C(rules, "flow rules inserted")                                                 \
	C(rules_removed, "flow rules removed")                                          \
	C(tokens_in_recv, "tokens given back in recvmsg's control data, of tokens_in")  \
	C(sys_ask, "empty sends that only asked for completions")                       \
	C(sent_staged, "payload bytes sent from GPU memory through host memory")        \
	C(recv_staged, "payload bytes received into GPU memory through host memory")    \
	C(placed_gpu, "payload bytes put in place by the GPU")                          \
	C(placed_unpack, "payload bytes left to NCCL's kernel to unpack")               \
	C(gpu_launches, "kernels launched")                                             \
	C(gpu_copies, "copies given to the GPU's copy engine")                          \
	C(sys_recv_none, "receive system calls that brought nothing, of sys_recv")      \
	C(sys_recv_tokens, "empty receives that only gave tokens back, of sys_recv")    \
	C(sys_ctrl_read, "reads of control sockets, of sys_ctrl")                       \
	C(sys_ctrl_none, "reads of control sockets that brought nothing, of those")     \
	C(sys_errqueue_none, "error queue reads that brought nothing, of sys_errqueue") \
	C(sys_ask_none, "empty sends that heard of no completion, of sys_ask")          \
	C(rx_binds_broker, "receive bindings made by the broker, of rx_binds")          \
	C(sys_uring, "io_uring_enter calls")                                            \
	C(sys_uring_ctrl, "io_uring_enter calls that brought records, of sys_uring")    \
	C(ctrl_delivered, "parts of control streams that io_uring delivered by itself") \
	C(sys_uring_data, "io_uring_enter calls that told of payload, of sys_uring")

struct nccl_devmem_counters {
#define C(field, text) uint64_t field;
	NCCL_DEVMEM_COUNTERS(C)
#undef C
};

/*
 * Copies a snapshot of the counters to @out, at most @size bytes of it (pass sizeof *out).
 * Returns the number of bytes that this library's struct has. Any thread; never fails.
 * Counters are read one by one, so a snapshot of running traffic is not one instant.
 */
size_t nccl_devmem_counters_get(struct nccl_devmem_counters *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
