# cython: language_level=3, boundscheck=False, wraparound=False
"""TLS client streams on libssl over non-blocking sockets, in buffers of our own.

Why not Python's `ssl`: it costs 1.2-2.1 MB more memory, and makes one system call per
record. Here the ciphertext of many records is gathered and sent by one `send` (64 KB and
more lets TCP segmentation offload work), and `recv` fills one large read-ahead buffer.

    socket --recv--> OpenSSL's read-ahead buffer --decrypt--> caller's buffer
    caller's buffer --encrypt--> Wire.out --send--> socket

Layer 2 (I/O). Nothing blocks: a call that cannot go on says so.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset
from libc.stdint cimport uint64_t

from sevpn.libssl cimport *

from sevpn.errors import TransportError

cdef extern from "sys/socket.h" nogil:
    ssize_t c_recv "recv"(int fd, void* buf, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void* buf, size_t size, int flags)
    enum:
        MSG_NOSIGNAL
        MSG_DONTWAIT

cdef extern from "string.h" nogil:
    char* strerror(int)

WANT_NOTHING = 0
WANT_READ = 1
WANT_WRITE = 2

VERIFY_OK = 0

cdef enum:
    RECORD_BYTES = 16384       # TLS plaintext limit (RFC 8446 5.1)
    RECORD_OVERHEAD = 320      # header, explicit IV, padding, MAC of the worst suite, rounded up
    READ_AHEAD_BYTES = 65536  # one recv() brings up to this; 3-4 full records
    OUT_BYTES = 83520         # 5 full records: one arena of the bridge, see _bridge

cdef BIO_METHOD* _method = NULL


cdef int _bio_write(BIO* bio, const char* data, int size) noexcept nogil:
    """Append ciphertext to the wire's out buffer; the socket is written by flush_out()."""
    cdef Wire* wire = <Wire*>BIO_get_data(bio)
    BIO_clear_retry_flags(bio)
    if size <= 0:
        return 0
    if wire.out_cap - wire.out_end < <size_t>size and wire.out_start:
        memmove(wire.out, wire.out + wire.out_start, wire.out_end - wire.out_start)
        wire.out_end -= wire.out_start
        wire.out_start = 0
    if wire.out_cap - wire.out_end < <size_t>size:
        BIO_set_retry_write(bio)
        return -1
    memcpy(wire.out + wire.out_end, data, <size_t>size)
    wire.out_end += <size_t>size
    wire.records_out += 1
    return size


cdef int _bio_read(BIO* bio, char* data, int size) noexcept nogil:
    """Read from the socket straight into OpenSSL's buffer, within the turn's budget."""
    cdef Wire* wire = <Wire*>BIO_get_data(bio)
    cdef ssize_t got
    BIO_clear_retry_flags(bio)
    if size <= 0:
        return 0
    if wire.eof:
        return 0
    if wire.recv_budget <= 0:
        BIO_set_retry_read(bio)
        return -1
    wire.recv_budget -= 1
    while True:
        got = c_recv(wire.fd, data, <size_t>size, MSG_DONTWAIT)
        wire.recv_calls += 1
        if got < 0 and errno == EINTR:
            continue
        break
    if got > 0:
        wire.recv_full = got == size
        wire.bytes_in += <uint64_t>got
        return <int>got
    wire.recv_full = False
    if got == 0:
        wire.eof = True
        return 0
    if errno == EAGAIN:
        BIO_set_retry_read(bio)
        return -1
    wire.error = errno
    wire.eof = True
    return -1


cdef long _bio_ctrl(BIO* bio, int command, long number, void* pointer) noexcept nogil:
    return 1 if command == BIO_CTRL_FLUSH else 0


cdef int _bio_create(BIO* bio) noexcept nogil:
    BIO_set_init(bio, 1)
    return 1


cdef int _make_method() except -1:
    global _method
    if _method == NULL:
        _method = BIO_meth_new(BIO_get_new_index() | 0x0400, b"sevpn socket")
        if _method == NULL:
            raise MemoryError
        BIO_meth_set_write(_method, _bio_write)
        BIO_meth_set_read(_method, _bio_read)
        BIO_meth_set_ctrl(_method, _bio_ctrl)
        BIO_meth_set_create(_method, _bio_create)
    return 0


