"""What can be told by its form: addresses of the net, numbers with checksums, phones, dates, paths, keys.

A miss here is no leak by itself: whatever has a digit or is no public word becomes a slot anyway (`mycelnode.privacy.generalise`).
A find gives the slot its type, and its bounds where it has spaces in it. Every pattern is linear: no repetition can be read
in two ways, and what a library is asked about is bounded in length and number.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from itertools import islice
from typing import Any, Final, NamedTuple

from mycelnode.privacy.lists import MONTHS, TYPES


class Found(NamedTuple):
    """A span, in code points of the text, half-open; and what it seems to be."""

    start: int
    end: int
    type: str
    reason: str


Detector = Callable[[str], Iterable[Found]]

ASKED: Final = 32  # times that a library is asked about one text: what is beyond that is a slot without its type
MAX_FINDS: Final = 2_000  # of dates and hosts of one form in one text: the others are slots without their type
MAX_PHONE_CHARS: Final = 32
IBAN_CHARS: Final = 15  # of the shortest
CARD_DIGITS: Final = 13
ENTROPY_CHARS: Final = 16  # from which on a token can be a key
ENTROPY_BITS: Final = 3.0  # a character: words have less, random hexadecimal digits more
REGIONS: Final = (
    "US",
    "GB",
    "DE",
    "FR",
    "ES",
    "IT",
    "NL",
    "PL",
    "BR",
    "IN",
    "AU",
    "SE",
)  # for phones without a country code
# Official numbers whose check needs no clock, in the order in which they are asked: what is long or has letters first.
_IDS = """
    it.codicefiscale fr.nir fi.hetu es.dni es.nie in_.pan in_.aadhaar pl.pesel cz.rc ro.cnp ch.ssn tr.tckimlik cn.ric br.cpf
    br.cnpj gb.nhs de.idnr nl.bsn pt.nif ca.sin us.ssn
