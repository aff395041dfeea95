"""Templates of an item's fields: which fields they read, and what they give. They run in Jinja's sandbox."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from prunegrid.core.errors import PrunegridError

EXPRESSION = re.compile(r"\s*\{\{-?((?:(?!\}\}|\{%).)*?)-?\}\}\s*", re.DOTALL)


@dataclass(frozen=True)
class Template:
    """A template's text; the fields that it reads, and those of them that an item may lack."""

    key: str
    source: str
    fields: frozenset[str]
    optional: frozenset[str]

    def text(self, doc: dict[str, Any]) -> str:
        """The text that the item gives."""
        return str(self._render(_environment().from_string(self.source).render, doc))

    def value(self, doc: dict[str, Any]) -> Any:
        """What the only expression of `{{ ... }}` gives, of any type; of a longer template, its text."""
        if match := EXPRESSION.fullmatch(self.source):
            return self._render(_environment().compile_expression(match[1], undefined_to_none=False), doc)
        return self.text(doc)

    def _render(self, render: Any, doc: dict[str, Any]) -> Any:
        from jinja2 import StrictUndefined

        try:
            value = render(**doc)
            return str(value) if isinstance(value, StrictUndefined) else value  # an undefined one raises here
        except Exception as error:  # a template may raise anything that Python does
            raise ValueError(f"{self.key} cannot be rendered ({error}); fix the row, or the template") from None


@cache
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = _regex_replace
    return environment


def _regex_replace(text: str, pattern: str, replacement: str = "", count: int = 0) -> str:
    """lm-eval's filter of this name."""
    return re.sub(pattern, replacement, text, count=count)


@cache
def compile_template(source: str, key: str) -> Template:
    """The template, checked. Raises `PrunegridError`, naming `key`, if it is not Jinja."""
    from jinja2 import TemplateError, meta, nodes

    try:
        tree = _environment().parse(source)
        _environment().from_string(source)
        fields = meta.find_undeclared_variables(tree) - set(_environment().globals)
    except TemplateError as error:
        raise PrunegridError(key, f"{source!r} is not a Jinja template ({error})", "correct it") from None
    defaults = [node.node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    tests = [node.node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined")]
    optional = {node.name for node in (*defaults, *tests) if isinstance(node, nodes.Name)}
    return Template(key, source, frozenset(fields), frozenset(optional & fields))
