// SPDX-License-Identifier: BSD-3-Clause
/* Devices: what they say of themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state.h"

#define DOMAIN 0
#define BUS(n) (0x40 + 0x10 * (n))

/*
 * An A100 in outline, but alone: without peers, multicast or fabric handles. NCCL takes the path of GPUDirect
 * RDMA by 110 and 116.
 */
static const struct {
	CUdevice_attribute attribute;
	int value;
} attributes[] = {
	{ CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024 },
	{ CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024 },
	{ CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024 },
	{ CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64 },
	{ CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 0x7fffffff },
	{ CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535 },
	{ CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535 },
	{ CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 49152 },
	{ CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 166912 },
	{ CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 167936 },
	{ CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, 1024 },
	{ CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32 },
	{ CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1410000 },
	{ CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 1215000 },
	{ CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 5120 },
	{ CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 108 },
	{ CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048 },
	{ CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536 },
	{ CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 3 },
	{ CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, 1 },
	{ CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1 },
	{ CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1 },
	{ CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1 },
	{ CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1 },
	{ CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 8 },
	{ CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0 },
	{ CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1 },
	{ CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1 },
	{ CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1 },
	{ CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1 },
	{ CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 1 },
	{ CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED, 1 },
	{ CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, 1 },
	{ CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS, 1 },
	{ CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING, 0 },
	{ CU_DEVICE_ATTRIBUTE_MEM_SYNC_DOMAIN_COUNT, 1 },
	{ CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, 0 },
};

struct device *device_get(CUdevice dev)
{
	return dev >= 0 && dev < standin.n_devices ? &standin.device[dev] : NULL;
}

STANDIN_API CUresult cuDeviceGetCount(int *count)
{
	ENTER();
	*count = standin.n_devices;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceGet(CUdevice *dev, int ordinal)
{
	ENTER();
	if (!device_get(ordinal))
		return CUDA_ERROR_INVALID_DEVICE;
	*dev = ordinal;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceGetName(char *name, int len, CUdevice dev)
{
	ENTER();
	if (!device_get(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	snprintf(name, (size_t)len, "stand-in %d (no GPU)", dev);
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceTotalMem(size_t *bytes, CUdevice dev)
{
	ENTER();
	if (!device_get(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	*bytes = device_get(dev)->memory;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice dev)
{
	size_t i;

	ENTER();
	if (!device_get(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	if (!value || attribute <= 0 || attribute >= CU_DEVICE_ATTRIBUTE_MAX)
		return CUDA_ERROR_INVALID_VALUE;
	if (env_attribute((int)attribute, value))
		return CUDA_SUCCESS;
	switch (attribute) {
	case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
		*value = DOMAIN;
		return CUDA_SUCCESS;
	case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
		*value = BUS(dev);
		return CUDA_SUCCESS;
	case CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED:
		*value = standin.dmabuf != DMABUF_OFF;
		return CUDA_SUCCESS;
	default:
		break;
	}
	*value = 0;
	for (i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (attributes[i].attribute == attribute)
			*value = attributes[i].value;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceGetPCIBusId(char *id, int len, CUdevice dev)
{
	ENTER();
	if (!device_get(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	if (!id || len < 13)
		return CUDA_ERROR_INVALID_VALUE;
	snprintf(id, (size_t)len, "%04x:%02x:00.0", DOMAIN, BUS(dev));
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceGetByPCIBusId(CUdevice *dev, const char *id)
{
	unsigned int domain, bus;
	int i;

	ENTER();
	if (sscanf(id, "%x:%x:", &domain, &bus) != 2)
		return CUDA_ERROR_INVALID_VALUE;
	for (i = 0; i < standin.n_devices; i++)
		if (domain == DOMAIN && bus == (unsigned int)BUS(i)) {
			*dev = i;
			return CUDA_SUCCESS;
		}
	return CUDA_ERROR_INVALID_DEVICE;
}

/* Two processes stand for two hosts, so theirs differ. */
STANDIN_API CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice dev)
{
	pid_t pid = getpid();

	ENTER();
	if (!device_get(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	memset(uuid, 0, sizeof(*uuid));
	memcpy(uuid->bytes, "standin", 7);
	memcpy(uuid->bytes + 8, &pid, sizeof(pid));
	uuid->bytes[15] = (char)dev;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceCanAccessPeer(int *can, CUdevice dev, CUdevice peer)
{
	ENTER();
	if (!device_get(dev) || !device_get(peer))
		return CUDA_ERROR_INVALID_DEVICE;
	*can = 0;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attribute,
					     CUdevice from, CUdevice to)
{
	ENTER();
	(void)attribute;
	if (!device_get(from) || !device_get(to) || from == to)
		return CUDA_ERROR_INVALID_DEVICE;
	*value = 0;
	return CUDA_SUCCESS;
}
