"""The list of what went into the binary, as CycloneDX 1.6 JSON.

https://cyclonedx.org/docs/1.6/json/ : bomFormat, specVersion, metadata, components.
No time stamp and no serial number: the same inputs give the same bytes.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from static_parts.common import ROOT
from static_parts.toolchain import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from static_parts.sources import Source

# Their place in the product: libraries are in it, tools only made it. musl and compiler-rt
# come out of zig's package, at the versions named here.
_PYTHON_PACKAGES = {
    "pyroute2": ("library", "required", "Apache-2.0 OR GPL-2.0-or-later"),
    "cython": ("application", "excluded", "Apache-2.0"),
    "ziglang": ("application", "excluded", "MIT"),
}
_FROM_ZIG = (
    ("musl", "1.2.5", "MIT"),
    ("compiler-rt (zig)", "0.15.2", "MIT"),
)


def _component(
    name: str, version: str, license_expression: str, *, kind: str = "library", **more: Any
) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "licenses": [{"expression": license_expression}],
        **more,
    }


def _requirements() -> dict[str, tuple[str, list[str]]]:
    """Return the pinned Python packages: name -> (version, hashes)."""
    text = REQUIREMENTS.read_text().replace("\\\n", " ")
    found = re.findall(r"^([\w-]+)==(\S+)(.*)$", text, re.MULTILINE)
    return {name: (version, re.findall(r"sha256:(\w+)", rest)) for name, version, rest in found}


def bill(sources: Mapping[str, Source], modules: Mapping[str, Any], digest: str) -> str:
    """Return the document. `modules` is modules.json; `digest` the binary's SHA-256."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    components = [
        _component(
            source.name if source.name != "python" else "cpython",
            source.version,
            source.license,
            purl=source.purl,
            hashes=[{"alg": "SHA-256", "content": source.sha256}],
        )
        for source in sources.values()
    ]
    for name, (package_version, hashes) in _requirements().items():
        kind, scope, license_expression = _PYTHON_PACKAGES[name]
        components.append(
            _component(
                name,
                package_version,
                license_expression,
                kind=kind,
                scope=scope,
                purl=f"pkg:pypi/{name}@{package_version}",
                hashes=[{"alg": "SHA-256", "content": value} for value in hashes],
            )
        )
    components += [_component(*entry) for entry in _FROM_ZIG]
    # Which modules of CPython's library and of pyroute2 are inside.
    frozen = [name for name in modules["frozen"] if not name.startswith("sevpn")]
    product = _component("sevpn", version, "MIT", kind="application")
    product["hashes"] = [{"alg": "SHA-256", "content": digest}]
    product["properties"] = [
        {"name": "sevpn:frozen-module", "value": name} for name in sorted(frozen)
    ] + [{"name": "sevpn:built-in-module", "value": name} for name in modules["builtin"]]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product},
        "components": sorted(components, key=lambda one: str(one["bom-ref"])),
        "dependencies": [
            {
                "ref": product["bom-ref"],
                "dependsOn": sorted(str(one["bom-ref"]) for one in components),
            }
        ],
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
