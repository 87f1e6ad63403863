/* A TCP that only benchmarks want: discard on port 9, chargen on port 19.
 *
 * It trusts the path: data is acknowledged once for each read of the tunnel, nothing is kept
 * or reordered, and what the client's TAP lost is sent again from the first missing byte.
 * Timestamps are spoken when the client speaks them, as between two Linux hosts.
 */
#include "loadpeer.h"

#include <string.h>

enum {
    FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16,
    CONNECTIONS = 64,
    DISCARD = 9,
    CHARGEN = 19,
    TIMESTAMP_BYTES = 12,
    MSS = 1460,
    SCALE = 9, /* of the window we offer: 32 MB */
    IN_FLIGHT_MAX = 4 << 20,
};
static const double RESEND_S = 0.2;

struct connection {
    bool used, established, must_acknowledge, was_closed;
    uint8_t to[54]; /* headers of the client's first segment */
    uint32_t received; /* the next sequence number from the client */
    uint32_t sent, acknowledged, window;
    uint32_t echo; /* the client's newest timestamp */
    uint8_t scale, duplicates;
    uint8_t option_bytes;
    double progress_s;
};
static struct connection connections[CONNECTIONS];

void tcp_reset(void) { memset(connections, 0, sizeof connections); }

static struct connection *find(const uint8_t *frame, bool opens)
{
    struct connection *empty = NULL;

    for (struct connection *c = connections; c < connections + CONNECTIONS; c++) {
        if (c->used && !memcmp(c->to + L4_AT, frame + L4_AT, 4)
            && !memcmp(c->to + IP_AT + 12, frame + IP_AT + 12, 8))
            return c;
        if (!c->used && !empty)
            empty = c;
    }
    return opens ? empty : NULL;
}

/* Writes the headers of a segment; its payload and their sum are the caller's. */
static uint8_t *segment(struct peer *peer, struct connection *c, uint8_t flags, uint32_t seq,
                        size_t payload_bytes, size_t further_bytes)
{
    size_t header_bytes = 20 + further_bytes + c->option_bytes;
    size_t size = L4_AT + header_bytes + payload_bytes;
    uint8_t *out = stream_frame(peer, size);
    uint8_t *tcp;

    if (!out)
        return NULL;
    tcp = out + L4_AT;
    answer_headers(out, c->to, size, 6);
    memcpy(tcp, c->to + L4_AT + 2, 2);
    memcpy(tcp + 2, c->to + L4_AT, 2);
    set_u32(tcp + 4, seq);
    set_u32(tcp + 8, c->received);
    tcp[12] = (uint8_t)(header_bytes / 4 << 4);
    tcp[13] = flags;
    set_u16(tcp + 14, 65535);
    set_u32(tcp + 16, 0);
    if (c->option_bytes) {
        memcpy(tcp + 20 + further_bytes, "\x01\x01\x08\x0a", 4);
        set_u32(tcp + 24 + further_bytes, (uint32_t)(peer->now_s * 1000));
        set_u32(tcp + 28 + further_bytes, c->echo);
    }
    return out;
}

static bool send_flags(struct peer *peer, struct connection *c, uint8_t flags)
{
    size_t further_bytes = flags & SYN ? 8 : 0;
    uint8_t *out = segment(peer, c, flags, c->sent, 0, further_bytes);

    if (!out)
        return false;
    if (flags & SYN) {
        memcpy(out + L4_AT + 20, "\x02\x04\x00\x00\x01\x03\x03\x00", 8);
        set_u16(out + L4_AT + 22, MSS);
        out[L4_AT + 27] = SCALE;
    }
    finish_transport(out, L4_AT + (size_t)(out[L4_AT + 12] >> 4) * 4,
                     (size_t)(out[L4_AT + 12] >> 4) * 4, 0);
    c->must_acknowledge = false;
    return true;
}

static void read_options(struct connection *c, const uint8_t *tcp, size_t header_bytes, bool opens)
{
    for (size_t at = 20; at + 1 < header_bytes && tcp[at];) {
        size_t size = tcp[at] == 1 ? 1 : tcp[at + 1];
        if (!size || at + size > header_bytes)
            return;
        if (tcp[at] == 8 && size == 10) {
            c->echo = get_u32(tcp + at + 2);
            if (opens)
                c->option_bytes = TIMESTAMP_BYTES;
        }
        if (tcp[at] == 3 && size == 3 && opens)
            c->scale = tcp[at + 2] < 14 ? tcp[at + 2] : 14;
        at += size;
    }
}

