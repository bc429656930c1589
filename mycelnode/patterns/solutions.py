"""The four kinds of solution that a pattern may hold, each with its bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from mycelnode.errors import PatternRefused
from mycelnode.patterns.cid import Cid
from mycelnode.patterns.fields import Extra, Fields, present

MAX_TEMPLATE_CHARS: Final = 256 << 10
MAX_CODE_CHARS: Final = 512 << 10
MAX_INSTRUCTION_CHARS: Final = 16 << 10
MAX_TEXT_CHARS: Final = 4000
MAX_LINE_CHARS: Final = 200
MAX_VARIABLES: Final = 100
MAX_DEPENDENCIES: Final = 100
MAX_STEPS: Final = 100

SLOT: Final = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_]{0,63}) *\}\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_CODE_LANGUAGE: Final = re.compile(r"[a-z0-9][a-z0-9+#._-]{0,31}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Variable:
    """What is put in for ``{{name}}``. Without a ``default`` it must be given."""

    name: str
    description: str = ""
    default: str | None = None
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Variable:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "a variable")
        name = fields.word("name", _VARIABLE, "a name of letters, digits and _, at most 64")
        description = fields.line("description", MAX_LINE_CHARS, "")
        default = None if "default" not in value else fields.text("default", MAX_TEXT_CHARS, "")
        return cls(name, description, default, fields.rest())

    def write(self) -> dict[str, Any]:
        """The map of it."""
        default = {} if self.default is None else {"default": self.default}  # an empty one is one, too
        return {**self.extra, **present(name=self.name, description=self.description), **default}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A template of text, with ``{{variables}}``: each that it uses is declared, and each that is declared is used.

    >>> Prompt("Sort: {{post}}", (Variable("post"),)).fill({"post": "a bill, a card"})
    'Sort: a bill, a card'
    """

    kind: ClassVar[str] = "prompt"
    template: str
    variables: tuple[Variable, ...] = ()
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Prompt:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "a prompt template")
        template = fields.text("template", MAX_TEMPLATE_CHARS)
        variables = fields.each("variables", MAX_VARIABLES, Variable.read)
        names = [variable.name for variable in variables]
        used = set(SLOT.findall(template))
        if len(names) != len(set(names)):
            raise PatternRefused("a prompt template declares a variable twice")
        if used != set(names):
            odd = min(used ^ set(names))
            raise PatternRefused(
                f"a prompt template {'uses' if odd in used else 'declares'} the variable {odd!r}, which it does not"
                f" {'declare' if odd in used else 'use'}"
            )
        return cls(template, variables, fields.rest())

    def write(self) -> dict[str, Any]:
        """The map of it."""
        variables = [variable.write() for variable in self.variables]
        return {**self.extra, **present(template=self.template, variables=variables)}

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with ``values`` put in, which are not looked into. Raises `PatternRefused` if one is missing or unknown."""
        known = {variable.name: variable for variable in self.variables}
        if unknown := sorted(values.keys() - known.keys()):
            raise PatternRefused(f"the template has no variable {unknown[0]!r}")

        def value_of(found: re.Match[str]) -> str:
            variable = known[found[1]]
            value = values.get(variable.name, variable.default)
            if value is None:
                raise PatternRefused(f"the template needs a value for {variable.name!r}")
            return value

        return SLOT.sub(value_of, self.template)


@dataclass(frozen=True, slots=True)
class Code:
    """A template of code: shown and printed, never run.

    >>> Code("print('hello')", "python").code_language
    'python'
    """

    kind: ClassVar[str] = "code"
    code: str
    code_language: str
    dependencies: tuple[str, ...] = ()
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Code:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "a code template")
        return cls(
            fields.text("code", MAX_CODE_CHARS),
            fields.word("code_language", _CODE_LANGUAGE, "the name of a language in lower case, such as python"),
            fields.lines("dependencies", MAX_DEPENDENCIES, MAX_LINE_CHARS),
            fields.rest(),
        )

    def write(self) -> dict[str, Any]:
        """The map of it."""
        known = present(code=self.code, code_language=self.code_language, dependencies=list(self.dependencies))
        return {**self.extra, **known}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A model adapter: the file at ``adapter_cid``, whose sha2-256 is ``adapter_hash`` (hex), for ``base_model``.

    >>> solution.base_model
    'llama3.2:3b'
    """

    kind: ClassVar[str] = "adapter"
    base_model: str
    adapter_cid: Cid
    adapter_hash: str
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Adapter:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "a model adapter")
        base_model = fields.line("base_model", MAX_LINE_CHARS)
        cid = fields.link("adapter_cid")
        if cid is None:
            raise fields.refused("adapter_cid", "a CID")
        return cls(base_model, cid, fields.word("adapter_hash", _HASH, "64 hex digits"), fields.rest())

    def write(self) -> dict[str, Any]:
        """The map of it."""
        known = {"base_model": self.base_model, "adapter_cid": self.adapter_cid, "adapter_hash": self.adapter_hash}
        return {**self.extra, **known}


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done, and by which other pattern, if one is named."""

    instruction: str
    pattern: Cid | None = None
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Step:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "a step")
        return cls(fields.text("instruction", MAX_INSTRUCTION_CHARS), fields.link("pattern"), fields.rest())

    def write(self) -> dict[str, Any]:
        """The map of it."""
        return {**self.extra, **present(instruction=self.instruction, pattern=self.pattern)}


@dataclass(frozen=True, slots=True)
class Workflow:
    """Steps, one after another.

    >>> [step.instruction for step in Workflow((Step("Open the post."), Step("Sort it."))).steps]
    ['Open the post.', 'Sort it.']
    """

    kind: ClassVar[str] = "workflow"
    steps: tuple[Step, ...]
    extra: Extra = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> Workflow:
        """From a map. Raises `PatternRefused`."""
        fields = Fields(value, "a workflow")
        steps = fields.each("steps", MAX_STEPS, Step.read)
        if not steps:
            raise PatternRefused("a workflow has no steps")
        return cls(steps, fields.rest())

    def write(self) -> dict[str, Any]:
        """The map of it."""
        return {**self.extra, "steps": [step.write() for step in self.steps]}


Solution = Prompt | Code | Adapter | Workflow
READERS: Final[Mapping[str, Callable[[Any], Solution]]] = {
    Prompt.kind: Prompt.read,
    Code.kind: Code.read,
    Adapter.kind: Adapter.read,
    Workflow.kind: Workflow.read,
}
