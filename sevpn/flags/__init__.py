"""Command-line flags as Go's `flag` package has them, and what their values may be.

Pure, at the bottom: knows only `sevpn.errors`. Little here is needed once the program runs.

    errors    the arguments were wrong, or help was asked for
    options   the table: one line per flag
    values    Go's ParseBool, ParseInt and ParseDuration
    goflag    the argument list: which flag gets which text
    usage     the texts Go prints: usage, defaults, quoted values
    validate  whether parsed values can work
"""
