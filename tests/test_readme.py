"""The README and docs/: every Python block prints what stands beside it, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}

BLOCK = r"(?:<!-- needs ([\w-]+) -->\n)?```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```"
"""A block, what it prints, and the distribution that it needs beside the tests', if any."""

ALONE = {page: text for page, text in TEXTS.items() if page != "docs/simulators.md"}
"""The pages whose blocks stand alone: those on simulators build on one another, and have a test of their own."""

BLOCKS = [
    pytest.param(page, *match.groups(), id=f"{page}:{text[: match.start()].count(chr(10)) + 1}")
    for page, text in ALONE.items()
    for match in re.finditer(BLOCK, text, flags=re.DOTALL)
]


def test_no_block_is_left_out() -> None:
    assert len(BLOCKS) == sum(text.count("```python") for text in ALONE.values()) > 15


@pytest.mark.parametrize(("page", "needs", "code", "printed"), BLOCKS)
def test_block_prints_what_it_says(
    page: str, needs: str | None, code: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if needs is not None:
        pytest.importorskip(needs.replace("-", "_"))
    exec(compile(code, page, "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == printed


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", TEXTS[page], flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if not path.startswith("http"):
            target = (ROOT / page).parent / path if path else ROOT / page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link
