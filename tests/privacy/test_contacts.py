"""What is read out of an address book's export, as real ones are written, and out of junk."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mycelnode.errors import ContactsRefused
from mycelnode.privacy.contacts import COLUMNS, names

PHOTO = "\r\n ".join("/9j/4AAQSkZJRgABAQAASABIAAD/4QBMRXhpZgAATU0AKgAAAAgAAYdpAAQAAAABAAAA" for _ in range(20))
APPLE = f"""BEGIN:VCARD\r
VERSION:3.0\r
PRODID:-//Apple Inc.//iPhone OS 17.4//EN\r
N:Patel;Rohan;Kumar;Dr.;MBE\r
FN:Dr. Rohan Kumar Patel MBE\r
NICKNAME:Ro\\, the tall one,Rohu\r
ORG:Nightjar\\; Sons;Owl Research;\r
TITLE:Head Gardener\r
item1.EMAIL;type=INTERNET;type=pref:rohan@example.com\r
item1.X-ABLabel:_$!<HomePage>!$_\r
TEL;type=CELL;type=VOICE;type=pref:+44 7700 900123\r
NOTE:met in Lisbon\\nFN: is what he calls it\r
PHOTO;ENCODING=b;TYPE=JPEG:{PHOTO}==\r
END:VCARD\r
BEGIN:VCARD\r
VERSION:3.0\r
N:;;;;\r
FN:Bluebird Bakery with a long name that Apple folds after seventy-five oc\r
 tets of it\r
ORG:Bluebird Bakery;\r
X-ABShowAs:COMPANY\r
END:VCARD\r
"""
GOOGLE = """BEGIN:VCARD
VERSION:3.0
FN:Zoé Summer
N:Summer;Zoé;;;
item1.ORG;TYPE="work;main:one":Garden Ltd
item1.X-ABLabel:
PHOTO:https://lh3.googleusercontent.com/contacts/AAAA
CATEGORIES:myContacts
END:VCARD
begin:vcard
version:3.0
fn:J. Market
n:Market;J.;;;
end:vcard
"""
PHONE = """BEGIN:VCARD\r
VERSION:2.1\r
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=D0=9F=D0=B5=D1=82=D1=80=D0=BE=\r
=D0=B2=D0=B0;=D0=90=D0=BD=D0=BD=D0=B0;;;\r
FN;CHARSET=UTF-8;QUOTED-PRINTABLE:=D0=90=D0=BD=D0=BD=D0=B0 =D0=9F=\r
=D0=B5=D1=82=D1=80=D0=BE=D0=B2=D0=B0\r
TEL;CELL;PREF:+79161234567\r
PHOTO;JPEG;ENCODING=BASE64:\r
 /9j/4AAQSkZJRgABAQAASABIAAD/4QBMRXhpZgAATU0AKgAAAAgAAYdpAAQAAAABAAAA\r
 R1=\r
\r
END:VCARD\r
BEGIN:VCARD\r
VERSION:2.1\r
N;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:M=FCller;J=F6rg\r
FN;ENCODING=QUOTED-PRINTABLE:J=F6rg\r
ORG;ENCODING=QUOTED-PRINTABLE:Fish=3BChips;Cellar\r
NICKNAME:the man from\r
 the market\r
