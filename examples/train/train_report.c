// SPDX-License-Identifier: BSD-3-Clause
#include "train_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "report.h"

#define CLEAR_LINE "\r\033[K"

/* With JSON on standard output, people read standard error. */
static FILE *people(const struct train_report *r)
{
	return r->options->json_file && !strcmp(r->options->json_file, "-") ? stderr : stdout;
}

static bool on_terminal(const struct train_report *r)
{
	return isatty(fileno(people(r)));
}

void train_report_head(const struct train_report *r)
{
	const struct train_settings *s = &r->options->settings;
	char text[256];

	if (r->options->via_nccl)
		snprintf(text, sizeof(text), "%d ranks, the net plugin %s on %s", r->job->nranks,
			 r->job->plugin_name, r->job->device_name);
	else
		job_describe(r->job, text, sizeof(text));
	fprintf(people(r), "%s\n", text);
	fprintf(people(r),
		"%zu pictures to learn from, %zu to test with; %d-%zu-%d network, batch %zu; %zu KiB of gradients a step\n",
		r->train_total, r->test_total, DIGITS_PIXELS, s->hidden, DIGITS_CLASSES, s->batch,
		trainer_sums(s) * sizeof(int64_t) >> 10);
	fflush(people(r));
}

void train_report_progress(const struct train_report *r, int epoch, size_t step, size_t steps)
{
	if (!on_terminal(r))
		return;
	fprintf(people(r), CLEAR_LINE "epoch %d of %d, step %zu of %zu", epoch + 1,
		r->options->settings.epochs, step + 1, steps);
	fflush(people(r));
}

void train_report_epoch(const struct train_report *r, int epoch, const struct epoch_result *e)
{
	fprintf(people(r), "%sepoch %3d of %d   loss %.6f   test accuracy %.4f\n",
		on_terminal(r) ? CLEAR_LINE : "", epoch + 1, r->options->settings.epochs, e->loss,
		e->accuracy);
	fflush(people(r));
}

static double last_accuracy(const struct train_result *t)
{
	return t->epochs[t->nepochs - 1].accuracy;
}

void train_report_tail(const struct train_report *r)
{
	FILE *out = people(r);

	fprintf(out, "%" PRIu64 " steps in %.2f s\n", r->result.steps, r->result.seconds);
	job_summary_print(&r->summary, out, "");
	fprintf(out, "%d ranks:        accuracy %.4f, weights %016" PRIx64 "%s\n", r->job->nranks,
		last_accuracy(&r->result), r->result.hash,
		r->ranks_agree ? " on every rank" : ", NOT THE SAME on every rank");
	if (r->single_done)
		fprintf(out, "single process: accuracy %.4f, weights %016" PRIx64 ": %s\n",
			last_accuracy(&r->single), r->single.hash,
			r->identical ? "identical" : "DIFFERENT");
	fflush(out);
}

void train_report_rank(const struct train_report *r)
{
	fprintf(people(r), "rank %d of %d: weights %016" PRIx64 "%s\n", r->job->rank,
		r->job->nranks, r->result.hash,
		r->ranks_agree ? " on every rank" : ", NOT THE SAME on every rank");
	fflush(people(r));
}

static json_t *hash_json(uint64_t hash)
{
	char text[32];

	snprintf(text, sizeof(text), "%016" PRIx64, hash);
	return json_string(text);
}

static json_t *result_json(const struct train_result *t)
{
	json_t *o = json_object(), *epochs = json_array(), *e;

	json_object_set_new(o, "accuracy", json_real(last_accuracy(t)));
	json_object_set_new(o, "loss", json_real(t->epochs[t->nepochs - 1].loss));
	json_object_set_new(o, "weights_hash", hash_json(t->hash));
	json_object_set_new(o, "steps", json_integer((json_int_t)t->steps));
	json_object_set_new(o, "seconds", json_real(t->seconds));
	for (int i = 0; i < t->nepochs; i++) {
		e = json_object();
		json_object_set_new(e, "loss", json_real(t->epochs[i].loss));
		json_object_set_new(e, "accuracy", json_real(t->epochs[i].accuracy));
		json_array_append_new(epochs, e);
	}
	json_object_set_new(o, "epochs", epochs);
	return o;
}

int train_report_json(const struct train_report *r)
{
	const char *path = r->options->json_file;
	bool to_stdout = !strcmp(path, "-");
	json_t *root = json_object();
	int err = 0;
	FILE *out;

	json_object_set_new(root, "program", json_string("devmem-train"));
	json_object_set_new(root, "version", json_string(DEVMEM_VERSION));
	json_object_set_new(root, "via", json_string(r->options->via_nccl ? "nccl" : "plugin"));
	job_describe_json(r->job, root);
	json_object_set_new(root, "train_pictures", json_integer((json_int_t)r->train_total));
	json_object_set_new(root, "test_pictures", json_integer((json_int_t)r->test_total));
	json_object_set_new(root, "accuracy", json_real(last_accuracy(&r->result)));
	json_object_set_new(root, "weights_hash", hash_json(r->result.hash));
	json_object_set_new(root, "ranks_agree", json_boolean(r->ranks_agree));
	json_object_set_new(root, "identical_to_single",
			    r->single_done ? json_boolean(r->identical) : json_null());
	json_object_set_new(root, "training", result_json(&r->result));
	json_object_set_new(root, "single", r->single_done ? result_json(&r->single) : json_null());
	json_object_set_new(root, "summary", job_summary_json(&r->summary));

	out = to_stdout ? stdout : fopen(path, "we");
	if (!out || json_dumpf(root, out, JSON_INDENT(2)) || fputc('\n', out) == EOF ||
	    fflush(out) == EOF) {
		err = errno ? -errno : -EIO;
		report_err("writing JSON to %s: %s", to_stdout ? "standard output" : path,
			   strerror(-err));
	}
	if (out && !to_stdout)
		fclose(out);
	json_decref(root);
	return err;
}
