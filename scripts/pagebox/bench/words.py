"""words.py: what the benchmark program says of its rows and of the report: `bench --describe`.

The report knows no row by its name: titles, texts, sentences, what a line and a column are called all
come from here. bench/shim.h says what they mean.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a row stands in a section's table. number: of the column, for a plot; or None."""

    section: str
    line: str
    column: str | None
    number: int | None


@dataclasses.dataclass(frozen=True)
class Row:
    """kind: ours, limit, peer, other. words: what it is called where it stands beside another one.
    beside: names of rows, limits before peers. parties: other threads or processes take part."""

    name: str
    kind: str = "other"
    words: str = ""
    parties: bool = False
    beside: tuple = ()
    places: tuple = ()


class Words:
    """The description of a program's rows; made is what `bench --describe` printed, as parsed JSON."""

    def __init__(self, made):
        self.sections = made.get("sections", [])
        self.answers = made.get("answers", [])
        self.rows = {}
        for row in made.get("rows", []):
            places = tuple(Place(**place) for place in row["places"])
            known = row | {"places": places, "beside": tuple(row["beside"])}
            self.rows[row["name"]] = Row(**known)

    def row(self, name):
        """A row that the program does not have (any more) has its name alone."""
        return self.rows.get(name) or Row(name, words=name)

    def kin(self, name):
        """What a row is compared with: rows of one kin are measured close together."""
        places = self.row(name).places
        place = next((p for p in places if p.column), places[0] if places else None)
        return (place.section, place.column) if place else (name, None)
