/* A wire between two network namespaces: delay, loss, a rate with a bounded queue.
 *
 *   wire NETNS-A NETNS-B NAME
 *
 * Makes a TAP called NAME in each of the two namespaces (paths as /run/netns/...) and carries
 * frames between them. Some kernels have no netem, so this is a program. Commands come on
 * stdin, one a line, and hold from then on, for frames that come after:
 *
 *   set DELAY_US LOSS_PPM RATE_KBIT BUFFER_BYTES   both directions; rate 0 = as fast as it goes
 *   count                                          prints "passed lost full" of A->B, then B->A
 *
 * Each answers with one line. Loss is a function of a seed and the frame's number alone, the
 * same in every run. A rate's queue is a drop-tail one of BUFFER_BYTES. stdin's end ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 32768, FRAME_MAX_BYTES = 1600, TURN_FRAMES = 64 };

struct slot {
    int64_t due_ns;
    uint32_t size;
    uint8_t frame[FRAME_MAX_BYTES];
};

struct way {
    int from, to;
    struct slot *slots;         /* a ring, in the order of `due_ns` */
    uint32_t head, count;
    int64_t idle_ns;            /* when the last frame has left the queue */
    uint64_t random;
    uint64_t passed, lost, full;
};

static int64_t delay_ns, rate_kbit, buffer_bytes;
static uint32_t loss_ppm;

static void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int open_tap(const char *netns, const char *name)
{
    struct ifreq request = {0};
    int at = open(netns, O_RDONLY | O_CLOEXEC), fd;
    if (at < 0 || setns(at, CLONE_NEWNET) != 0)
        die(netns);
    close(at);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        die("cannot make the TAP");
    return fd;
}

static uint32_t draw(struct way *way) /* splitmix64, as parts of a million */
{
    uint64_t z = way->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ (z >> 31)) % 1000000u);
}

/* Take what the TAP has; each frame is put into the ring with the time when it arrives. */
static void take(struct way *way)
{
    for (int i = 0; i < TURN_FRAMES && way->count < SLOTS; i++) {
        struct slot *slot = &way->slots[(way->head + way->count) % SLOTS];
        ssize_t got = read(way->from, slot->frame, FRAME_MAX_BYTES);
        int64_t at_ns = now_ns();
        if (got <= 0)
            return;
        if (draw(way) < loss_ppm) {
            way->lost++;
            continue;
        }
        if (rate_kbit) {
            if (way->idle_ns < at_ns)
                way->idle_ns = at_ns;
            if ((way->idle_ns - at_ns) * rate_kbit / 8000000 + got > buffer_bytes) {
                way->full++;
                continue;
            }
            at_ns = way->idle_ns += got * 8000000 / rate_kbit;
        }
        slot->due_ns = at_ns + delay_ns;
        slot->size = (uint32_t)got;
        way->count++;
    }
}

/* Hand over what is due; return when the next one is, INT64_MAX without one. */
static int64_t give(struct way *way)
{
    int64_t at_ns = now_ns();
    while (way->count) {
        struct slot *slot = &way->slots[way->head];
        if (slot->due_ns > at_ns)
            return slot->due_ns;
        if (write(way->to, slot->frame, slot->size) == (ssize_t)slot->size)
            way->passed++;
        way->head = (way->head + 1) % SLOTS;
        way->count--;
    }
    return INT64_MAX;
}

static void obey(struct way ways[2])
{
    static char line[256];
    long long delay_us, ppm, kbit, bytes;
    if (!fgets(line, sizeof line, stdin))
        exit(0);
    if (sscanf(line, "set %lld %lld %lld %lld", &delay_us, &ppm, &kbit, &bytes) == 4) {
        delay_ns = delay_us * 1000;
        loss_ppm = (uint32_t)ppm;
        rate_kbit = kbit;
        buffer_bytes = bytes;
        puts("set");
    } else {
        for (int i = 0; i < 2; i++)
            printf("%llu %llu %llu%c", (unsigned long long)ways[i].passed,
                   (unsigned long long)ways[i].lost, (unsigned long long)ways[i].full,
                   i ? '\n' : ' ');
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct way ways[2] = {{.random = 1}, {.random = 2}};
    struct pollfd polled[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
    if (argc != 4)
        return 2;
    prctl(PR_SET_TIMERSLACK, 1L);
    setvbuf(stdin, NULL, _IOLBF, 0);
    ways[0].from = ways[1].to = polled[0].fd = open_tap(argv[1], argv[3]);
    ways[1].from = ways[0].to = polled[1].fd = open_tap(argv[2], argv[3]);
    for (int i = 0; i < 2; i++)
        if (!(ways[i].slots = calloc(SLOTS, sizeof(struct slot))))
            die("calloc");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int64_t due_ns = INT64_MAX, left_ns;
        struct timespec limit = {0};
        for (int i = 0; i < 2; i++) {
            int64_t next_ns = give(&ways[i]);
            if (next_ns < due_ns)
                due_ns = next_ns;
            polled[i].events = ways[i].count < SLOTS ? POLLIN : 0;
        }
        left_ns = due_ns == INT64_MAX ? 0 : due_ns - now_ns();
        if (left_ns < 0)
            left_ns = 0;
        limit.tv_sec = left_ns / 1000000000;
        limit.tv_nsec = left_ns % 1000000000;
        if (ppoll(polled, 3, due_ns == INT64_MAX ? NULL : &limit, NULL) < 0 && errno != EINTR)
            die("ppoll");
        for (int i = 0; i < 2; i++)
            take(&ways[i]);
        if (polled[2].revents)
            obey(ways);
    }
}
