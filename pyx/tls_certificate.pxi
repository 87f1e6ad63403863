# What a stream's peer has shown: its certificate judged, and its fingerprints.
# Included by _tls.pyx.

cdef enum:
    # RFC 3766: 112 bits. RSA under 2048 and EC under 224 bits are refused, whoever signed them;
    # a pin or -insecure is the user's own word for them.
    AUTH_LEVEL = 2


cdef str _judge(SSL* ssl, SSL_CTX* ctx):
    """Return why the peer's chain and name are not trusted, "" = they are.

    Any certificate of the store is an anchor, also a leaf or an intermediate one (Go and curl
    have it so): a server often shows its leaf only, and that is what a user has in hand. Name,
    dates and purpose are checked all the same.
    """
    cdef X509* cert = SSL_get1_peer_certificate(ssl)
    cdef X509_STORE_CTX* check = X509_STORE_CTX_new()
    cdef X509_VERIFY_PARAM* param
    try:
        if cert == NULL or check == NULL:
            return "there is no certificate"
        if not X509_STORE_CTX_init(
            check, SSL_CTX_get_cert_store(ctx), cert, SSL_get_peer_cert_chain(ssl)
        ):
            return "the certificate cannot be checked"
        X509_STORE_CTX_set_default(check, b"ssl_server")
        param = X509_STORE_CTX_get0_param(check)
        X509_VERIFY_PARAM_set1(param, SSL_get0_param(ssl))
        X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL)
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN)
        if X509_verify_cert(check) == 1:
            return ""
        return (
            <bytes>X509_verify_cert_error_string(X509_STORE_CTX_get_error(check))
        ).decode("ascii", "replace")
    finally:
        X509_STORE_CTX_free(check)
        X509_free(cert)
        ERR_clear_error()


cdef bytes _fingerprint(SSL* ssl, bint of_key):
    """Return a SHA-256: over the certificate, or over its SubjectPublicKeyInfo (RFC 7469 2.4)."""
    cdef X509* cert = SSL_get1_peer_certificate(ssl)
    cdef unsigned char digest[64]
    cdef unsigned char* der = NULL
    cdef unsigned int size = 0
    cdef int length
    if cert == NULL:
        return b""
    if of_key:
        length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der)
    else:
        length = i2d_X509(cert, &der)
    X509_free(cert)
    if length <= 0:
        return b""
    EVP_Digest(der, <size_t>length, digest, &size, EVP_sha256(), NULL)
    OPENSSL_free(der)
    return (<char*>digest)[:size]
