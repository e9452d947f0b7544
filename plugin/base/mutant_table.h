/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deliberate defects: MUTANT(name, lane, case, what goes wrong). tests/conformance/mutants switches each of them on and expects that case of
 * devmem-conformance to fail.
 * The lane is where it can show: host, in any run; unpack, where NCCL's kernels unpack.
 * Included several times, so without a guard.
 */
/* clang-format off */
MUTANT(mhandle_null, host, "memory.mhandle", "regMr succeeds without an mhandle")
MUTANT(sizes_deref, host, "data.sizes_null", "test() writes the size though sizes is NULL")
MUTANT(size_posted, host, "data.shorter", "test() reports the size that was posted instead of the one that came")
MUTANT(optional_kept, host, "data.optional", "a receive with optional completion gives no request")
MUTANT(connect_device, host, "connect.unaligned", "connect sets *dev_handle, which NCCL follows")
MUTANT(remote_is_system, host, "error.peer_killed", "a dead peer is reported as ncclSystemError")
MUTANT(group_taken, host, "data.grouped", "a grouped receive is taken for one of its first buffer")
MUTANT(speed_zero, host, "life.properties", "getProperties says 0 Mbit/s")
MUTANT(finalize_first, host, "life.init_each", "the first finalize ends what other communicators use")
MUTANT(sweep_none, host, "life.abort_connected", "finalize leaves open what NCCL has not closed")
MUTANT(half_open_kept, host, "life.abort_unconnected", "finalize leaves half-made connections")
MUTANT(fork_unnoticed, host, "fork.child_closes", "a forked child uses the parent's sockets")
MUTANT(accept_blocks, host, "connect.late_connect", "accept waits for the peer")
MUTANT(connect_blocks, host, "connect.late_accept", "connect waits for the peer")
MUTANT(accept_fd_kept, host, "close.unused", "accept leaves a descriptor open")
MUTANT(cloexec_missing, host, "fork.inherits_nothing", "a program that is started inherits a connection")
MUTANT(handle_version, host, "wire.handle_newer", "the wire version in a handle is not looked at")
MUTANT(hello_version, host, "wire.hello_newer", "the wire version in a hello is not looked at")
MUTANT(error_forgotten, host, "error.oversize", "a comm that failed answers differently the next time")
MUTANT(empty_unsent, host, "data.empty", "messages of 0 bytes are not sent")
MUTANT(done_early, host, "data.large", "a receive is done before its last byte is there")
MUTANT(chunk_base, host, "data.sizes", "a chunk is placed from the wrong base")
MUTANT(oversize_taken, host, "error.oversize", "a message larger than its receive is taken")
MUTANT(eof_unnoticed, host, "error.others_alive", "a receive waits for ever for a peer that has closed")
MUTANT(send_early, host, "data.send_done", "a send is done before the kernel has its bytes")
MUTANT(lent_early, host, "data.send_done", "a send is done before the peer has read what was lent to the socket")
MUTANT(ring_overrun, host, "data.null_requests", "a request beyond the 32nd takes the place of the first")
MUTANT(mr_unheld, host, "data.load", "a request does not hold its registration")
MUTANT(slot_unburnt, unpack, "data.empty", "a receive of 0 bytes does not take a slot of the queue")
MUTANT(head_off, unpack, "data.sizes", "the queue's head is off by one")
MUTANT(cnt_early, unpack, "data.sizes", "the count is published before the last entry")
MUTANT(bounce_base, unpack, "data.sizes", "entries count from another base than the bounce buffer's")
MUTANT(token_early, unpack, "data.consumed_late", "what a receive lies in goes back before it is consumed")
MUTANT(cnt_kept, unpack, "data.sizes", "a consumed slot keeps its count, on which an aborted kernel hangs")
MUTANT(modes_differ, unpack, "wire.modes_differ", "a rank with unpack takes a connection from one with gather")
MUTANT(consumed_unheard, unpack, "data.load", "irecvConsumed does not free the slot")
/* clang-format on */
