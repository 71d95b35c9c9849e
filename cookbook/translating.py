"""`cookbook equivalents`: what a word of one framework is in another.

As JSON: the frameworks, and the concepts, each with its id, title, group,
words and recipe, and for each framework its name, kind, equality, note,
snippet and the address of its documentation.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import batched, groupby
from typing import Any

from cookbook.book import Book, Framework
from cookbook.equivalents import (
    NOTHING,
    Concept,
    Entry,
    Equivalent,
    read_concept,
    read_entries,
    read_equivalents,
)
from cookbook.highlight import highlight, plain
from cookbook.names import alternatives, nearest
from cookbook.terminal import (
    ACCENT,
    FAINT,
    PLAIN,
    STRONG,
    Line,
    Screen,
    beside,
    hang,
    heading,
    print_json,
    say,
    wrap_code,
)
from cookbook.words import fit, root, taken_apart, understood, words_of

MARKS = {"same": "=", "near": "≈", "none": "╌"}
LEGEND = "= the same, ≈ near, ╌ none: what people do instead"

BY_ID, EXACT, PHRASE, WORDS = 16.0, 12.0, 8.0, 5.0
"""What a find is worth: by all of an id or a text, by part, by words."""

NARROW, CELL, GAP = 22, 62, 3
"""The narrowest column of the table, the width of a snippet, the gap."""


@dataclass(frozen=True)
class Found:
    """A concept that was found, and how well it fits."""

    entry: Entry
    score: float


def find(book: Book, query: str) -> list[Found]:
    """Find the concepts that have the words, the best first."""
    asked, phrase = understood(query), spaced(query)
    roots = [root(word) for word in asked]
    found = [
        Found(entry, weigh(entry, asked, phrase))
        for entry in read_entries(book, roots)
    ]
    hits = [one for one in found if one.score]
    return sorted(hits, key=lambda one: -one.score)


def spaced(text: str) -> str:
    """Write `@app.before_request` as `app before request`."""
    return " ".join(words_of(taken_apart(text)))


def weigh(entry: Entry, asked: Sequence[str], phrase: str) -> float:
    """Weigh a concept: by its id, a text, a part of one, or its words."""
    if not phrase:
        return 0
    texts = [spaced(text) for text in entry.texts]
    if phrase == spaced(entry.id):
        return BY_ID
    if phrase.replace(" ", "") in (text.replace(" ", "") for text in texts):
        return EXACT
    if any(f" {phrase} " in f" {text} " for text in texts):
        return PHRASE
    each = (max(fit(word, text) for text in entry.texts) for word in asked)
    return round(WORDS * min(each), 2)


def show_equivalents(
    book: Book,
    screen: Screen,
    word: str | None,
    names: Sequence[str],
    *,
    as_json: bool = False,
) -> int:
    """Show the table, or what a word is called in each framework."""
    chosen = choose(book, names)
    concepts, rest = meant(book, word) if word else (everything(book), [])
    if as_json:
        print_json(to_json(chosen, concepts + rest))
    elif not word:
        screen.print(table(concepts, chosen, screen))
    elif len(concepts) == 1:
        screen.print(page(concepts[0], rest, chosen, screen))
    elif concepts:
        screen.print(listing(concepts, chosen, screen))
    else:
        screen.print(nothing(book, word, screen))
    return 0 if concepts else 1


def everything(book: Book) -> list[Concept]:
    """List all concepts, in their order."""
    return list(read_equivalents(book))


def choose(book: Book, names: Sequence[str]) -> list[Framework]:
    """Find frameworks that are named with commas between, or all."""
    listed = [one for name in names for one in name.split(",") if one]
    chosen = [book.framework(name) for name in dict.fromkeys(listed)]
    return chosen or list(book.frameworks.values())


def meant(book: Book, word: str) -> tuple[list[Concept], list[Concept]]:
    """Tell the concepts that a word means, and others that have it."""
    found = find(book, word)
    best = found[0].score if found else 0
    first = [one for one in found if one.score == best]
    rest = found[len(first) :] if best < BY_ID else found[1:]
    if len(first) > 1 and best < EXACT:
        first, rest = found, []
    return (
        [read_concept(book, one.entry) for one in first],
        [read_concept(book, one.entry) for one in rest if is_called(one)],
    )


def is_called(found: Found) -> bool:
    """Tell whether a concept has the words as they stand, in a row."""
    return found.score >= PHRASE


def to_json(
    chosen: Sequence[Framework], concepts: Iterable[Concept]
) -> dict[str, Any]:
    """Give concepts as data, in the frameworks that are asked for."""
    listed = [asdict(concept) for concept in concepts]
    names = [framework.name for framework in chosen]
    for concept in listed:
        known = concept["equivalents"]
        concept["equivalents"] = {
            name: known[name] for name in names if name in known
        }
    return {"frameworks": names, "concepts": listed}


def table(
    concepts: Sequence[Concept], chosen: Sequence[Framework], screen: Screen
) -> list[Line]:
    """Set all concepts by group: in columns where they fit, or in lines."""
    lines: list[Line] = say(LEGEND, screen.prose, style=FAINT)
    width = screen.width // (len(chosen) + 1) - GAP
    for group, some in groupby(concepts, lambda concept: concept.group):
        lines += [[], heading(group, screen.width)]
        if width >= NARROW:
            cells: list[list[Line]] = [[[(f.title, STRONG)]] for f in chosen]
            lines += beside([[], *cells], width + GAP)
        for concept in some:
            if width >= NARROW:
                lines += [[], *row(concept, chosen, width)]
            else:
                lines += [[], *stacked(concept, chosen)]
    return lines


def row(
    concept: Concept, chosen: Sequence[Framework], width: int
) -> Iterator[Line]:
    """Set a concept in columns: its title and id, then the names."""
    cells = [[*say(concept.title, width), *say(concept.id, width, "", FAINT)]]
    for framework in chosen:
        found = concept.equivalents.get(framework.name)
        cells.append(wrap_code(marked(found), width) if found else [])
    return beside(cells, width + GAP)


def stacked(concept: Concept, chosen: Sequence[Framework]) -> list[Line]:
    """Set a concept with a line for each framework."""
    command = f"cookbook equivalents {concept.id}"
    lines: list[Line] = [
        [(concept.title, STRONG), ("  ", PLAIN), (command, ACCENT)]
    ]
    indent = max(len(framework.title) for framework in chosen) + 4
    for framework in chosen:
        found = concept.equivalents.get(framework.name)
        if found:
            head: Line = [(f"  {framework.title:{indent - 2}}", FAINT)]
            lines.append([*head, *marked(found)])
    return lines


def marked(found: Equivalent) -> Line:
    """Set a name below the mark of how near it is."""
    look = FAINT if found.name == NOTHING else PLAIN
    return [(f"{MARKS[found.equal]} ", ACCENT), (found.name, look)]


def listing(
    concepts: Sequence[Concept], chosen: Sequence[Framework], screen: Screen
) -> list[Line]:
    """Set several concepts, one below the other."""
    lines: list[Line] = say(LEGEND, screen.prose, style=FAINT)
    for concept in concepts:
        lines += [[], *stacked(concept, chosen)]
    return lines


def page(
    concept: Concept,
    rest: Sequence[Concept],
    chosen: Sequence[Framework],
    screen: Screen,
) -> list[Line]:
    """Set one concept, with what each framework has for it."""
    lines = [
        heading(concept.title, screen.width, concept.group),
        *say(LEGEND, screen.prose, style=FAINT),
    ]
    count = max(1, min(len(chosen), (screen.width + GAP) // (CELL + GAP)))
    width = min((screen.width + GAP) // count - GAP, 100)
    known = [f for f in chosen if f.name in concept.equivalents]
    for some in batched(known, count):
        cells = [
            cell(f.title, concept.equivalents[f.name], screen, width)
            for f in some
        ]
        lines += [[], *beside(cells, width + GAP)]
    return [*lines, *ways_on(concept, rest, screen)]


def cell(
    title: str, found: Equivalent, screen: Screen, width: int
) -> list[Line]:
    """Set what one framework has: its name, the note, the snippet."""
    lines: list[Line] = [
        *wrap_code([(f"{title}  ", STRONG), *marked(found)], width),
        *say(found.note or "", width, style=FAINT),
    ]
    if found.snippet:
        source = found.snippet.rstrip("\n")
        styled = highlight(source) if screen.colour else plain(source)
        lines.append([])
        for line in styled:
            lines += wrap_code([("  ", PLAIN), *line], width)
    return [*lines, [], *wrap_code([(found.docs, FAINT)], width)]


def ways_on(
    concept: Concept, rest: Sequence[Concept], screen: Screen
) -> list[Line]:
    """Set the commands that open what belongs to a concept."""
    ways = {}
    if concept.recipe:
        ways[f"cookbook show {concept.recipe}"] = "the recipe that shows it"
    for other in rest:
        ways[f"cookbook equivalents {other.id}"] = other.title
    if not ways:
        return []
    indent = max(map(len, ways)) + 3
    lines: list[Line] = [[]]
    for command, what in ways.items():
        lines += hang([(command, ACCENT)], what, screen.prose, indent)
    return lines


def nothing(book: Book, word: str, screen: Screen) -> list[Line]:
    """Say that no framework has the word, and which words are near."""
    known = {
        text: None
        for entry in read_entries(book)
        for text in (entry.id, *entry.texts)
    }
    text = f'No concept has the word "{word}".'
    near = nearest(word, known)
    if near:
        text += f" Near it: {alternatives(near)}."
    return say(text, screen.prose)
