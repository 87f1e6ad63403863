/* From TLS to the tunnel: signature, Hello, login (not looked at), Welcome. */
#define _GNU_SOURCE /* memmem */
#include "loadpeer.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { INT = 0, DATA = 1, STR = 2, HEAD_BYTES = 512 };

struct pack {
    uint8_t bytes[2048];
    size_t size;
    uint32_t elements;
};

static void put_u32(struct pack *pack, uint32_t value)
{
    uint8_t *p = pack->bytes + pack->size;
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
    pack->size += 4;
}

static void put_bytes(struct pack *pack, const void *data, size_t size)
{
    memcpy(pack->bytes + pack->size, data, size);
    pack->size += size;
}

static void put_name(struct pack *pack, const char *name, uint32_t type)
{
    if (!pack->size)
        put_u32(pack, 0); /* the number of elements, known at the end */
    pack->elements++;
    put_u32(pack, (uint32_t)strlen(name) + 1);
    put_bytes(pack, name, strlen(name));
    put_u32(pack, type);
    put_u32(pack, 1);
}

static void add_int(struct pack *pack, const char *name, uint32_t value)
{
    put_name(pack, name, INT);
    put_u32(pack, value);
}

static void add_data(struct pack *pack, const char *name, uint32_t type, const char *data, size_t n)
{
    put_name(pack, name, type);
    put_u32(pack, (uint32_t)n);
    put_bytes(pack, data, n);
}

static void add_str(struct pack *pack, const char *name, const char *text)
{
    add_data(pack, name, STR, text, strlen(text));
}

static bool send_pack(struct peer *peer, struct pack *pack)
{
    char answer[HEAD_BYTES + sizeof pack->bytes];
    size_t size = pack->size;
    int head;

    pack->size = 0;
    put_u32(pack, pack->elements);
    head = snprintf(answer, HEAD_BYTES,
                    "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: %zu\r\n"
                    "Content-Type: application/octet-stream\r\n"
                    "Keep-Alive: timeout=15; max=19\r\n\r\n",
                    size);
    memcpy(answer + head, pack->bytes, size);
    return stream_write_all(peer, answer, (size_t)head + size);
}

/* What the official client asks for first, to know whether this is such a server at all: it
 * looks for this word in the answer. */
static bool answer_probe(struct peer *peer)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n"
                                 "Content-Type: text/html\r\nContent-Length: 32\r\n\r\n"
                                 "9C37197CA7C2428388C2E6E59B829B30";
    return stream_write_all(peer, answer, sizeof answer - 1);
}

/* Reads one POST with its body and drops it; false = no such thing within 15 s. */
static bool skip_request(struct peer *peer)
{
    double deadline_s = seconds_now() + 15;

    while (!peer->dead && seconds_now() < deadline_s) {
        char *text = (char *)peer->in + peer->start;
        size_t size = peer->end - peer->start;
        char *end = size ? memmem(text, size, "\r\n\r\n", 4) : NULL;
        struct pollfd wait = {.fd = peer->fd, .events = POLLIN};

        if (end) {
            static const char name[] = "content-length:";
            bool is_post = !memcmp(text, "POST ", 5);
            size_t head = (size_t)(end - text) + 4, body = 0;
            for (char *line = text; line < end; line = (char *)memchr(line, '\n', size) + 1)
                if (!strncasecmp(line, name, sizeof name - 1))
                    body = strtoul(line + sizeof name - 1, NULL, 10);
            if (body > 65536)
                return false;
            if (size >= head + body) {
                peer->start += head + body;
                if (is_post)
                    return true;
                if (!answer_probe(peer))
                    return false;
                continue;
            }
        }
        if (!stream_read(peer) && !peer->dead)
            poll(&wait, 1, 100);
    }
    return false;
}

bool handshake(struct peer *peer)
{
    static struct pack hello, welcome;
    static const char key[20] = "0123456789abcdefghij";

    memset(&hello, 0, sizeof hello);
    memset(&welcome, 0, sizeof welcome);
    add_str(&hello, "hello", "load peer");
    add_int(&hello, "version", 501);
    add_int(&hello, "build", 9674);
    add_data(&hello, "random", DATA, key, sizeof key);

    add_str(&welcome, "session_name", "SID-LOAD-1");
    add_str(&welcome, "connection_name", "CID-1");
    add_data(&welcome, "session_key", DATA, key, sizeof key);
    add_int(&welcome, "max_connection", 1);
    add_int(&welcome, "use_encrypt", 1);
    add_int(&welcome, "use_compress", 0);
    add_int(&welcome, "half_connection", 0);
    add_int(&welcome, "qos", 0);
    add_int(&welcome, "timeout", 20000);
    add_int(&welcome, "policy:Access", 1);
    add_int(&welcome, "policy:MaxConnection", 1);
    add_int(&welcome, "policy:TimeOut", 20);
    add_int(&welcome, "policy:Ver3", 1);

    return skip_request(peer) && send_pack(peer, &hello) && skip_request(peer)
           && send_pack(peer, &welcome);
}
