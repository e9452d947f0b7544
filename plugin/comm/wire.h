/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire format: everything that two plugins say to each other. Little endian throughout.
 *
 *   handle   128 bytes, made by listen(), carried by NCCL out of band
 *   hello    first bytes of every socket, connecting side to listening side
 *   ready    answer on the control socket when all sockets of a connection are there
 *   record   then, on the control socket, connecting side to listening side only; data sockets carry bare payload
 *   frame    or, where both sides can and the CPU of the listening side sees what comes: on the data sockets, each before its payload; the
 *            control socket is silent then, and only tells that the peer is there
 *   ack      then, on the control socket, listening side to connecting side: what of it has been read, where the sender lends its memory
 *
 * A connection is one control socket and 1..WIRE_MAX_SOCKS data sockets. magic, version and nonce keep their places in every
 * version, so that any two versions can at least tell each other apart.
 */
#ifndef DEVMEM_WIRE_H
#define DEVMEM_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WIRE_MAGIC     0x6d764465U /* "eDvm" */
#define WIRE_LENT      0x6c764465U /* "eDvl" */
#define WIRE_VERSION   1
#define WIRE_NONCE_LEN 16
#define WIRE_MAX_SOCKS 16

/*
 * @addr: as in sockaddr_in/in6, network order. @state: the connecting side's own use between calls of connect(); 0 on the wire.
 */
struct wire_handle {
	uint32_t magic;
	uint16_t version;
	uint16_t family;
	uint8_t nonce[WIRE_NONCE_LEN];
	uint8_t addr[16];
	uint16_t port;
	uint16_t pad[3];
	uint64_t state;
};
_Static_assert(sizeof(struct wire_handle) == 56, "no holes");

enum wire_hello_kind { WIRE_HELLO_CTRL = 1, WIRE_HELLO_DATA = 2 };

/*
 * @nonce: from the handle, proves that the caller was told of the listener by NCCL.
 * @conn: random number of the connection, the same in all its hellos.
 * @n_socks: data sockets of the connection. @index: which of them this is (data only).
 * @flags: of the control socket's, WIRE_FRAMES when the connecting side can send frames, WIRE_ACKS when it would also lend memory, and its
 * enum wire_mode; unknown ones mean nothing.
 */
struct wire_hello {
	uint32_t magic;
	uint16_t version;
	uint16_t kind;
	uint8_t nonce[WIRE_NONCE_LEN];
	uint64_t conn;
	uint16_t n_socks;
	uint16_t index;
	uint32_t flags;
};
_Static_assert(sizeof(struct wire_hello) == 40, "no holes");

#define WIRE_FRAMES 1U

/* What of NCCL's choices a side leaves, in two bits of flags. Both sides have to leave the same (comm/peer_mode.h). */
enum wire_mode { WIRE_MODE_UNTOLD, WIRE_MODE_ANY, WIRE_MODE_SIMPLE, WIRE_MODE_UNPACK };
#define WIRE_MODE_SHIFT 1
#define WIRE_MODE_MASK	(3U << WIRE_MODE_SHIFT)

#define WIRE_ACKS (1U << 3)

/*
 * @status: 0, or the errno for which the listening side refuses. @rung: how it will receive (enum rung), for the log.
 * @flags: WIRE_FRAMES, only if the hello had it, when frames are what has to come; with it WIRE_ACKS, only if the hello had that, when the
 * frames may be WIRE_LENT; the listening side's enum wire_mode.
 */
struct wire_ready {
	uint32_t magic;
	uint16_t version;
	uint16_t rung;
	int32_t status;
	uint32_t flags;
};
_Static_assert(sizeof(struct wire_ready) == 16, "no holes");

/*
 * WIRE_MSG begins message @seq (they count up from 0, modulo 2^32): @value is its size. With WIRE_F_INLINE
 * @len == @value payload bytes follow the record at once; otherwise WIRE_CHUNK records will cover every byte once, in
 * ascending order. Other flags are an error.
 * WIRE_CHUNK: bytes [@value, @value + @len) of message @seq are the next @len bytes of data socket @sock.
 */
enum wire_type { WIRE_MSG = 1, WIRE_CHUNK = 2 };
#define WIRE_F_INLINE 1

struct wire_rec {
	uint8_t type;
	uint8_t flags;
	uint16_t sock;
	uint32_t seq;
	uint32_t tag;
	uint32_t len;
	uint64_t value;
};
_Static_assert(sizeof(struct wire_rec) == 24, "no holes");

/*
 * The next @len bytes of this socket are bytes [@offset, @offset + @len) of message @seq, which has @total. Frames of one message may go
 * over several sockets; on each socket, seq only goes up (modulo 2^32). An empty message is one frame without payload.
 * @magic: WIRE_MAGIC; WIRE_LENT where the payload lies in the sender's memory until it is read: of its message there has to be an ack.
 */
struct wire_frame {
	uint32_t magic;
	uint32_t seq;
	uint32_t tag;
	uint32_t len;
	uint64_t offset;
	uint64_t total;
};
_Static_assert(sizeof(struct wire_frame) == 32, "no holes");

/*
 * All messages before number @consumed have been read whole. Sent when such a one had WIRE_LENT, at the latest when it is complete and
 * nothing else moves; @consumed only goes up (modulo 2^32).
 */
struct wire_ack {
	uint32_t magic;
	uint32_t consumed;
};
_Static_assert(sizeof(struct wire_ack) == 8, "no holes");

/* Host order to wire, or back: the same operation, a no-op on little-endian machines. */
static inline void wire_rec_swap(struct wire_rec *r)
{
	r->sock = htole16(r->sock);
	r->seq = htole32(r->seq);
	r->tag = htole32(r->tag);
	r->len = htole32(r->len);
	r->value = htole64(r->value);
}

static inline void wire_frame_swap(struct wire_frame *f)
{
	f->magic = htole32(f->magic);
	f->seq = htole32(f->seq);
	f->tag = htole32(f->tag);
	f->len = htole32(f->len);
	f->offset = htole64(f->offset);
	f->total = htole64(f->total);
}

static inline void wire_ack_swap(struct wire_ack *a)
{
	a->magic = htole32(a->magic);
	a->consumed = htole32(a->consumed);
}

static inline void wire_handle_swap(struct wire_handle *h)
{
	h->magic = htole32(h->magic);
	h->version = htole16(h->version);
	h->family = htole16(h->family);
}

static inline void wire_hello_swap(struct wire_hello *h)
{
	h->magic = htole32(h->magic);
	h->version = htole16(h->version);
	h->kind = htole16(h->kind);
	h->conn = htole64(h->conn);
	h->n_socks = htole16(h->n_socks);
	h->index = htole16(h->index);
	h->flags = htole32(h->flags);
}

static inline void wire_ready_swap(struct wire_ready *r)
{
	r->magic = htole32(r->magic);
	r->version = htole16(r->version);
	r->rung = htole16(r->rung);
	r->status = (int32_t)htole32((uint32_t)r->status);
	r->flags = htole32(r->flags);
}

#endif
