"""Numbers with a name, in two groups: the protocol's and ours.

Layer 0: imports nothing.
"""

# --- The protocol's (source: protocol.md sections as noted) ---

SIGNATURE_TARGET = "/vpnsvc/connect.cgi"  # 1.3.1
PACK_TARGET = "/vpnsvc/vpn.cgi"  # 1.3.2
SIGNATURE_BODY = b"VPNCONNECT"  # 1.3.1
RANDOM_BYTES = 20  # 3: the server's challenge
SESSION_KEY_BYTES = 20  # 5.1
TICKET_BYTES = 20  # 5.3
KEEPALIVE_MAGIC = 0xFFFFFFFF  # 6.2
KEEPALIVE_MAX_BYTES = 512  # 6.2
BLOCK_MAX_BYTES = 3200  # 6.2: a larger one closes the connection
FRAME_MIN_BYTES = 14  # 9.1
FRAME_MAX_BYTES = 1600  # 9.1: a larger one is dropped silently
GROUP_MAX_FRAMES = 128  # 6.2: what a receiver takes per loop
TIMEOUT_MIN_MS = 5_000  # 5.1
TIMEOUT_MAX_MS = 60_000  # 5.1
TIMEOUT_DEFAULT_MS = 20_000  # 5.1
REDIRECT_MAX_HOPS = 3  # 5.3 asks for a limit; ours
NOOP_MAX_REPLIES = 30  # 1.3.5

# --- Ours ---

CLIENT_NAME = "sevpn"  # must not contain "server" or "bridge" (protocol.md 4.4)
CLIENT_VERSION = 502  # the protocol generation we speak, as the official client says it
CLIENT_BUILD = 5180
CONNECT_TIMEOUT_S = 10.0  # as the official client (protocol.md 1.1)
TLS_TIMEOUT_S = 15.0
NEGOTIATION_TIMEOUT_S = 15.0  # one request and its whole answer
PLAIN_LOGIN_TIMEOUT_S = 60.0  # RADIUS may be slow (protocol.md 4.2)
HTTP_HEAD_MAX_BYTES = 8_192
HELLO_MAX_BYTES = 16_384  # seen: 0.2-1.2 kB
WELCOME_MAX_BYTES = 1_048_576  # seen: 2-3 kB plus an 80 kB message (protocol.md 1.3.3)
TUNNEL_MTU_BYTES = 1_500
DEFAULT_ROUTE_METRIC = 50

# Of what a run tells on its control socket. Members that are added leave it as it is; who reads
# it takes those it knows. 0.1.0 told none.
REPORT_FORMAT = 1
