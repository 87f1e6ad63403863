"""Stands for pyroute2's own, which imports 330 modules: sevpn uses its message codecs only."""
