// SPDX-License-Identifier: BSD-3-Clause
/*
 * A dumb buffer of a DRM device, exported through PRIME. vgem is a DRM device without hardware.
 * The dmabuf holds the buffer, so neither handle nor node stays open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include "base/cleanup.h"
#include "base/param.h"
#include "mem/dmabuf.h"
#include "mem/provider_util.h"

#define DRM_NODES 16 /* minors that DRM_DIR_NAME/card%d can have under the old scheme */
#define DRM_REMEDY \
	"modprobe vgem (kernel option CONFIG_DRM_VGEM), or name a node in NCCL_DEVMEM_DRM_DEVICE"
/* A dumb buffer is asked for as a picture: rows of one page, 32 bits a pixel. */
#define DRM_ROW_PIXELS 1024
#define DRM_ROW_BYTES  4096

static int drm_export(int node, size_t size, int *ret_fd)
{
	uint32_t height = (uint32_t)((size + DRM_ROW_BYTES - 1) / DRM_ROW_BYTES);
	uint32_t handle, pitch;
	uint64_t cap = 0;
	uint64_t bytes;
	int err;
	int fd;

	if (size / DRM_ROW_BYTES > UINT32_MAX / 2)
		return -E2BIG;
	/*
	 * DRM_CAP_DUMB_BUFFER is of no use here: the kernel answers it for devices that drive a display only, though
	 * vgem, which does not, makes dumb buffers (drivers/gpu/drm/drm_ioctl.c, drm_getcap). So just try.
	 */
	if (drmGetCap(node, DRM_CAP_PRIME, &cap) || !(cap & DRM_PRIME_CAP_EXPORT))
		return -EOPNOTSUPP;
	/* libdrm's mode calls return -errno, its PRIME calls -1 and errno. */
	err = drmModeCreateDumbBuffer(node, DRM_ROW_PIXELS, height, 32, 0, &handle, &pitch, &bytes);
	if (err)
		return err;
	if (bytes < size)
		err = -EIO;
	else if (drmPrimeHandleToFD(node, handle, DRM_CLOEXEC | DRM_RDWR, &fd))
		err = -errno;
	drmModeDestroyDumbBuffer(node, handle);
	if (!err)
		*ret_fd = fd;
	return err;
}

static int drm_try(const char *path, size_t size, struct mem_block *ret, struct verdict *why)
{
	_cleanup_close_ int node = open(path, O_RDWR | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	size_t bytes;
	int err;

	if (node < 0)
		return device_open_verdict("drm", path, DRM_REMEDY, -errno, why);
	err = drm_export(node, size, &fd);
	if (err)
		return verdict_set(why, err,
				   err == -ENOMEM ? "free memory or ask for less" : DRM_REMEDY,
				   "drm: %s cannot export a dumb buffer of %zu bytes: %s", path,
				   size, strerrordesc_np(-err));
	err = dmabuf_size(fd, &bytes);
	if (!err)
		err = dmabuf_map(fd, bytes, &ret->cpu);
	if (err)
		return verdict_set(why, err, DRM_REMEDY, "drm: %s: mapping %zu bytes: %s", path,
				   size, strerrordesc_np(-err));
	ret->dmabuf_fd = TAKE_FD(fd);
	ret->size = bytes;
	return 0;
}

static int drm_alloc(size_t size, struct mem_block *ret, struct verdict *why)
{
	const char *given = param_str(PARAM_DRM_DEVICE);
	struct verdict best = { 0 };
	struct verdict now;
	char path[32];

	if (*given)
		return drm_try(given, size, ret, why);

	/* Of several failures the most telling one: a node that is there before one that is not. */
	for (int i = 0; i < DRM_NODES; i++) {
		snprintf(path, sizeof(path), DRM_DEV_NAME, DRM_DIR_NAME, i);
		if (!drm_try(path, size, ret, &now))
			return 0;
		if (now.err != -ENOENT && !best.err)
			best = now;
	}
	if (!best.err)
		return verdict_set(why, -ENOENT, DRM_REMEDY,
				   "drm: there is no " DRM_DIR_NAME "/card* node");
	*why = best;
	return best.err;
}

const struct memory_provider provider_drm = {
	.name = "drm",
	.alloc = drm_alloc,
	.free = mem_block_unmap,
};
