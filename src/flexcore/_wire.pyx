# distutils: language = c++
"""Rows as the bytes of protobuf messages. The public text is _wire.pyi.

It knows how protobuf writes fields, nothing of protobuf's library nor of flexcore: which
attribute is which field, and written how, is told it once (services/layout.py).

A field is a tag, then a number (seven bits to a byte, the lowest first), or a size and so
many bytes.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libcpp.string cimport string

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

TEXT, SHORT, INTEGER, WORD, TIME, SECONDS, MESSAGE = range(7)

cdef enum:
    _TEXT, _SHORT, _INTEGER, _WORD, _TIME, _SECONDS, _MESSAGE

cdef int64_t SECOND = 1_000_000  # of the rows' times, which are microseconds
cdef int64_t NANOSECONDS = 1_000


cdef inline int64_t _whole(object value) except? -1:
    """Return a number; what is none, as a float, would be cut."""
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


cdef inline int32_t _short(object value) except? -1:
    """The same of 32 bits: protobuf would read the lowest of what has more."""
    cdef int64_t number = _whole(value)
    if number != <int32_t>number:
        raise OverflowError(f"{value} takes more than 32 bits")
    return <int32_t>number


cdef inline int _varint(string& out, uint64_t number) except -1:
    while number > 127:
        out.push_back(<char>(number & 127 | 128))
        number >>= 7
    out.push_back(<char>number)
    return 0


cdef inline int _tag(string& out, int field, int wire_type) except -1:
    return _varint(out, <uint64_t>field << 3 | wire_type)


cdef inline int _number(string& out, char tag, int64_t number) except -1:
    """Write a number as a field, unless it is 0."""
    if number:
        out.push_back(tag)
        _varint(out, <uint64_t>number)
    return 0


cdef inline int _close(string& out, size_t start) except -1:
    """Put the size of what was written since `start` there, where a byte is left for it."""
    cdef size_t size = out.size() - start - 1
    cdef string longer
    if size < 128:
        out[start] = <char>size
    else:
        _varint(longer, size)
        out.replace(start, 1, longer)
    return 0


cdef class _Field:
    cdef string tag
    cdef int kind
    cdef object of
    cdef bint made, optional, repeated
    cdef tuple words, numbers
    cdef Encoder inner

    def __init__(self, int number, int kind, of, how, *, bint optional, bint repeated):
        _tag(self.tag, number, 0 if kind in (_SHORT, _INTEGER, _WORD) else 2)
        if not _TEXT <= kind <= _MESSAGE:
            raise ValueError(f"{kind} is no kind of field")
        self.kind = kind
        self.of = of
        self.made = not isinstance(of, str)
        self.optional = optional
        self.repeated = repeated
        if kind == _WORD:
            self.words, self.numbers = tuple(how), tuple(how.values())
        elif kind == _MESSAGE:
            self.inner = <Encoder?>how  # nobody checks again while it writes

    cdef int put(self, string& out, object value) except -1:
        cdef Py_ssize_t size = 0
        cdef const char* data
        cdef size_t start
        out.append(self.tag)
        if self.kind == _TEXT:
            data = PyUnicode_AsUTF8AndSize(value, &size)
            _varint(out, size)
            out.append(data, size)
        elif self.kind == _SHORT:
            _varint(out, <uint64_t><int64_t>_short(value))
        elif self.kind == _INTEGER:
            _varint(out, <uint64_t>_whole(value))
        elif self.kind == _WORD:
            _varint(out, <uint64_t><int64_t>self.number_of(value))
        else:
            start = out.size()
            out.push_back(0)
            self.put_inside(out, value)
            _close(out, start)
        return 0

    cdef int put_inside(self, string& out, object value) except -1:
        """Write the fields of what is a message."""
        cdef int64_t time
        if self.kind == _MESSAGE:
            return self.inner.put(out, value)
        time = _whole(value)
        if self.kind == _TIME:
            _number(out, 0x08, time // SECOND)
            _number(out, 0x10, time % SECOND * NANOSECONDS)
        else:
            _number(out, 0x08, time)
        return 0

    cdef object number_of(self, object value):
        # By identity: the members of an enum are few, and hashing one is a call of Python.
        cdef Py_ssize_t place
        for place in range(len(self.words)):
            if self.words[place] is value:
                return self.numbers[place]
        return self.numbers[self.words.index(value)]


cdef class Encoder:
    cdef list _fields

    def __init__(self, fields):
        self._fields = [
            _Field(*field, optional=optional, repeated=repeated)
            for *field, optional, repeated in fields
        ]

    def encode(self, row):
        cdef string out
        self.put(out, row)
        return <bytes>out

    cdef int put(self, string& out, object row) except -1:
        cdef _Field field
        for field in self._fields:
            value = field.of(row) if field.made else getattr(row, field.of)
            if value is None or not (field.optional or value):
                continue
            if field.repeated:
                for each in value:
                    field.put(out, each)
            else:
                field.put(out, value)
        return 0


def delimited(int field, bytes data):
    cdef string out
    cdef const char* start = data
    _tag(out, field, 2)
    _varint(out, len(data))
    out.append(start, len(data))
    return <bytes>out


def integer(int field, int64_t number):
    cdef string out
    _tag(out, field, 0)
    _varint(out, <uint64_t>number)
    return <bytes>out
