"""References to variables in an action's configuration: `#{namespace.key}`.

Source: the CodePipeline user guide, variables reference. Unresolved references are errors: a value with a hole in it
must not reach an action.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from opentrail.errors import AwsError

RESOLVED_MAX = 100 * 1024
"""Bytes of the resolved configuration of one action."""

Namespaces = Mapping[str, Mapping[str, str]]
_REFERENCE = re.compile(r"#\{([A-Za-z0-9@\-_]+)\.([A-Za-z0-9@\-_]+)\}")


class UnresolvedVariable(Exception):
    """A reference that nothing answers; the text says which."""


def resolve(configuration: Mapping[str, str], namespaces: Namespaces) -> dict[str, str]:
    """The configuration with every reference replaced; raises UnresolvedVariable.

    What is put in is not looked at again, so a value cannot smuggle in a reference of its own.
    """

    def value_of(match: re.Match[str]) -> str:
        found = namespaces.get(match[1], {}).get(match[2])
        if found is None:
            raise UnresolvedVariable(f"The variable {match[0]} could not be resolved")
        return found

    resolved = {key: _REFERENCE.sub(value_of, value) for key, value in configuration.items()}
    if sum(len(value.encode("utf-8", "surrogatepass")) for value in resolved.values()) > RESOLVED_MAX:
        raise UnresolvedVariable("The resolved configuration of the action is larger than 100 KB")
    return resolved


def pipeline_variables(
    declared: list[dict[str, str]], given: list[dict[str, str]], *, complete: bool = True
) -> dict[str, str]:
    """Values of the pipeline's own variables for one execution.

    Raises ValidationException for a name that is not declared, or, when they are to be `complete`, a declared one
    without value and default.
    """
    values = {item["name"]: item.get("defaultValue") for item in declared}
    for item in given:
        if item["name"] not in values:
            raise AwsError("ValidationException", f"The variable '{item['name']}' is not declared in the pipeline", 400)
        values[item["name"]] = item["value"]
    missing = sorted(name for name, value in values.items() if value is None)
    if missing and complete:
        raise AwsError("ValidationException", f"No value is given for the variable(s): {', '.join(missing)}", 400)
    return {name: value for name, value in values.items() if value is not None}
