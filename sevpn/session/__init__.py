"""One login's life: dial, log in, bridge, lease, host configuration, end (layer 3)."""
