/* Many small UDP datagrams: a sender that keeps to a rate, and a receiver that counts.
 *
 *   udpload send ADDRESS PORT SIZE RATE SECONDS   prints what was sent (RATE 0 = no limit)
 *   udpload segments ADDRESS PORT SIZE RATE SECONDS
 *                                                 the same, many datagrams in each send
 *                                                 (UDP_SEGMENT, as QUIC servers do)
 *   udpload frames DEVICE MAC ADDRESS PORT SIZE RATE SECONDS
 *                                                 the same from below the host's IP: ready
 *                                                 frames, as fast as one core makes them
 *   udpload recv PORT SECONDS                     prints "DELIVERED MILLISECONDS" at the end
 *   udpload ask ADDRESS PORT SIZE RATE SECONDS    the same, of a flood that it asks for
 *                                                 (build/loadpeer, UDP 19)
 *
 * The time of the receiver runs from its first datagram to its last. Both use batches of
 * system calls, so that on two cores they cost less than what they measure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, SIZE_MAX_BYTES = 64 * 64, SEGMENTS = 60 /* the kernel's limit was 64 */ };
static unsigned each = 1; /* datagrams in a message */

static double now_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void sleep_s(double seconds)
{
    struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
}

static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static char bytes[BATCH][SIZE_MAX_BYTES];

static void prepare(size_t size)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i].iov_base = bytes[i];
        parts[i].iov_len = size;
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
}

static void send_all(int fd, double rate, double seconds)
{
    double began_s = now_s(), passed_s;
    unsigned long sent = 0;

    while ((passed_s = now_s() - began_s) < seconds) {
        unsigned long due = rate > 0 ? (unsigned long)(rate * passed_s) : sent + BATCH * each;
        unsigned count = due - sent < BATCH * each ? (unsigned)(due - sent) / each : BATCH;
        int put;

        if (due <= sent || !count) {
            sleep_s(0.0002);
            continue;
        }
        put = sendmmsg(fd, messages, count, 0);
        if (put < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
            die("sendmmsg");
        if (put > 0)
            sent += (unsigned)put * each;
    }
    printf("%lu\n", sent);
}

static void put_u16(unsigned char *at, unsigned value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static unsigned fold(unsigned long sum)
{
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (unsigned)sum;
}

/* Ethernet, IPv4 and UDP (without a checksum, RFC 768) in front of `size` bytes. */
static size_t write_headers(unsigned char *frame, const struct ifreq *mac, const struct ifreq *ip,
                            const char *to_mac, const char *to_ip, int port, size_t size)
{
    unsigned char *head = frame + 14;
    unsigned long sum = 0;

    if (sscanf(to_mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", frame, frame + 1, frame + 2, frame + 3,
               frame + 4, frame + 5) != 6)
        die(to_mac);
    memcpy(frame + 6, mac->ifr_hwaddr.sa_data, 6);
    memcpy(frame + 12, "\x08\x00\x45\x00\x00\x00\x00\x00\x40\x00\x40\x11\x00\x00", 14);
    put_u16(head + 2, (unsigned)(28 + size));
    memcpy(head + 12, &((const struct sockaddr_in *)&ip->ifr_addr)->sin_addr, 4);
    if (inet_pton(AF_INET, to_ip, head + 16) != 1)
        die(to_ip);
    for (int i = 0; i < 20; i += 2)
        sum += (unsigned long)(head[i] << 8 | head[i + 1]);
    put_u16(head + 10, ~fold(sum) & 0xFFFF);
    put_u16(head + 20, 40000);
    put_u16(head + 22, (unsigned)port);
    put_u16(head + 24, (unsigned)(8 + size));
    return 42 + size;
}

/* A packet socket that goes to the device without a queue in front of it. */
static int open_device(const char *device, const char *to_mac, const char *to_ip, int port,
                       size_t size)
{
    struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    struct ifreq mac = {0}, ip = {0};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;
    int plain = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strncpy(mac.ifr_name, device, IFNAMSIZ - 1);
    strncpy(ip.ifr_name, device, IFNAMSIZ - 1);
    ip.ifr_addr.sa_family = AF_INET;
    place.sll_ifindex = (int)if_nametoindex(device);
    if (fd < 0 || plain < 0 || ioctl(plain, SIOCGIFHWADDR, &mac) || ioctl(plain, SIOCGIFADDR, &ip)
        || setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one)
        || bind(fd, (struct sockaddr *)&place, sizeof place))
        die(device);
    for (int i = 0; i < BATCH; i++)
        size = write_headers((unsigned char *)bytes[i], &mac, &ip, to_mac, to_ip, port, size) - 42;
    prepare(42 + size);
    return fd;
}

static void receive_all(int fd, double seconds)
{
    double end_s = now_s() + seconds, first_s = 0, last_s = 0;
    unsigned long count = 0;

    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);

        if (got > 0) {
            last_s = now_s();
            if (!count)
                first_s = last_s;
            count += (unsigned)got;
            continue;
        }
        /* The socket's buffer holds more than comes in a millisecond; who is not woken for
         * each datagram leaves the time to what is measured. */
        sleep_s(0.001);
        if ((count && now_s() - last_s > 0.2) || now_s() > end_s)
            break; /* silence: the sender has ended */
    }
    printf("%lu %.3f\n", count, (last_s - first_s) * 1e3);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 64 << 20;

    if (fd < 0)
        die("socket");
    if (argc == 7 && (!strcmp(argv[1], "send") || !strcmp(argv[1], "segments"))) {
        size_t size = strtoul(argv[4], NULL, 10);
        int segment = (int)size;
        address.sin_port = htons((unsigned short)atoi(argv[3]));
        if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1 || size > SIZE_MAX_BYTES)
            die(argv[2]);
        if (connect(fd, (struct sockaddr *)&address, sizeof address))
            die("connect");
        if (!strcmp(argv[1], "segments")) {
            each = SEGMENTS;
            if (size > SIZE_MAX_BYTES / SEGMENTS
                || setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment))
                die("UDP_SEGMENT");
        }
        prepare(size * each);
        send_all(fd, atof(argv[5]), atof(argv[6]));
    } else if (argc == 9 && !strcmp(argv[1], "frames") && strtoul(argv[6], NULL, 10) <= 1400) {
        int device = open_device(argv[2], argv[3], argv[4], atoi(argv[5]), strtoul(argv[6], NULL, 10));
        send_all(device, atof(argv[7]), atof(argv[8]));
    } else if (argc == 4 && !strcmp(argv[1], "recv")) {
        address.sin_port = htons((unsigned short)atoi(argv[2]));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        if (bind(fd, (struct sockaddr *)&address, sizeof address))
            die("bind");
        prepare(SIZE_MAX_BYTES);
        receive_all(fd, atof(argv[3]));
    } else if (argc == 7 && !strcmp(argv[1], "ask")) {
        char words[48];
        snprintf(words, sizeof words, "%s %s %s", argv[4], argv[6], argv[5]);
        address.sin_port = htons((unsigned short)atoi(argv[3]));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1
            || connect(fd, (struct sockaddr *)&address, sizeof address)
            || send(fd, words, strlen(words), 0) < 0)
            die(argv[2]);
        prepare(SIZE_MAX_BYTES);
        receive_all(fd, atof(argv[6]) + 2);
    } else {
        fprintf(stderr, "usage: udpload send|segments ADDRESS PORT SIZE RATE SECONDS | recv PORT SECONDS"
                        " | frames DEVICE MAC ADDRESS PORT SIZE RATE SECONDS"
                        " | ask ADDRESS PORT SIZE RATE SECONDS\n");
        return 2;
    }
    return 0;
}
