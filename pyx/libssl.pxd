# cython: language_level=3
"""The part of OpenSSL 3 that sevpn calls. Declarations only."""

from libc.stdint cimport uint64_t


cdef extern from "openssl/bio.h" nogil:
    ctypedef struct BIO
    ctypedef struct BIO_METHOD
    enum:
        BIO_CTRL_FLUSH
    BIO_METHOD* BIO_meth_new(int kind, const char* name)
    int BIO_meth_set_write(BIO_METHOD*, int (*)(BIO*, const char*, int) noexcept nogil)
    int BIO_meth_set_read(BIO_METHOD*, int (*)(BIO*, char*, int) noexcept nogil)
    int BIO_meth_set_ctrl(BIO_METHOD*, long (*)(BIO*, int, long, void*) noexcept nogil)
    int BIO_meth_set_create(BIO_METHOD*, int (*)(BIO*) noexcept nogil)
    int BIO_get_new_index()
    BIO* BIO_new(const BIO_METHOD*)
    void BIO_set_data(BIO*, void*)
    void* BIO_get_data(BIO*)
    void BIO_set_init(BIO*, int)
    void BIO_set_retry_read(BIO*)
    void BIO_set_retry_write(BIO*)
    void BIO_clear_retry_flags(BIO*)


cdef extern from "openssl/x509.h" nogil:
    ctypedef struct X509
    ctypedef struct stack_st_X509 "STACK_OF(X509)":
        pass
    ctypedef struct X509_NAME
    X509_NAME* X509_get_subject_name(const X509*)
    char* X509_NAME_oneline(const X509_NAME*, char*, int)
    int i2d_X509(X509*, unsigned char**)
    void X509_free(X509*)


cdef extern from "openssl/evp.h" nogil:
    ctypedef struct EVP_MD
    const EVP_MD* EVP_sha256()
    int EVP_Digest(const void*, size_t, unsigned char*, unsigned int*, const EVP_MD*, void*)


cdef extern from "openssl/x509_vfy.h" nogil:
    ctypedef struct X509_STORE
    ctypedef struct X509_VERIFY_PARAM
    ctypedef struct X509_STORE_CTX
    X509_STORE_CTX* X509_STORE_CTX_new()
    void X509_STORE_CTX_free(X509_STORE_CTX*)
    int X509_STORE_CTX_init(X509_STORE_CTX*, X509_STORE*, X509*, stack_st_X509*)
    int X509_STORE_CTX_set_default(X509_STORE_CTX*, const char*)
    X509_VERIFY_PARAM* X509_STORE_CTX_get0_param(X509_STORE_CTX*)
    int X509_STORE_CTX_get_error(X509_STORE_CTX*)
    int X509_verify_cert(X509_STORE_CTX*)
    ctypedef struct X509_PUBKEY
    X509_PUBKEY* X509_get_X509_PUBKEY(const X509*)
    int i2d_X509_PUBKEY(const X509_PUBKEY*, unsigned char**)
    int X509_VERIFY_PARAM_set_flags(X509_VERIFY_PARAM*, unsigned long)
    void X509_VERIFY_PARAM_set_auth_level(X509_VERIFY_PARAM*, int)
    int X509_VERIFY_PARAM_set1(X509_VERIFY_PARAM*, const X509_VERIFY_PARAM*)
    const char* X509_verify_cert_error_string(long)
    int X509_VERIFY_PARAM_set1_host(X509_VERIFY_PARAM*, const char*, size_t)
    int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM*, const char*)
    void X509_VERIFY_PARAM_set_hostflags(X509_VERIFY_PARAM*, unsigned int)


cdef extern from "openssl/x509v3.h" nogil:
    enum:
        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
        X509_V_FLAG_PARTIAL_CHAIN


cdef extern from "openssl/ssl.h" nogil:
    ctypedef struct SSL
    ctypedef struct SSL_CTX
    ctypedef struct SSL_METHOD
    ctypedef struct SSL_CIPHER
    enum:
        SSL_VERIFY_NONE
        SSL_ERROR_WANT_READ
        SSL_ERROR_WANT_WRITE
        SSL_ERROR_ZERO_RETURN
        SSL_ERROR_SSL
        SSL_MODE_ENABLE_PARTIAL_WRITE
        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        TLS1_2_VERSION
    uint64_t SSL_OP_NO_RENEGOTIATION
    uint64_t SSL_OP_NO_TICKET
    uint64_t SSL_OP_IGNORE_UNEXPECTED_EOF
    uint64_t SSL_OP_NO_COMPRESSION
    const SSL_METHOD* TLS_client_method()
    SSL_CTX* SSL_CTX_new(const SSL_METHOD*)
    void SSL_CTX_free(SSL_CTX*)
    int SSL_CTX_set_min_proto_version(SSL_CTX*, int)
    uint64_t SSL_CTX_set_options(SSL_CTX*, uint64_t)
    long SSL_CTX_set_mode(SSL_CTX*, long)
    void SSL_CTX_set_verify(SSL_CTX*, int, void*)
    int SSL_CTX_set_cipher_list(SSL_CTX*, const char*)
    int SSL_CTX_load_verify_file(SSL_CTX*, const char*)
    int SSL_CTX_load_verify_dir(SSL_CTX*, const char*)
    X509_STORE* SSL_CTX_get_cert_store(const SSL_CTX*)
    void SSL_CTX_set_default_read_buffer_len(SSL_CTX*, size_t)
    void SSL_CTX_set_read_ahead(SSL_CTX*, int)
    long SSL_CTX_set_session_cache_mode(SSL_CTX*, long)
    long SSL_SESS_CACHE_OFF
    SSL* SSL_new(SSL_CTX*)
    void SSL_free(SSL*)
    void SSL_set_bio(SSL*, BIO*, BIO*)
    void SSL_set_connect_state(SSL*)
    long SSL_set_tlsext_host_name(SSL*, const char*)
    X509_VERIFY_PARAM* SSL_get0_param(SSL*)
    int SSL_do_handshake(SSL*)
    int SSL_read(SSL*, void*, int)
    int SSL_write(SSL*, const void*, int)
    int SSL_shutdown(SSL*)
    int SSL_get_error(const SSL*, int)
    stack_st_X509* SSL_get_peer_cert_chain(const SSL*)
    X509* SSL_get1_peer_certificate(const SSL*)
    const SSL_CIPHER* SSL_get_current_cipher(const SSL*)
    const char* SSL_CIPHER_get_name(const SSL_CIPHER*)
    const char* SSL_get_version(const SSL*)


cdef extern from "openssl/err.h" nogil:
    unsigned long ERR_peek_last_error()
    void ERR_clear_error()
    const char* ERR_reason_error_string(unsigned long)


cdef extern from "openssl/crypto.h" nogil:
    void OPENSSL_cleanse(void*, size_t)
    void OPENSSL_free(void*)
