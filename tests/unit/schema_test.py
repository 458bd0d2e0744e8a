#!/usr/bin/python3
"""The JSON Schema accepts what we ship and refuses what the parser refuses.

That schema and parser know the same keys and defaults is shown in config_test.cpp. Exit status 77 (skipped) without
python3-jsonschema.
"""

import json
import pathlib
import re
import sys

try:
    import jsonschema
except ImportError:
    sys.exit(77)

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"

# A string, or a comment: a // inside a string is none.
STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)

PROXY = {"url": "socks5://x"}

REFUSED = {
    "no default": {},
    "two upstreams and no default": {"upstreams": {"a": PROXY, "b": PROXY}},
    "a misspelt key": {"upstreams": {"a": {**PROXY, "discovery": "off"}}},
    "another scheme": {"upstreams": {"a": {"url": "http://x"}}},
    "no URL": {"upstreams": {"a": {}}},
    "a reserved name": {"upstreams": {"Direct": PROXY}, "default": "block"},
    "two passwords": {"upstreams": {"a": {**PROXY, "username": "u", "password": "p", "password_env": "P"}}},
    "a timeout of 0": {"upstreams": {"a": {**PROXY, "connect_timeout": 0}}},
    "a fraction of a lifetime": {"upstreams": {"a": {**PROXY, "feature_lifetime": 1.5}}},
    "a word for what is held": {"upstreams": {"a": {**PROXY, "hold": "on"}}},
    "too many held": {"upstreams": {"a": {**PROXY, "hold": 9}}},
    "no route": {"rules": [{"port": 1}], "default": "direct"},
    "an empty list": {"rules": [{"port": [], "route": "direct"}], "default": "direct"},
    "a port beyond 65535": {"rules": [{"port": 65536, "route": "direct"}], "default": "direct"},
    "an unknown protocol": {"rules": [{"protocol": "sctp", "route": "direct"}], "default": "direct"},
    "direct in a list": {"upstreams": {"a": PROXY}, "default": ["a", "direct"]},
    "an unknown level": {"default": "direct", "log": {"level": "loud"}},
    "a relative path": {"default": "direct", "log": {"file": "log"}},
}


def load(path):
    return json.loads(STRING_OR_COMMENT.sub(lambda match: match.group(1) or " ", path.read_text(encoding="utf-8")))


def main():
    schema = load(CONF / "socksify.schema.json")
    validator_class = jsonschema.validators.validator_for(schema)
    validator_class.check_schema(schema)
    validator = validator_class(schema)

    failures = 0
    for path in [CONF / "socksify.json", *sorted((CONF / "examples").glob("*.json"))]:
        for error in validator.iter_errors(load(path)):
            print(f"{path}: {'/'.join(map(str, error.absolute_path))}: {error.message}")
            failures += 1
    for what, document in REFUSED.items():
        if validator.is_valid(document):
            print(f"accepted, though it has {what}: {json.dumps(document)}")
            failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
