"""The sub-commands: `sevpn status`, `sevpn wait`, `sevpn cleanup`.

Layer 6, beside the supervisor. Each runs in a process of its own that ends with it, so
these modules may import what a running session must not.

    arguments  the flags of each, in Go's syntax like those of sevpn itself
    instances  the runs on this host: finding and asking them
    status     shows a run; `text` is its form for a person
    wait       returns when traffic flows
    cleanup    undoes what killed runs left
"""

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: "Sequence[str]") -> int:
    """Run the command `arguments[0]`; return the exit code.

    Raises FlagError, HelpRequested, HostError, NotReadyError, NotRunningError.
    """
    # Nothing here needs an orderly end: ^C and a closed pipe end it as they end `cat`, and a
    # shell's `sevpn wait && ...` sees that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if arguments[0] == "status":
        from sevpn.commands.status import main
    elif arguments[0] == "wait":
        from sevpn.commands.wait import main
    else:
        from sevpn.commands.cleanup import main
    return main(list(arguments[1:]))
