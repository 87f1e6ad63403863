"""A run's report as aligned lines for a person. Layer 6, pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sevpn.log import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    Report = dict[str, Any]

_LABEL_WIDTH = 13
_UNITS = ("B", "kB", "MB", "GB", "TB")
_TABLE_MAIN = 254
_DROPS = (
    ("tap_drops", "by the TAP's full queue"),
    ("drops_standing", "to slow down who sends too much"),
    ("drops_up", "on the way up"),
    ("drops_down", "on the way down"),
    ("drops_invalid", "invalid"),
    ("bad_checksums", "with bad checksums"),
)


def describe(report: Report) -> str:
    """Return the lines, with a newline at the end."""
    head = f"sevpn {report['version']} on {report['tap']['name']}, process {report['pid']}"
    lines = [head]
    last = ""
    for label, text in _rows(report):
        shown = "" if label == last else label
        last = label
        lines.append(f"  {shown:<{_LABEL_WIDTH}}{text}")
    return "\n".join(map(clean, lines)) + "\n"


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    since = report["since"].replace("T", " ").replace("Z", " UTC")
    yield "state", f"{report['state']} for {duration(report['since_s'])}, since {since}"
    yield from _server_rows(report)
    yield "TAP", f"{report['tap']['name']}, MAC {report['tap']['mac']}"
    if report["lease"]:
        yield from _lease_rows(report["lease"])
    for route in report["routes"]:
        yield "routes", _route(route)
    for rule in report["rules"]:
        yield "rules", f"from {rule['from']} table {rule['table']}"
    if report["dns"]:
        search = report["dns"]["search"]
        yield (
            "DNS set",
            " ".join(report["dns"]["servers"]) + (f", search {' '.join(search)}" if search else ""),
        )
    for one in report.get("shortfalls", ()):
        hint = f" ({one['hint']})" if one["hint"] else ""
        yield "NOT AS ASKED", f"{one['asked']}: {one['why']}: {one['applied']}{hint}"
    yield from _counter_rows(report["counters"])
    for hijack in report["hijacks"]:
        yield "WARNING", f"{hijack['network']} on {hijack['interface']} bypasses the tunnel"
    error = report["last_error"]
    if error:
        yield "last error", f"{error['message']} ({duration(error['ago_s'])} ago)"


def _server_rows(report: Report) -> Iterator[tuple[str, str]]:
    server, session = report["server"], report["session"]
    address = server["address"]
    if address is None:
        yield "server", f"{server['host']}, port {server['port']}: not connected"
        return
    shown = f"[{address}]" if ":" in address else address
    name = "" if server["host"] == address else f"{server['host']}, "
    yield "server", f"{name}{shown}:{server['port']}, {server['product']}"
    if session:
        yield "session", f"{session['name']}, hub {session['hub']}, user {session['user']}"
        yield "cipher", session["cipher"]
        if session.get("congestion"):
            yield "sent by", f"{session['congestion']} (congestion control)"


def _lease_rows(lease: Report) -> Iterator[tuple[str, str]]:
    gateway = f", gateway {lease['gateway']}" if lease["gateway"] else ""
    yield "address", f"{lease['address']}/{lease['prefix_len']}{gateway}"
    dns = f", DNS {' '.join(lease['dns'])}" if lease["dns"] else ""
    domain = f", domain {lease['domain']}" if lease["domain"] else ""
    yield "lease", f"from {lease['server']}{dns}{domain}"
    if lease["expires_in_s"] is None:
        yield "lease", "for ever"
    else:
        yield (
            "lease",
            f"renewal in {duration(lease['renew_in_s'])}, "
            f"rebinding in {duration(lease['rebind_in_s'])}, "
            f"ends in {duration(lease['expires_in_s'])}",
        )


def _route(route: Report) -> str:
    network = "default" if route["network"] == "0.0.0.0/0" else route["network"]
    via = f" via {route['gateway']}" if route["gateway"] not in (None, "", "0.0.0.0") else ""
    table = f" table {route['table']}" if route["table"] != _TABLE_MAIN else ""
    metric = f" metric {route['metric']}" if route["metric"] else ""
    return f"{network}{via} dev {route['interface']}{metric}{table}"


def _counter_rows(counters: Report) -> Iterator[tuple[str, str]]:
    for direction in ("up", "down"):
        frames, size = counters[f"frames_{direction}"], counters[f"bytes_{direction}"]
        yield "traffic", f"{direction} {frames} frames, {byte_size(size)}"
    drops = [f"{counters[key]} {where}" for key, where in _DROPS if counters.get(key)]
    yield "dropped", ", ".join(drops) or "nothing"
    yield (
        "so far",
        f"{counters['reconnects']} reconnects, {counters['resumes']} resumed sessions, "
        f"{counters['renewals']} renewals",
    )


def duration(seconds: float) -> str:
    """Return a time in its two largest units: "3 d 4 h", "2 min 5 s", "7 s"."""
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h")]
    parts += [(whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((at for at, (count, _unit) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


def byte_size(count: int) -> str:
    """Return bytes in thousands, as network tools count: "12.3 kB"."""
    size = float(count)
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
