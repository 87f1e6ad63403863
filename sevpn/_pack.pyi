from typing import Final, TypeAlias

Element: TypeAlias = tuple[str, int, list[int | bytes | str]]

INT: Final = 0
DATA: Final = 1
STR: Final = 2
UNISTR: Final = 3
INT64: Final = 4

def encode(elements: list[Element]) -> bytes: ...
def decode(data: bytes, max_elements: int = 4096, max_values: int = 4096) -> list[Element]: ...
