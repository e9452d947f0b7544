// SPDX-License-Identifier: BSD-3-Clause
/*
 * Debian's NCCL of suites after bookworm is compiled against glibc 2.38, whose header calls these for C23's sake
 * (binary literals in numbers). Where libc has them these weak ones are not used.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WEAK __attribute__((weak, visibility("hidden")))

WEAK long __isoc23_strtol(const char *text, char **end, int base);
WEAK long __isoc23_strtol(const char *text, char **end, int base)
{
	return strtol(text, end, base);
}

WEAK long long __isoc23_strtoll(const char *text, char **end, int base);
WEAK long long __isoc23_strtoll(const char *text, char **end, int base)
{
	return strtoll(text, end, base);
}

WEAK unsigned long __isoc23_strtoul(const char *text, char **end, int base);
WEAK unsigned long __isoc23_strtoul(const char *text, char **end, int base)
{
	return strtoul(text, end, base);
}

WEAK unsigned long long __isoc23_strtoull(const char *text, char **end, int base);
WEAK unsigned long long __isoc23_strtoull(const char *text, char **end, int base)
{
	return strtoull(text, end, base);
}

WEAK int __isoc23_sscanf(const char *text, const char *format, ...);
WEAK int __isoc23_sscanf(const char *text, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsscanf(text, format, ap);
	va_end(ap);
	return n;
}

WEAK int __isoc23_fscanf(FILE *file, const char *format, ...);
WEAK int __isoc23_fscanf(FILE *file, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vfscanf(file, format, ap);
	va_end(ap);
	return n;
}
