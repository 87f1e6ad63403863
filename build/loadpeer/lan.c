/* The one host of the LAN: ARP, DHCP, ping, UDP discard and flood; TCP goes to tcp.c. */
#include "loadpeer.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t HOST_IP[4] = {10, 99, 0, 1};
static const uint8_t CLIENT_IP[4] = {10, 99, 0, 2}; /* what DHCP gives */

static struct {
    uint8_t to[FRAME_MAX]; /* the datagram that asked for it */
    size_t size;
    double began_s, until_s;
    double rate; /* datagrams a second; 0 = as the tunnel's TCP allows */
    uint64_t number;
} flood;

uint16_t get_u16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

uint32_t get_u32(const uint8_t *p) { return (uint32_t)get_u16(p) << 16 | get_u16(p + 2); }

void set_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

void set_u32(uint8_t *p, uint32_t value)
{
    set_u16(p, (uint16_t)(value >> 16));
    set_u16(p + 2, (uint16_t)value);
}

uint64_t sum_bytes(const uint8_t *data, size_t size, uint64_t sum)
{
    for (; size >= 4; data += 4, size -= 4)
        sum += get_u32(data);
    if (size >= 2)
        sum += get_u16(data);
    if (size & 1)
        sum += (uint64_t)data[size & 2] << 8;
    return sum;
}

uint16_t sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)sum;
}

static uint64_t pseudo_sum(const uint8_t *frame, size_t transport_bytes)
{
    return sum_bytes(frame + IP_AT + 12, 8, frame[IP_AT + 9] + transport_bytes);
}

void answer_headers(uint8_t *frame, const uint8_t *to, size_t size, uint8_t protocol)
{
    static uint16_t ident;
    uint8_t *ip = frame + IP_AT;

    memcpy(frame, to + 6, 6);
    memcpy(frame + 6, LAN_MAC, 6);
    memcpy(frame + 12, "\x08\x00\x45\x00", 4);
    set_u16(ip + 2, (uint16_t)(size - IP_AT));
    set_u16(ip + 4, ident++);
    set_u16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = protocol;
    set_u16(ip + 10, 0);
    memcpy(ip + 12, to + IP_AT + 16, 4);
    memcpy(ip + 16, to + IP_AT + 12, 4);
    set_u16(ip + 10, (uint16_t)~sum_fold(sum_bytes(ip, 20, 0)));
}

void finish_transport(uint8_t *frame, size_t size, size_t header_bytes, uint64_t payload_sum)
{
    uint8_t *field = frame + L4_AT + (frame[IP_AT + 9] == 6 ? 16 : 6);
    uint64_t sum = pseudo_sum(frame, size - L4_AT) + payload_sum;
    uint16_t folded;

    set_u16(field, 0);
    folded = (uint16_t)~sum_fold(sum_bytes(frame + L4_AT, header_bytes, sum));
    set_u16(field, folded ? folded : 0xFFFF);
}

