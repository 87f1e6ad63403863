"""What goes into the binary: where the search for modules starts, and where it stops.

The search follows every import statement of every module, also those inside functions. An
import that leads to something outside the binary stops the build, unless it is listed here
with the reason why it is never executed or does no harm. An entry that no longer
matches an import stops the build too.
"""

# Beside all of sevpn: what CPython's C code and `str.encode` import by name.
ROOTS = (
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "encodings",
    "encodings.utf_8",  # the file system's and the streams' encoding
    "encodings.ascii",
    "encodings.latin_1",
    "encodings.idna",  # host names that are not ASCII
    "encodings.punycode",  # used by idna, by name
    "io",
    "abc",
    "codecs",
    "copyreg",  # object.__reduce__
    "traceback",  # the report of an internal error
    "warnings",
)

# The names by which one module is known under another's.
ALIASES = {
    "os.path": "posixpath",
    "collections.abc": "_collections_abc",
    "_frozen_importlib": "importlib._bootstrap",
    "_frozen_importlib_external": "importlib._bootstrap_external",
}

_WINDOWS = "runs on Windows only"
_CAUGHT = "its ImportError is caught, and the rest works without"

# Importer ("*" = any) -> module -> why it may be missing.
ABSENT: dict[str, dict[str, str]] = {
    "*": {
        "nt": _WINDOWS,
        "ntpath": _WINDOWS,
    },
    "abc": {"_py_abc": "_abc is built in"},
    "collections": {"heapq": "Counter.most_common: nobody calls it"},
    "io": {"_io._WindowsConsoleIO": _WINDOWS},
    "linecache": {"tokenize": _CAUGHT},
    "logging": {"pickle": "pickling of loggers: nobody does"},
    "os": {"subprocess": "os.popen: nobody calls it"},
    "pkgutil": {
        "inspect": "get_data and walk_packages of zip files: nobody calls them",
        "zipimport": _CAUGHT,
    },
    "re._parser": {"unicodedata": "patterns with character names: there are none"},
    "threading": {"_threading_local": "_thread._local is built in"},
    "traceback": {
        "ast": "marks columns in source lines, of which there are none",
        "unicodedata": "measures source lines, of which there are none",
    },
    "typing": {"inspect": "isinstance with a runtime protocol: nobody does"},
    "warnings": {
        "inspect": "the decorator `deprecated` on coroutines: nobody uses it",
        "tracemalloc": "only while tracemalloc runs, and it is not built in",
    },
}
