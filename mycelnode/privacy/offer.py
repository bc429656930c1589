"""From a released key and its number to what others get: a prompt template, and the words about it. Pure.

All of it is a function of the key, the number, and the sentences here, which ship: whoever reads it learns nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mycelnode.privacy.accounting import CHOICES
from mycelnode.privacy.key import Key

LANGUAGE: Final = "en"
PRICES: Final = (
    "0",
    "0.01",
    "0.02",
    "0.05",
    "0.1",
    "0.2",
    "0.5",
    "1",
)  # NEAR a use: any other would tell you from others
MECHANISM: Final = "discrete-laplace-threshold"
UNIT: Final = "one day of one habit"
FORMAT: Final = 1  # of the mechanism and of what is made here
MATERIAL: Final = "material"
_HOW: Final[Mapping[str, str]] = {
    "fix": "Find what is wrong, say in one sentence why, and show the corrected version. Change nothing else.",
    "proofread": "Correct mistakes of grammar, spelling and punctuation. Keep the tone, and list what you changed.",
    "rewrite": "Say the same in clearer words, in the same tone and at about the same length.",
    "shorten": "Say the same in half the length or less. Drop nothing that somebody has to know.",
    "expand": "Say the same at greater length, with reasons and examples where they help. Invent no facts.",
    "summarize": "Say in a few points what matters: decisions, reasons, open questions, who does what by when.",
    "translate": "Keep meaning, tone and layout. Where a phrase has no equal, say what it means instead.",
    "explain": "Begin with one sentence that answers the question. Then explain step by step, with one small example.",
    "compare": "Compare in a table by what matters for the decision; then say which you would take, and when not.",
    "review": "Say what is good in one sentence. Then list what should change, the most important first, each with its reason.",
    "refactor": "Make it simpler without changing what it does. Say what you changed and why.",
    "optimize": "Find what takes the time, say how to measure it, and change that alone.",
    "document": "Describe what it is for, what goes in, what comes out, and what can go wrong. Do not repeat what it says itself.",
    "convert": "Keep everything that is in it. Say what could not be carried over.",
    "extract": "Take out what is asked for, and nothing else, in a form that a program can read.",
    "analyze": "Say first what stands out, then how sure that is, then what would have to be looked at next.",
    "calculate": "Show the steps, check the result in a second way, and give it with its unit.",
    "reply": "Answer each point that was made, in a friendly and plain tone, and end with what happens next.",
    "plan": "Give a plan with steps in their order, how long each takes, and what has to be there before.",
    "quiz": "Ask one question at a time, wait for the answer, and say what was right before the next.",
    "practice": "Lead a short exercise, one step at a time; correct mistakes kindly, and repeat what was hard.",
}
_USUAL: Final = "Ask first if something that you need is missing. Then give a version that can be used as it is."


def offer(key: Key, n: int) -> dict[str, Any]:
    """The map of a pattern without creator, time and price. ``n``: the number that was released."""
    title = key.title[0].upper() + key.title[1:]
    named = f" This is about {', '.join(key.names)}." if key.names else ""
    return {
        "format": "mycel-pattern/1.0",
        "title": title,
        "description": f"For somebody who wants to {key.title}. It came up on about {n} days of one person's work.",
        "kind": "prompt",
        "domain": key.domain,
        "language": LANGUAGE,
        "trigger": f"somebody asks to {key.title}",
        "days": n,
        "solution": {
            "template": f"{title}.{named} {_HOW.get(key.frame[0], _USUAL)}\n\n{{{{{MATERIAL}}}}}\n",
            "variables": [{"name": MATERIAL}],
        },
    }


def statement(choice: str, version: bytes) -> dict[str, Any]:
    """The map of a manifest's statement of privacy."""
    chosen = CHOICES[choice]
    return {
        "dp": MECHANISM,
        "unit": UNIT,
        "epsilon": f"{float(chosen.epsilon):g}",
        "delta": f"1e-{-chosen.delta.adjusted()}",
        "version": FORMAT,
        "keys": version,
    }
