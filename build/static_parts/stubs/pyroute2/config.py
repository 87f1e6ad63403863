"""Stands for pyroute2.config, which asks the system things that the codecs do not need."""

AF_BRIDGE = 7
data_plugins_pkgs: list[str] = []
data_plugins_path: list[str] = []
