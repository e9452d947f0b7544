// SPDX-License-Identifier: BSD-3-Clause
/* Wrong environment variables: a warning that names variable and accepted values, and the default stays. */
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "plug.h"

/* Opens the plugin with @name=@value; checks the log for both and for @accepted. */
static void warned(const char *name, const char *value, const char *accepted)
{
	env_set(name, value);
	plug_open();
	plug_expect_log("WARN");
	plug_expect_log(name);
	plug_expect_log(accepted);
}

static void unknown_slip(void)
{
	warned("NCCL_DEVMEM_SOCKTES", "3", "did you mean NCCL_DEVMEM_SOCKETS");
	plug_close();
}

static void unknown_far(void)
{
	warned("NCCL_DEVMEM_XYZZY", "1", "docs/environment.md");
	plug_close();
}

/* The default on loopback is one data socket: two descriptors on each side, and the listener. */
static void socket_count_default(const char *value)
{
	struct pair p;
	int before;

	warned("NCCL_DEVMEM_SOCKETS", value, "integer from 0 to 16");
	before = count_fds();
	pair_open(&p, 4096);
	CHECK_EQ(count_fds() - before, 5);
	pair_exchange(&p, 4096, 1);
	pair_close(&p);
	plug_close();
}

static void int_words(void)
{
	socket_count_default("abc");
}

static void int_range(void)
{
	socket_count_default("17");
}

static void int_negative(void)
{
	socket_count_default("-1");
}

static void int_empty(void)
{
	socket_count_default("");
}

static void int_trailing(void)
{
	socket_count_default("4x");
}

static void int_huge(void)
{
	socket_count_default("99999999999999999999999");
}

/* A valid value next to them does take effect, so that the default above is told apart. */
static void int_valid(void)
{
	struct pair p;
	int before;

	env_set("NCCL_DEVMEM_SOCKETS", "4");
	plug_open();
	before = count_fds();
	pair_open(&p, 4096);
	CHECK_EQ(count_fds() - before, 11);
	pair_close(&p);
	plug_close();
}

/* Inline bytes show which INLINE_MAX is in force: 8 KiB is the default. */
static void inline_default(const char *value)
{
	struct nccl_devmem_counters a, b;
	struct pair p;

	env_set("NCCL_DEVMEM_FRAMES", "0");
	warned("NCCL_DEVMEM_INLINE_MAX", value, "a size from 0 to 64K");
	pair_open(&p, 16 << 10);
	plug_counters(&a);
	pair_exchange(&p, 8 << 10, 1);
	plug_counters(&b);
	CHECK_EQ(b.sent_inline - a.sent_inline, 8 << 10);
	pair_exchange(&p, (8 << 10) + 1, 2);
	plug_counters(&a);
	CHECK_EQ(a.sent_inline - b.sent_inline, 0);
	pair_close(&p);
	plug_close();
}

static void size_unit(void)
{
	inline_default("12Q");
}

static void size_range(void)
{
	inline_default("65K");
}

static void size_negative(void)
{
	inline_default("-4K");
}

static void size_fraction(void)
{
	inline_default("1.5K");
}

static void choice(void)
{
	struct pair p;

	warned("NCCL_DEVMEM_SEND", "fast", "auto|copy|zerocopy|devmem");
	plug_expect_log("default auto");
	pair_open(&p, 4096);
	pair_exchange(&p, 4096, 1);
	pair_close(&p);
	plug_close();
}

static void choice_case(void)
{
	warned("NCCL_DEVMEM_REQUIRE", "DEVMEM", "none|zerocopy|devmem");
	plug_close();
}

static void boolean(void)
{
	warned("NCCL_DEVMEM_SUMMARY", "maybe", "0, 1, no, yes, off, on, false, true");
	plug_log_clear();
	plug_close();
	plug_expect_log("strangers dropped"); /* the default prints the summary */
}

static void text_long(void)
{
	char name[3000];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	env_set("NCCL_DEVMEM_CONGESTION", name);
	plug_open();
	plug_expect_log("NCCL_DEVMEM_CONGESTION");
	plug_expect_log("longer than 1023");
	plug_close();
}

