"""What the form of a text says: that an answer is a query, a regex or a letter; that a request has what a program says that failed.

People seldom name what they want as the tables do, but what they paste and what they get has its form. Pure, and linear in the
length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mycelnode.privacy.instruction import code_in, plain

_COMMANDS: Final = """find|grep|awk|sed|du|df|ls|cut|sort|tail|head|tar|rsync|ssh|scp|chmod|chown|xargs|systemctl|journalctl|crontab
    |watch|lsof|ps|sudo|apt|mkdir|mv|cp|zip|unzip|ffmpeg|wc|uniq|for[ ]\\w+[ ]in|set[ ]-e"""
# A thing of the tables, and what code for it looks like: the first that is found counts.
_IN_CODE: Final[Mapping[str, str]] = {
    "test": r"""\bdef[ ]test_|\bpytest\b|\bunittest\b|\bexpect\(|\b(?:it|test|describe)\(['"]|\btest\.each|@Test\b
        |@ParameterizedTest|\#\[(?:cfg\()?test|\bfunc[ ]Test[A-Z]""",
    "git": r"^[ $]*git[ ][a-z]",
    "container": r"^FROM[ ][\w./:-]+$|^[ $]*(?:docker|docker-compose|podman|kubectl|helm)[ ][a-z]|^kind:[ ][A-Z]",
    "query": r"""\bSELECT\s[\s\S]{1,400}?\bFROM\b|\b(?:GROUP|PARTITION)[ ]BY\b|\b(?:INNER|LEFT)[ ]JOIN\b
        |^(?:UPDATE|DELETE[ ]FROM|INSERT[ ]INTO|CREATE[ ](?:UNIQUE[ ])?INDEX)[ ]""",
    "database": r"^CREATE[ ]TABLE\b",
    "data": r"\b(?:df|pd|np)\.|\bdf\[|\.groupby\(|\.pivot|\.melt\(",
    "chart": r"\b(?:plt|sns|px)\.",
    "component": r"\buse(?:State|Effect|Memo|Ref)\(|return[ ]\(?\s*<[A-Za-z]",
    "api": r"\b(?:app|router)\.(?:get|post|put|delete|patch|use|route)\(|@(?:Get|Post|Rest)[A-Z]",
    "config": r"""^[ ]*(?:runs-on:|(?:jobs|stages|steps):$|location[ ][~/=])|^resource[ ]\"""",
    "formula": r"^=[A-Z]{2}[A-Z.]*+\(|^=[A-Z]{1,3}\d",
    "page": r"""<div|<!DOCTYPE|^[ \t]*[.#]?[\w-]{1,40}[ ]?\{[^{}:]{0,80}:[^{}]{0,400}\}
        |\b(?:display|margin|padding|justify-content|align-items|grid-template-columns|z-index|max-width):[ ]?\w""",
    "command": rf"^[ $]*(?:{_COMMANDS})\b",
    "regex": r"^\S*(?:\\[dwsbDWSB]|\[\^|\(\?[:=!<P]|\.\*\?|\{\d+(?:,\d*)?\})",
}
_IN_TEXT: Final[Mapping[str, str]] = {
    "commit_message": r"^(?:feat|fix|docs|chore|refactor|test|style|perf|ci|build)(?:\([\w./-]{1,40}\))?!?:[ ][a-z]",
    "test_data": r"""^\[?\{"\w|^(?:[^\s,]{1,40},){2}[^\n]*\n(?:[^\n,]{1,60},){2}""",
    "meeting": r"\b(?:Decisions?|Action[ ]items?|Next[ ]steps|Attendees)\b(?:\*\*)?:",
    "trip": r"\bDay[ ][12]\b",
    "email": r"""^Subject:[ ]
        |^(?:Dear|Hi|Hello|Hey)[ ](?:all|team|both|everyone|Mr|Ms|Mrs|Dr|Sir|[A-Z\[])[^\n]{0,60}[,:!]$
        |\b(?:Best|Kind|Warm|Many)[ ](?:regards|wishes)\b|\b[Ss]incerely\b""",
}
_FORMS: Final = [
    (thing, in_code, re.compile(looks, re.MULTILINE | re.VERBOSE))
    for in_code, rows in ((True, _IN_CODE), (False, _IN_TEXT))
    for thing, looks in rows.items()
]


_FAILED: Final = re.compile(
    r"""Traceback[ ]\(|\b[A-Za-z]{2,60}(?:Error|Exception)\b|\bCaused[ ]by:|^\s{0,40}at[ ][\w.$<>]{3,200}\(
    |\b(?:[Ee]rror|ERROR|ERR!|[Ff]atal|FATAL|[Pp]anic|FAILED|E)(?:\[[A-Z]?\d+\])?:[ ]|\b(?:npm|pip)[ ](?:ERR|error)
    |\b[Ss]egmentation[ ]fault|\bcore[ ]dumped|\bexit(?:ed)?[ ](?:with[ ])?(?:code|status)[ ][1-9]|\berrno\b
    |\bE(?:RESOLVE|CONN[A-Z]+|NOENT|ACCES|ADDRINUSE|TIMEDOUT|PERM)\b|\b(?:command|module|file)[ ]not[ ]found\b
    |\b(?:[Cc]annot|[Cc]ould[ ]not|[Uu]nable[ ]to|[Ff]ailed[ ]to)[ ](?:read|find|open|connect|resolve|import|convert|bind|load)\b
    |\bis[ ]not[ ](?:defined|a[ ]function|callable|subscriptable|iterable)\b|\b[Pp]ermission[ ]denied\b
    |\b[Cc]onnection[ ](?:refused|reset|timed[ ]out)\b|\b[45]\d\d[ ](?:Internal|Bad[ ]Gateway|Not[ ]Found|Forbidden)""",
    re.MULTILINE | re.VERBOSE,
)


def fails(text: str) -> bool:
    """Is something in it that programs print when they fail? ``text``: `plain`."""
    return _FAILED.search(text) is not None


def form_of(answer: str) -> str:
    """The thing that an answer is by its form; "" if that says nothing."""
    text = plain(answer)
    code = code_in(text)
    return next((thing for thing, in_code, looks in _FORMS if looks.search(code if in_code else text)), "")
