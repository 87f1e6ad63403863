"""The server's error codes: what each means, what to do, whether to try again.

Layer 1, pure data. Loaded late: a session without an error never sees it. Codes reach us
in replies to a login or to an additional connection only; code 3 there means that the
request was malformed. What the client finds out by itself has classes of its own in
errors.py; those numbers are here because a server may send any. Source: protocol.md 5.4.
"""

from sevpn.errors import BusyError, ServerError

RETRY_NO = "no"  # stop and tell the user
RETRY_SLOW = "slow"  # wait RETRY_SLOW_S at least
RETRY_YES = "yes"  # reconnect with the ordinary delay
RETRY_AT_ONCE = "at once"  # a full new login right away is fine

RETRY_SLOW_S = 60.0
WRONG_PASSWORD = 9
RADIUS_SILENCE_S = 9.5  # two tries of 5 s each, or one of 10
RADIUS_PATIENCE_S = 300.0  # a directory that locks accounts must not be asked often

_LICENCE = "a matter of the server's licence or edition: ask its operator"
_OPERATOR = "ask the server's operator"
_BUG = "the server and this client do not understand each other: please report it"
_LATER = "it may work later"
_HOST = "check -host and -port"

# code: (meaning, what to do, retry)
CODES: dict[int, tuple[str, str, str]] = {
    1: ("the connection to the server failed", _HOST, RETRY_YES),
    2: ("the peer is not a SoftEther VPN server", _HOST, RETRY_SLOW),
    3: ("the server says that the request was malformed", _BUG, RETRY_NO),
    4: ("the server says that the protocol was broken", _BUG, RETRY_NO),
    5: ("the server does not take this peer for a VPN client", _BUG, RETRY_NO),
    6: ("cancelled by the user", "", RETRY_NO),
    7: (
        "the server does not support this kind of authentication for this user",
        "try with or without -plain-password",
        RETRY_NO,
    ),
    8: ("the virtual hub does not exist", "check -hub", RETRY_NO),
    9: (
        "the user name or the password is wrong",
        "check -user, -pass and -hub; RADIUS and domain users need -plain-password; users with a "
        "certificate cannot log in with sevpn yet",
        RETRY_NO,
    ),
    10: ("the virtual hub is offline or stopping", _LATER, RETRY_SLOW),
    11: ("the session was removed on the server", "", RETRY_YES),
    12: (
        "access denied",
        "the user may be expired or not allowed, or this is a cluster member that takes "
        "logins by its controller only: " + _OPERATOR,
        RETRY_NO,
    ),
    13: ("the session timed out on the server", "", RETRY_AT_ONCE),
    14: ("the additional connection does not fit the session", "", RETRY_AT_ONCE),
    15: ("too many TCP connections in this session", "", RETRY_SLOW),
    16: ("the session limit of the hub or server is reached", _LATER, RETRY_SLOW),
    17: ("the proxy cannot be reached", "", RETRY_YES),
    18: ("the proxy answered with an error", "", RETRY_YES),
    19: ("the proxy refused the user name or password", "", RETRY_NO),
    20: (
        "this user is logged in too often",
        "end another session of this user or wait for it to time out",
        RETRY_SLOW,
    ),
    21: ("licence error on the server", _LICENCE, RETRY_SLOW),
    22: ("the virtual network device failed", "", RETRY_NO),
    23: ("internal error on the server", _LATER, RETRY_SLOW),
    33: ("the server does not take VPN clients", _OPERATOR, RETRY_NO),
    49: ("the cluster could not place the hub on a member", _LATER, RETRY_SLOW),
    51: ("an empty password is allowed from the server itself only", "give -pass", RETRY_NO),
    52: ("changing the password is not allowed", _OPERATOR, RETRY_NO),
    56: ("the server does not support the cipher", _OPERATOR, RETRY_NO),
    63: ("too many user objects on the server", _LICENCE, RETRY_SLOW),
    68: ("this user has no password that could be changed", _OPERATOR, RETRY_NO),
    69: ("the old password is wrong", "", RETRY_NO),
    81: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    85: ("the server's certificate is not trusted or has changed", "", RETRY_NO),
    87: ("the hub asks for a newer client build", _OPERATOR, RETRY_NO),
    101: ("the server has a clock problem", _OPERATOR, RETRY_SLOW),
    103: ("the server's client licences are used up", _LICENCE, RETRY_SLOW),
    104: ("the server's bridge licences are used up", _LICENCE, RETRY_SLOW),
    105: ("the server cannot accept connections now", _LATER, RETRY_SLOW),
    106: ("the server's certificate has expired", _OPERATOR, RETRY_NO),
    107: ("monitor mode denied", _OPERATOR, RETRY_NO),
    108: ("bridge or routing mode denied", _OPERATOR, RETRY_NO),
    109: ("logins from this IP address are denied", _OPERATOR, RETRY_NO),
    111: ("the server is out of memory", _LATER, RETRY_SLOW),
    113: ("fatal error on the server", _LATER, RETRY_SLOW),
    114: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    115: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    119: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    120: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    123: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    124: ("the server takes clients of another brand only", _OPERATOR, RETRY_NO),
    125: ("the server is of another brand", _OPERATOR, RETRY_NO),
    126: ("the session was ended by the AutoDisconnect policy", _OPERATOR, RETRY_NO),
    127: ("the hub asks for another client id", _OPERATOR, RETRY_NO),
    128: ("too many users were created on the server", _LICENCE, RETRY_SLOW),
    129: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    130: ("the server's licence or edition does not allow this", _LICENCE, RETRY_SLOW),
    131: ("several servers share one NAT traversal address", _OPERATOR, RETRY_NO),
    138: ("the password must be set anew on the server", _OPERATOR, RETRY_NO),
    143: ("not available in this edition of the server", _LICENCE, RETRY_NO),
    147: ("not available in this edition of the server", _LICENCE, RETRY_NO),
    148: ("the computer is suspending", "", RETRY_YES),
    149: ("the server's certificate is for another host name", "", RETRY_NO),
    150: ("TLS version not supported", _OPERATOR, RETRY_SLOW),
    151: ("TLS cipher not supported", _OPERATOR, RETRY_SLOW),
    152: ("TLS handshake failed", _OPERATOR, RETRY_SLOW),
}


