// SPDX-License-Identifier: GPL-2.0
/*
 * For tests: exports the memory of QEMU's ivshmems, PCI BARs, in the ways that GPU
 * drivers export theirs. That of several counts as one after the other. It has no
 * struct page, and addresses come from dma_map_resource(). With p2p_only=1 an importer
 * has to say that it can handle such memory, as of amdgpu, which otherwise moves the
 * buffer to RAM; with 0 it need not, as of NVIDIA's driver.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bar_exporter.h"

#define BAR_EXPORTER_BAR	2
#define BAR_EXPORTER_DEVICES	4
/* Entries of the table, so that there is more than one, as of a fragmented VRAM. */
#define BAR_EXPORTER_CHUNK	SZ_1M

static bool p2p_only;
module_param(p2p_only, bool, 0644);
MODULE_PARM_DESC(p2p_only, "refuse importers that do not allow peer to peer");

static unsigned int pins;
module_param(pins, uint, 0444);
MODULE_PARM_DESC(pins, "attachments that are pinned now");

/* @offset: of the first byte in all of the memory; constant */
struct bar_exporter_buf {
	u64	offset;
	u64	size;
};

static struct pci_dev *bar_exporter_pdev[BAR_EXPORTER_DEVICES];
static unsigned int bar_exporter_devices;
static DEFINE_MUTEX(bar_exporter_lock);

static u64 bar_exporter_bar_size(unsigned int i)
{
	return pci_resource_len(bar_exporter_pdev[i], BAR_EXPORTER_BAR);
}

/* Where @offset in all of the memory is; *@ret_left: bytes from there on in that BAR.
 *
 * Return: whether there is such
 */
static bool bar_exporter_locate(u64 offset, phys_addr_t *ret_phys, u64 *ret_left)
{
	unsigned int i;

	for (i = 0; i < bar_exporter_devices; i++) {
		u64 size = bar_exporter_bar_size(i);

		if (offset < size) {
			*ret_phys = pci_resource_start(bar_exporter_pdev[i], BAR_EXPORTER_BAR) +
				    offset;
			*ret_left = size - offset;
			return true;
		}
		offset -= size;
	}
	return false;
}

/* The last two pages of the first BAR, each mapped with other attributes. The architecture keeps
 * them from being mapped together: so the BAR cannot be mapped as a whole, as when a driver has
 * mapped registers that lie in it.
 */
static void __iomem *bar_exporter_pages[2];

static void bar_exporter_unmap_pages(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bar_exporter_pages); i++) {
		if (bar_exporter_pages[i])
			iounmap(bar_exporter_pages[i]);
		bar_exporter_pages[i] = NULL;
	}
}

static int bar_exporter_map_pages(void)
{
	phys_addr_t end;

	if (!bar_exporter_devices)
		return -ENODEV;
	if (bar_exporter_pages[0])
		return 0;
	end = pci_resource_end(bar_exporter_pdev[0], BAR_EXPORTER_BAR) + 1;
	bar_exporter_pages[0] = ioremap(end - PAGE_SIZE, PAGE_SIZE);
	bar_exporter_pages[1] = ioremap_wc(end - 2 * PAGE_SIZE, PAGE_SIZE);
	if (!bar_exporter_pages[0] || !bar_exporter_pages[1]) {
		bar_exporter_unmap_pages();
		return -ENOMEM;
	}
	return 0;
}

static int bar_exporter_set_parted(const char *val, const struct kernel_param *kp)
{
	bool on;
	int err;

	err = kstrtobool(val, &on);
	if (err)
		return err;
	if (on)
		return bar_exporter_map_pages();
	bar_exporter_unmap_pages();
	return 0;
}

static const struct kernel_param_ops bar_exporter_parted_ops = {
	.set	= bar_exporter_set_parted,
};
module_param_cb(parted, &bar_exporter_parted_ops, NULL, 0200);
MODULE_PARM_DESC(parted, "keep the first BAR from being mapped as a whole, once loaded");

/* A piece of a buffer that lies in one BAR, and is no longer than a chunk. */
static u64 bar_exporter_piece(const struct bar_exporter_buf *buf, u64 done, phys_addr_t *ret_phys)
{
	u64 left;

	if (!bar_exporter_locate(buf->offset + done, ret_phys, &left))
		return 0;
	return min3(left, buf->size - done, (u64)BAR_EXPORTER_CHUNK);
}

static unsigned int bar_exporter_pieces(const struct bar_exporter_buf *buf)
{
	unsigned int n = 0;
	phys_addr_t phys;
	u64 done, len;

	for (done = 0; done < buf->size; done += len) {
		len = bar_exporter_piece(buf, done, &phys);
		if (!len)
			return 0;
		n++;
	}
	return n;
}

static int bar_exporter_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	return p2p_only && !attach->peer2peer ? -EOPNOTSUPP : 0;
}

static int bar_exporter_pin(struct dma_buf_attachment *attach)
{
	mutex_lock(&bar_exporter_lock);
	pins++;
	mutex_unlock(&bar_exporter_lock);
	return 0;
}

static void bar_exporter_unpin(struct dma_buf_attachment *attach)
{
	mutex_lock(&bar_exporter_lock);
	pins--;
	mutex_unlock(&bar_exporter_lock);
}

static void bar_exporter_unmap_sgt(struct device *dev, struct sg_table *sgt, unsigned int nents,
				   enum dma_data_direction dir)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(sgt->sgl, sg, nents, i)
		dma_unmap_resource(dev, sg_dma_address(sg), sg_dma_len(sg), dir, 0);
	sg_free_table(sgt);
	kfree(sgt);
}

