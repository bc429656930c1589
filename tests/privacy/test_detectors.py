"""Each detector finds what has its form, and none is slow, whatever the text."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from mycelnode.privacy.detectors import DETECTORS, Detector, detect
from tests.privacy.hostile import bombs

LIMIT = 0.25  # seconds for 100 kB: five times the 0.05 that none may take on a machine of its own
TRIES = 5  # the machine has others to serve: the quickest one counts


def seconds(detector: Detector, text: str) -> float:
    best = 1e9
    for _ in range(TRIES):
        started = time.process_time()
        for _ in detector(text):
            pass
        best = min(best, time.process_time() - started)
        if best < LIMIT:
            break
    return best


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: str(detector.__name__))
def test_no_text_makes_a_detector_slow(detector: Detector) -> None:
    list(detector("+49 30 1234567 DE89370400440532013000 4111111111111111"))  # what is imported once
    slow = {name: took for name, text in bombs().items() if (took := seconds(detector, text)) > LIMIT}
    assert not slow


def test_the_measure_sees_a_slow_one() -> None:
    def careless(text: str) -> list[int]:
        return [text[:at].count("a") for at in range(0, len(text), 4)]

    assert seconds(careless, "a" * 100_000) > LIMIT  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "type_", "whole"),
    [
        ("[NAME]", "NAME", True),
        ("jo.doe+x@mail.example.org", "EMAIL", True),
        ("jo at example dot com", "EMAIL", True),
        ("https://example.com/a?token=b#c", "URL", True),
        ("postgres://jo:pw@db:5432/x", "URL", True),
        ("intranet.example.co.uk", "URL", True),
        ("/home/jo/notes.txt", "PATH", True),
        ("C:\\Users\\jo\\notes", "PATH", True),
        ("~/notes", "PATH", True),
        ("report.pdf", "PATH", True),
        ("192.168.0.17", "IP", True),
        ("2001:db8::8a2e:370:7334", "IP", True),
        ("2001:db8::", "IP", True),
        ("DE89 3704 0044 0532 0130 00", "IBAN", True),
        ("gb29nwbk60161331926819", "IBAN", True),
        ("4111 1111 1111 1111", "CARD", True),
        ("RSSMRA85T10A562S", "ID", True),
        ("44051401359", "ID", True),
        ("+49 30 901820", "PHONE", True),
        ("(202) 456-1111", "PHONE", True),
        ("2024-02-29T10:00:00Z", "DATE", True),
        ("29.02.2024", "DATE", True),
        ("March 5, 2021", "DATE", True),
        ("5th of march", "DATE", True),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "KEY", True),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "KEY", True),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "KEY", True),
    ],
)
def test_it_finds(text: str, type_: str, whole: bool) -> None:
    found = detect(f"see {text} now")
    assert [(one.type, one.start, one.end) for one in found] == [(type_, 4, 4 + len(text))]


@pytest.mark.parametrize(
    "text", ["and/or", "input/output", "e.g. this", "a: b", "the end. Next", "me, you; all", "-- no"]
)
def test_it_finds_nothing_in_plain_words(text: str) -> None:
    assert detect(text) == []


def test_finds_do_not_overlap() -> None:
    found = detect("mail https://jo@example.com/a/4111111111111111?d=2024-02-29 to jo@example.com")
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert [one.type for one in found] == ["URL", "EMAIL"]