cdef str _last_reason():
    cdef unsigned long code = ERR_peek_last_error()
    cdef const char* text = ERR_reason_error_string(code) if code else NULL
    ERR_clear_error()
    if text == NULL:
        return ""
    return (<bytes>text).decode("ascii", "replace")


cdef class Context:
    """What several TLS streams share: versions, suites and trusted CAs (an SSL_CTX).

    `legacy` also lets old, weak certificates and keys through (security level 0); it is
    for `-insecure`, where nothing is verified anyway. TLS 1.2 is the least version.
    """

    cdef SSL_CTX* ctx

    def __cinit__(self, bint legacy=False):
        cdef const char* suites = b"DEFAULT:@SECLEVEL=0" if legacy else b"DEFAULT:@SECLEVEL=1"
        _make_method()
        self.ctx = SSL_CTX_new(TLS_client_method())
        if self.ctx == NULL:
            raise MemoryError
        SSL_CTX_set_min_proto_version(self.ctx, TLS1_2_VERSION)
        SSL_CTX_set_options(
            self.ctx,
            SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION
            | SSL_OP_IGNORE_UNEXPECTED_EOF,
        )
        SSL_CTX_set_mode(
            self.ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        )
        SSL_CTX_set_session_cache_mode(self.ctx, SSL_SESS_CACHE_OFF)
        # The handshake judges nothing: verify_error() does, before anything is written. So a
        # refusal can show the certificate, and a short-lived child can be the one that
        # loads the CAs, which take 1 MB.
        SSL_CTX_set_verify(self.ctx, SSL_VERIFY_NONE, NULL)
        SSL_CTX_set_cipher_list(self.ctx, suites)
        SSL_CTX_set_read_ahead(self.ctx, 1)
        SSL_CTX_set_default_read_buffer_len(self.ctx, READ_AHEAD_BYTES)
        ERR_clear_error()

    def __dealloc__(self):
        if self.ctx != NULL:
            SSL_CTX_free(self.ctx)

    def trust_file(self, bytes path not None) -> bool:
        """Trust the CAs of a PEM file; False when it holds none or cannot be read."""
        cdef int done = SSL_CTX_load_verify_file(self.ctx, path)
        ERR_clear_error()
        return done == 1

    def trust_directory(self, bytes path not None) -> bool:
        """Trust the CAs of a hashed directory; each is read when it is needed."""
        cdef int done = SSL_CTX_load_verify_dir(self.ctx, path)
        ERR_clear_error()
        return done == 1


include "tls_certificate.pxi"


