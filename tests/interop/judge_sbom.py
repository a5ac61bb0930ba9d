"""Judges an SBOM by the JSON schema of CycloneDX, as the foundation's own library carries it: `judge_sbom.py FILE`. Prints each fault."""

import json
import pathlib
import sys

import cyclonedx.schema
import jsonschema
from referencing import Registry, Resource

folder = pathlib.Path(cyclonedx.schema.__file__).parent / "_res"
with open(sys.argv[1], encoding="utf-8") as file:
    bom = json.load(file)


def schema(name):
    return json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text(encoding="utf-8"))


# What the schema points to, beside its own name: nothing is fetched.
main = schema(f"bom-{bom['specVersion']}")
base = main["$id"].rsplit("/", 1)[0]
others = ("spdx", "jsf-0.82", "cryptography-defs")
registry = Registry().with_resources((f"{base}/{name}.SNAPSHOT.schema.json", Resource.from_contents(schema(name))) for name in others)
judge = jsonschema.Draft7Validator(main, registry=registry, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
faults = [f"{error.json_path}: {error.message[:200]}" for error in judge.iter_errors(bom)]
print(*faults, sep="\n")
sys.exit(1 if faults else 0)
