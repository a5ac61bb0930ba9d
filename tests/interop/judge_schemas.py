"""Judges every example under an exported catalogue with Python's jsonschema: one JSON line each."""
import json
import pathlib
import sys

from jsonschema import Draft202012Validator

root = pathlib.Path(sys.argv[1])
for schema_file in sorted(root.glob("*/*/schema.json")):
    schema = json.loads(schema_file.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for kind in ("accept", "reject"):
        for example in sorted((schema_file.parent / kind).glob("*.json")):
            event = json.loads(example.read_text("utf-8"))
            data = event["event"]["data"] if kind == "reject" else event["data"]
            name = example.relative_to(root).as_posix()
            print(json.dumps({"example": name, "valid": validator.is_valid(data)}))
