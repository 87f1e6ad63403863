"""How others on this host learn where a run stands: `sevpn status`, `sevpn wait`, systemd.

Layer 5, between the session and the supervisor. Loaded for the whole session, so small.

    control   joins the parts below for one run
    view      the parts of a run that can be asked about
    server    the control socket
    report    the answer to `status`; loaded when somebody asks
    notify    systemd's READY=1, STATUS=, WATCHDOG=1; loaded when systemd started us
"""
