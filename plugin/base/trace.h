/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Static tracepoints (USDT) of provider nccl_devmem: for bpftrace, perf, SystemTap, on a running job. Each is one nop where nobody listens,
 * and a note in the library (readelf -n) that says where its arguments are. They must be at hand at the place: nothing is computed for
 * a probe. Without <sys/sdt.h> (Debian: systemtap-sdt-dev) there are none, and cmake says so.
 *
 * Names and arguments are documented in docs/operations.md, which a test compares with the library: they are used by scripts of others, so
 * probes are only added, and arguments only at the end.
 */
#ifndef DEVMEM_TRACE_H
#define DEVMEM_TRACE_H

#ifdef DEVMEM_HAVE_SDT
#include <sys/sdt.h>

#define TRACE1(name, a)		    STAP_PROBE1(nccl_devmem, name, a)
#define TRACE2(name, a, b)	    STAP_PROBE2(nccl_devmem, name, a, b)
#define TRACE3(name, a, b, c)	    STAP_PROBE3(nccl_devmem, name, a, b, c)
#define TRACE4(name, a, b, c, d)    STAP_PROBE4(nccl_devmem, name, a, b, c, d)
#define TRACE5(name, a, b, c, d, e) STAP_PROBE5(nccl_devmem, name, a, b, c, d, e)
#else
/* Not evaluated, but used, for the compiler. */
#define TRACE1(name, a)		    ((void)sizeof(a))
#define TRACE2(name, a, b)	    (TRACE1(name, a), (void)sizeof(b))
#define TRACE3(name, a, b, c)	    (TRACE2(name, a, b), (void)sizeof(c))
#define TRACE4(name, a, b, c, d)    (TRACE3(name, a, b, c), (void)sizeof(d))
#define TRACE5(name, a, b, c, d, e) (TRACE4(name, a, b, c, d), (void)sizeof(e))
#endif

#endif
