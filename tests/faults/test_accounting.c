// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a running connection costs: no allocation and no log line per message, and at most 1 MiB of memory.
 *
 * This program defines malloc() and friends, mmap() and brk()/sbrk() for itself and for the plugin it loads, so every call of the
 * plugin is counted. Exit status 77 is "skipped".
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nccl/net_v12.h"
#include "nccl_devmem.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int main(void)
{
	puts("skipped: a sanitizer has its own malloc()");
	return 77;
}
#else

#define SKIP	  77
#define MESSAGES  10000
#define WARM_UP	  500
#define WINDOW	  8
#define SLOT	  (512 << 10)
#define CONNS	  64
#define LIMIT	  (1 << 20)

/* The tree hides symbols by default; these are to be found by the plugin. */
#define INTERPOSE __attribute__((visibility("default")))

static unsigned long allocations, maps, log_lines;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);

INTERPOSE void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

INTERPOSE void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

INTERPOSE void *realloc(void *p, size_t size)
{
	allocations++;
	return __libc_realloc(p, size);
}

INTERPOSE void *memalign(size_t align, size_t size)
{
	allocations++;
	return __libc_memalign(align, size);
}

INTERPOSE void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

INTERPOSE int posix_memalign(void **ret, size_t align, size_t size)
{
	void *p = memalign(align, size);

	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

INTERPOSE void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	maps++;
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
}

INTERPOSE void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return mmap(addr, len, prot, flags, fd, off);
}

INTERPOSE int brk(void *end)
{
	(void)end;
	maps++;
	errno = ENOMEM;
	return -1;
}

static const ncclNet_v12_t *net;
static void *ctx;
static int cases, failures;

static void verdict(const char *name, int good, const char *fmt, ...)
{
	va_list ap;

	printf("%-6s accounting.%-26s ", good ? "ok" : "FAILED", name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	cases++;
	failures += !good;
}

static void need(int good, const char *what)
{
	if (good)
		return;
	printf("FAILED accounting: %s\n", what);
	exit(1);
}

static void logger(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
		   const char *fmt, ...)
{
	(void)level;
	(void)flags;
	(void)file;
	(void)line;
	(void)fmt;
	log_lines++;
}

struct conn {
	void *listen;
	void *send;
	void *recv;
	void *send_mh;
	void *recv_mh;
};

static char send_buf[WINDOW * SLOT], recv_buf[WINDOW * SLOT];

static void conn_open(struct conn *c)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	int i;

	memset(c, 0, sizeof(*c));
	need(net->listen(ctx, 0, handle, &c->listen) == ncclSuccess, "listen");
	for (i = 0; i < 5000000 && (!c->send || !c->recv); i++) {
		if (!c->send)
			need(net->connect(ctx, 0, handle, &c->send, NULL) == ncclSuccess,
			     "connect");
		if (!c->recv)
			need(net->accept(c->listen, &c->recv, NULL) == ncclSuccess, "accept");
	}
	need(c->send && c->recv, "no connection");
	need(net->regMr(c->send, send_buf, sizeof(send_buf), NCCL_PTR_HOST, &c->send_mh) ==
		     ncclSuccess,
	     "regMr");
	need(net->regMr(c->recv, recv_buf, sizeof(recv_buf), NCCL_PTR_HOST, &c->recv_mh) ==
		     ncclSuccess,
	     "regMr");
}

static void conn_close(struct conn *c)
{
	net->deregMr(c->send, c->send_mh);
	net->deregMr(c->recv, c->recv_mh);
	net->closeSend(c->send);
	net->closeRecv(c->recv);
	net->closeListen(c->listen);
}

static size_t size_of(int i)
{
	static const size_t sizes[] = { 0,     1,	 8,    512,    8192,   8193,
					65536, 13107,	 SLOT, 100000, 131072, 131073,
					4096,  SLOT - 1, 24,   40000,  0,      300000 };

	return sizes[(unsigned int)i % (sizeof(sizes) / sizeof(sizes[0]))];
}

/* @count messages with WINDOW of them in flight; the last byte of each is checked. */
static void run(struct conn *c, int count)
{
	void *tx[WINDOW] = { 0 }, *rx[WINDOW] = { 0 };
	int sent = 0, send_done = 0, posted = 0, recv_done = 0;
	long idle;

	for (idle = 0; recv_done < count || send_done < count; idle++) {
		int done = 0, size = 0, tag = 0;

		need(idle < 400000000L, "no progress");
		if (posted < count && posted - recv_done < WINDOW) {
			void *data = recv_buf + posted % WINDOW * SLOT;
			size_t room = SLOT;

			rx[posted % WINDOW] = NULL;
			need(net->irecv(c->recv, 1, &data, &room, &tag, &c->recv_mh, NULL,
					&rx[posted % WINDOW]) == ncclSuccess,
			     "irecv");
			posted += rx[posted % WINDOW] != NULL;
		}
		if (sent < count && sent - send_done < WINDOW) {
			char *data = send_buf + sent % WINDOW * SLOT;
			size_t n = size_of(sent);

			if (n)
				data[n - 1] = (char)sent;
			tx[sent % WINDOW] = NULL;
			need(net->isend(c->send, data, n, 0, c->send_mh, NULL,
					&tx[sent % WINDOW]) == ncclSuccess,
			     "isend");
			sent += tx[sent % WINDOW] != NULL;
		}
		if (send_done < sent) {
			need(net->test(tx[send_done % WINDOW], &done, NULL) == ncclSuccess,
			     "test of a send");
			send_done += done;
		}
		done = 0;
		if (recv_done < posted) {
			need(net->test(rx[recv_done % WINDOW], &done, &size) == ncclSuccess,
			     "test of a receive");
			if (done) {
				size_t n = size_of(recv_done);
				char *data = recv_buf + recv_done % WINDOW * SLOT;

				need((size_t)size == n, "size of a message");
				need(!n || data[n - 1] == (char)recv_done, "byte of a message");
				recv_done++;
			}
		}
	}
}