static void open_connection(struct peer *peer, struct connection *c, const uint8_t *frame,
                            size_t header_bytes)
{
    memset(c, 0, sizeof *c);
    c->used = true;
    memcpy(c->to, frame, sizeof c->to);
    c->received = get_u32(frame + L4_AT + 4) + 1;
    c->sent = c->acknowledged = 1;
    read_options(c, frame + L4_AT, header_bytes, true);
    c->window = get_u16(frame + L4_AT + 14);
    if (send_flags(peer, c, SYN | ACK)) /* if there is no room, the client asks again */
        c->sent++;
    else
        c->used = false;
}

static void acknowledged(struct peer *peer, struct connection *c, const uint8_t *tcp, size_t payload)
{
    uint32_t number = get_u32(tcp + 8);
    uint32_t gained = number - c->acknowledged;
    uint32_t window = (uint32_t)get_u16(tcp + 14) << c->scale;
    bool is_update = window != c->window; /* and thereby no duplicate (RFC 5681 2) */

    c->window = window;

    if (gained && gained <= IN_FLIGHT_MAX) {
        peer->count.tcp_bytes_acked += gained;
        c->acknowledged = number;
        if ((int32_t)(c->sent - number) < 0)
            c->sent = number; /* we had gone back too far */
        c->duplicates = 0;
        c->progress_s = peer->now_s;
    } else if (!gained && !payload && !is_update && c->sent != c->acknowledged && ++c->duplicates == 3) {
        peer->count.tcp_retransmits++;
        c->sent = c->acknowledged;
        c->progress_s = peer->now_s;
    }
}

void tcp_receive(struct peer *peer, const uint8_t *frame, size_t ip_end)
{
    const uint8_t *tcp = frame + L4_AT;
    size_t header_bytes, payload;
    struct connection *c;
    uint8_t flags;
    uint16_t port;

    if (ip_end < L4_AT + 20)
        return;
    header_bytes = (size_t)(tcp[12] >> 4) * 4;
    if (header_bytes < 20 || L4_AT + header_bytes > ip_end)
        return;
    payload = ip_end - L4_AT - header_bytes;
    flags = tcp[13];
    port = get_u16(tcp + 2);
    if (port != DISCARD && port != CHARGEN)
        return;
    c = find(frame, flags & SYN);
    if (!c)
        return;
    if (flags & RST) {
        c->used = false;
        return;
    }
    if (flags & SYN) {
        open_connection(peer, c, frame, header_bytes);
        return;
    }
    if (header_bytes > 20)
        read_options(c, tcp, header_bytes, false);
    c->established = true;
    acknowledged(peer, c, tcp, payload);
    if (payload || flags & FIN) {
        c->must_acknowledge = true;
        if (get_u32(tcp + 4) != c->received) {
            peer->count.tcp_gaps += (int32_t)(get_u32(tcp + 4) - c->received) > 0;
            send_flags(peer, c, ACK); /* each a duplicate, so that the client resends early */
            return;
        }
        c->received += (uint32_t)payload;
        peer->count.tcp_bytes_in += payload;
    }
    if (flags & FIN) {
        c->received++;
        if (send_flags(peer, c, FIN | ACK)) {
            c->sent++;
            c->was_closed = true;
        }
    } else if (c->was_closed && c->acknowledged == c->sent) {
        c->used = false;
    }
}

static bool produce_data(struct peer *peer, struct connection *c)
{
    size_t room = MSS - c->option_bytes;
    uint32_t limit = c->window < IN_FLIGHT_MAX ? c->window : IN_FLIGHT_MAX;
    uint8_t *out;

    if (c->sent != c->acknowledged && peer->now_s - c->progress_s > RESEND_S) {
        peer->count.tcp_retransmits++;
        c->sent = c->acknowledged;
        c->progress_s = peer->now_s;
    }
    if (c->sent == c->acknowledged)
        c->progress_s = peer->now_s;
    while (c->sent - c->acknowledged + room <= limit) {
        out = segment(peer, c, ACK, c->sent, room, 0);
        if (!out)
            return true;
        memset(out + L4_AT + 20 + c->option_bytes, 0, room); /* zeros add nothing to a sum */
        finish_transport(out, L4_AT + 20 + c->option_bytes + room, 20 + c->option_bytes, 0);
        c->sent += (uint32_t)room;
        c->must_acknowledge = false;
    }
    return false;
}

bool tcp_produce(struct peer *peer)
{
    static unsigned turn; /* who may fill the group first */
    bool more = false;

    for (struct connection *c = connections; c < connections + CONNECTIONS; c++)
        if (c->used && c->must_acknowledge)
            send_flags(peer, c, ACK);
    turn++;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &connections[(turn + i) % CONNECTIONS];
        if (c->used && c->established && !c->was_closed && c->to[L4_AT + 3] == CHARGEN)
            more |= produce_data(peer, c);
    }
    return more;
}
