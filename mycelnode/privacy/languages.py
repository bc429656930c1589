"""Is a request in English? Decided by its small words alone: of all languages only English ships with tables for keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mycelnode.privacy.frametables import tables
from mycelnode.privacy.inflection import forms
from mycelnode.privacy.lists import FUNCTION, words

KNOWN_SHARE: Final = 0.5  # of the words that are asked with
FOREIGN: Final = 2  # a small word of another language weighs as much as so many English ones

SHORT: Final = words(
    "s t m re ve ll d don doesn isn won didn wouldn couldn aren what how pls plz thx u w"
)  # of I'm, don't, …
# Small words of other languages that are none in English.
OTHERS: Final = words("""
    der das und ist nicht ich mir mich bitte eine einen einem einer den dem des ein auf mit von zu zum zur für wie wir ihr sie es
    kannst du dieser diese dieses schreibe schreib
    le la les du une est pour avec je vous nous moi ce cette ces et un en dans que qui sur pas au aux peux tu ton mon ma mes
    el los las una uno por para con del al como puedes mi tu su esto este esta y o es yo me lo
    il lo gli che di per non sono puoi questo questa della nel un i mi
    het een van voor niet ik je mijn dit deze kun kan met naar op en de
    um uma os as para com por não você pode meu minha este isso da na em
    och att det som jag kan du min mitt detta ett en på av för er og ikke jeg den til
    napisz przetłumacz skriv escribe escribir traduce traducir schreib schreibe übersetze écris traduis scrivi traduci
    schrijf escreva nie jest proszę czy jak mi to na do się w z mnie
""") - FUNCTION - words("van ton con com os min mit i o y w z u a as es al la de me en um to do er den on in")  # fmt: skip


def english(asking: Sequence[str]) -> bool:
    """Is that English, beyond doubt? ``asking``: the words, lower case."""
    first = tables().first | tables().tongues
    known = sum(word in FUNCTION or word in SHORT or any(form in first for form in forms(word)) for word in asking)
    foreign = sum(word in OTHERS for word in asking)
    return bool(asking) and known >= KNOWN_SHARE * len(asking) and known > FOREIGN * foreign
