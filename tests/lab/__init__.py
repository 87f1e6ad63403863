"""The namespace lab: a client, a router and a real SoftEther server on one machine.

Plain classes and context managers without pytest, used by tests/e2e, build/demo and
build/bench. Everything happens in network namespaces called sv<pid>..., each with mounts
of its own, so nothing of the host is touched; see `lab.topology` for the picture.
"""
