// SPDX-License-Identifier: GPL-2.0
/*
 * For tests of the debug kernels: makes on purpose, one after the other when it is loaded, the
 * faults that such a kernel is there to find. One that says nothing of them would find nothing
 * in the tests, either.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

struct fault_maker_thing {
	unsigned long value;
	char rest[100];
};

static struct fault_maker_thing __rcu *fault_maker_pointer;
static DEFINE_MUTEX(fault_maker_a);
static DEFINE_MUTEX(fault_maker_b);
static DEFINE_SPINLOCK(fault_maker_lock);

static void fault_maker_no_timer(struct timer_list *t)
{
}

/* Read without rcu_read_lock(): PROVE_RCU. */
static void fault_maker_rcu(void)
{
	if (rcu_dereference(fault_maker_pointer))
		pr_info("nobody has set it\n");
}

static void fault_maker_sleep(void)
{
	spin_lock(&fault_maker_lock);
	might_sleep();
	spin_unlock(&fault_maker_lock);
}

/* Freed while it runs: DEBUG_OBJECTS. */
static int fault_maker_timer(void)
{
	struct timer_list *timer = kzalloc_obj(*timer);

	if (!timer)
		return -ENOMEM;
	timer_setup(timer, fault_maker_no_timer, 0);
	mod_timer(timer, jiffies + 100 * HZ);
	kfree(timer);
	return 0;
}

/* The last one about locks: lockdep says nothing more after it. */
static void fault_maker_order(void)
{
	mutex_lock(&fault_maker_a);
	mutex_lock(&fault_maker_b);
	mutex_unlock(&fault_maker_b);
	mutex_unlock(&fault_maker_a);

	mutex_lock(&fault_maker_b);
	mutex_lock(&fault_maker_a);
	mutex_unlock(&fault_maker_a);
	mutex_unlock(&fault_maker_b);
}

/* Written after it was freed: KASAN, else the poison of the slab allocator. */
static int fault_maker_use_after_free(void)
{
	struct kmem_cache *cache = KMEM_CACHE(fault_maker_thing, SLAB_NO_MERGE);
	struct fault_maker_thing *thing;

	if (!cache)
		return -ENOMEM;
	thing = kmem_cache_alloc(cache, GFP_KERNEL);
	if (thing) {
		OPTIMIZER_HIDE_VAR(thing);
		kmem_cache_free(cache, thing);
		WRITE_ONCE(thing->rest[50], 1);
	}
	kmem_cache_destroy(cache);
	return thing ? 0 : -ENOMEM;
}

/* Several: the address of one or two may be left on a stack, where kmemleak takes it for a use. */
static int fault_maker_leak(void)
{
	struct fault_maker_thing *thing;
	int i;

	for (i = 0; i < 64; i++) {
		thing = kzalloc_obj(*thing);
		if (!thing)
			return -ENOMEM;
		thing->value = 1;
		OPTIMIZER_HIDE_VAR(thing);
	}
	return 0;
}

static int __init fault_maker_init(void)
{
	int err;

	fault_maker_rcu();
	fault_maker_sleep();
	err = fault_maker_timer();
	if (err)
		return err;
	fault_maker_order();
	err = fault_maker_use_after_free();
	if (err)
		return err;
	return fault_maker_leak();
}
module_init(fault_maker_init);

static void __exit fault_maker_exit(void)
{
}
module_exit(fault_maker_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Faults for debug kernels to find");
