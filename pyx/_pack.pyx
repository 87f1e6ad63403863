# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The Pack codec: an ordered list of named, typed, non-empty arrays.

Layer 1, pure. Source: protocol.md 2.

    Pack    := u32 element_count, element_count * Element
    Element := u32 name_length + 1, name, u32 type, u32 value_count, value_count * Value
    Value   := INT u32 | INT64 u64 | DATA, STR, UNISTR: u32 size, size bytes

The stored name length counts a NUL that is not sent. A STR has no NUL, a UNISTR ends
with one. The reader compares each length with what is left before it uses it, makes
each object only when its bytes are there, and counts nothing up front: what it
allocates is bounded by the bytes it was given.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from sevpn.wire cimport load_u32, load_u64, store_u32, store_u64

from sevpn.errors import PackError

cdef enum:
    TYPE_INT = 0
    TYPE_DATA = 1
    TYPE_STR = 2
    TYPE_UNISTR = 3
    TYPE_INT64 = 4
    NAME_MAX_SENT = 63          # a longer one would be truncated by the peer
    NAME_MAX_READ = 255
    SENT_MAX_BYTES = 0x20000000  # 512 MiB: the reference's limit for a Pack

INT = TYPE_INT
DATA = TYPE_DATA
STR = TYPE_STR
UNISTR = TYPE_UNISTR
INT64 = TYPE_INT64


# --- Reading ---

cdef struct Reader:
    const unsigned char* at
    size_t left


cdef int read_u32(Reader* r, uint32_t* value, str what) except -1:
    if r.left < 4:
        raise PackError(f"the Pack ends inside {what}")
    value[0] = load_u32(r.at)
    r.at += 4
    r.left -= 4
    return 0


cdef const unsigned char* take(Reader* r, uint32_t size, str what) except NULL:
    cdef const unsigned char* start = r.at

    if r.left < size:
        raise PackError(f"{what} of {size} bytes in a Pack with {r.left} bytes left")
    r.at += size
    r.left -= size
    return start


cdef str read_text(Reader* r, uint32_t size):
    cdef const unsigned char* start = take(r, size, "a string")

    while size > 0 and start[size - 1] == 0:
        size -= 1
    return PyUnicode_DecodeUTF8(<char*>start, <Py_ssize_t>size, "replace")


cdef object read_value(Reader* r, uint32_t kind):
    cdef uint32_t word = 0

    if kind == TYPE_INT64:
        return load_u64(take(r, 8, "a number"))
    read_u32(r, &word, "a value")
    if kind == TYPE_INT:
        return word
    if kind == TYPE_DATA:
        return PyBytes_FromStringAndSize(<char*>take(r, word, "data"), <Py_ssize_t>word)
    return read_text(r, word)


cdef tuple read_element(Reader* r, set seen, uint32_t max_values):
    cdef uint32_t length = 0
    cdef uint32_t kind = 0
    cdef uint32_t count = 0
    cdef uint32_t _i
    cdef const unsigned char* start
    cdef bytes folded
    cdef str name
    cdef list values = []

    read_u32(r, &length, "the length of a name")
    if length == 0 or length - 1 > NAME_MAX_READ:
        raise PackError(f"a name's stored length of {length} in a Pack")
    start = take(r, length - 1, "a name")
    # ASCII case only: bytes, not text, are folded.
    folded = PyBytes_FromStringAndSize(<char*>start, <Py_ssize_t>(length - 1)).lower()
    name = PyUnicode_DecodeLatin1(<char*>start, <Py_ssize_t>(length - 1), NULL)
    if folded in seen:
        raise PackError(f"two elements named {name!a} in a Pack")
    seen.add(folded)

    read_u32(r, &kind, "a type")
    if kind > TYPE_INT64:
        raise PackError(f"the unknown type {kind} in a Pack")
    read_u32(r, &count, "a value count")
    if count == 0 or count > max_values:
        raise PackError(f"{count} values in element {name!a} of a Pack")
    for _i in range(count):
        values.append(read_value(r, kind))
    return name, <int>kind, values


def decode(bytes data not None, uint32_t max_elements=4096, uint32_t max_values=4096):
    """Return the elements of a Pack as (name, type, values), in their order.

    STR and UNISTR values become str (UTF-8 with replacement, trailing NULs stripped),
    names str by Latin-1 (one character a byte). Bytes behind the last element are
    ignored, as the reference does.

    Raises PackError, for any bytes whatsoever: a length past the end, a name repeated
    (ASCII case aside) or over 255 bytes, no values, an unknown type, too many elements
    or values.
    """
    cdef Reader r
    cdef uint32_t count = 0
    cdef uint32_t _i
    cdef list elements = []
    cdef set seen = set()

    r.at = <const unsigned char*>PyBytes_AS_STRING(data)
    r.left = <size_t>PyBytes_GET_SIZE(data)
    read_u32(&r, &count, "its element count")
    if count > max_elements:
        raise PackError(f"{count} elements in a Pack")
    for _i in range(count):
        elements.append(read_element(&r, seen, max_values))
    return elements


