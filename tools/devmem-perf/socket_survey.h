/* SPDX-License-Identifier: BSD-3-Clause */
/* What TCP connections this process has, whoever made them. */
#ifndef PERF_SOCKET_SURVEY_H
#define PERF_SOCKET_SURVEY_H

/*
 * @connections: established TCP sockets among this process's descriptors. @congestion: the names of
 * their congestion controls, joined by "+" (tcp(7), TCP_CONGESTION); "" without any.
 */
struct socket_survey {
	int connections;
	char congestion[48];
};

/* Cannot fail: what cannot be read is not counted. */
void socket_survey_take(struct socket_survey *ret);

#endif
