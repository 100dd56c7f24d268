"""Schedule expressions of rules: `rate(5 minutes)` and `cron(0 12 * * ? *)`, checked and turned into points in time.

Pure: the present is passed in. Times are UTC with the resolution of a minute. Source: 38
expressions judged by AWS; the EventBridge user guide, "Creating a rule that runs on a schedule", for the wildcards.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from opentrail.errors import AwsError

YEAR_MIN, YEAR_MAX = 1970, 2199
SCHEDULES_CACHED: Final = 1_024
_RATE = re.compile(r"rate\((\d{1,9}) (minute|hour|day)(s?)\)", re.ASCII)
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}
_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}

_Days = Callable[[int, int], frozenset[int]]
"""Days of a (year, month) that a day field names."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`every` seconds, or the fields of a cron expression."""

    every: int = 0
    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    months: frozenset[int] = frozenset()
    years: frozenset[int] = frozenset()
    days: _Days | None = None

    def next_after(self, moment: float, created: float) -> float | None:
        """The first time after `moment` (epoch seconds); rates count from `created`. None: never again."""
        if self.every:
            return created + (max(int(moment - created), 0) // self.every + 1) * self.every
        start = datetime.fromtimestamp(moment, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        found = self._next(start)
        return None if found is None else found.timestamp()

    def _next(self, start: datetime) -> datetime | None:
        """Walks months, then days, then the times of a day."""
        year, month = start.year, start.month
        while year <= YEAR_MAX:
            if year in self.years and month in self.months and self.days is not None:
                for day in sorted(self.days(year, month)):
                    found = self._time_on(datetime(year, month, day, tzinfo=UTC), start)
                    if found is not None:
                        return found
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None

    def _time_on(self, day: datetime, start: datetime) -> datetime | None:
        if day.date() < start.date():
            return None
        earliest = (start.hour, start.minute) if day.date() == start.date() else (0, 0)
        for hour in self.hours:
            for minute in self.minutes:
                if (hour, minute) >= earliest:
                    return day.replace(hour=hour, minute=minute)
        return None


@lru_cache(SCHEDULES_CACHED)
def parse_schedule(text: str) -> Schedule:
    """The schedule of an expression; raises AwsError("ValidationException")."""
    try:
        return _rate(text) if text.startswith("rate") else _cron(text)
    except ValueError as error:
        raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.", 400) from error


def _rate(text: str) -> Schedule:
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError("no rate")
    count, unit, plural = int(found[1]), found[2], found[3]
    if count < 1 or (count == 1) == bool(plural):
        raise ValueError("unit and number do not agree")
    return Schedule(every=count * _SECONDS[unit])


def _cron(text: str) -> Schedule:
    found = _CRON.fullmatch(text)
    if found is None:
        raise ValueError("no cron")
    minute, hour, day, month, weekday, year = found.groups()
    if (day == "?") == (weekday == "?"):
        raise ValueError("exactly one of the day fields is ?")
    return Schedule(
        minutes=tuple(sorted(_numbers(minute, 0, 59, {}))),
        hours=tuple(sorted(_numbers(hour, 0, 23, {}))),
        months=_numbers(month, 1, 12, _MONTHS),
        years=_numbers(year, YEAR_MIN, YEAR_MAX, {}),
        days=_of_month(day) if weekday == "?" else _of_week(weekday),
    )


def _numbers(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        if "/" in item and not 1 <= _number(step, {}) <= high:
            raise ValueError("bad step")
        first, last = _span(span, low, high, names, open_end="/" in item)
        if not low <= first <= high or not low <= last <= high:
            raise ValueError("out of range")
        wrapped = range(first, last + 1) if first <= last else [*range(first, high + 1), *range(low, last + 1)]
        found.update(list(wrapped)[:: _number(step, {}) if step else 1])
    return frozenset(found)


def _span(text: str, low: int, high: int, names: dict[str, int], *, open_end: bool) -> tuple[int, int]:
    if text == "*":
        return low, high
    first, dash, last = text.partition("-")
    begin = _number(first, names)
    if dash:
        return begin, _number(last, names)
    return begin, high if open_end else begin


def _number(text: str, names: dict[str, int]) -> int:
    known = names.get(text.upper())
    if known is not None:
        return known
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise ValueError("no number")
    return int(text)


def _last_day(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _of_month(text: str) -> _Days:
    """Day of month: numbers, `L` (last), `LW` (last weekday), `15W` (weekday nearest to)."""
    if text == "L":
        return lambda year, month: frozenset({_last_day(year, month)})
    if text == "LW":
        return lambda year, month: frozenset({_nearest_weekday(year, month, _last_day(year, month))})
    if text.endswith("W"):
        wanted = _number(text[:-1], {})
        if not 1 <= wanted <= 31:
            raise ValueError("no day")
        return lambda year, month: (
            frozenset({_nearest_weekday(year, month, wanted)}) if wanted <= _last_day(year, month) else frozenset()
        )
    days = _numbers(text, 1, 31, {})
    return lambda year, month: frozenset(day for day in days if day <= _last_day(year, month))


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """The weekday nearest to a day without leaving its month."""
    at = calendar.weekday(year, month, day)
    if at == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if at == calendar.SUNDAY:
        return day + 1 if day < _last_day(year, month) else day - 2
    return day


def _of_week(text: str) -> _Days:
    """Day of week: 1 = SUN … 7 = SAT, names, `L` (Saturday), `6L` (last Friday), `SAT#3` (third Saturday)."""
    if text == "L":
        return lambda year, month: _weekdays(year, month, frozenset({7}))
    if text.endswith("L"):
        last = _weekday(text[:-1])
        return lambda year, month: frozenset({max(_weekdays(year, month, frozenset({last})))})
    if "#" in text:
        name, _, nth = text.partition("#")
        wanted, count = _weekday(name), _number(nth, {})
        if not 1 <= count <= 5:
            raise ValueError("no such week")
        return lambda year, month: frozenset(sorted(_weekdays(year, month, frozenset({wanted})))[count - 1 : count])
    days = _numbers(text, 1, 7, _DAYS)
    return lambda year, month: _weekdays(year, month, days)


def _weekday(text: str) -> int:
    day = _number(text, _DAYS)
    if not 1 <= day <= 7:
        raise ValueError("no day of the week")
    return day


def _weekdays(year: int, month: int, wanted: frozenset[int]) -> frozenset[int]:
    return frozenset(
        day
        for day in range(1, _last_day(year, month) + 1)
        if (calendar.weekday(year, month, day) + 1) % 7 + 1 in wanted
    )
