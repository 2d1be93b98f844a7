"""Which files of the repository are pages of the site: mkdocs calls this while it reads ``mkdocs.yml``.

The pages lie where GitHub shows them, so that the same links work there and on the site.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent

PATTERNS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**/*.md",
    "experiments/**/README.md",
    "experiments/pictures/*.gif",
    "experiments/**/*.png",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the files of the repository that are pages in place of those in ``docs_dir``; the theme's stay."""
    theme = [file for file in files if not Path(file.abs_src_path or "").is_relative_to(config.docs_dir)]
    ours = [path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
    return Files([*theme, *(File(path, str(ROOT), config.site_dir, config.use_directory_urls) for path in ours)])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository that are no pages, such as scripts and results, into their text alone."""

    def link(match: re.Match[str]) -> str:
        target = (ROOT / page.file.src_uri).parent / match[2].partition("#")[0]
        known = match[2].startswith(("http", "#")) or not target.exists()
        return match[0] if known or files.get_file_from_path(_source(target)) else match[1]

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", link, markdown)


def _source(path: Path) -> str:
    """The path of a file as mkdocs knows it."""
    return path.resolve().relative_to(ROOT.resolve()).as_posix()
