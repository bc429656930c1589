"""What Microsoft's presidio finds by patterns and checksums, without a language model.

``python -m benchmarks.peers.presidio`` in the environment of the peers reads one JSON string a line, and prints for each
``[milliseconds, [[start, end], …]]``. Every find counts, however unsure it is.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine


class Blank(SpacyNlpEngine):  # type: ignore[misc]
    """Words, and no model: what a model is needed for is not found."""

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])

    def load(self) -> None:
        self.nlp = {"en": spacy.blank("en")}


def main() -> None:
    """The program."""
    tldextract.extract = tldextract.TLDExtract(
        suffix_list_urls=()
    )  # as shipped: its recogniser of e-mail would fetch it
    engine = Blank()
    engine.load()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    analyzer.analyze("the first one compiles the patterns of 10.0.0.1", language="en")
    for line in sys.stdin:
        text = json.loads(line)
        started = perf_counter()
        found = analyzer.analyze(text, language="en")
        print(json.dumps([1000 * (perf_counter() - started), [[one.start, one.end] for one in found]]))


if __name__ == "__main__":
    main()
