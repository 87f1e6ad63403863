"""DHCPv4 by Ethernet frames, and ARP probing of the address that was given.

Layer 1, pure: no socket, no clock, no randomness, no logging. Time is the argument
`now` (monotonic seconds), random bytes come from the argument `rng`. From the bottom up:

    address   dotted quads, masks, which addresses a host may have
    frame     Ethernet + IPv4 + UDP, checksums; `DhcpError`
    options   the option area (RFC 2132, 3396), scalar values
    domains   options 15 and 119;  routes  options 121 and 249
    message   the BOOTP fields around the option area
    lease     what a reply grants, checked;  timers  every waiting time
    compose   the frames a client sends;  events  what a client reports
    client    the machine
    arp       conflict detection (RFC 5227), a machine of its own
"""
