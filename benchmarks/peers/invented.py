"""Sentences with invented personal data in them, by Faker: one JSON object a line, with where each entity stands.

``python -m benchmarks.peers.invented COUNT SEED`` in the environment of the peers. The product has none of Faker's lists.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any

from faker import Faker

LOCALES = (
    "en_US", "en_GB", "en_IN", "en_AU", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_BR", "sv_SE", "cs_CZ", "tr_TR",
)  # fmt: skip

CARRIERS = {
    "name": (
        "Write a birthday message for {} who loves hiking.",
        "My neighbour {} keeps parking in front of my garage, what can I do?",
        "Draft a short reference letter for {} and keep it friendly.",
        "{} told me that the meeting is cancelled, how should I answer?",
        "Summarise the notes below that {} sent me yesterday.",
    ),
    "organisation": (
        "I have an interview at {} next week, which questions should I expect?",
        "Write a complaint to {} about a late delivery.",
        "Compare my current salary with what {} usually pays.",
        "{} rejected my application, help me write back politely.",
    ),
    "address": (
        "Plan a route that starts at {} and avoids motorways.",
        "I just moved to {} and need to tell my bank.",
        "The parcel should go to {}, please write the label.",
    ),
    "city": (
        "What are the best places to eat in {} with small children?",
        "I am moving from {} because of my job.",
        "Is {} a good place to learn sailing?",
    ),
    "phone": ("Call me back on {} when the report is done.", "My number is {}, put it into the signature."),
    "email": ("Send the slides to {} before noon.", "Why does the server say that {} is not a valid user?"),
    "iban": ("Please transfer the rent to {} every month.", "Check whether {} is a correct account number."),
    "card": ("The shop charged {} twice, what are my rights?", "Card number {} was declined at the counter."),
    "national id": (
        "My tax number is {}, which form do I need?",
        "The clinic wants {} as an identifier, is that allowed?",
    ),
    "date": ("I was born on {}, how old am I?", "The contract ends on {} and I want to leave earlier."),
    "ip": ("The firewall blocks {} although it should not.", "Which service listens on {} by default?"),
    "path": ("Python cannot open {} and says permission denied.", "Move everything below {} to the new disk."),
    "url": ("Why does {} answer with an error?", "Download the file from {} with a script."),
    "password": ("My password is {} and it is rejected.", "Log in with the password {} and restart the service."),
    "key": ("The request fails with the key {} in the header.", "Set the token to {} in the settings."),
}


def _password(fake: Any, rng: random.Random) -> str:
    kind = rng.randrange(3)
    if kind == 0:
        return str(fake.password(length=rng.randint(8, 16)))
    if kind == 1:
        return str(fake.last_name()).lower() + str(rng.randint(1, 9999))
    return "-".join(str(fake.word()) for _ in range(4))


def _entity(kind: str, fake: Any, rng: random.Random) -> str:
    makers: dict[str, Callable[[], object]] = {
        "name": fake.name,
        "organisation": fake.company,
        "address": lambda: fake.address().replace("\n", ", "),
        "city": fake.city,
        "phone": fake.phone_number,
        "email": fake.email,
        "iban": lambda: " ".join(_fours(fake.iban())) if rng.random() < 0.5 else fake.iban(),
        "card": lambda: " ".join(_fours(fake.credit_card_number())) if rng.random() < 0.5 else fake.credit_card_number(),
        "national id": fake.ssn,
        "date": lambda: fake.date(rng.choice(("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%y", "%B %d, %Y", "%d %b %Y"))),
        "ip": lambda: fake.ipv6() if rng.random() < 0.5 else fake.ipv4(),
        "path": lambda: rng.choice(
            (f"/home/{fake.user_name()}/{fake.word()}", f"C:\\Users\\{fake.first_name()}\\{fake.file_name()}")
        ),
        "url": lambda: f"{fake.url()}{fake.uri_path()}?token={fake.sha1()[:20]}",
        "password": lambda: _password(fake, rng),
        "key": lambda: rng.choice((fake.sha256(), f"sk-{fake.md5()}", fake.uuid4(), f"ghp_{fake.sha1()[:36]}")),
    }  # fmt: skip
    return str(makers[kind]())


def _fours(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def main(arguments: list[str]) -> None:
    """The program."""
    count, seed = int(arguments[0]), int(arguments[1])
    rng = random.Random(seed)
    Faker.seed(seed)
    fakes = [Faker(locale) for locale in LOCALES]
    for number in range(count):
        for kind, carriers in CARRIERS.items():
            fake = fakes[number % len(fakes)]
            before, after = rng.choice(carriers).split("{}")
            entity = _entity(kind, fake, rng)
            start = len(before)
            print(
                json.dumps({"text": before + entity + after, "type": kind, "start": start, "end": start + len(entity)})
            )


if __name__ == "__main__":
    main(sys.argv[1:])
