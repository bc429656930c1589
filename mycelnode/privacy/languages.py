"""Is a request in English? Decided by its small words alone: of all languages only English ships with tables for keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mycelnode.privacy.frametables import tables
from mycelnode.privacy.inflection import forms
from mycelnode.privacy.lists import FUNCTION, words

ENGLISH: Final = "english"
KNOWN_SHARE: Final = 0.5  # of the words that are asked with
FEW: Final = 8  # words, of which an answer may say that they are English
SURE: Final = 3  # small words that an answer needs to be English
SMALL_SHARE: Final = 0.2  # of the words of an English answer
FOREIGN: Final = 2  # a small word of another language weighs as much as so many English ones

SHORT: Final = words(
    "s t m re ve ll d don doesn isn won didn wouldn couldn aren what how pls plz thx u w"
)  # of I'm, don't, …
# Small words of other languages that are none in English.
# Small words of other languages that are none in English.
SMALL: Final[Mapping[str, frozenset[str]]] = {
    "german": words("""der das und ist nicht ich mir mich bitte eine einen einem einer den dem des ein auf mit von zu zum zur für
        wie wir ihr sie es kannst du dieser diese dieses schreibe schreib sind haben ihnen ihre wird werden auch noch"""),
    "french": words("""le la les du une est pour avec je vous nous moi ce cette ces et un en dans que qui sur pas au aux peux tu ton
        mon ma mes sont votre notre écris traduis"""),
    "spanish": words("""el los las una uno por para con del al como puedes mi tu su esto este esta y o es yo me lo está nuestra
        nuestro escribe escribir traduce traducir"""),
    "italian": words("""il lo gli che di per non sono puoi questo questa della nel un i mi è siamo nostro
        nostra anche scrivi traduci"""),
    "dutch": words("""het een van voor niet ik je mijn dit deze kun kan met naar op en de zijn wij onze schrijf"""),
    "portuguese": words("""um uma os as para com por não você pode meu minha este isso da na em é são nosso nossa escreva"""),
    "swedish": words("""och att det som jag kan du min mitt detta ett en på är för vi med inte skriv"""),
    "norwegian": words("""om kort skriv og ikke jeg er av den til det som å vi"""),
    "polish": words("""nie jest proszę czy jak mi to na do się w z mnie napisz przetłumacz"""),
    "turkish": words("""bir için ve bana bu ile mi değil ne nasıl yaz lütfen olan çok daha"""),
    "indonesian": words("""untuk dan yang saya ini itu buat buatkan tolong dengan dari tidak bagaimana"""),
    "finnish": words("""ja se että minulle tee kirjoita miten mitä tämä tästä ole kiitos"""),
    "czech": words("""prosím napiš pro je se jak tento tuto abych jsem nebo"""),
    "hungarian": words("""egy és az kérlek nekem írj hogy nem ezt erről"""),
}  # fmt: skip
OTHERS: Final = (
    frozenset[str]().union(*SMALL.values())
    - FUNCTION
    - words("van ton con com os min mit i o y w z u a as es al la de me en um to do er den on in")
)
SPOKEN: Final = 2  # small words that tell which language it is


def english(asking: Sequence[str], answer: Sequence[str]) -> bool:
    """Is a turn in English, beyond doubt? ``asking``, ``answer``: words, lower case.

    Few words, as people type them, may have no small one among them: if one is known at all, what they are answered in says it.
    """
    first = tables().first | tables().tongues
    known = sum(word in FUNCTION or word in SHORT or any(form in first for form in forms(word)) for word in asking)
    foreign = sum(word in OTHERS for word in asking)
    if not known:
        return False
    if known >= KNOWN_SHARE * len(asking) and known > FOREIGN * foreign:
        small = any(word in FUNCTION or word in SHORT or word in tables().tongues for word in asking)
        return small or not answer or spoken(answer) == ENGLISH
    return len(asking) <= FEW and not foreign and _answered(answer)


def _answered(answer: Sequence[str]) -> bool:
    """Are the small words of an answer English, and none of another language?"""
    small = sum(word in FUNCTION for word in answer)
    return small >= max(SURE, SMALL_SHARE * len(answer)) and small > FOREIGN * sum(word in OTHERS for word in answer)


def spoken(text: Sequence[str]) -> str:
    """Which language that is, as far as a few are known by their small words; else English."""
    counts = {tongue: sum(word in small for word in text) for tongue, small in SMALL.items()}
    best = max(counts.values())
    english = sum(word in FUNCTION for word in text)
    return (
        next(tongue for tongue, count in counts.items() if count == best)
        if best >= SPOKEN and best > english
        else ENGLISH
    )
