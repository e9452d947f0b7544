/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "devmem-perf compare": several net plugins, and plain TCP, side by side. In each group of runs
 * every competitor runs every cell once, one competitor right after the other; who is first rotates
 * from group to group. So a ratio within a group compares two runs that are a second apart.
 */
#ifndef PERF_COMPARE_H
#define PERF_COMPARE_H

/*
 * @argv[0] is the word "compare". Exit status: 0, 1 a run failed or output could not be written,
 * 2 wrong arguments.
 */
int compare_main(int argc, char **argv);

#endif