static void receive_arp(struct peer *peer, const uint8_t *frame, size_t size)
{
    uint8_t *out;

    if (size < 42 || get_u16(frame + 20) != 1 || memcmp(frame + 38, HOST_IP, 4))
        return;
    out = stream_frame(peer, 42);
    if (!out)
        return;
    memcpy(out, frame + 6, 6);
    memcpy(out + 6, LAN_MAC, 6);
    memcpy(out + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02", 10);
    memcpy(out + 22, LAN_MAC, 6);
    memcpy(out + 28, HOST_IP, 4);
    memcpy(out + 32, frame + 22, 10);
}

static void receive_ping(struct peer *peer, const uint8_t *frame, size_t end)
{
    uint8_t *out;

    if (end < L4_AT + 8 || frame[L4_AT] != 8 || memcmp(frame + IP_AT + 16, HOST_IP, 4))
        return;
    out = stream_frame(peer, end);
    if (!out)
        return;
    memcpy(out, frame, end);
    answer_headers(out, frame, end, 1);
    out[L4_AT] = 0;
    set_u16(out + L4_AT + 2, 0);
    set_u16(out + L4_AT + 2, (uint16_t)~sum_fold(sum_bytes(out + L4_AT, end - L4_AT, 0)));
}

/* DISCOVER is offered, REQUEST acknowledged, always the same address (RFC 2131). */
static void receive_dhcp(struct peer *peer, const uint8_t *frame, size_t end)
{
    enum { OPTIONS_AT = UDP_DATA_AT + 240, ANSWER = OPTIONS_AT + 32 };
    const uint8_t *asked = frame + UDP_DATA_AT;
    uint8_t *out, *data, kind = 0;

    for (size_t at = OPTIONS_AT; at + 2 < end && frame[at] != 255; at += 2 + frame[at + 1])
        if (frame[at] == 53)
            kind = frame[at + 2];
    if (kind != 1 && kind != 3)
        return;
    out = stream_frame(peer, ANSWER);
    if (!out)
        return;
    memset(out, 0, ANSWER);
    answer_headers(out, frame, ANSWER, 17);
    memcpy(out + IP_AT + 12, HOST_IP, 4);
    memset(out + IP_AT + 16, 255, 4);
    set_u16(out + IP_AT + 10, 0);
    set_u16(out + IP_AT + 10, (uint16_t)~sum_fold(sum_bytes(out + IP_AT, 20, 0)));
    set_u16(out + L4_AT, 67);
    set_u16(out + L4_AT + 2, 68);
    set_u16(out + L4_AT + 4, ANSWER - L4_AT);
    data = out + UDP_DATA_AT;
    memcpy(data, asked, 240);
    data[0] = 2;
    memcpy(data + 16, CLIENT_IP, 4);
    memcpy(data + 20, HOST_IP, 4);
    data += 240;
    memcpy(data, "\x35\x01\x02\x36\x04", 5);
    data[2] = kind == 1 ? 2 : 5;
    memcpy(data + 5, HOST_IP, 4);
    memcpy(data + 9, "\x33\x04\x00\x01\x51\x80\x01\x04\xff\xff\xff\x00\xff", 13);
    finish_transport(out, ANSWER, 8, sum_bytes(out + UDP_DATA_AT, ANSWER - UDP_DATA_AT, 0));
}

static void receive_udp(struct peer *peer, const uint8_t *frame, size_t end)
{
    char text[48];
    double seconds, rate;
    size_t size;

    if (end < UDP_DATA_AT)
        return;
    switch (get_u16(frame + L4_AT + 2)) {
    case 67:
        if (end >= UDP_DATA_AT + 240)
            receive_dhcp(peer, frame, end);
        break;
    case 9:
        peer->count.udp_in++;
        peer->count.udp_bytes_in += end - UDP_DATA_AT;
        break;
    case 19:
        snprintf(text, sizeof text, "%.*s", (int)(end - UDP_DATA_AT), frame + UDP_DATA_AT);
        if (sscanf(text, "%zu %lf %lf", &size, &seconds, &rate) == 3 && size >= 8 && size <= 1472) {
            memcpy(flood.to, frame, UDP_DATA_AT);
            flood.size = UDP_DATA_AT + size;
            flood.began_s = peer->now_s;
            flood.until_s = peer->now_s + seconds;
            flood.rate = rate;
            flood.number = 0;
        }
        break;
    }
}

/* The payload is a number that counts up, then zeros, so only 8 bytes need to be summed. */
static bool produce_flood(struct peer *peer)
{
    uint64_t due = UINT64_MAX;

    if (peer->now_s > flood.until_s)
        return false;
    if (flood.rate > 0)
        due = (uint64_t)(flood.rate * (peer->now_s - flood.began_s));
    for (uint8_t *out; flood.number < due && (out = stream_frame(peer, flood.size));) {
        answer_headers(out, flood.to, flood.size, 17);
        memcpy(out + L4_AT, flood.to + L4_AT + 2, 2);
        memcpy(out + L4_AT + 2, flood.to + L4_AT, 2);
        set_u16(out + L4_AT + 4, (uint16_t)(flood.size - L4_AT));
        memset(out + UDP_DATA_AT, 0, flood.size - UDP_DATA_AT);
        set_u32(out + UDP_DATA_AT + 4, (uint32_t)flood.number++);
        finish_transport(out, flood.size, 16, 0);
    }
    return flood.number < due;
}

int lan_patience_ms(const struct peer *peer)
{
    return peer->now_s > flood.until_s ? 50 : 1;
}

void lan_reset(void)
{
    flood.until_s = 0;
    tcp_reset();
}

static bool is_right(const uint8_t *frame, size_t end)
{
    uint8_t protocol = frame[IP_AT + 9];

    if (sum_fold(sum_bytes(frame + IP_AT, 20, 0)) != 0xFFFF)
        return false;
    if (protocol != 6 && protocol != 17)
        return true;
    return sum_fold(sum_bytes(frame + L4_AT, end - L4_AT, pseudo_sum(frame, end - L4_AT))) == 0xFFFF;
}

void lan_receive(struct peer *peer, const uint8_t *frame, size_t size)
{
    size_t end;

    if (frame[12] == 8 && frame[13] == 6) {
        receive_arp(peer, frame, size);
        return;
    }
    if (size < L4_AT || frame[12] != 8 || frame[13] || frame[IP_AT] != 0x45)
        return;
    end = IP_AT + (size_t)get_u16(frame + IP_AT + 2);
    if (end > size || end < L4_AT || get_u16(frame + IP_AT + 6) & 0x3FFF)
        return;
    if (peer->verify && !is_right(frame, end)) {
        peer->count.bad_checksums++;
        return;
    }
    switch (frame[IP_AT + 9]) {
    case 1:
        receive_ping(peer, frame, end);
        break;
    case 6:
        tcp_receive(peer, frame, end);
        break;
    case 17:
        receive_udp(peer, frame, end);
        break;
    }
}

bool lan_produce(struct peer *peer)
{
    bool more = tcp_produce(peer);
    return produce_flood(peer) || more;
}
