/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "devmem-perf scale": what a message and a connection cost as ranks, connections and sockets
 * become more; and many connections at once.
 */
#ifndef PERF_SCALE_H
#define PERF_SCALE_H

/*
 * @argv[0] is the word "scale". Exit status: 0, 1 a run failed, was not possible or left something
 * behind, or output could not be written, 2 wrong arguments.
 */
int scale_main(int argc, char **argv);

#endif
