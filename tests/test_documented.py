"""The public API is documented: docstrings tell all arguments, results and errors, and every name is on a page."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

import torchpolicy as tp

PAGES = Path(__file__).parent.parent / "docs" / "api"
ON_PAGES = re.findall(
    r"^::: torchpolicy\.(\S+)$", "\n".join(page.read_text() for page in PAGES.glob("*.md")), re.MULTILINE
)
NAMES = [name for name in tp.__all__ if not name.startswith("__")]


def described(text: str) -> set[str]:
    """The arguments that a docstring describes."""
    found = parse_docstring(text, DocstringStyle.GOOGLE)
    return {each.arg_name.lstrip("*").split(" ")[0] for each in found.params}


def arguments(function: Callable[..., Any]) -> set[str]:
    """The arguments that a call may give by name."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        each.name
        for each in inspect.signature(function).parameters.values()
        if each.kind not in kinds and each.name != "self"
    }


def public() -> Iterator[tuple[str, Any]]:
    """All public functions and classes, those of ``torchpolicy.callbacks`` among them, by their names."""
    for name in NAMES:
        value = getattr(tp, name)
        if inspect.ismodule(value):
            yield from ((f"{name}.{each}", getattr(value, each)) for each in value.__all__)
        else:
            yield name, value


def methods() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions, and the methods of public classes that this package defines."""
    for name, value in public():
        if not inspect.isclass(value):
            yield name, value
            continue
        for each, found in inspect.getmembers(value, inspect.isfunction):
            if not each.startswith("_") and found.__module__.startswith("torchpolicy."):
                yield f"{name}.{each}", found


def raises(function: Callable[..., Any]) -> bool:
    """Whether a function raises something by itself, other than for a method that a subclass writes."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = [ast.unparse(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    return any("NotImplementedError" not in each for each in raised)


@pytest.mark.parametrize("name", NAMES)
def test_public_names_stand_on_a_page(name: str) -> None:
    assert ON_PAGES.count(name) == 1


def test_pages_name_public_names_only() -> None:
    assert set(ON_PAGES) == set(NAMES)


@pytest.mark.parametrize(("name", "value"), [each for each in public() if inspect.isclass(each[1])])
def test_classes_describe_their_arguments(name: str, value: type) -> None:
    assert value.__doc__
    if issubclass(value, BaseException):
        return
    known = {each for base in value.__mro__ for each in described(inspect.cleandoc(base.__dict__.get("__doc__") or ""))}
    attributes = known | set(re.findall(r"^    (\w+): ", inspect.getdoc(value) or "", re.MULTILINE))
    wanted = {each for each in arguments(value) if not each.startswith("_")}
    assert wanted <= attributes, wanted - attributes


@pytest.mark.parametrize(("name", "function"), sorted(methods()))
def test_functions_describe_arguments_results_and_errors(name: str, function: Callable[..., Any]) -> None:
    text = inspect.getdoc(function) or ""
    assert text
    found = parse_docstring(text, DocstringStyle.GOOGLE)
    told = described(text) | set(re.findall(r"`(\w+)`", text))
    if found.params or "." not in name:
        assert arguments(function) <= told, arguments(function) - told
    if "." not in name and inspect.signature(function).return_annotation is not None:
        assert found.returns
    if raises(function):
        assert found.raises
