"""Stands for the table of some 300 names: those of the codecs in the binary."""

aliases = {
    "646": "ascii",
    "us_ascii": "ascii",
    "utf": "utf_8",
    "utf8": "utf_8",
    "iso_8859_1": "latin_1",
    "iso8859_1": "latin_1",
    "latin": "latin_1",
    "latin1": "latin_1",
}
