"""OpenSSL as two static libraries.

Kept is what real SoftEther servers and their certificates need: TLS 1.2 (RSA key exchange
and CBC suites included) and 1.3, AES, ChaCha20, 3DES-encrypted keys, SHA-1 signatures, the
texts of errors, and every hand-written assembler routine: AES-NI is most of the throughput.
Left out is what a TLS client over TCP never calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from static_parts.common import PARTS, Target, cached, jobs, key_of, run
from static_parts.sources import Source, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from static_parts.toolchain import Toolchain

# Other protocols and formats; algorithms no suite of ours uses; run-time loading.
LEFT_OUT = (
    "shared dso module engine tests apps docs ui-console comp autoload-config legacy cmp cms "
    "ct ts ocsp srp srtp dtls sctp quic http ssl3 tls1 tls1_1 psk nextprotoneg aria bf "
    "blake2 camellia cast cmac gost idea md4 mdc2 ml-dsa ocb rc2 rc4 rc5 rmd160 scrypt seed "
    "siphash siv slh-dsa sm2 sm3 sm4 whirlpool dsa ec2m rfc3779 argon2 afalgeng ktls "
    "multiblock static-engine filenames thread-pool default-thread-pool"
)
# sevpn's trust store is found by its own code; this is the last resort OpenSSL knows itself.
PLACES = ("--prefix=/usr", "--libdir=lib", "--openssldir=/etc/ssl")
FLAGS = "-Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables"


def build(target: Target, tools: Toolchain, source: Source, places: list[Path]) -> Path:
    """Return a directory with include/openssl, lib/libssl.a and lib/libcrypto.a."""
    left_out = [f"no-{name}" for name in LEFT_OUT.split()]
    configure = [f"linux-{target.arch}", *left_out, *PLACES, *FLAGS.split()]

    def make(work: Path, result: Path) -> None:
        tree = unpack(source, places, work)
        env = {**tools.environment(tree), "CC": "cc", "AR": "ar", "RANLIB": "ranlib"}
        log = work / "log"
        run(["perl", "Configure", *configure], tree, env=env, log=log)
        run(["make", f"-j{jobs()}", "build_libs"], tree, env=env, log=log)
        run(["make", f"DESTDIR={work / 'root'}", "install_dev"], tree, env=env, log=log)
        for name in ("include", "lib"):
            (work / "root" / "usr" / name).rename(result / name)
        (tree / "LICENSE.txt").rename(result / "LICENSE.txt")

    key = key_of(tools.key, source.sha256, " ".join(configure), PARTS / "openssl.py")
    return cached(f"openssl-{target.arch}", key, make)