# --- Writing: two passes, so that the one allocation has the right size ---

cdef bytes text_bytes(object value):
    if not isinstance(value, str):
        raise PackError(f"a {type(value).__name__} where a Pack needs a str")
    try:
        # Bytes of a command line that are no UTF-8 go out as they came in.
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise PackError("a string that UTF-8 cannot carry, for a Pack") from None


cdef bytes name_bytes(object name):
    cdef bytes raw

    if not isinstance(name, str):
        raise PackError(f"a {type(name).__name__} as the name of a Pack element")
    try:
        raw = name.encode("latin-1")
    except UnicodeEncodeError:
        raise PackError(f"the name {name!a} for a Pack element") from None
    if len(raw) > NAME_MAX_SENT:
        raise PackError(f"a name of {len(raw)} bytes for a Pack element")
    return raw


cdef object wire_value(object value, int kind):
    """Return an int in range, or the bytes that follow the size word."""
    if kind == TYPE_INT or kind == TYPE_INT64:
        if not isinstance(value, int):
            raise PackError(f"a {type(value).__name__} where a Pack needs an int")
        if value < 0 or value >> (32 if kind == TYPE_INT else 64):
            raise PackError(f"the number {value:#x} does not fit a Pack")
        return value
    if kind == TYPE_DATA:
        if type(value) is not bytes:
            raise PackError(f"a {type(value).__name__} where a Pack needs bytes")
        return value
    if kind == TYPE_STR:
        return text_bytes(value)
    return text_bytes(value) + b"\0"


cdef list prepare(list elements, size_t* total):
    """Check every element; return (name, type, wire values) and the Pack's size."""
    cdef list prepared = []
    cdef set seen = set()
    cdef list values
    cdef bytes raw

    total[0] = 4
    for name, kind, given in elements:
        raw = name_bytes(name)
        if raw.lower() in seen:
            raise PackError(f"two elements named {name!a} for a Pack")
        seen.add(raw.lower())
        if kind not in (TYPE_INT, TYPE_DATA, TYPE_STR, TYPE_UNISTR, TYPE_INT64):
            raise PackError(f"the unknown type {kind} for a Pack element")
        if not given:
            raise PackError(f"no values in element {name!a} for a Pack")
        values = [wire_value(value, kind) for value in given]
        total[0] += 12 + <size_t>len(raw)
        for value in values:
            if kind == TYPE_INT:
                total[0] += 4
            elif kind == TYPE_INT64:
                total[0] += 8
            else:
                total[0] += 4 + <size_t>len(value)
        if total[0] > SENT_MAX_BYTES:
            raise PackError("a Pack over 512 MiB")
        prepared.append((raw, kind, values))
    return prepared


cdef unsigned char* put_bytes(unsigned char* at, bytes raw) noexcept:
    memcpy(at, PyBytes_AS_STRING(raw), <size_t>PyBytes_GET_SIZE(raw))
    return at + PyBytes_GET_SIZE(raw)


def encode(list elements not None):
    """Return the bytes of a Pack made of (name, type, values) elements, in their order.

    INT and INT64 values are ints, DATA bytes, STR and UNISTR str.

    Raises PackError for what a Pack cannot carry or a peer would refuse: a number out of
    range, a value of the wrong Python type, no values, a repeated name (ASCII case
    aside), a name over 63 bytes or outside Latin-1, an unknown type.
    """
    cdef size_t total = 0
    cdef list prepared = prepare(elements, &total)
    cdef bytes pack = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>total)
    cdef unsigned char* at = <unsigned char*>PyBytes_AS_STRING(pack)
    cdef bytes name
    cdef int kind
    cdef list values

    store_u32(at, <uint32_t>len(prepared))
    at += 4
    for name, kind, values in prepared:
        store_u32(at, <uint32_t>len(name) + 1)
        at = put_bytes(at + 4, name)
        store_u32(at, <uint32_t>kind)
        store_u32(at + 4, <uint32_t>len(values))
        at += 8
        for value in values:
            if kind == TYPE_INT:
                store_u32(at, <uint32_t>value)
                at += 4
            elif kind == TYPE_INT64:
                store_u64(at, <uint64_t>value)
                at += 8
            else:
                store_u32(at, <uint32_t>len(value))
                at = put_bytes(at + 4, value)
    return pack
