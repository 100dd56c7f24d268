"""Filter patterns of CloudWatch Logs: which log events does a search, or a metric, want?

    ERROR "not found" -DEBUG        all of these terms, not that one; case matters
    ?ERROR ?WARN                    any of these
    %[45]\\d\\d%                      a regular expression
    { $.eventName = "Create*" }     fields of JSON
    [ip, user, ..., status = 4*]    words

Source: CloudWatch Logs user guide, "Filter pattern syntax for metric filters, …". Pure; what a message costs is bounded
by its length and the pattern's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from opentrail.errors import AwsError
from opentrail.match.filter_expression import REGEXES_MAX, PatternFault
from opentrail.match.filter_regex import RegexFault, compile_regex
from opentrail.match.filter_structured import compile_json, compile_words

PATTERN_CHARS_MAX: Final = 1_024
PATTERNS_REMEMBERED_MAX: Final = 256

Filter = Callable[[str], bool]
"""Whether a message is wanted."""

_TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]*)%|([^\s"%]+))(?=\s|$)', re.DOTALL)
_PLAIN = re.compile(r"\w+")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class _Term(NamedTuple):
    sign: str
    test: Filter


@lru_cache(maxsize=PATTERNS_REMEMBERED_MAX)
def compile_filter(text: str) -> Filter:
    """Raises AwsError InvalidParameterException 400."""
    pattern = text.strip()
    if len(text) > PATTERN_CHARS_MAX:
        raise _invalid(f"a pattern has {PATTERN_CHARS_MAX} characters at most")
    try:
        if pattern.startswith("{"):
            return compile_json(pattern)
        if pattern.startswith("["):
            return compile_words(pattern)
        return _compile_terms(pattern)
    except (PatternFault, RegexFault) as fault:
        raise _invalid(str(fault)) from fault


def _invalid(why: str) -> AwsError:
    return AwsError("InvalidParameterException", f"Invalid filter pattern: {why}", 400)


def _compile_terms(pattern: str) -> Filter:
    """Terms in any order. One with `?` counts only where all others have it too (user guide: it is ignored)."""
    terms = _terms(pattern)
    wanted = [term.test for term in terms if term.sign == ""]
    unwanted = [term.test for term in terms if term.sign == "-"]
    choice = [term.test for term in terms if term.sign == "?"]
    if choice and not wanted and not unwanted:
        return lambda message: any(test(message) for test in choice)

    def matches(message: str) -> bool:
        return all(test(message) for test in wanted) and not any(test(message) for test in unwanted)

    return matches


def _terms(pattern: str) -> list[_Term]:
    terms: list[_Term] = []
    at = regexes = 0
    while at < len(pattern):
        found = _TERM.match(pattern, at)
        if found is None:
            raise PatternFault(f"invalid character(s) in term '{pattern[at:].split()[0][:80]}'")
        sign, phrase, regex, plain = found.groups()
        if regex is not None:
            regexes += 1
            test: Filter = compile_regex(regex).search
        else:
            test = _contains(_ESCAPED.sub(r"\1", phrase) if phrase is not None else _plain(plain))
        terms.append(_Term(sign, test))
        at = found.end()
        at += len(pattern) - at - len(pattern[at:].lstrip())
    if regexes > REGEXES_MAX:
        raise PatternFault(f"a pattern can have {REGEXES_MAX} regular expressions at most")
    return terms


def _plain(term: str) -> str:
    """A term without quotes has letters, digits and underscores only; a lone star stands for everything."""
    if term == "*":
        return ""
    if not _PLAIN.fullmatch(term):
        raise PatternFault(f"invalid character(s) in term '{term[:80]}'")
    return term


def _contains(phrase: str) -> Filter:
    """A phrase of blanks matches everything, as the user guide has it."""
    if not phrase.strip():
        return lambda _message: True
    return lambda message: phrase in message
