"""The table of rules: the built-in ones and those of installed packages; which of them are on.

A package states in its `pyproject.toml`

    [project.entry-points."autolabel.filter_rules"]
    my-rule = "my_package:MY_RULE"

where `MY_RULE` is a `Rule`. A user turns it on by naming it with the value of its option:
`--plugin-rule my-rule=0.4`, or `plugin_rule: {my-rule: 0.4}` in a pipeline file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from autolabel.config import FilterConfig
from autolabel.errors import UsageError, suggest
from autolabel.plugins import PluginTable
from autolabel.stages.filter.rule import EMBEDDER, Rule
from autolabel.stages.filter.rules import BUILT_IN

GROUP = "max_per_group"
"""The one rule that is about whole images, and so not in the table."""

ALSO_ON = {"min_score": "class_min_score"}
"""Rule -> a second option that turns it on."""


def _wrong(name: str, rule: Rule) -> str | None:
    if name in FilterConfig.model_fields:
        return "the name is one of the filter's options"
    if ":" in name:  # a reason is `rule: figure`
        return "a name with a colon would not be told from the figure after it"
    if rule.needs is not None and rule.needs not in EMBEDDER:
        return f"there is no evidence {rule.needs!r}"
    return None


RULES: PluginTable[Rule] = PluginTable(
    "filter rule", "autolabel.filter_rules", BUILT_IN, Rule, _wrong
)
"""name -> rule; a built-in one has the name of its option."""


def active(config: FilterConfig) -> list[str]:
    """List the rules that are on, in the order in which they are applied.

    The built-in ones come first, then those of plugins as `plugin_rule` names them, unless `rules`
    gives another order. Plugins are not looked at where none is named.

    Raises:
        UsageError: a rule is named that there is not, or twice, or while it is off; one that is on
            needs an embedder which is not named; or a plugin's rule does not take its value.
    """
    for name in config.plugin_rule:
        if name not in RULES.plugins.values:
            raise _unknown(name, [*RULES.plugins.values], "rules of installed packages")
    on = [name for name in BUILT_IN if _is_on(name, config)] + [*config.plugin_rule]
    for name in on:
        needs = RULES[name].needs
        if needs is not None and not getattr(config, EMBEDDER[needs]):
            raise UsageError(
                f"{name} needs an embedder",
                hint=f"name one with --{EMBEDDER[needs]}, or {EMBEDDER[needs]}: in the file",
            )
        option_of(name, config)
    for i, name in enumerate(config.rules):
        if name not in RULES:
            raise _unknown(name, [*RULES], "rules")
        if name in config.rules[:i]:
            raise UsageError(f"rule {name!r} is named twice", hint="name each rule once")
        if name not in on:
            raise UsageError(
                f"rule {name!r} is named but off", hint=f"set {name}, or leave it out of the rules"
            )
    return list(config.rules) or on


def _unknown(name: str, known: Sequence[str], what: str) -> UsageError:
    return UsageError(
        f"there is no rule {name!r}",
        hint=suggest(name, known, f"the {what} are") if known else f"there are no {what}",
    )


def _is_on(name: str, config: FilterConfig) -> bool:
    options = (name, ALSO_ON.get(name, name))
    return any(getattr(config, o) != FilterConfig.model_fields[o].default for o in options)


def option_of(name: str, config: FilterConfig) -> Any:
    """Return the value of a rule's option, as the rule gets it.

    Raises:
        UsageError: the rule is a plugin's and does not take the value.
    """
    if name in BUILT_IN:
        return getattr(config, name)
    value = config.plugin_rule[name]
    try:
        return TypeAdapter(RULES[name].option).validate_python(value)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        where = ".".join(map(str, (name, *first["loc"])))
        raise UsageError(
            f"plugin_rule {where} cannot be {first['input']!r}: {first['msg'].lower()}",
            hint=f"the rule is of {RULES.source(name)}: see what it takes",
        ) from None


def settings_of(config: FilterConfig) -> dict[str, Any]:
    """Return the options that shape the content, and the packages whose rules do."""
    settings = config.settings()
    if config.plugin_rule:
        settings["plugin_rule_from"] = {name: RULES.source(name) for name in config.plugin_rule}
    return settings
