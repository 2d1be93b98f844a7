"""How the package's code is written: short functions, few parameters, plain openings, no `assert`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

import torchpolicy

ROOT = Path(torchpolicy.__file__).parent

LONGEST = 60
"""Lines of a function at most, its docstring and its decorators not counted."""

PARAMETERS = 10
"""Parameters of a function at most, `self` and `cls` not counted."""

MANY_PARAMETERS = re.compile(r"api\.train|(search|learn)\.\w+\.\w+\.__init__")
"""Functions that may have more: they list what a user may choose."""

OPENING = re.compile(r"(Of|With|For|In|By|From|To|On|At)\b")
"""A description that opens so needs the words before it to be understood."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions() -> Iterator[tuple[str, ast.AST]]:
    """Every module, class and function of the package with its full name."""
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield from within(name, ast.parse(path.read_text(encoding="utf-8")))


def within(name: str, node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """A node and what is defined in it, with full names."""
    yield name, node
    for child in ast.iter_child_nodes(node):
        own = getattr(child, "name", None) if isinstance(child, Documented) else None
        yield from within(f"{name}.{own}" if own else name, child)


def functions() -> Iterator[tuple[str, Function]]:
    return ((name, node) for name, node in definitions() if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines of a function from `def` to its end, its docstring not counted."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def parameters(function: Function) -> list[str]:
    taken = function.args
    named = [each.arg for each in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    rest = [each.arg for each in (taken.vararg, taken.kwarg) if each]
    return [name for name in named if name not in ("self", "cls")] + rest


def texts(node: ast.AST) -> Iterator[str]:
    """First line and descriptions of a node's docstring, and the strings below settings and constants in it."""
    if isinstance(node, Documented) and (text := ast.get_docstring(node)):
        found = parse_docstring(text, DocstringStyle.GOOGLE)
        yield found.short_description or text
        yield from (each.description for each in found.meta if each.description)
    if isinstance(node, ast.Module | ast.ClassDef):
        for before, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(before, ast.Assign | ast.AnnAssign) and is_text(after):
                yield ast.literal_eval(after.value)  # type: ignore[attr-defined]


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_functions_are_short() -> None:
    long = {name: length(node) for name, node in functions() if length(node) > LONGEST}
    assert not long


def test_functions_have_few_parameters() -> None:
    many = {name: len(parameters(node)) for name, node in functions() if len(parameters(node)) > PARAMETERS}
    assert not {name: count for name, count in many.items() if not MANY_PARAMETERS.fullmatch(name)}


def test_no_description_opens_with_a_bare_preposition() -> None:
    found = [f"{name}: {text.splitlines()[0]}" for name, node in definitions() for text in texts(node)]
    assert not [line for line in found if OPENING.match(line.partition(": ")[2])]


def test_nothing_is_asserted() -> None:
    """`python -O` would leave it out."""
    assert not [f"{name}, line {node.lineno}" for name, node in definitions() if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("text", ["Of the run.", "With what.", "At most: 3.", "In steps."])
def test_a_bare_preposition_is_found_wherever_it_stands(text: str) -> None:
    code = f'''
def one(x):
    """Fine.

    Args:
        x: {text}
    """
class Two:
    """Fine.

    Attributes:
        y: Fine.
        z: {text}
    """
    setting: int = 3
    """{text}"""
def three():
    """{text}"""
LIMIT = 3
"""{text}"""
'''
    found = [said for _, node in within("code", ast.parse(code)) for said in texts(node)]
    assert len([said for said in found if OPENING.match(said)]) == 5


def test_docstrings_and_decorators_are_not_counted() -> None:
    (function,) = ast.parse(
        '@one\n@two\ndef three(self, a, *b, c=1, **d):\n    """A.\n\n    B.\n    """\n    return 4'
    ).body
    assert isinstance(function, ast.FunctionDef)
    assert length(function) == 2
    assert parameters(function) == ["a", "c", "b", "d"]
