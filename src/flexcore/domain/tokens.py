"""Tokens: the text of an expression cut into words, symbols, numbers and strings."""

import re

import msgspec

from flexcore.domain.attributes import INT64_MAX, INT64_MIN


class Refused(Exception):
    """What was found and where, before it is known which field the text came from."""

    def __init__(self, found: str, position: int) -> None:
        super().__init__(found)
        self.found = found
        self.position = position


class Token(msgspec.Struct, frozen=True, gc=False):
    """A piece of the text; `meaning` is what the grammar sees of it.

    That is a keyword in lower case, a symbol, or "name", "quoted", "number", "string"
    or "end".
    """

    meaning: str
    text: str
    #: where it begins, in characters from one
    position: int
    #: the offset behind it
    end: int


SPACE = " \t\r\n"
KEYWORDS = frozenset(
    {"and", "or", "not", "has", "in", "contains", "is", "null", "true", "false"}
)
#: Every quantifier that could give characters back is possessive: lexing is linear.
_LEXER = re.compile(
    r"""[ \t\r\n]++
    |(?P<word>[A-Za-z_$][A-Za-z0-9_$]*+)
    |(?P<symbol>==|!=|<=|>=|[=<>()\[\].,])
    |(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+')
    |(?P<number>-?[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![A-Za-z0-9_$]))
    |`(?P<quoted>[^`]*+)`
    |(?P<unreadable>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_HYPHENATED = re.compile(r"[A-Za-z0-9_$-]*")


def tokens(text: str) -> list[Token]:
    """Cut a text into tokens, the last of them "end"; raises Refused."""
    found: list[Token] = []
    for match in _LEXER.finditer(text):
        meaning = match.lastgroup
        if meaning is None:
            continue
        word = match[meaning]
        position = match.start() + 1
        if meaning == "word":
            lower = word.lower()
            meaning = lower if lower in KEYWORDS else "name"
        elif meaning == "symbol":
            meaning = word
        elif word[:1] == "-":
            _refuse_hyphen(text, position, found)
        if meaning == "unreadable":
            raise _unreadable(word, position)
        found.append(Token(meaning, word, position, match.end()))
    found.append(Token("end", "", len(text) + 1, len(text)))
    return found


def _refuse_hyphen(text: str, position: int, before: list[Token]) -> None:
    """Refuse a hyphen that touches the name before it, with the name it may be."""
    if not before or before[-1].meaning != "name" or before[-1].end != position - 1:
        return
    rest = _HYPHENATED.match(text, position - 1)
    name = before[-1].text + (rest[0] if rest else "")
    raise Refused(f"hyphen in a name without backticks (`{name}`)", position)


def _unreadable(character: str, position: int) -> Refused:
    if character in "\"'":
        return Refused("string is not closed", position)
    if character == "`":
        return Refused("name is not closed", position)
    if character in "-0123456789":
        return Refused("malformed number", position)
    return Refused(f"unexpected character {character!r}", position)


def unquoted(token: Token) -> str:
    """Return what a string token stands for; raises Refused."""
    body = token.text[1:-1]
    if "\\" not in body:
        return body
    for escape in _ESCAPE.finditer(body):
        if escape[1] not in "\\\"'":
            raise Refused("unknown escape", token.position + 1 + escape.start())
    return _ESCAPE.sub(r"\1", body)


def number(token: Token) -> int | float:
    """Return what a number token stands for; raises Refused."""
    if token.text.removeprefix("-").isdigit():
        integer = int(token.text)
        if not INT64_MIN <= integer <= INT64_MAX:
            raise Refused("integer of more than 64 bits", token.position)
        return integer
    real = float(token.text)
    if real in (float("inf"), float("-inf")):
        raise Refused("number out of range", token.position)
    return real
