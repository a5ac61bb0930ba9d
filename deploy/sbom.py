#!/usr/bin/env python3
"""Writes the SBOM of a release binary (CycloneDX 1.6, JSON) to standard output: `deploy/sbom.py BINARY`.

It lists what is linked into the binary and nothing else: crates of the dependency graph for this platform, without what only builds or tests use,
and the C code that two of them bring. Versions and licences are those of `cargo metadata`, digests those of Cargo.lock. The same inputs give the
same bytes. SOURCE_DATE_EPOCH is the time that it states.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "silkgate"


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def linked(host):
    """Name and version of each crate that is linked: features as the release build resolves them, no macros that run in the compiler."""
    tree = cargo("tree", "--locked", "-p", PACKAGE, "-e", "normal,no-proc-macro", "--target", host, "--prefix", "none", "--format", "{p}")
    found = {tuple(line.split(" ")[:2]) for line in tree.splitlines() if line}
    return {(name, version.removeprefix("v")) for name, version in found}


def c_code(package):
    """What a crate compiles into the binary that is not Rust."""
    folder = pathlib.Path(package["manifest_path"]).parent
    if package["name"] == "libsqlite3-sys":
        header = (folder / "sqlite3" / "sqlite3.h").read_text()
        version = re.search(r'^#define SQLITE_VERSION +"([0-9.]+)"', header, re.MULTILINE)[1]
        return [{
            "type": "library", "bom-ref": f"pkg:generic/sqlite@{version}", "name": "sqlite", "version": version,
            "description": "The amalgamation in C that the crate carries and compiles.",
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256((folder / "sqlite3" / "sqlite3.c").read_bytes()).hexdigest()}],
            "licenses": [{"license": {"id": "blessing"}}],
            "cpe": f"cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*",
            "purl": f"pkg:generic/sqlite@{version}",
            "externalReferences": [{"type": "website", "url": "https://sqlite.org/"}],
        }]
    if package["name"] == "ring":
        return [{
            "type": "library", "bom-ref": f"{purl(package)}#c", "name": "boringssl (parts, as ring carries them)", "version": package["version"],
            "description": "C and generated assembly for field arithmetic, hashes and ciphers. It has no version of its own: ring's names it.",
            "licenses": [{"expression": "Apache-2.0 AND ISC"}],
            "externalReferences": [{"type": "vcs", "url": "https://boringssl.googlesource.com/boringssl"}],
        }]
    return []


def component(package, checksums):
    found = {
        "type": "library", "bom-ref": purl(package), "name": package["name"], "version": package["version"], "scope": "required",
        # A slash is how older manifests write OR.
        "licenses": [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}],
        "purl": purl(package),
    }
    if package.get("description"):
        found["description"] = " ".join(package["description"].split())
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        # Of the .crate file, as the registry serves it.
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    inside = c_code(package)
    if inside:
        found["components"] = inside
    return found


def main(binary):
    compiler = dict(line.split(": ", 1) for line in subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines() if ": " in line)
    host = compiler["host"]
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", host))
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    wanted = linked(host)
    packages = {package["id"]: package for package in metadata["packages"] if (package["name"], package["version"]) in wanted}
    missing = wanted - {(package["name"], package["version"]) for package in packages.values()}
    if missing:
        sys.exit(f"not in the metadata: {sorted(missing)}")
    own = next(package for package in packages.values() if package["name"] == PACKAGE)
    std = {
        "type": "library", "bom-ref": f"pkg:generic/rust-std@{compiler['release']}", "name": "rust-std", "version": compiler["release"], "scope": "required",
        "description": f"Rust's standard library, commit {compiler['commit-hash']}.",
        "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": f"pkg:generic/rust-std@{compiler['release']}",
        "externalReferences": [{"type": "vcs", "url": "https://github.com/rust-lang/rust"}],
    }
    components = [component(package, checksums) for package in packages.values() if package is not own]
    components = sorted([*components, std], key=lambda found: (found["name"], found["version"]))

    edges = []
    for node in metadata["resolve"]["nodes"]:
        if node["id"] not in packages:
            continue
        normal = {edge["pkg"] for edge in node["deps"] if any(kind["kind"] is None for kind in edge["dep_kinds"])}
        below = [purl(packages[found]) for found in normal if found in packages]
        below += [inside["bom-ref"] for inside in c_code(packages[node["id"]])]
        if node["id"] == own["id"]:
            below.append(std["bom-ref"])
        edges.append({"ref": purl(packages[node["id"]]), "dependsOn": sorted(below)})
    edges += [{"ref": inside["bom-ref"]} for found in components for inside in found.get("components", [])]
    edges.append({"ref": std["bom-ref"]})

    digest = hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()
    at = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    application = component(own, checksums) | {"type": "application", "hashes": [{"alg": "SHA-256", "content": digest}]}
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6",
        # Of this binary: another one has another number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'sha256:{digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "deploy/sbom.py", "version": own["version"]},
                                     {"type": "application", "name": "rustc", "version": compiler["release"]}]},
            "component": application,
            "properties": [{"name": "silkgate:target", "value": host}, {"name": "silkgate:rustc", "value": compiler["commit-hash"]}],
        },
        "components": components,
        "dependencies": sorted(edges, key=lambda edge: edge["ref"]),
    }
    json.dump(bom, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
