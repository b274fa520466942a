"""The published JSON Schema cases (draft 2020-12) as an OpenAPI document, and as requests.

    schema_cases.py write SUITE DOCUMENT CASES   one operation for each schema; CASES are their instances
    schema_cases.py ask CASES PORT               sends each; a 400 is a refusal, anything else went on

Left out, and counted: schemas with keywords that the sidecar refuses in a document, and those that lead out of it.
"""

import http.client
import json
import pathlib
import sys

NAMED = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
REFUSED = {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "$recursiveRef", "dependencies"}
# Whole files that are about something else than a body: other dialects, annotations, what we leave to formats.
OTHER = {"vocabulary", "anchor", "dynamicRef", "refRemote", "format", "content", "unknownKeyword", "default"}
FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer", "regex",
           "time", "uri", "uuid"}


def place(number):
    return f"#/paths/~1t~1{number}/post/requestBody/content/application~1json/schema"


def moved(schema, number):
    """The schema with its references in the document, or None where it cannot be there."""
    if not isinstance(schema, dict):
        return schema
    if REFUSED & schema.keys():
        return None
    out = {}
    for key, value in schema.items():
        if key == "$schema":
            continue
        if key == "$ref":
            if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
                return None
            value = place(number) + value[1:]
        elif key in NAMED and isinstance(value, dict):
            value = {name: moved(below, number) for name, below in value.items()}
            if None in value.values():
                return None
        elif key not in ("const", "enum", "default", "examples"):
            if isinstance(value, dict):
                value = moved(value, number)
            elif isinstance(value, list) and key != "required":
                value = [moved(below, number) for below in value]
                if None in value:
                    return None
            if value is None:
                return None
        out[key] = value
    return out


def write(suite, document, cases):
    root = pathlib.Path(suite) / "tests" / "draft2020-12"
    files = [file for file in sorted(root.glob("*.json")) if file.stem not in OTHER]
    files += [root / "optional" / "format" / f"{name}.json" for name in sorted(FORMATS)]
    paths, asked, left_out = {}, [], 0
    for file in files:
        for group in json.loads(file.read_text()):
            number = len(paths)
            schema = moved(group["schema"], number)
            if schema is None:
                left_out += 1
                continue
            content = {"application/json": {"schema": schema}}
            paths[f"/t/{number}"] = {"post": {"requestBody": {"content": content}}}
            for test in group["tests"]:
                name = f"{file.stem}: {group['description']}: {test['description']}"
                asked.append([number, name, test["data"], test["valid"]])
    pathlib.Path(document).write_text(json.dumps({"openapi": "3.1.0", "info": {}, "paths": paths}))
    pathlib.Path(cases).write_text(json.dumps(asked))
    print(f"{len(paths)} schemas with {len(asked)} cases; {left_out} schemas left out")


def ask(cases, port):
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    wrong, asked = [], json.loads(pathlib.Path(cases).read_text())
    for number, name, data, is_valid in asked:
        body = json.dumps(data)
        connection.request("POST", f"/t/{number}", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if (answer.status == 400) == is_valid:
            wrong.append(f"{name}: {answer.status}, though it is {'valid' if is_valid else 'invalid'}")
    print(*wrong, sep="\n")
    print(f"{len(asked) - len(wrong)} of {len(asked)} cases agree")
    sys.exit(bool(wrong) or not asked)


{"write": write, "ask": ask}[sys.argv[1]](*sys.argv[2:])