/* A value from outside cannot forge a log line of its own. */
static void text_newline(void)
{
	int i, lines = 0;
	const char *s;

	env_set("NCCL_DEVMEM_SEND", "x\nWARN NET/Devmem: forged");
	plug_open();
	s = plug_log_text();
	for (i = 0; s[i]; i++)
		lines += s[i] == '\n';
	CHECK_EQ(lines, plug_log_lines());
	plug_close();
}

static void congestion_unknown(void)
{
	struct pair p;

	env_set("NCCL_DEVMEM_CONGESTION", "nosuch");
	plug_open();
	pair_open(&p, 65536);
	plug_expect_log("NCCL_DEVMEM_CONGESTION=nosuch");
	plug_expect_log("net.ipv4.tcp_available_congestion_control");
	pair_exchange(&p, 65536, 1);
	pair_close(&p);
	plug_close();
}

/* init() fails, says what was asked for and what there is; nothing is left of it. */
static void filter_fails(const char *filter)
{
	env_set("NCCL_DEVMEM_IFNAME", filter);
	plug_load();
	CHECK_EQ(plug_init(), ncclSystemError);
	plug.ctx = NULL;
	plug_expect_log(filter);
	plug_expect_log("there are: lo");
	plug_expect_log("NCCL_DEVMEM_IFNAME");
	plug_close();
}

static void filter_none(void)
{
	filter_fails("nosuch0");
}

static void filter_exact(void)
{
	filter_fails("=l");
}

static void filter_exclude(void)
{
	ns_enter();
	filter_fails("^lo");
}

static void filter_long(void)
{
	env_set("NCCL_DEVMEM_IFNAME", "abcdefghijklmnopqrstuvwxyz,lo");
	plug_open();
	plug_expect_log("are no interface names");
	plug_close();
}

static void family_absent(void)
{
	ns_enter();
	shell("ip -6 addr flush dev lo");
	env_set("NCCL_DEVMEM_FAMILY", "inet6");
	plug_load();
	CHECK_EQ(plug_init(), ncclSystemError);
	plug.ctx = NULL;
	plug_expect_log("IPv6 address");
	plug_close();
}

static void no_interface_up(void)
{
	ns_enter();
	shell("ip link set lo down");
	env_set("NCCL_DEVMEM_IFNAME", "");
	plug_load();
	CHECK_EQ(plug_init(), ncclSystemError);
	plug.ctx = NULL;
	plug_expect_log("lo (down)");
	plug_expect_log("ip link set");
	plug_close();
	shell("ip link set lo up");
}

const struct fault_case cases_param[] = {
	{ .name = "param.unknown_slip", .run = unknown_slip },
	{ .name = "param.unknown_far", .run = unknown_far },
	{ .name = "param.int_words", .run = int_words },
	{ .name = "param.int_range", .run = int_range },
	{ .name = "param.int_negative", .run = int_negative },
	{ .name = "param.int_empty", .run = int_empty },
	{ .name = "param.int_trailing", .run = int_trailing },
	{ .name = "param.int_huge", .run = int_huge },
	{ .name = "param.int_valid", .run = int_valid },
	{ .name = "param.size_unit", .run = size_unit },
	{ .name = "param.size_range", .run = size_range },
	{ .name = "param.size_negative", .run = size_negative },
	{ .name = "param.size_fraction", .run = size_fraction },
	{ .name = "param.choice", .run = choice },
	{ .name = "param.choice_case", .run = choice_case },
	{ .name = "param.boolean", .run = boolean },
	{ .name = "param.text_long", .run = text_long },
	{ .name = "param.text_newline", .run = text_newline },
	{ .name = "param.congestion_unknown", .run = congestion_unknown },
	{ .name = "param.filter_none", .run = filter_none },
	{ .name = "param.filter_exact", .run = filter_exact },
	{ .name = "param.filter_exclude", .run = filter_exclude },
	{ .name = "param.filter_long", .run = filter_long },
	{ .name = "param.family_absent", .run = family_absent },
	{ .name = "param.no_interface_up", .run = no_interface_up },
	{ 0 },
};
