"""The SE-VPN handshake, pure: bytes and values in, bytes and values out.

Layer 1: no socket, no clock, no randomness, no logging. Time, date and random bytes are
arguments. Knows errors, constants, `log.clean` and the pure compiled modules.
"""
