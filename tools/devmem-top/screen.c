// SPDX-License-Identifier: BSD-3-Clause
/*
 * The live terminal: the alternate screen, redrawn in one write, keys read one by one. ECMA-48 sequences that any terminal has.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "show.h"

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

static const char keys[] = "q quit  s sort: %s  g rows: %s  d steps down  space now  + - interval";

static void measure(struct show *how)
{
	struct winsize w;
	bool known = !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row > 5 && w.ws_col > 20;

	how->rows = known ? w.ws_row - 1U : 23;
	how->columns = known ? w.ws_col : 80;
}

static int write_all(const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(STDOUT_FILENO, p, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int draw(const struct show *how, const struct reading *now, const struct reading *before)
{
	char *text = NULL, line[160];
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int err = out ? 0 : -ENOMEM;

	if (!err) {
		fputs("\033[H", out);
		err = show_text(out, how, now, before);
		/* What is left of an earlier, longer page goes; the keys stand on the last line. */
		snprintf(line, sizeof(line), keys, sort_names[how->sort], group_names[how->group]);
		fprintf(out, "\033[J\033[%u;1H\033[2m%.*s\033[0m", how->rows + 1, (int)how->columns,
			line);
		if (fclose(out) && !err)
			err = -ENOMEM;
	}
	if (!err)
		err = write_all(text, size);
	free(text);
	return err;
}

/* false: the user leaves. */
static bool take_key(struct show *how, char key)
{
	switch (key) {
	case 'q':
	case 'Q':
		return false;
	case 's':
		how->sort = (enum table_sort)((how->sort + 1) % SORT_COUNT);
		break;
	case 'g':
		how->group = (enum table_group)((how->group + 1) % GROUP_COUNT);
		how->steps = false;
		break;
	case 'd':
		how->steps = !how->steps;
		break;
	case '+':
		how->interval = how->interval < 30 ? how->interval * 2 : 60;
		break;
	case '-':
		how->interval = how->interval > 0.4 ? how->interval / 2 : 0.2;
		break;
	default:
		break;
	}
	return true;
}

/* Until the next reading is due or a key asks for it: 1, or 0 to leave. Redraws what is known on other keys. */
static int wait_keys(struct show *how, const struct reading *now, const struct reading *before,
		     const volatile int *stop)
{
	double left = how->interval;

	while (!*stop && left > 0) {
		struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
		double part = left < 0.2 ? left : 0.2;
		char key;

		if (poll(&p, 1, (int)(part * 1000) + 1) > 0) {
			if (read(STDIN_FILENO, &key, 1) != 1 || !take_key(how, key))
				return 0;
			if (key == ' ')
				return 1;
			measure(how);
			if (draw(how, now, before))
				return 0;
			continue;
		}
		left -= part;
	}
	return !*stop;
}

static int run(struct show *how, const volatile int *stop)
{
	struct reading now = { 0 }, before = { 0 };
	bool first = true;
	int err;

	do {
		reading_drop(&before);
		before = now;
		now = (struct reading){ 0 };
		err = reading_take(how->dir, &now);
		if (err)
			break;
		measure(how);
		err = draw(how, &now, first ? NULL : &before);
		first = false;
	} while (!err && wait_keys(how, &now, before.ns ? &before : NULL, stop));
	reading_drop(&now);
	reading_drop(&before);
	return err;
}

int screen_run(struct show *how, const volatile int *stop)
{
	struct termios old, raw;
	int err;

	if (tcgetattr(STDIN_FILENO, &old)) {
		err = -errno;
		fprintf(stderr, "devmem-top: the terminal: %s; -b writes without one\n",
			strerror(-err));
		return err;
	}
	raw = old;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	write_all(ENTER, sizeof(ENTER) - 1);
	err = run(how, stop);
	write_all(LEAVE, sizeof(LEAVE) - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &old);
	if (err)
		fprintf(stderr, "devmem-top: reading %s: %s\n", how->dir, strerror(-err));
	return err;
}