static long resident(void)
{
	char text[128] = { 0 };
	long size, pages;
	FILE *f = fopen("/proc/self/statm", "r");

	need(f && fgets(text, sizeof(text), f), "/proc/self/statm");
	fclose(f);
	need(sscanf(text, "%ld %ld", &size, &pages) == 2, "/proc/self/statm");
	return pages * sysconf(_SC_PAGESIZE);
}

static void per_message(const char *socks)
{
	unsigned long a, m, l;
	char name[64];
	struct conn c;

	setenv("NCCL_DEVMEM_SOCKETS", socks, 1);
	need(net->init(&ctx, 1, NULL, logger, NULL) == ncclSuccess, "init");
	conn_open(&c);
	run(&c, WARM_UP);
	a = allocations;
	m = maps;
	l = log_lines;
	run(&c, MESSAGES);
	a = allocations - a;
	m = maps - m;
	l = log_lines - l;
	snprintf(name, sizeof(name), "allocations_%s_socks", socks);
	verdict(name, a == 0, "%lu in %d messages", a, MESSAGES);
	snprintf(name, sizeof(name), "mappings_%s_socks", socks);
	verdict(name, m == 0, "%lu in %d messages", m, MESSAGES);
	snprintf(name, sizeof(name), "log_lines_%s_socks", socks);
	verdict(name, l == 0, "%lu in %d messages", l, MESSAGES);

	/* The counting itself: a registration does allocate, and connections do log. */
	a = allocations;
	net->deregMr(c.send, c.send_mh);
	net->regMr(c.send, send_buf, sizeof(send_buf), NCCL_PTR_HOST, &c.send_mh);
	snprintf(name, sizeof(name), "counts_%s_socks", socks);
	verdict(name, allocations > a && log_lines > 0,
		"%lu allocations in a registration, %lu log lines so far", allocations - a,
		log_lines);
	conn_close(&c);
	net->finalize(ctx);
}

/* Both ends of each connection are in this process, so the limit is checked against two of them together. */
static void per_connection(const char *socks)
{
	static struct conn c[CONNS];
	struct mallinfo2 before, after;
	long rss, heap;
	char name[64];
	int i;

	setenv("NCCL_DEVMEM_SOCKETS", socks, 1);
	need(net->init(&ctx, 1, NULL, logger, NULL) == ncclSuccess, "init");
	conn_open(&c[0]);
	run(&c[0], WARM_UP);
	rss = resident();
	before = mallinfo2();
	for (i = 1; i < CONNS; i++) {
		conn_open(&c[i]);
		run(&c[i], 100);
	}
	after = mallinfo2();
	rss = (resident() - rss) / (CONNS - 1);
	heap = (long)((after.uordblks + after.hblkhd) - (before.uordblks + before.hblkhd)) /
	       (CONNS - 1);
	snprintf(name, sizeof(name), "resident_%s_socks", socks);
	verdict(name, rss <= LIMIT, "%ld KiB for both ends of a connection", rss >> 10);
	snprintf(name, sizeof(name), "heap_%s_socks", socks);
	verdict(name, heap > 0 && heap <= LIMIT, "%ld KiB for both ends of a connection",
		heap >> 10);
	for (i = 0; i < CONNS; i++)
		conn_close(&c[i]);
	net->finalize(ctx);
}

int main(int argc, char **argv)
{
	void *dl;

	if (argc != 2) {
		fprintf(stderr, "usage: %s <libnccl-net-devmem.so>\n", argv[0]);
		return 2;
	}
	setenv("NCCL_DEVMEM_IFNAME", "lo", 1);
	setenv("NCCL_DEVMEM_SUMMARY", "0", 1);
	dl = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!dl) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	net = dlsym(dl, "ncclNetPlugin_v12");
	need(net != NULL, "no ncclNetPlugin_v12");
	per_message("1");
	per_message("4");
	per_connection("1");
	per_connection("16");
	dlclose(dl);
	printf("%d cases: %d passed, %d failed, 0 skipped\n", cases, cases - failures, failures);
	return failures ? 1 : 0;
}
#endif
