"""sevpn: a standalone SoftEther VPN client for Linux."""

__version__ = "0.1.0"