cdef class Stream:
    """One TLS connection over a connected non-blocking socket.

    `fd` stays the caller's: it is neither closed nor duplicated here. `name` is the
    server's name or IP literal as configured: sent as SNI, and what the certificate is
    checked for. `name_is_ip` says which of the two it is.
    """

    def __cinit__(self, Context context not None, int fd, bytes name not None, bint name_is_ip):
        cdef BIO* bio
        memset(&self.wire, 0, sizeof(Wire))
        self.wire.fd = fd
        self.wire.out_cap = OUT_BYTES
        self.wire.out = <unsigned char*>malloc(OUT_BYTES)
        self.ssl = SSL_new(context.ctx)
        self._context = context
        if self.wire.out == NULL or self.ssl == NULL:
            raise MemoryError
        bio = BIO_new(_method)
        if bio == NULL:
            raise MemoryError
        BIO_set_data(bio, &self.wire)
        SSL_set_bio(self.ssl, bio, bio)
        SSL_set_connect_state(self.ssl)
        X509_VERIFY_PARAM_set_hostflags(
            SSL_get0_param(self.ssl), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
        )
        if name_is_ip:
            taken = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(self.ssl), name)
        else:
            SSL_set_tlsext_host_name(self.ssl, name)
            taken = X509_VERIFY_PARAM_set1_host(SSL_get0_param(self.ssl), name, len(name))
        ERR_clear_error()
        # Without a name any certificate of a trusted CA would do.
        if taken != 1 or not name:
            raise ValueError("no name that a certificate could have")

    def __dealloc__(self):
        if self.ssl != NULL:
            SSL_free(self.ssl)
        if self.wire.out != NULL:
            OPENSSL_cleanse(self.wire.out, self.wire.out_cap)
            free(self.wire.out)

    # --- C face: used by the bridge without the GIL ---

    cdef size_t room(self) noexcept nogil:
        """Return how many bytes of plaintext write_from() would take now."""
        cdef size_t free_bytes = self.wire.out_cap - (self.wire.out_end - self.wire.out_start)
        cdef size_t records = free_bytes // (RECORD_BYTES + RECORD_OVERHEAD)
        return records * RECORD_BYTES

    cdef Py_ssize_t read_into(self, unsigned char* buf, size_t cap) noexcept nogil:
        """Read up to one record of plaintext; 0 = none now, or TLS_EOF, TLS_ERROR."""
        cdef int got, why
        if self.broken:
            return TLS_ERROR
        ERR_clear_error()
        got = SSL_read(self.ssl, buf, <int>cap)
        if got > 0:
            return got
        why = SSL_get_error(self.ssl, got)
        if why == SSL_ERROR_WANT_READ or why == SSL_ERROR_WANT_WRITE:
            return 0
        if why == SSL_ERROR_ZERO_RETURN or (self.wire.eof and self.wire.error == 0):
            return TLS_EOF
        self.broken = True
        return TLS_ERROR

    cdef Py_ssize_t write_from(self, const unsigned char* buf, size_t size) noexcept nogil:
        """Encrypt into the out buffer; return the bytes taken (0 = no room) or TLS_ERROR."""
        cdef size_t done = 0
        cdef size_t part
        cdef int put, why
        if self.broken:
            return TLS_ERROR
        while done < size and self.room() > 0:
            part = size - done
            if part > RECORD_BYTES:
                part = RECORD_BYTES
            ERR_clear_error()
            put = SSL_write(self.ssl, buf + done, <int>part)
            if put > 0:
                done += <size_t>put
                continue
            why = SSL_get_error(self.ssl, put)
            if why == SSL_ERROR_WANT_READ or why == SSL_ERROR_WANT_WRITE:
                break
            self.broken = True
            return TLS_ERROR
        return <Py_ssize_t>done

    cdef int flush_out(self) noexcept nogil:
        """Send what waits: 0 = all sent, 1 = the socket takes no more now, or TLS_ERROR."""
        cdef ssize_t put
        while self.wire.out_start < self.wire.out_end:
            put = c_send(
                self.wire.fd,
                self.wire.out + self.wire.out_start,
                self.wire.out_end - self.wire.out_start,
                MSG_NOSIGNAL | MSG_DONTWAIT,
            )
            self.wire.send_calls += 1
            if put > 0:
                self.wire.out_start += <size_t>put
                self.wire.bytes_out += <uint64_t>put
                continue
            if errno == EINTR:
                continue
            if errno == EAGAIN:
                return 1
            self.wire.error = errno
            self.broken = True
            return TLS_ERROR
        self.wire.out_start = 0
        self.wire.out_end = 0
        return 0

    # --- Python face: handshake and negotiation ---

    def handshake(self) -> int:
        """Go on with the handshake: WANT_NOTHING when done, else WANT_READ or WANT_WRITE.

        Raises TransportError with OpenSSL's reason. The certificate is NOT yet judged:
        ask verify_error() before anything is written.
        """
        cdef int done, why
        self.wire.recv_budget = 4
        ERR_clear_error()
        done = SSL_do_handshake(self.ssl)
        if done == 1:
            return WANT_WRITE if self.flush_out() == 1 else WANT_NOTHING
        why = SSL_get_error(self.ssl, done)
        reason = _last_reason() if why == SSL_ERROR_SSL else ""
        flushed = self.flush_out()
        if flushed == TLS_ERROR or (why != SSL_ERROR_WANT_READ and why != SSL_ERROR_WANT_WRITE):
            self.broken = True
            raise TransportError(f"TLS handshake failed: {self._explain(reason)}")
        return WANT_WRITE if flushed == 1 else WANT_READ

    def read(self, size_t limit=65536) -> bytes | None:
        """Return plaintext, None when there is none now, or b"" at the end of the stream.

        Raises TransportError when the stream broke.
        """
        cdef unsigned char* buf = <unsigned char*>malloc(RECORD_BYTES)
        cdef Py_ssize_t got
        if buf == NULL:
            raise MemoryError
        try:
            self.wire.recv_budget = 1
            if limit > RECORD_BYTES:
                limit = RECORD_BYTES
            got = self.read_into(buf, limit)
            if got > 0:
                return (<char*>buf)[:got]
            if got == 0:
                return None
            if got == TLS_EOF:
                return b""
            raise TransportError(f"connection lost: {self._explain(_last_reason())}")
        finally:
            OPENSSL_cleanse(buf, RECORD_BYTES)
            free(buf)

    def write(self, bytes data not None) -> int:
        """Encrypt `data` into the out buffer; return how many bytes it took."""
        cdef Py_ssize_t put = self.write_from(<const unsigned char*><char*>data, len(data))
        if put < 0:
            raise TransportError(f"connection lost: {self._explain(_last_reason())}")
        return put

    def flush(self) -> bool:
        """Send what waits; True when all of it is sent. Raises TransportError."""
        cdef int left = self.flush_out()
        if left < 0:
            raise TransportError(f"connection lost: {self._explain('')}")
        return left == 0

    def shutdown(self) -> None:
        """Queue and send close_notify, as far as the socket takes it now.

        Servers of 5.01 end the whole session when one connection closes without it
        (protocol.md 6.9). Never raises.
        """
        if not self.broken:
            ERR_clear_error()
            SSL_shutdown(self.ssl)
            self.flush_out()
            ERR_clear_error()

    def verify_error(self) -> str:
        """Check the server's chain and name against the context's CAs; return why it is not
        trusted ("" = it is). CAs may be loaded between the handshake and this.
        """
        return _judge(self.ssl, (<Context>self._context).ctx)

    def peer_certificate(self) -> bytes:
        """Return the server's certificate as DER (b"" before the handshake)."""
        cdef X509* cert = SSL_get1_peer_certificate(self.ssl)
        cdef unsigned char* der = NULL
        cdef int size
        if cert == NULL:
            return b""
        size = i2d_X509(cert, &der)
        X509_free(cert)
        if size <= 0:
            return b""
        try:
            return (<char*>der)[:size]
        finally:
            OPENSSL_free(der)

    def peer_fingerprint(self) -> bytes:
        """Return the SHA-256 over the certificate's DER bytes (b"" before the handshake)."""
        return _fingerprint(self.ssl, False)

    def peer_key_fingerprint(self) -> bytes:
        """Return the SHA-256 over its SubjectPublicKeyInfo (b"" before the handshake)."""
        return _fingerprint(self.ssl, True)

    def peer_subject(self) -> str:
        """Return the certificate's subject on one line, e.g. "/CN=vpn.example.com"."""
        cdef X509* cert = SSL_get1_peer_certificate(self.ssl)
        cdef char text[512]
        if cert == NULL:
            return ""
        X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text))
        X509_free(cert)
        return (<bytes>text).decode("utf-8", "replace")

    def cipher(self) -> str:
        """Return protocol version and suite, e.g. "TLSv1.3 TLS_AES_128_GCM_SHA256"."""
        cdef const SSL_CIPHER* suite = SSL_get_current_cipher(self.ssl)
        if suite == NULL:
            return ""
        version = (<bytes>SSL_get_version(self.ssl)).decode("ascii")
        return version + " " + (<bytes>SSL_CIPHER_get_name(suite)).decode("ascii")

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.wire.fd

    def counters(self) -> dict[str, int]:
        """Return what the socket was asked for so far: calls, bytes and records."""
        return {
            "recv_calls": self.wire.recv_calls,
            "send_calls": self.wire.send_calls,
            "bytes_in": self.wire.bytes_in,
            "bytes_out": self.wire.bytes_out,
            "records_out": self.wire.records_out,
        }

    cdef str _explain(self, str reason):
        if self.wire.error:
            return (<bytes>strerror(self.wire.error)).decode("ascii", "replace").lower()
        if reason:
            return reason
        return "the other side closed the connection" if self.wire.eof else "unknown TLS error"