def error_for(code: int) -> ServerError:
    """Return the error to raise for a code of the server, known or not."""
    meaning, remedy, _ = CODES.get(
        code, ("the server refused for a reason that this client does not know", _OPERATOR, "")
    )
    retry = retry_of(code)
    kind = ServerError if retry == RETRY_NO else BusyError
    error = kind(code, f"{meaning} (server error {code})", remedy)
    if retry in (RETRY_NO, RETRY_SLOW):
        error.patience_s = RETRY_SLOW_S
    return error


def explain_refusal(
    error: ServerError, *, plain_password: bool, has_password: bool, took_s: float
) -> ServerError:
    """Return the error with what only the client knows of this login.

    `took_s`: a server asks RADIUS with a patience of 10 s and more, so a refusal that took so
    long is nobody's word about the password.
    """
    if error.code != WRONG_PASSWORD:
        return error
    if not has_password:
        error.hint = f"no password was given (-pass-file, SEVPN_PASS_FILE); {error.hint}"
    elif plain_password and took_s >= RADIUS_SILENCE_S:
        late = BusyError(
            error.code,
            f"the login was refused after {took_s:.0f} s (server error {error.code})",
            "the server's RADIUS or domain controller is probably down or slow",
        )
        late.patience_s = RADIUS_PATIENCE_S
        return late
    elif plain_password:
        error.hint = "check -user, -pass and -hub"
    return error


def retry_of(code: int) -> str:
    """Return RETRY_NO, RETRY_SLOW, RETRY_YES or RETRY_AT_ONCE; unknown codes: slow."""
    entry = CODES.get(code)
    return entry[2] if entry else RETRY_SLOW