"""
IDS: Final = tuple(_IDS.split())

_SLOT = re.compile(rf"\[(?:{'|'.join(sorted(TYPES))})\]")
_URL = re.compile(r"(?:\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://|\bwww\.|\bmailto:|\bdata:)[^\s<>\"'`|]+")
_HOST = re.compile(  # the end of it; what stands before is looked for backwards
    r"(?<=[a-zA-Z0-9])\.(?:com|org|net|io|dev|de|uk|fr|es|it|eu|ai|app|info|biz|edu|gov|nl|pl|br|ru|cn|jp|us|ca|ch|at|se|co|me"
    r"|local|internal|lan)(?![a-zA-Z0-9-])(?:[:/][^\s<>\"'`|]*+)?"
)
_HOST_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
MAX_HOST_CHARS: Final = 253
_AT = re.compile(r"(?<=[^\s<>()\[\]{}\"'`,;:=|@])@[^\s<>()\[\]{}\"'`,;:=|]{1,255}+")
_NOT_MAIL = frozenset(" \t\r\n\f\v<>()[]{}\"'`,;:=|@")
MAX_MAILBOX_CHARS: Final = 64
_SPELLED = re.compile(
    r"(?<![\w-])[\w-]{1,40}+(?: (?:dot|\[dot\]|\(dot\)) [\w-]{1,40}+){0,3}+ (?:at|\[at\]|\(at\)) "
    r"[\w-]{1,40}+(?: (?:dot|\[dot\]|\(dot\)) [\w-]{1,20}+){1,3}+(?![\w-])",
    re.IGNORECASE,
)
_PATH = re.compile(r"(?<![\w./~\\-])(?:[a-zA-Z]:[\\/]|\\\\|~[\w.-]{0,40}/|\.{0,2}/(?=[\w.~-]))[^\s\"'`<>|,;]*")
_FILE = re.compile(
    r"(?<![\w./-])[\w-]{1,64}(?:[\\/][\w.-]{1,64}){1,20}(?![\w/\\])|(?<![\w./-])[\w-]{1,64}\.(?:py|js|ts|go|rs|java|txt|md|csv|json|ya?ml|toml|ini|cfg|env|log|pdf|docx?|xlsx?|pptx?|png|jpe?g|zip|tar|gz|sql|db|sh|html?|css|key|pem|crt)\b"
)
_IP = re.compile(
    r"(?<![\w:.])(?:\d{1,3}(?:\.\d{1,3}){3}(?:[/:]\d{1,5})?|(?=[\da-fA-F:.]{0,45}:[\da-fA-F:.]{0,45}:)[\da-fA-F:.]{2,45}(?:%\w{1,15})?(?:/\d{1,3})?)(?![\w:])"
)
_DIGITS = re.compile(r"(?<![\w+(-])[+(]{0,2}\d(?:[ .()/-]{0,2}\d){5,23}(?!\w)")
_GROUPED = re.compile(r"(?<!\w)\d(?:[ ./-]{0,2}\d){7,18}(?!\w)")
_COMPACT = re.compile(
    r"(?<!\w)(?=[A-Za-z.-]{1,8}+\d|\d[\d.-]{0,16}+[A-Za-z])[A-Za-z0-9](?:[.-]?[A-Za-z0-9]){7,20}(?!\w)"
)
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![^\W_])")
_MONTH = "|".join(sorted(MONTHS, key=lambda month: (-len(month), month)))
_DATES = (  # each looks ahead to what it needs, as months are many
    re.compile(
        r"(?<!\w)(?=\d{1,4}[-/.]\d)(?:\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
        r"|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?)(?!\w)"
    ),
    re.compile(
        r"(?<!\w)\d{1,2}(?:st|nd|rd|th|\.)?(?: of)?[ -](?=[jfmasond])"
        rf"(?:{_MONTH})\b\.?(?:,?[ -]\d{{2,4}}\b)?(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?=[jfmasond][aepuco])(?:{_MONTH})\b\.?(?: \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? \d{{4}}\b)?|,? \d{{4}}\b)",
        re.IGNORECASE,
    ),
)
_KEY = re.compile(r"(?<![\w/+=-])[A-Za-z0-9_+/=.~-]{16,4096}")
_PREFIX = re.compile(
    r"(?<!\w)(?:sk|pk|rk|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abprs]|AKIA|ASIA|AIza|ya29|eyJ|npm|pypi|hf|shpat|SG|key|ed25519|xprv|xpub|nsec)[-_.]?[A-Za-z0-9_.-]{12,4096}"
)
_DASHES = "-----"
_PEM, _PEM_END = f"{_DASHES}BEGIN ", f"{_DASHES}END "


def slots(text: str) -> Iterator[Found]:
    """What already looks like a slot: it hides nothing, whoever wrote it."""
    for match in _SLOT.finditer(text):
        yield Found(*match.span(), match[0][1:-1], "written like a slot")


def urls(text: str) -> Iterator[Found]:
    """Addresses on the web, with all that hangs on them, and names of hosts."""
    for match in _URL.finditer(text):
        yield Found(match.start(), _trimmed(text, match), "URL", "an address on the net")
    for match in islice(_HOST.finditer(text), MAX_FINDS):
        head = text[max(0, match.start() - MAX_HOST_CHARS) : match.start()]
        start = match.start() - len(head) + len(head.rstrip(_HOST_CHARS))
        yield Found(start, _trimmed(text, match), "URL", "the name of a host")


def emails(text: str) -> Iterator[Found]:
    """Mail addresses: whatever has an @ between two parts; and those that are spelled out."""
    for match in _AT.finditer(text):
        start = _back(text, match.start(), MAX_MAILBOX_CHARS, lambda char: char not in _NOT_MAIL and not char.isspace())
        yield Found(start, _trimmed(text, match), "EMAIL", "has an @")
    for match in _SPELLED.finditer(text):
        yield Found(*match.span(), "EMAIL", "a mail address in words")


def paths(text: str) -> Iterator[Found]:
    """Paths and names of files: they name people and projects."""
    for pattern in (_PATH, _FILE):
        for match in pattern.finditer(text):
            if pattern is _PATH or not _is_words(match[0]):
                yield Found(match.start(), _trimmed(text, match), "PATH", "a path or the name of a file")


def addresses(text: str) -> Iterator[Found]:
    """IPv4 and IPv6."""
    for match in _IP.finditer(text):
        try:
            ipaddress.ip_interface(match[0].rsplit(":", 1)[0] if match[0].count(".") == 3 else match[0].strip("."))
        except ValueError:
            continue
        end = (
            match.end() if match[0].endswith("::") else _trimmed(text, match)
        )  # zeros at the end of one are no punctuation
        yield Found(match.start(), end, "IP", "an IP address")


def dates(text: str) -> Iterator[Found]:
    """Days, and days with a time."""
    for pattern in _DATES:
        for match in islice(pattern.finditer(text), MAX_FINDS):
            yield Found(*match.span(), "DATE", "a date")


def numbers(text: str) -> Iterator[Found]:
    """IBANs, cards and national numbers, by their checksums."""
    for match in _bounded(_IBAN.finditer(text)):
        end = _iban_end(match[0])
        if end:
            yield Found(match.start(), match.start() + end, "IBAN", "an IBAN: its checksum is right")
    for match in (*_bounded(_GROUPED.finditer(text)), *_bounded(_COMPACT.finditer(text))):
        number = re.sub(r"[ ./-]", "", match[0]).upper()
        if number.isdigit() and len(number) >= CARD_DIGITS and _valid("luhn", number):
            yield Found(*match.span(), "CARD", "the number of a card: its checksum is right")
        elif any(_valid(country, number) for country in IDS):
            yield Found(*match.span(), "ID", "an official number: its checksum is right")


def phones(text: str) -> Iterator[Found]:
    """Numbers that can be dialled, in their own country or from abroad."""
    for match in _bounded(match for match in _DIGITS.finditer(text) if len(match[0]) <= MAX_PHONE_CHARS):
        if _is_phone(match[0]):
            yield Found(*match.span(), "PHONE", "a phone number")


def keys(text: str) -> Iterator[Found]:
    """Keys: the forms of known services, PEM, and whatever is long and looks random."""
    start = text.find(_PEM)
    while start >= 0:
        closing = text.find(_PEM_END, start)
        closed = -1 if closing < 0 else text.find(_DASHES, closing + len(_PEM_END))
        end = len(text) if closed < 0 else closed + len(_DASHES)
        yield Found(start, end, "KEY", "a key in PEM")
        start = text.find(_PEM, end)
    for match in _PREFIX.finditer(text):
        yield Found(match.start(), _trimmed(text, match), "KEY", "has the form of a service's key")
    for match in _KEY.finditer(text):
        if _looks_random(match[0]):
            yield Found(match.start(), _trimmed(text, match), "KEY", "long, and looks random")


# In the order of their say: where two of one length overlap, the earlier one gives the type.
DETECTORS: Final[tuple[Detector, ...]] = (slots, emails, urls, addresses, numbers, keys, dates, phones, paths)


def detect(text: str) -> list[Found]:
    """What all detectors found, in order, without overlaps: of those that overlap the longer one gives the type, and grows."""
    found = [(item, rank) for rank, detector in enumerate(DETECTORS) for item in detector(text)]
    found.sort(key=lambda pair: (pair[0].start, pair[1], -pair[0].end))
    merged: list[tuple[Found, int]] = []
    for item, rank in found:
        if merged and item.start < merged[-1][0].end:
            last, said = merged[-1]
            best = item if (item.end - item.start, -rank) > (last.end - last.start, -said) else last
            merged[-1] = (Found(last.start, max(last.end, item.end), best.type, best.reason), min(said, rank))
        elif item.end > item.start:
            merged.append((item, rank))
    return [item for item, _ in merged]


def _bounded(matches: Iterable[re.Match[str]]) -> Iterator[re.Match[str]]:
    for number, match in enumerate(matches):
        if number == ASKED:
            return
        yield match


def _back(text: str, end: int, most: int, belongs: Callable[[str], bool]) -> int:
    """Where that begins which ends before ``end``, at most so many characters before it."""
    start = end
    while start > 0 and end - start < most and belongs(text[start - 1]):
        start -= 1
    return start


def _trimmed(text: str, match: re.Match[str]) -> int:
    """The end of a match without the punctuation of its sentence."""
    start, end = match.span()
    return start + max(1, len(text[start:end].rstrip(".,;:!?)]}")))


def _is_words(text: str) -> bool:
    """``and/or`` and ``input/output`` are no paths."""
    return text.replace("/", "").isalpha() and text.count("/") < 3


def _looks_random(token: str) -> bool:
    if token[0] in "/~.":
        return False  # a path
    if not any(char.isdigit() for char in token) and token.islower():
        return False  # long words and chains of them: those are for the vocabulary
    sample = token[:256]
    size = len(sample)
    bits = -sum(many / size * math.log2(many / size) for many in Counter(sample).values())
    return bits >= ENTROPY_BITS


@cache
def _module(name: str) -> Any:
    return import_module(f"stdnum.{name}")


def _valid(kind: str, number: str) -> bool:
    return bool(_module(kind).is_valid(number))


def _iban_end(text: str) -> int:
    """How much of a text is an IBAN; 0 if nothing is. What follows it can look like more of it."""
    length = 0
    for place, char in enumerate(text, 1):
        length += char.isalnum()
        ends = char.isalnum() and (place == len(text) or not text[place].isalnum())
        if length >= IBAN_CHARS and ends and _valid("iban", text[:place].replace("-", " ").upper()):
            return place
    return 0


@cache
def _phonenumbers() -> Any:
    import phonenumbers

    return phonenumbers


def _is_phone(text: str) -> bool:
    library = _phonenumbers()
    for region in (None,) if text.lstrip("(").startswith("+") else REGIONS:
        try:
            if library.is_valid_number(library.parse(text, region)):
                return True
        except library.NumberParseException:
            continue
    return False
