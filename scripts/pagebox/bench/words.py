"""words.py: what the benchmark program says about its rows and the report: `bench --describe`.

The report knows no row by name: titles, texts, sentences, and the names of lines and columns all come from here.
bench/shim.h explains them.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Place:
    """A row's place in the table of its section. number: the column's, for a plot, or None."""

    section: str
    line: str
    column: str | None
    number: int | None


@dataclasses.dataclass(frozen=True)
class Row:
    """kind: ours, limit, peer, other. words: the row's name beside another row. beside: names of rows, limits before
    peers. parties: other threads or processes take part."""

    name: str
    kind: str = "other"
    words: str = ""
    parties: bool = False
    beside: tuple = ()
    places: tuple = ()


class Words:
    """The description of a program's rows. made: the parsed JSON of `bench --describe`."""

    def __init__(self, made):
        self.sections = made.get("sections", [])
        self.answers = made.get("answers", [])
        self.rows = {}
        for row in made.get("rows", []):
            places = tuple(Place(**place) for place in row["places"])
            known = row | {"places": places, "beside": tuple(row["beside"])}
            self.rows[row["name"]] = Row(**known)

    def row(self, name):
        """A row that the program does not have (any more) has only its name."""
        return self.rows.get(name) or Row(name, words=name)

    def kin(self, name):
        """What a row is compared with: rows of the same kin are measured close together."""
        places = self.row(name).places
        place = next((p for p in places if p.column), places[0] if places else None)
        return (place.section, place.column) if place else (name, None)
