/* Options, sockets, the loop, and one line of JSON for each client. */
#include "loadpeer.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t stop, report;
static struct peer peer;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        report = 1;
    else
        stop = 1;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Each record's header passes here in both directions. */
static void count_record(int is_write, int version, int kind, const void *data, size_t size,
                         SSL *ssl, void *argument)
{
    struct counters *count = argument;
    (void)version, (void)data, (void)size, (void)ssl;
    if (kind == SSL3_RT_HEADER) {
        if (is_write)
            count->records_out++;
        else
            count->records_in++;
    }
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void print_counts(const struct counters *count, double seconds, double cpu_s)
{
#define FIELD(name) printf("\"" #name "\": %llu, ", (unsigned long long)count->name)
    printf("{");
    FIELD(records_in), FIELD(plain_bytes_in), FIELD(groups_in), FIELD(largest_group);
    FIELD(frames_in), FIELD(frame_bytes_in), FIELD(largest_frame), FIELD(keepalives_in);
    FIELD(framing_errors), FIELD(bad_checksums);
    FIELD(records_out), FIELD(plain_bytes_out), FIELD(groups_out);
    FIELD(frames_out), FIELD(frame_bytes_out);
    FIELD(tcp_bytes_in), FIELD(tcp_gaps), FIELD(tcp_bytes_acked), FIELD(tcp_retransmits);
    FIELD(udp_in), FIELD(udp_bytes_in);
    printf("\"seconds\": %.3f, \"cpu_s\": %.3f}\n", seconds, cpu_s);
    fflush(stdout);
#undef FIELD
}

static int listen_on(const char *address, const char *port)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int fd, one = 1;

    if (getaddrinfo(address, port, &hints, &found))
        die(address);
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one)
        || bind(fd, found->ai_addr, found->ai_addrlen) || listen(fd, 8))
        die(address);
    freeaddrinfo(found);
    return fd;
}

static SSL_CTX *make_context(const char *certificate, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (!context || SSL_CTX_use_certificate_chain_file(context, certificate) != 1
        || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_num_tickets(context, 0); /* as the real server */
    SSL_CTX_set_read_ahead(context, 1);  /* many records in one read */
    SSL_CTX_set_default_read_buffer_len(context, WIRE_BYTES);
    SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
    return context;
}

/* The TLS handshake goes straight to the socket; afterwards writes are gathered. */
static bool start_tls(SSL_CTX *context, int fd)
{
    struct timeval patience = {.tv_sec = 15};
    BIO *gather;
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    peer.fd = fd;
    peer.ssl = SSL_new(context);
    if (!peer.ssl)
        return false;
    /* Before the handshake: since OpenSSL 3.2 a record layer asks for it only when it is made. */
    SSL_set_msg_callback(peer.ssl, count_record);
    SSL_set_msg_callback_arg(peer.ssl, &peer.count);
    if (!SSL_set_fd(peer.ssl, fd) || SSL_accept(peer.ssl) != 1)
        return false;
    peer.count.records_in = peer.count.records_out = 0;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    gather = BIO_new(BIO_f_buffer());
    if (!gather || BIO_set_write_buffer_size(gather, WIRE_BYTES) != 1)
        return false;
    SSL_set0_wbio(peer.ssl, BIO_push(gather, BIO_new_socket(fd, BIO_NOCLOSE)));
    peer.flushed = true;
    return true;
}

static void serve(void)
{
    double began_s = seconds_now(), began_cpu_s = cpu_seconds(), heard_s = began_s;

    lan_reset();
    peer.now_s = began_s;
    stream_parse(&peer); /* what came behind the login */
    stream_keepalive(&peer);
    while (!peer.dead && !stop) {
        bool more, heard = stream_read(&peer);
        struct pollfd wait = {.fd = peer.fd, .events = POLLIN};

        peer.now_s = seconds_now();
        if (heard) {
            heard_s = peer.now_s;
            stream_parse(&peer);
        }
        more = lan_produce(&peer);
        stream_flush(&peer);
        if (peer.now_s - peer.last_sent_s > 4)
            stream_keepalive(&peer);
        if (report) {
            report = 0;
            print_counts(&peer.count, peer.now_s - began_s, cpu_seconds() - began_cpu_s);
        }
        if (peer.now_s - heard_s > 20)
            peer.dead = true;
        if (heard || (more && peer.flushed))
            continue;
        if (!peer.flushed)
            wait.events |= POLLOUT;
        poll(&wait, 1, lan_patience_ms(&peer));
    }
    print_counts(&peer.count, seconds_now() - began_s, cpu_seconds() - began_cpu_s);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: loadpeer -cert FILE -key FILE [-listen ADDRESS] [-port PORT] [-verify] [-single] [-once]\n"
            "  -verify  check the checksums of all frames that come in\n"
            "  -single  send each frame as a record of its own\n"
            "  -once    end after the first client\n"
            "One line of JSON when a client leaves, at SIGTERM, and at SIGUSR1.\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const char *address = NULL, *port = "5555", *certificate = NULL, *key = NULL;
    struct sigaction action = {.sa_handler = on_signal};
    bool once = false, verify = false, single = false;
    SSL_CTX *context;
    int listener;

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "-verify"))
            verify = true;
        else if (!strcmp(argv[i], "-single"))
            single = true;
        else if (!strcmp(argv[i], "-once"))
            once = true;
        else if (!value)
            usage();
        else if (!strcmp(argv[i], "-listen"))
            address = argv[++i];
        else if (!strcmp(argv[i], "-port"))
            port = argv[++i];
        else if (!strcmp(argv[i], "-cert"))
            certificate = argv[++i];
        else if (!strcmp(argv[i], "-key"))
            key = argv[++i];
        else
            usage();
    }
    if (!certificate || !key)
        usage();
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    context = make_context(certificate, key);
    listener = listen_on(address, port);
    fprintf(stderr, "ready\n");
    while (!stop) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0) {
            if (errno == EINTR)
                continue;
            die("accept");
        }
        memset(&peer, 0, sizeof peer);
        peer.verify = verify;
        peer.single = single;
        if (start_tls(context, fd) && handshake(&peer)) {
            serve();
            if (once)
                stop = 1;
        } else {
            fprintf(stderr, "a client did not come through the handshake\n");
        }
        SSL_free(peer.ssl);
        close(fd);
    }
    SSL_CTX_free(context);
    return 0;
}
