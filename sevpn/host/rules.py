"""Rules of policy routing: made by a step, taken back by a record.

Layer 2, used in the short-lived child only.
"""

from __future__ import annotations

from socket import AF_INET

from sevpn.host import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sevpn.host.context import Host, Record, Step


def present_rules(host: Host, family: int = AF_INET) -> list[codec.Rule]:
    """Return the host's rules of one family."""
    return [codec.decode_rule(part) for part in host.netlink.ask(codec.encode_rule_dump(family))]


def record_of(step: Step, rule: codec.Rule) -> Record:
    """Return the record for adding `rule` because of `step`."""
    record: Record = {
        "kind": "rule",
        "step": list(step),
        "address": rule.source,
        "table": rule.table,
    }
    if rule.priority is not None:
        record["priority"] = rule.priority
    if rule.suppressed_len is not None:
        record["suppressed_len"] = rule.suppressed_len
    return record


def rule_of(record: Record) -> codec.Rule:
    """Return the rule that a record is about."""
    return codec.Rule(
        record["address"],
        record["table"],
        priority=record.get("priority"),
        suppressed_len=record.get("suppressed_len"),
    )


def add(host: Host, step: Step, rule: codec.Rule) -> None:
    """Add a rule, also beside the very same one of another run. Raises OSError."""
    message = codec.encode_rule(codec.RTM_NEWRULE, codec.NLM_F_CREATE, rule)
    host.perform(record_of(step, rule), lambda: host.netlink.change(message))


def make_rule(host: Host, step: Step) -> None:
    """Let packets from an address look into a table; the kernel chooses the priority."""
    _, source, table = step
    rule = codec.Rule(source, table)
    for present in present_rules(host):
        if present.does_as(rule):
            if present.protocol == codec.PROTOCOL_OURS:
                host.adopt(record_of(step, rule))  # a killed run's that no journal tells of
            return
    add(host, step, rule)


def undo_rule(host: Host, record: Record) -> str | None:
    """Remove the rule of a record that carries our mark."""
    host.netlink.change(codec.encode_rule(codec.RTM_DELRULE, 0, rule_of(record)))
    return None
