"""A journal cut anywhere, and resolv.conf made from anything."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sevpn.errors import HostError
from sevpn.host import journal, resolv


@given(st.lists(st.integers(0, 9), max_size=12), st.data())
def test_a_cut_journal_has_what_stood_then(numbers: list[int], data: st.DataObject) -> None:
    """A number seen for the first time begins a record, seen again it ends it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.journal"
        log = journal.Journal(str(path))
        open_records: dict[int, journal.Record] = {}
        states: list[list[int]] = [[]]
        for number in numbers:
            if number in open_records:
                log.end(open_records.pop(number))
            else:
                open_records[number] = log.begin({"kind": "x", "step": [], "number": number})
            states.append(list(open_records))
        content = path.read_bytes() if path.exists() else b""
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        # A line counts when it is whole, with or without the newline behind it.
        whole = content[:cut] + b"\n" if content[cut : cut + 1] == b"\n" else content[:cut]
        found = [record["number"] for record in journal.read(str(path))]
        assert found == states[whole.count(b"\n")]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_journal(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.journal"
        path.write_bytes(content)
        assert isinstance(journal.read(str(path)), list)


TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["10.0.0.1", "2001:db8::1", "a.example", "1.2.3", "10.0.0.1\nx", "fe80::1%lo"]),
)


@given(st.lists(TEXTS, max_size=5), st.lists(TEXTS, max_size=5))
def test_resolv_conf_has_only_plain_lines(servers: list[str], search: list[str]) -> None:
    try:
        kept_servers, kept_search, warnings = resolv.check(servers, search)
    except HostError:
        return
    text = resolv.compose(kept_servers, kept_search)
    lines = text.splitlines()
    assert text == "".join(f"{line}\n" for line in lines)
    assert text.isascii()
    *name_servers, last = lines
    if last.startswith("search "):
        assert all(resolv.is_domain_name(word) for word in last.split()[1:])
    else:
        name_servers = lines
    kept = [line.removeprefix("nameserver ") for line in name_servers]
    assert kept == [server for server in servers if server in kept]
    kept_domains = len(last.split()) - 1 if last.startswith("search ") else 0
    assert len(servers) + len(search) == len(kept) + kept_domains + len(warnings)
