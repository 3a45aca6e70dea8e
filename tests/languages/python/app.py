"""The interface `same` in Python."""

from componentize_py_types import Err, Ok, Result, Some
from wit_world import exports
from wit_world.exports.same import (
    Colour,
    Family,
    Figure,
    Figure_Circle,
    Figure_Polygon,
    Person,
    Rights,
)


class Same(exports.Same):
    def greet(self, person: Person) -> str:
        if person.age is None:
            return f"Grüß dich, {person.name}."
        return f"Grüß dich, {person.name} ({person.age})."

    def backwards(self, text: str) -> str:
        return text[::-1]

    def first(self, text: str) -> str | None:
        return text[0] if text else None

    def letter(self, letter: str) -> str:
        return letter

    def next(self, colour: Colour) -> Colour:
        return Colour((colour.value + 1) % len(Colour))

    def others(self, rights: Rights) -> Rights:
        return ~rights

    def sum(self, numbers: list[int]) -> int:
        return sum(numbers)

    def wide(self, unsigned: int, signed: int) -> tuple[int, int]:
        return (unsigned, signed)

    def reverse(self, bytes: bytes) -> bytes:
        return bytes[::-1]

    def swap(self, pair: tuple[int, str]) -> tuple[str, int]:
        return (pair[1], pair[0])

    def area(self, figure: Figure) -> float:
        match figure:
            case Figure_Circle(radius):
                if radius < 0:
                    raise Err("a radius is not negative – ever")
                return 3 * radius * radius
            case Figure_Polygon(corners):
                return float(len(corners))
        return 0.0

    def half(self, number: float | None) -> float | None:
        return None if number is None else number / 2

    def later(self, families: list[Family]) -> list[Family]:
        return [Family(family.name, [older(member) for member in reversed(family.members)]) for family in families]

    def verdict(self, outcome: Result[int, str]) -> tuple[Result[str, int], bool]:
        if isinstance(outcome, Ok):
            return (Err(outcome.value), True)
        return (Ok(outcome.value), False)

    def nothing(self) -> None:
        pass


def older(person: Person) -> Person:
    return Person(person.name, None if person.age is None else person.age + 1)
