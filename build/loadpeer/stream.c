/* TLS records and tunnel groups: large reads, whole groups in one write. */
#include "loadpeer.h"

#include <poll.h>
#include <string.h>
#include <time.h>

double seconds_now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_u32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

bool stream_read(struct peer *peer)
{
    size_t before = peer->end;

    if (peer->start) {
        memmove(peer->in, peer->in + peer->start, peer->end - peer->start);
        peer->end -= peer->start;
        before = peer->end;
        peer->start = 0;
    }
    while (peer->end < IN_BYTES) {
        int got = SSL_read(peer->ssl, peer->in + peer->end, (int)(IN_BYTES - peer->end));
        if (got <= 0) {
            int error = SSL_get_error(peer->ssl, got);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                peer->dead = true;
            break;
        }
        peer->end += (size_t)got;
        peer->count.plain_bytes_in += (uint64_t)got;
    }
    return peer->end > before;
}

static void framing_error(struct peer *peer)
{
    peer->count.framing_errors++;
    peer->dead = true;
}

void stream_parse(struct peer *peer)
{
    for (;;) {
        const uint8_t *p = peer->in + peer->start;
        size_t left = peer->end - peer->start;
        uint32_t word;

        if (left < 4)
            return;
        word = load_u32(p);
        if (!peer->blocks_left && word != 0xFFFFFFFF) { /* a group's count */
            peer->blocks_left = word;
            peer->start += 4;
            peer->count.groups_in += word > 0;
            if (word > peer->count.largest_group)
                peer->count.largest_group = word;
        } else if (!peer->blocks_left) {
            if (left < 8)
                return;
            word = load_u32(p + 4);
            if (word > KEEPALIVE_MAX) {
                framing_error(peer);
                return;
            }
            if (left < 8 + word)
                return;
            peer->start += 8 + word;
            peer->count.keepalives_in++;
        } else {
            if (word > BLOCK_MAX) {
                framing_error(peer);
                return;
            }
            if (left < 4 + word)
                return;
            peer->start += 4 + word;
            peer->blocks_left--;
            peer->count.frames_in++;
            peer->count.frame_bytes_in += word;
            if (word > peer->count.largest_frame)
                peer->count.largest_frame = word;
            if (word >= 14 && word <= FRAME_MAX)
                lan_receive(peer, p + 4, word);
        }
    }
}

uint8_t *stream_frame(struct peer *peer, size_t size)
{
    uint8_t *frame;

    if (!peer->flushed || peer->out_frames == GROUP_MAX)
        return NULL;
    if (!peer->out_size)
        peer->out_size = 4;
    store_u32(peer->out + peer->out_size, (uint32_t)size);
    frame = peer->out + peer->out_size + 4;
    peer->out_size += 4 + size;
    peer->out_frames++;
    peer->count.frames_out++;
    peer->count.frame_bytes_out += size;
    return frame;
}

/* Only into the gathering buffer, which is empty now and larger than any group. */
static void encrypt(struct peer *peer, const uint8_t *data, size_t size)
{
    if (SSL_write(peer->ssl, data, (int)size) <= 0) {
        peer->dead = true;
        return;
    }
    peer->count.plain_bytes_out += size;
    peer->flushed = false;
    peer->last_sent_s = peer->now_s;
}

/* As a peer that does nothing to save work: each frame a group and a record of its own. */
static void encrypt_singly(struct peer *peer)
{
    for (size_t at = 4, size; at < peer->out_size && !peer->dead; at += size) {
        size = 4 + load_u32(peer->out + at);
        store_u32(peer->out + at - 4, 1); /* over what was written before */
        encrypt(peer, peer->out + at - 4, 4 + size);
        peer->count.groups_out++;
    }
}

void stream_flush(struct peer *peer)
{
    BIO *wire = SSL_get_wbio(peer->ssl);

    if (peer->flushed && peer->out_frames && peer->single) {
        encrypt_singly(peer);
        peer->out_frames = 0;
        peer->out_size = 0;
    } else if (peer->flushed && peer->out_frames) {
        store_u32(peer->out, peer->out_frames);
        encrypt(peer, peer->out, peer->out_size);
        peer->count.groups_out++;
        peer->out_frames = 0;
        peer->out_size = 0;
    }
    if (peer->flushed || peer->dead)
        return;
    if (BIO_flush(wire) > 0)
        peer->flushed = true;
    else if (!BIO_should_retry(wire))
        peer->dead = true;
}

void stream_keepalive(struct peer *peer)
{
    static const uint8_t keepalive[8 + 32] = {0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 32};

    if (peer->flushed && !peer->out_frames)
        encrypt(peer, keepalive, sizeof keepalive);
}

bool stream_write_all(struct peer *peer, const void *data, size_t size)
{
    encrypt(peer, data, size);
    while (!peer->flushed && !peer->dead) {
        struct pollfd wait = {.fd = peer->fd, .events = POLLOUT};
        stream_flush(peer);
        if (!peer->flushed && poll(&wait, 1, 10000) <= 0)
            peer->dead = true;
    }
    return !peer->dead;
}
