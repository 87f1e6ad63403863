/* A peer for load tests: a server of the tunnel protocol that costs almost nothing.
 *
 * It takes one client at a time through TLS, Hello and Welcome (any user, any password) and
 * then is a LAN with one host, LAN_HOST, that answers ARP, DHCP and ping, and serves
 *
 *   TCP 9   discard: reads and acknowledges as fast as it comes
 *   TCP 19  chargen: sends as fast as the client's window allows
 *   UDP 9   discard: counted
 *   UDP 19  a datagram "SIZE SECONDS RATE" starts a flood of datagrams of SIZE bytes back to
 *           it, RATE a second (0 = as fast as the tunnel's TCP takes them)
 *
 * all with a TCP of its own that trusts the tunnel: in order, and never lossy but at the
 * client's TAP. Nothing of the client is used here, so a bug cannot cancel itself out.
 * Source of the protocol: protocol.md 1.3, 2, 3, 5.1, 6.2.
 */
#ifndef LOADPEER_H
#define LOADPEER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    FRAME_MAX = 1600,
    BLOCK_MAX = 3200,
    KEEPALIVE_MAX = 512,
    GROUP_MAX = 128,
    IN_BYTES = 1 << 18,
    OUT_BYTES = 4 + GROUP_MAX * (4 + FRAME_MAX),
    WIRE_BYTES = 1 << 18, /* the records of one group, gathered for one write */
};

struct counters {
    uint64_t records_in, plain_bytes_in, groups_in, largest_group, frames_in, frame_bytes_in;
    uint64_t largest_frame, keepalives_in, framing_errors, bad_checksums;
    uint64_t records_out, plain_bytes_out, groups_out, frames_out, frame_bytes_out;
    uint64_t tcp_bytes_in, tcp_gaps, tcp_bytes_acked, tcp_retransmits, udp_in, udp_bytes_in;
};

struct peer {
    int fd;
    SSL *ssl;
    bool verify;  /* check every checksum that comes in (costs time) */
    bool single;  /* one record for each frame, instead of whole groups */
    bool flushed; /* nothing waits in the gathering buffer */
    bool dead;
    double now_s, last_sent_s;
    struct counters count;

    /* received plaintext: in[start:end] is not parsed yet */
    uint8_t in[IN_BYTES];
    size_t start, end;
    uint32_t blocks_left;

    /* the group being built: its count word and blocks */
    uint8_t out[OUT_BYTES];
    size_t out_size;
    uint32_t out_frames;
};

/* stream.c: TLS and framing */
double seconds_now(void);
bool stream_read(struct peer *peer);   /* what is there; false = nothing, or dead */
void stream_parse(struct peer *peer);  /* hands whole frames to lan_receive */
uint8_t *stream_frame(struct peer *peer, size_t size); /* room for a frame; NULL = full */
void stream_flush(struct peer *peer);  /* sends the group as far as the socket takes it */
void stream_keepalive(struct peer *peer);
bool stream_write_all(struct peer *peer, const void *data, size_t size); /* blocking */

/* handshake.c */
bool handshake(struct peer *peer);

/* lan.c: the host on the LAN. Offsets are those of untagged IPv4 without options. */
enum { IP_AT = 14, L4_AT = 34, UDP_DATA_AT = 42 };
static const uint8_t LAN_MAC[6] = {0x5e, 0x99, 0, 0, 0, 1};

uint16_t get_u16(const uint8_t *p);
uint32_t get_u32(const uint8_t *p);
void set_u16(uint8_t *p, uint16_t value);
void set_u32(uint8_t *p, uint32_t value);
uint64_t sum_bytes(const uint8_t *data, size_t size, uint64_t sum); /* RFC 1071, big-endian */
uint16_t sum_fold(uint64_t sum);
/* Ethernet and IPv4 headers of an answer to `to`; `size` is the whole frame. */
void answer_headers(uint8_t *frame, const uint8_t *to, size_t size, uint8_t protocol);
/* The checksum of TCP or UDP; `payload_sum` is of what lies behind `header_bytes`. */
void finish_transport(uint8_t *frame, size_t size, size_t header_bytes, uint64_t payload_sum);

void lan_reset(void);
void lan_receive(struct peer *peer, const uint8_t *frame, size_t size);
bool lan_produce(struct peer *peer); /* fills the group; true = would go on at once */
int lan_patience_ms(const struct peer *peer); /* how long poll() may wait */

/* tcp.c */
void tcp_reset(void);
void tcp_receive(struct peer *peer, const uint8_t *frame, size_t ip_end);
bool tcp_produce(struct peer *peer);

#endif
