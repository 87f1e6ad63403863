"""Every waiting time of the DHCP client, in seconds.

Layer 1, pure. Source: RFC 2131 4.1 (retransmission), 4.4.5 (T1, T2, renewal), changed
where a comment says so.
"""

INFINITE_S = 0xFFFFFFFF  # RFC 2131 3.3
# Shorter leases are refused: they would be renewed more often than a lossy path allows.
LEASE_MIN_S = 10
T1_MIN_S = 5
# RFC 2131 says 4 s first. Behind a VPN hub the first DISCOVER is often lost while the
# hub and the bridge learn the new address, and the path is one user's, not a shared
# segment after a power cut: 1 s first, then doubling to the RFC's ceiling.
# Some servers take 3 s for their first offer because they ping the address first (seen:
# dnsmasq 2.90 without no-ping); the DISCOVERs repeated meanwhile do no harm.
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 64.0
REQUEST_TRIES = 4  # 1 + 2 + 4 + 8 s, then DISCOVER again
DECLINE_WAIT_S = 10.0  # RFC 2131 3.1.5
RENEWAL_RETRY_MIN_S = 60.0  # RFC 2131 4.4.5


def retry_delay(sent: int, random_byte: int) -> float:
    """Return how long to wait after the `sent`-th transmission (1, 2, ...).

    1, 2, 4 ... 64 s, each with jitter of a quarter, at most the RFC's one second.
    """
    delay_s = RETRY_MAX_S if sent > 7 else min(RETRY_FIRST_S * 2 ** (sent - 1), RETRY_MAX_S)
    return delay_s + min(1.0, delay_s / 4) * (random_byte - 127.5) / 127.5


def restart_delay(failures: int, random_byte: int) -> float:
    """Return how long to wait before DISCOVER after a refusal in a row.

    The first restart is immediate; then as a retransmission, so that a server which
    offers and then refuses cannot make us spin.
    """
    return 0.0 if failures <= 1 else retry_delay(failures - 1, random_byte)


def renewal_delay(remaining_s: float, phase_s: float) -> float:
    """Return how long to wait for an answer to a renewing or rebinding REQUEST.

    Half of what remains of the phase (T1..T2 or T2..expiry), at least 60 s; in a phase so
    short that 60 s would leave one try, at least a quarter of the phase, never below
    half a second. At most what remains.
    """
    least_s = max(0.5, min(RENEWAL_RETRY_MIN_S, phase_s / 4))
    return min(remaining_s, max(remaining_s / 2, least_s))


def lease_times(lease_s: int, t1_s: int | None, t2_s: int | None) -> tuple[int, int]:
    """Return (T1, T2) in seconds from the lease's start.

    A half and seven eighths where the server names none, or names ones that are not
    5 <= T1 < T2 < lease. An infinite lease is never renewed.
    """
    if lease_s == INFINITE_S:
        return INFINITE_S, INFINITE_S
    half, late = lease_s // 2, lease_s * 7 // 8
    first = half if t1_s is None else t1_s
    second = late if t2_s is None else t2_s
    return (first, second) if T1_MIN_S <= first < second < lease_s else (half, late)
