// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whether recvmsg() frees devmem frags on this kernel: exit 0, or 77. Needs no device.
 *
 * The kernel answers by what it writes, so neither an older kernel, which ignores the flag and
 * leaves the request as it is, nor one that gives the flag another meaning can be mistaken.
 */
#include "endpoint.h"

int main(void)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct dmabuf_token))] = { 0 };
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cm = (struct cmsghdr *)control;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t freed = UINT32_MAX;

	if (fd < 0)
		die("socket");
	/* No token: nothing is freed. The data is { start = 1, count = 0 }. */
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_DEVMEM_DONTNEED;
	cm->cmsg_len = CMSG_LEN(sizeof(struct dmabuf_token));
	memcpy(CMSG_DATA(cm), &(struct dmabuf_token){ 1, 0 }, sizeof(struct dmabuf_token));
	if (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED) != -1 || errno != ENOTCONN)
		die("recvmsg on a socket without a connection");
	memcpy(&freed, CMSG_DATA(cm), sizeof(freed));
	if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_DEVMEM_DONTNEED &&
	    cm->cmsg_len == CMSG_LEN(sizeof(freed)) && freed == 0) {
		printf("recycle: yes\n");
		return 0;
	}
	printf("recycle: this kernel does not know MSG_SOCK_DEVMEM_DONTNEED\n");
	return EXIT_SKIP;
}