END:VCARD\r
"""
GOOGLE_CSV = (
    "First Name,Middle Name,Last Name,Phonetic First Name,Name Suffix,Nickname,Organization Name,Notes,E-mail 1 - Value\n"
    'Rohan,Kumar,Patel,,MBE,Ro ::: Rohu,"Nightjar, Sons","two\nlines",rohan@example.com\n'
    "Zoé,,Summer\n"
)


def test_apples_export() -> None:
    assert names(APPLE) == [
        "Patel",
        "Rohan",
        "Kumar",
        "Rohan Patel",
        "Dr. Rohan Kumar Patel MBE",
        "Ro, the tall one",
        "Rohu",
        "Nightjar; Sons",
        "Owl Research",
        "Bluebird Bakery with a long name that Apple folds after seventy-five octets of it",
        "Bluebird Bakery",
    ]


def test_googles_export() -> None:
    assert names(GOOGLE) == ["Zoé Summer", "Summer", "Zoé", "Garden Ltd", "J. Market", "Market"]


def test_an_old_phones_export() -> None:
    assert names(PHONE) == [
        "Петрова",
        "Анна",
        "Анна Петрова",
        "Müller",
        "Jörg",
        "Jörg Müller",
        "Fish;Chips",
        "Cellar",
        "the man from the market",
    ]


def test_an_export_of_4() -> None:
    card = 'BEGIN:VCARD\nVERSION:4.0\nFN;ALTID=1;LANGUAGE=en;SORT-AS="a:b;c":Ann  Lee\nN:Lee,Park;Ann,Mary;Sue,Joy;;\nEND:VCARD\n'
    assert names(card) == ["Ann Lee", "Lee", "Park", "Ann", "Mary", "Sue", "Joy", "Ann Mary Lee Park"]


@pytest.mark.parametrize("text", [APPLE, GOOGLE, PHONE, GOOGLE_CSV])
def test_the_end_of_a_line_and_a_mark_at_the_beginning_make_no_difference(text: str) -> None:
    lines = text.replace("\r\n", "\n")
    for end in ("\n", "\r\n", "\r"):
        assert names("\ufeff" + lines.replace("\n", end)) == names(text)


@pytest.mark.parametrize("text", [APPLE, GOOGLE, PHONE])
def test_a_book_that_is_cut_off_gives_what_was_read(text: str) -> None:
    whole = names(text)
    assert whole is not None
    for end in range(text.index("FN:") + 8 if "FN:" in text else 150, len(text)):
        found = names(text[:end])
        assert found
        assert found[:-3] == whole[: len(found[:-3])]  # the last property may be half


@pytest.mark.parametrize("value", ["=F", "=00", "=D0", "\\", "\\\\", ";;;;", ",,;,,", "J.", "7", "+49 170", "🙂"])
def test_what_names_nobody_makes_no_entry(value: str) -> None:
    card = f"BEGIN:VCARD\nFN;QUOTED-PRINTABLE;CHARSET=ISO-8859-99:{value}\nN;QUOTED-PRINTABLE:{value}\nNICKNAME:Rohan"
    assert names(card) == ["Rohan"]


def test_a_book_without_names_is_refused() -> None:
    for text in ("BEGIN:VCARD\nTEL:1\nEND:VCARD", "begin:vcard", "First Name,Last Name\n", "Name,Phone\n7,8\n"):
        with pytest.raises(ContactsRefused, match=r"^the address book holds no names$"):
            names(text)


def test_a_csv() -> None:
    assert names(GOOGLE_CSV) == [
        "Rohan",
        "Patel",
        "Kumar",
        "Ro",
        "Rohu",
        "Nightjar, Sons",
        "Rohan Patel",
        "Zoé",
        "Summer",
        "Zoé Summer",
    ]
    outlook = '"Title";"FIRST NAME";"Last Name";"Company"\r\n"Dr.";"Rohan";"Patel";"Nightjar"\r\n'
    assert names(outlook) == ["Rohan", "Patel", "Nightjar", "Rohan Patel"]
    older = "Name,Given Name,Additional Name,Family Name,Organization 1 - Name\nAnn B. Lee,Ann,B.,Lee,Nightjar\n"
    assert names(older) == ["Ann", "Lee", "Ann B. Lee", "Nightjar", "Ann Lee"]


def test_a_csv_that_cannot_be_read_whole_is_refused() -> None:
    with pytest.raises(ContactsRefused, match="none of the columns first name, given name"):
        names("Vorname,Nachname\nRohan,Patel\n")
    for text in ('Name,Phone\n"Rohan,1\nAnn,2\n', 'Name,Phone\n"Rohan"x,1\n', f"Name,Phone\n{'x' * 200_000},1\n"):
        with pytest.raises(ContactsRefused, match="cannot be read as one"):
            names(text)


@pytest.mark.parametrize(
    "text", ["", "\n", "Rohan Patel\nNightjar\n", "Patel, Rohan\nLee, Ann\n", "my name\n", "FN:Rohan"]
)
def test_lines_are_no_address_book(text: str) -> None:
    assert names(text) is None


def test_large_photos_and_long_lines_take_no_time() -> None:
    begun = time.perf_counter()
    photo = "PHOTO;ENCODING=b:" + "A" * 60 + ("\n " + "A" * 74) * 50_000
    for line in (photo, ";" * 500_000 + "=", "FN" + ";" * 500_000, "FN:" + "a\\,;" * 100_000, 'N;X="' + 'a"' * 200_000):
        found = names(f"BEGIN:VCARD\n{line}\nNICKNAME:Rohan")
        assert found is not None
        assert found[-1] == "Rohan"
    assert time.perf_counter() - begun < 10


PIECES = st.sampled_from(
    [
        *(
            "BEGIN:VCARD",
            "END:VCARD",
            "VERSION:2.1",
            "FN:",
            "n;",
            "ORG",
            "ENCODING=QUOTED-PRINTABLE:",
            "CHARSET=",
            "big5",
        ),
        *("\n", "\r\n", "=\n", " ", ",", ";", ":", "=", '"', "\\", "=D0", "\0", "\u2028", "\ud800", "Name,", "company"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5)).map("".join)


@given(TEXTS | TEXTS.map("BEGIN:VCARD\n".__add__) | TEXTS.map("Name,Nickname\n".__add__))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ContactsRefused):
        found = names(text)
        assert found is None or (found and all(found) and len(set(found)) == len(found))


NAMES = st.lists(st.text("abcxyzßéД李,;\\:=\"'.-\u2028", min_size=1, max_size=60), min_size=1, max_size=3).map(" ".join)


def _written(name: str, version: str) -> str:
    for char in "\\,;":
        name = name.replace(char, "\\" + char)
    if version == "2.1":
        coded = "".join(f"={byte:02X}" for byte in name.encode())
        return "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:" + "=\r\n".join(
            coded[at : at + 60] for at in range(0, len(coded), 60)
        )
    return "\r\n ".join(f"FN:{name}"[at : at + 20] for at in range(0, len(name) + 3, 20))


@given(st.lists(NAMES, min_size=1), st.sampled_from(["2.1", "3.0", "4.0"]))
def test_what_is_written_reads_back(written: list[str], version: str) -> None:
    cards = [
        f"BEGIN:VCARD\r\nVERSION:{version}\r\n{_written(one, version)}\r\nEND:VCARD\r\n" for one in ["Rohan", *written]
    ]
    found = names("".join(cards))
    wanted = [" ".join(one.split()) for one in ["Rohan", *written]]
    wanted = [one for one in wanted if sum(map(str.isalnum, one)) > 1]
    assert found == list(dict.fromkeys(wanted))


def test_each_column_that_is_known_is_read() -> None:
    for column in COLUMNS:
        assert names(f"Phone,{column.title()}\n1,Rohan\n") == ["Rohan"]
