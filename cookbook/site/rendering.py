"""Templates, and the pages that are made of them."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cookbook.sections import domain
from cookbook.site.code import styled
from cookbook.site.links import relative

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
    "style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; "
    "base-uri 'none'"
)
"""What a page may load: its own site's files, and no code or look inline."""


MOST = 27_000
"""How heavy a page may be, compressed; all that it needs is as much again."""

LONGEST_FOLDS = (1000, 8, 3)
"""How many lines are folded up at most, should a page be too heavy."""


@dataclass(frozen=True)
class Page:
    """A page: where it lies, and what is shown on it.

    `base` is put before links where they cannot be relative: a page of an
    unknown address (404) is shown under any path.
    """

    path: str
    template: str
    title: str
    about: str
    context: Mapping[str, Any] = field(hash=False)
    base: str | None = None
    has_folds: bool = False

    @property
    def file(self) -> str:
        """Name the file that it is written to."""
        is_folder = self.path.endswith("/") or not self.path
        return f"{self.path}index.html" if is_folder else self.path

    def to(self, target: str) -> str:
        """Write a link to another place of the site."""
        if self.base is not None:
            return self.base + target
        return relative(self.path, target)

    def render(self, shared: Mapping[str, Any]) -> str:
        """Write the page as HTML.

        One that is too heavy leads to long pieces of code elsewhere,
        instead of having them folded up in itself.
        """
        html = ""
        for longest in LONGEST_FOLDS:
            html = self._render(shared, longest)
            weight = len(zlib.compress(html.encode()))
            if not self.has_folds or weight <= MOST:
                break
        return html

    def _render(self, shared: Mapping[str, Any], longest: int) -> str:
        template = environment().get_template(self.template)
        return template.render(
            **shared,
            **self.context,
            page=self,
            to=self.to,
            policy=POLICY,
            longest_fold=longest,
        )


@cache
def environment() -> Environment:
    """Open the templates; what is put into them is escaped."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "styled": styled,
        "ticked": ticked,
        "wbr": breakable,
        "domain": domain,
        "title_of": title_of,
    }
    return found


def breakable(name: str) -> Markup:
    """Let a long name be broken after its joints."""
    parts = re.split(r"(?<=[_/])", name)
    return Markup("<wbr>").join(parts)


def title_of(name: str, site: Any) -> str:
    """Write the title of a framework."""
    return str(site.book.frameworks[name].title)


def ticked(text: str) -> Markup:
    """Set what stands between backticks as code."""
    parts = text.split("`")
    code = partial(Markup("<code>{}</code>").format)
    return Markup("").join(
        code(part) if place % 2 else part for place, part in enumerate(parts)
    )
