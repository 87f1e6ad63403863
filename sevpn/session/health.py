"""Does traffic flow? Asks the gateway through the tunnel, by ARP. Layer 3, pure.

    ASKING --answer--> ANSWERED --3 questions without answer--> SILENT --answer--> ANSWERED

An answer proves the whole way: our TCP connection, the server, the hub and the LAN behind
it. Questions are unicast once the gateway's MAC is known, so that a hub's limit on
broadcasts (protocol.md 9.1) does not count them.
"""

from sevpn.dhcp.arp import REPLY, build_arp_request, parse_arp

ASKING = "asking"
ANSWERED = "answered"
SILENT = "silent"

ASK_FIRST_S = 0.3  # until the first answer
ASK_IDLE_S = 3.0  # while all is well
ASK_AGAIN_S = 0.7  # after a question without answer
QUESTIONS = 3  # without an answer: silent
TWO_S = 2.0  # another MAC's answer within this is a second host, not a router that was replaced
WARNINGS_MAX = 2
FIRST_QUESTIONS = 10  # the same before the first answer: about 3 s


class GatewayWatch:
    """Watches one neighbour of the address just set.

    Drive: `receive` ARP frames, `tick` when `deadline` has come, send `take_frames`.
    """

    __slots__ = (
        "_address",
        "_deadline_s",
        "_frames",
        "_mac",
        "_open",
        "_said",
        "_answered_s",
        "_is_twin_said",
        "_targets",
        "_warnings",
        "peer_mac",
        "state",
        "target",
    )

    def __init__(self, mac: bytes, address: str, targets: list[str], now_s: float) -> None:
        self._mac = mac
        self._address = address
        self._targets = targets  # the first that answers is the one that is watched
        self.target = targets[0]
        self.peer_mac = b""
        self.state = ASKING
        self._open = 0  # questions without an answer
        self._answered_s = now_s
        self._is_twin_said = False
        self._said = 0
        self._frames: list[bytes] = []
        self._warnings: list[str] = []
        self._deadline_s = now_s
        self.tick(now_s)

    def deadline_s(self) -> float:
        """Return when `tick` is due."""
        return self._deadline_s

    def ask_now(self, now_s: float) -> None:
        """Ask at once: somebody has reason to doubt that the way is open."""
        self._deadline_s = min(self._deadline_s, now_s)

    def tick(self, now_s: float) -> None:
        """Ask when it is time."""
        if now_s < self._deadline_s:
            return
        if self._open >= (QUESTIONS if self.state == ANSWERED else FIRST_QUESTIONS):
            self.state = SILENT
        if not self.peer_mac:
            # Nobody has answered yet: the candidates are asked in turn.
            self.target = self._targets[self._open % len(self._targets)]
        frame = build_arp_request(self._mac, self._address, self.target)
        if self.peer_mac and self._open < QUESTIONS:
            frame = self.peer_mac + frame[6:]
        self._frames.append(frame)
        self._open += 1
        if self.state == ASKING:
            wait_s = ASK_FIRST_S
        elif self.state == ANSWERED:
            wait_s = ASK_AGAIN_S
        else:
            wait_s = min(ASK_IDLE_S, ASK_AGAIN_S * max(1, self._open - QUESTIONS + 1))
        self._deadline_s = now_s + wait_s

    def receive(self, frame: bytes, now_s: float) -> None:
        """Take an ARP frame; an answer of the neighbour counts."""
        arp = parse_arp(frame)
        if arp is not None and arp.sender_mac == self._mac:
            self._say_twin()
            return
        if arp is None or arp.operation != REPLY or arp.target_mac != self._mac:
            return
        if arp.sender not in self._targets or (self.peer_mac and arp.sender != self.target):
            return
        if self.peer_mac not in (b"", arp.sender_mac) and now_s - self._answered_s < TWO_S:
            self._warn(
                f"two hosts answer for {arp.sender}: {self.peer_mac.hex(':')} and "
                f"{arp.sender_mac.hex(':')}; traffic goes to either (tell the LAN's administrator)"
            )
        self._answered_s = now_s
        self.target = arp.sender
        self.peer_mac = arp.sender_mac
        self.state = ANSWERED
        self._open = 0
        self._deadline_s = now_s + ASK_IDLE_S

    def _say_twin(self) -> None:
        """Own frames do not come back from a hub: somebody else has our address as well."""
        if not self._is_twin_said:
            self._is_twin_said = True
            self._warn(
                f"frames from this interface's own MAC {self._mac.hex(':')} come out of the "
                "tunnel: another session uses it, or the LAN has a loop (-mac gives another one)"
            )

    def _warn(self, text: str) -> None:
        if self._said < WARNINGS_MAX:  # who wants to fill a log has the LAN for it
            self._said += 1
            self._warnings.append(text)

    def take_warnings(self) -> list[str]:
        """Return what a person should know of the LAN, and forget it."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def take_frames(self) -> list[bytes]:
        """Return the frames to send, and forget them."""
        frames, self._frames = self._frames, []
        return frames
