"""Stands for the importing of files: in the binary no module comes from a file.

CPython asks for `_install` while it starts; importlib, importlib.machinery, importlib.util
and pkgutil ask for the other names. Saves a hundred kilobytes of every process.
"""

MAGIC_NUMBER = b""
_RAW_MAGIC_NUMBER = 0
SOURCE_SUFFIXES = [".py"]
BYTECODE_SUFFIXES = DEBUG_BYTECODE_SUFFIXES = OPTIMIZED_BYTECODE_SUFFIXES = [".pyc"]
EXTENSION_SUFFIXES: list[str] = []


class _NoFiles:
    """Every loader and finder: there are none of its instances."""

    @classmethod
    def find_spec(cls, _name: str, _path: object = None, _target: object = None) -> None:
        """Find nothing."""


class WindowsRegistryFinder(_NoFiles):
    """See _NoFiles."""


class PathFinder(_NoFiles):
    """See _NoFiles."""


class FileFinder(_NoFiles):
    """See _NoFiles."""


class SourceFileLoader(_NoFiles):
    """See _NoFiles."""


class SourcelessFileLoader(_NoFiles):
    """See _NoFiles."""


class ExtensionFileLoader(_NoFiles):
    """See _NoFiles."""


class AppleFrameworkLoader(_NoFiles):
    """See _NoFiles."""


class NamespaceLoader(_NoFiles):
    """See _NoFiles."""


def spec_from_file_location(name: str, *_arguments: object, **_options: object) -> None:
    """Refuse."""
    raise ImportError(f"{name}: modules are not loaded from files here", name=name)


cache_from_source = source_from_cache = decode_source = _get_cached = spec_from_file_location


def _pack_uint32(number: int) -> bytes:
    return (int(number) & 0xFFFFFFFF).to_bytes(4, "little")


def _unpack_uint32(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _install(_bootstrap: object) -> None:
    """Install no finder: those for built-in and frozen modules are there already."""