static struct sg_table *bar_exporter_map(struct dma_buf_attachment *attach,
					 enum dma_data_direction dir)
{
	const struct bar_exporter_buf *buf = attach->dmabuf->priv;
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i;
	u64 done = 0;
	int err;

	sgt = kzalloc_obj(*sgt);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	err = sg_alloc_table(sgt, bar_exporter_pieces(buf), GFP_KERNEL);
	if (err) {
		kfree(sgt);
		return ERR_PTR(err);
	}
	for_each_sgtable_sg(sgt, sg, i) {
		phys_addr_t phys;
		u64 len = bar_exporter_piece(buf, done, &phys);

		sg_set_page(sg, NULL, len, 0);
		sg_dma_address(sg) = dma_map_resource(attach->dev, phys, len, dir, 0);
		if (dma_mapping_error(attach->dev, sg_dma_address(sg))) {
			bar_exporter_unmap_sgt(attach->dev, sgt, i, dir);
			return ERR_PTR(-ENOMEM);
		}
		sg_dma_len(sg) = len;
		done += len;
	}
	return sgt;
}

static void bar_exporter_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			       enum dma_data_direction dir)
{
	bar_exporter_unmap_sgt(attach->dev, sgt, sgt->nents, dir);
}

static int bar_exporter_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	const struct bar_exporter_buf *buf = dmabuf->priv;
	u64 done, len, size = vma->vm_end - vma->vm_start;
	phys_addr_t phys;
	int err;

	/* The core has checked that it is no more than the buffer. */
	if (vma->vm_pgoff)
		return -EINVAL;
	vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	for (done = 0; done < size; done += len) {
		len = min(bar_exporter_piece(buf, done, &phys), size - done);
		err = io_remap_pfn_range(vma, vma->vm_start + done, PHYS_PFN(phys), len,
					 vma->vm_page_prot);
		if (err)
			return err;
	}
	return 0;
}

static void bar_exporter_release(struct dma_buf *dmabuf)
{
	kfree(dmabuf->priv);
}

static const struct dma_buf_ops bar_exporter_ops = {
	.attach		= bar_exporter_attach,
	.pin		= bar_exporter_pin,
	.unpin		= bar_exporter_unpin,
	.map_dma_buf	= bar_exporter_map,
	.unmap_dma_buf	= bar_exporter_unmap,
	.mmap		= bar_exporter_mmap,
	.release	= bar_exporter_release,
};

static int bar_exporter_create(const struct bar_exporter_create *create)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct bar_exporter_buf *buf;
	struct dma_buf *dmabuf;
	int fd;

	if (!create->size || !PAGE_ALIGNED(create->offset | create->size) ||
	    create->size > SZ_1G)
		return -EINVAL;
	buf = kzalloc_obj(*buf);
	if (!buf)
		return -ENOMEM;
	buf->offset = create->offset;
	buf->size = create->size;
	if (!bar_exporter_pieces(buf)) {
		kfree(buf);
		return -EINVAL;
	}

	info.ops = &bar_exporter_ops;
	info.size = buf->size;
	info.flags = O_RDWR;
	info.priv = buf;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		kfree(buf);
		return PTR_ERR(dmabuf);
	}
	fd = dma_buf_fd(dmabuf, O_CLOEXEC);
	if (fd < 0)
		dma_buf_put(dmabuf);
	return fd;
}

static long bar_exporter_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct bar_exporter_create create;

	if (cmd != BAR_EXPORTER_CREATE)
		return -ENOTTY;
	if (copy_from_user(&create, (void __user *)arg, sizeof(create)))
		return -EFAULT;
	return bar_exporter_create(&create);
}

static const struct file_operations bar_exporter_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= bar_exporter_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static struct miscdevice bar_exporter_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "bar-exporter",
	.fops	= &bar_exporter_fops,
};

static void bar_exporter_remove(struct pci_dev *pdev)
{
	pci_release_region(pdev, BAR_EXPORTER_BAR);
	pci_disable_device(pdev);
	pci_dev_put(pdev);
}

static int bar_exporter_add(struct pci_dev *pdev)
{
	int err;

	err = pci_enable_device(pdev);
	if (err)
		return err;
	err = pci_request_region(pdev, BAR_EXPORTER_BAR, "bar-exporter");
	if (err) {
		pci_disable_device(pdev);
		return err;
	}
	bar_exporter_pdev[bar_exporter_devices++] = pci_dev_get(pdev);
	return 0;
}

static void bar_exporter_remove_all(void)
{
	bar_exporter_unmap_pages();
	while (bar_exporter_devices)
		bar_exporter_remove(bar_exporter_pdev[--bar_exporter_devices]);
}

static int __init bar_exporter_init(void)
{
	struct pci_dev *pdev = NULL;
	int err;

	while (bar_exporter_devices < BAR_EXPORTER_DEVICES) {
		pdev = pci_get_device(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110, pdev);
		if (!pdev)
			break;
		err = bar_exporter_add(pdev);
		if (err) {
			pci_dev_put(pdev);
			goto remove;
		}
	}
	/* The search holds the last one it found. */
	pci_dev_put(pdev);
	if (!bar_exporter_devices)
		return -ENODEV;
	err = misc_register(&bar_exporter_misc);
	if (err)
		goto remove;
	return 0;

remove:
	bar_exporter_remove_all();
	return err;
}

static void __exit bar_exporter_exit(void)
{
	misc_deregister(&bar_exporter_misc);
	bar_exporter_remove_all();
}

module_init(bar_exporter_init);
module_exit(bar_exporter_exit);

MODULE_DESCRIPTION("Exports an ivshmem's memory as dma-bufs, for tests");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
