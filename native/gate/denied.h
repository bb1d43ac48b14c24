#ifndef DENIED_H
#define DENIED_H

#include <stddef.h>

/* Bytes of a packet that are looked at: IPv6's header, and the ports behind it. */
#define HEAD 64

/* Reads what has come, and tells of it: each destination once in a while, with how often. */
void denied_read(int tap, void (*tell)(const char *line, size_t size));

#endif
