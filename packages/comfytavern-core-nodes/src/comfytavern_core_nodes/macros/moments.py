"""Dates and times as macros write them, in English, with the tokens of moment.js."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_LONG_FORMATS = {
    "LTS": "h:mm:ss A",
    "LT": "h:mm A",
    "LLLL": "dddd, MMMM D, YYYY h:mm A",
    "LLL": "MMMM D, YYYY h:mm A",
    "LL": "MMMM D, YYYY",
    "L": "MM/DD/YYYY",
    "llll": "ddd, MMM D, YYYY h:mm A",
    "lll": "MMM D, YYYY h:mm A",
    "ll": "MMM D, YYYY",
    "l": "M/D/YYYY",
}
_LONG = re.compile(r"(\[[^\[\]]*\]|\\.)|(LTS|LT|L{1,4}|l{1,4})", re.DOTALL)
_TOKEN = re.compile(
    r"\[[^\[\]]*\]|\\.|Mo|M{1,4}|DDDo|Do|D{1,4}|d{3,4}|do|dd?|Wo|WW?|wo|ww?|Qo?|YYYY|YY|Y"
    r"|GGGG|GG|gggg|gg|E|e|A|a|HH?|hh?|kk?|mm?|ss?|S{1,9}|ZZ?|zz?|X|x",
    re.DOTALL,
)


def format_moment(when: datetime, pattern: str) -> str:
    """Write a date and time the way moment.js would with this pattern.

    :param when: with a time zone
    """
    unfolded = _LONG.sub(lambda found: found[1] or _LONG_FORMATS[found[2]], pattern)
    return _TOKEN.sub(lambda found: _written(found[0], when), unfolded)


def _written(token: str, when: datetime) -> str:
    if token[0] == "[":
        return token[1:-1]
    if token[0] == "\\":
        return token[1:]
    if token[0] == "S":
        return f"{when.microsecond:06}000"[: len(token)]
    writer = _WRITERS.get(token)
    return writer(when) if writer else token


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _hour12(when: datetime) -> int:
    return when.hour % 12 or 12


def _sunday_first(when: datetime) -> int:
    return when.isoweekday() % 7


def _us_week(when: datetime) -> tuple[int, int]:
    """Return year and week as they are counted in the USA: week 1 holds January 1."""
    next_first = (_sunday_first(when.replace(day=31, month=12)) + 1) % 7
    if when.month == 12 and 32 - when.day <= next_first:
        return when.year + 1, 1
    first = when.replace(day=1, month=1)
    return when.year, (when.timetuple().tm_yday - 1 + _sunday_first(first)) // 7 + 1


def _offset(when: datetime, separator: str) -> str:
    text = when.strftime("%z")
    return f"{text[:3]}{separator}{text[3:5]}"


def _day_of_year(when: datetime) -> int:
    return when.timetuple().tm_yday


def _quarter(when: datetime) -> int:
    return (when.month + 2) // 3


_WRITERS: Mapping[str, Callable[[datetime], str]] = {
    "YYYY": lambda when: f"{when.year:04}",
    "YY": lambda when: f"{when.year % 100:02}",
    "Y": lambda when: str(when.year),
    "Q": lambda when: str(_quarter(when)),
    "Qo": lambda when: _ordinal(_quarter(when)),
    "MMMM": lambda when: _MONTHS[when.month - 1],
    "MMM": lambda when: _MONTHS[when.month - 1][:3],
    "MM": lambda when: f"{when.month:02}",
    "Mo": lambda when: _ordinal(when.month),
    "M": lambda when: str(when.month),
    "DDDD": lambda when: f"{_day_of_year(when):03}",
    "DDDo": lambda when: _ordinal(_day_of_year(when)),
    "DDD": lambda when: str(_day_of_year(when)),
    "DD": lambda when: f"{when.day:02}",
    "Do": lambda when: _ordinal(when.day),
    "D": lambda when: str(when.day),
    "dddd": lambda when: _DAYS[when.weekday()],
    "ddd": lambda when: _DAYS[when.weekday()][:3],
    "dd": lambda when: _DAYS[when.weekday()][:2],
    "do": lambda when: _ordinal(_sunday_first(when)),
    "d": lambda when: str(_sunday_first(when)),
    "e": lambda when: str(_sunday_first(when)),
    "E": lambda when: str(when.isoweekday()),
    "GGGG": lambda when: f"{when.isocalendar().year:04}",
    "GG": lambda when: f"{when.isocalendar().year % 100:02}",
    "WW": lambda when: f"{when.isocalendar().week:02}",
    "Wo": lambda when: _ordinal(when.isocalendar().week),
    "W": lambda when: str(when.isocalendar().week),
    "gggg": lambda when: f"{_us_week(when)[0]:04}",
    "gg": lambda when: f"{_us_week(when)[0] % 100:02}",
    "ww": lambda when: f"{_us_week(when)[1]:02}",
    "wo": lambda when: _ordinal(_us_week(when)[1]),
    "w": lambda when: str(_us_week(when)[1]),
    "A": lambda when: "AM" if when.hour < 12 else "PM",
    "a": lambda when: "am" if when.hour < 12 else "pm",
    "HH": lambda when: f"{when.hour:02}",
    "H": lambda when: str(when.hour),
    "hh": lambda when: f"{_hour12(when):02}",
    "h": lambda when: str(_hour12(when)),
    "kk": lambda when: f"{when.hour or 24:02}",
    "k": lambda when: str(when.hour or 24),
    "mm": lambda when: f"{when.minute:02}",
    "m": lambda when: str(when.minute),
    "ss": lambda when: f"{when.second:02}",
    "s": lambda when: str(when.second),
    "ZZ": lambda when: _offset(when, ""),
    "Z": lambda when: _offset(when, ":"),
    "zz": lambda when: when.tzname() or "",
    "z": lambda when: when.tzname() or "",
    "X": lambda when: str(int(when.timestamp())),
    "x": lambda when: str(int(when.timestamp() * 1000)),
}
