// SPDX-License-Identifier: BSD-3-Clause
/* Whether recvmsg() frees devmem frags on this kernel, for scripts: exit 0, or 77. */
#include "endpoint.h"

int main(void)
{
	if (!recycle_known()) {
		printf("recycle: this kernel does not know MSG_SOCK_DEVMEM_DONTNEED\n");
		return EXIT_SKIP;
	}
	printf("recycle: yes\n");
	return 0;
}
