"""Judges Silkgate evidence bundles offline, by docs/evidence.md and docs/protocol.md; needs `cryptography` 42 or newer.
python3 docs/verify.py FILE...     exit code 0: every bundle is good, 1: one is not"""
import base64, collections, datetime, hashlib, io, json, re, sys, traceback, zipfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
ENTRY = "v kind at from to id type jws body cert schema verdict code n what digest of rule role".split()
ABOUT, KINDS = ("jws", "id", "from", "to", "type"), {"accepted": "received", "rejected": "rejected"}
EDITION = """common/1/rules.json common/1/schema.json codes/iso3166-1.json codes/iso4217.json codes/rec21.json
    codes/hs6-2022.txt codes/unlocode.txt common/2/schema.json common/2/rules.json codes/crossings-1.json
    codes/icao9303-3-arabic.csv codes/icao9303-3-latin.csv""".split()
def need(*holds):  # what did not hold, says the line that a refusal quotes
    if not all(holds): raise ValueError
def sha(data): return hashlib.sha256(data).digest()
def std(data): return base64.b64encode(data).decode()
def url(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
def digest(data): return url(sha(data))
def decoded(text, way=url):  # strict: only what encodes to the same text again
    data = base64.b64decode(text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4))
    return need(way(data) == text) or data
def once(pairs): return need(len(dict(pairs)) == len(pairs)) or dict(pairs)
def number(text): return need(abs(float(text)) < 2**53) or json.loads(text)
def strict(data):  # RFC 8259 as narrowed by RFC 7493
    value = json.loads(data.decode(), object_pairs_hook=once, parse_int=number, parse_float=number, parse_constant=number)
    return spelled(value) and value
def spelled(value, **how): return json.dumps(value, separators=(",", ":"), ensure_ascii=False, **how).encode()
def jws(data):  # header, payload, signing input and signature of a flattened JWS
    outer = strict(data)
    need(len(outer) == 3 + (outer.get("header", {}).keys() == {"etsiU"}))
    header, payload, signature = (decoded(outer[part]) for part in ("protected", "payload", "signature"))
    return strict(header), strict(payload), f"{url(header)}.{url(payload)}".encode(), signature
def instant(seconds): return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%FT%T.000Z")
def valid(signer): return [instant(time.timestamp()) for time in (signer.not_valid_before_utc, signer.not_valid_after_utc)]
def named(name, kind, key): return name, sha(name.encode() + b"\n" + bytes([kind]) + key)[:4]  # C2SP signed-note
def ed(key, data, signature): ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
def verify(signer, alg, data, signature):
    key = signer.public_key()
    if alg == "EdDSA": return need(isinstance(key, ed25519.Ed25519PublicKey)) or key.verify(signature, data)
    half, hashed, curve = {"ES256": (32, hashes.SHA256, "secp256r1"), "ES384": (48, hashes.SHA384, "secp384r1")}[alg]
    need(key.curve.name == curve, len(signature) == 2 * half)
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashed()))
def container(data):  # the members of the ZIP file, which must be in its one spelling
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        need(sum(member.file_size for member in file.infolist()) < len(data) <= 2**26, len(file.namelist()) <= 20000)
        members, again = {name: file.read(name) for name in file.namelist()}, io.BytesIO()
    with zipfile.ZipFile(again, "w") as file:
        for info in map(zipfile.ZipInfo, sorted(members)):
            info.create_system, info.external_attr = 3, 0o600 << 16
            file.writestr(info, members[info.filename])
    return need(again.getvalue() == data) or members
def read_card(data):
    header, card, signed, signature = jws(data)
    ed(decoded(card["cardKey"]), signed, signature)
    need(header == {"alg": "EdDSA", "typ": "silkgate-card+jose"}, re.fullmatch("[A-Z]{2}", card["country"]))
    key, witness = (decoded(named["key"].split("+", 2)[2], std)[1:] for named in (card["logs"][0], card["witness"]))
    signers = {digest(der): x509.load_der_x509_certificate(der) for der in map(decoded, card["signingCertificates"])}
    return {**card, "digest": digest(data), "signers": signers, "key": key, "cosigner": witness}
def root(index, size, leaf, path):  # of a tree, by the audit path of a leaf (RFC 6962 section 2.1.1)
    if size == 1: return leaf if not path else b""
    half = 1 << (size - 1).bit_length() - 1
    if index < half: return sha(b"\1" + root(index, half, leaf, path[:-1]) + path[-1])
    return sha(b"\1" + path[-1] + root(index - half, size - half, leaf, path[:-1]))
def prove(data, keys, all_known):  # entry, index, origin, note and witnesses of a C2SP tlog-proof
    head, _, note = data.decode().partition("\n\n")
    (version, extra, index, *path), (text, _, lines) = head.split("\n"), note.rpartition("\n\n")
    origin, size, top, *more = text.split("\n")
    need(version == "c2sp.org/tlog-proof@v1", re.fullmatch("extra [^ ]* index (0|[1-9][0-9]*)", f"{extra} {index}"), *more)
    need(re.fullmatch("(\u2014 [^\\s+]+ [^ \n]+\n)+", lines), re.fullmatch("[1-9][0-9]*", size), not re.search(r"[\0-\t\v-\x1f]", note))
    raw, path, text, signers = decoded(extra[6:], std), [decoded(line, std) for line in path], f"{text}\n".encode(), set()
    for name, line in (line[2:].split(" ") for line in lines.split("\n")[:-1]):
        kind, key = keys.get((name, (line := decoded(line, std))[:4]), (0, b""))
        if kind == 1: ed(key, text, line[4:])
        elif kind: ed(key, b"cosignature/v1\ntime %d\n" % int.from_bytes(line[4:12], "big") + text, line[12:])
        else: need(not all_known)  # the exporter chose the lines of its own proofs
        signers.add((name, kind))
    need((origin, 1) in signers, (index := int(index[6:])) < int(size))
    need(root(index, int(size), sha(b"\0" + raw), path) == decoded(top, std))
    entry = json.loads(raw.decode(), object_pairs_hook=once)
    need(spelled({m: entry[m] for m in ENTRY if m in entry}) == raw, len(raw) < 512, entry["v"] == 1)
    need(*(type(v) is (int if m in "vn" else str) and re.fullmatch("[A-Za-z0-9:._/-]{1,64}", str(v)) for m, v in entry.items()))
    need(entry["kind"] == "receipted" or "verdict" not in entry or entry["kind"] == KINDS[entry["verdict"]])
    return entry, index, origin, note, [name for name, kind in signers if kind == 4]
def edition(name, texts):  # type and $id of the schema of an edition, whose digest and texts must fit
    digests, paths = zip(*(line.split(" ") for line in texts.pop("DIGESTS").decode().split("\n")[:-1]))
    own, kind = re.fullmatch(r"(([a-z.]+)/[1-9][0-9]*/)schema\.json", paths[0]).groups()
    need(paths == (own + "schema.json", own + "rules.json", *EDITION[:len(paths) - 2]), len(paths) in (9, 14))
    need({p: digest(text) for p, text in texts.items()} == {p: d for p, d in zip(paths, digests) if p[:6] != "codes/"})
    return need(digest(b"".join(map(decoded, digests))) == name) or (kind, strict(texts[paths[0]])["$id"])
def judge_message(parts, own, cards, keys, editions, logs):
    def proof(name, state=own):  # one checkpoint of each log of the exporter's
        entry, index, origin, note, witnesses = prove(parts.pop(name), keys, state == own)
        need(origin.split("/")[1] == state, state != own or logs.setdefault(origin, note) == note)
        return entry, index, origin, witnesses
    def in_force(what):
        admin, before, log, _ = proof(what + ".receipt")
        return need((admin["kind"], admin["what"], log) == ("admin", what, origin), before < index) or admin["digest"]
    def alike(other, *members): return all(other.get(m) == entry.get(m) for m in members or ABOUT)
    entry, index, origin, witnesses = proof("entry.receipt")
    kind, partner, states = entry["kind"], origin[-2:], (entry.get("from", "")[:2], entry.get("to", "")[:2])
    need({"sent": (own, partner), "received": (partner, own), "rejected": states}[kind] == states, "verdict" in entry or kind == "sent")
    need(partner in {*cards} - {own}, logs.setdefault((origin, index), parts) is parts)  # of a channel, and once
    card, agreement, event, code = in_force("card"), in_force("agreement"), None, None
    [card] = [c for c in cards[partner] if c["digest"] == card]
    need(digest(parts.pop("agreement.toml", b"")) in (agreement, digest(b"")))
    signer = [c["signers"][entry["cert"]] for c in (cards[own] if kind == "sent" else [card]) if entry["cert"] in c["signers"]][0]
    begin, end = valid(signer)
    state = dict(certificate=entry["cert"], lists=[], loggedAt=entry["at"], notBefore=begin, notAfter=end, v=1)
    if "erased.receipt" in parts:
        erased, after, log, _ = proof("erased.receipt")
        need((erased["kind"], erased["of"], log) == ("erased", str(index), origin), after > index, kind != "rejected")
        need(erased["rule"], alike(erased, "id", "jws", "type"))
    elif kind != "rejected":
        header, event, signed, signature = jws(parts.pop("message.jws"))
        verify(signer, header["alg"], signed, signature)
        state["signedAt"] = instant(header["iat"])
        need(header == {**header, "typ": "jose+json", "cty": "cloudevents+json", "x5t#S256": entry["cert"]}, len(header) == 5)
        need(type(header["iat"]) is int, begin <= state["signedAt"] <= end)
        need([digest(signed), *(event[m] for m in ("id", "source", "recipient", "type"))] == [entry[m] for m in ABOUT])
    need(parts.pop("revocation.json") == spelled(state, sort_keys=True))
    if kind == "rejected": code = entry["code"]
    receipt = parts.get("partner.receipt", b"").decode()
    if "outcome.receipt" in parts:
        outcome, after, log, _ = proof("outcome.receipt")
        place = {"receipted": origin, "expired": origin, "dead": origin[:-2] + "house"}[outcome["kind"]]
        need(kind == "sent", alike(outcome), log == place, after > index or log != origin)
        if outcome["kind"] == "receipted":
            (theirs, _, log, _), code = proof("partner.receipt", partner), outcome.get("code")
            need((theirs["kind"], theirs.get("code"), log[-3:]) == (KINDS[outcome["verdict"]], code, "/" + own))
            need(alike(theirs), theirs.get("cert", entry["cert"]) == entry["cert"], "verdict" in theirs)
    if code and (kind, code) != ("rejected", "id_conflict"):
        problem = strict(parts.pop("problem.json"))
        need(problem["code"] == code, problem.get("receipt", receipt) == receipt)
    of, schema = editions[entry["schema"]] if kind != "rejected" or "schema" in entry else (entry.get("type"), None)
    need(not parts, of == entry.get("type"), event is None or event["dataschema"] == schema)
    print(f"ok     {origin} {index}: {[entry.get(m) for m in ('kind', 'at', *ABOUT)]} {code or ''}; cosigned by {witnesses}")
    return partner, entry.get("schema")
def judge(data):
    members, rooms, cards, keys, logs = container(data), collections.defaultdict(dict), collections.defaultdict(list), {}, {}
    for name in members:
        room, rest = re.fullmatch("(cards/|editions/[^/]+/|messages/[0-9]{4}/|)(.+)", name).groups()
        rooms[room][rest] = members[name]
    need({*rooms.pop("")} == {"index.html", "manifest.jws"})
    for name, card in sorted(((n, read_card(c)) for n, c in rooms.pop("cards/").items()), key=lambda pair: pair[1]["version"]):
        before = [dict(card, version=0, digest=card["previous"]), *cards[card["country"]]][-1]
        need(name == card["digest"] + ".card", before["version"] < card["version"], before["digest"] == card["previous"])
        need(before["cardKey"] == card["cardKey"], before["host"] == card["host"]) or cards[card["country"]].append(card)
    manifest_bytes = members.pop("manifest.jws")
    header, manifest, signed, signature = jws(manifest_bytes)
    by, at, thumbprint, own = manifest["exportedBy"], manifest["exportedAt"], header["x5t#S256"], manifest["exportedBy"][:2]
    for state, card in [(state, card) for state in cards for card in cards[state]]:
        bits = int.from_bytes(sha(b"silkgate card key v1\0" + decoded(card["cardKey"]))[:20], "big")
        letters = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[bits >> shift & 31] for shift in range(155, -1, -5))
        print(f"ok     The card key of {state} has the fingerprint {letters}: compare it with what {state} published.")
        for other in (*cards, "house"): keys[named(f'{card["host"]}/{state}/{other}', 1, card["key"])] = 1, card["key"]
        if state != own: keys[named(card["witness"]["origin"], 4, card["cosigner"])] = 4, card["cosigner"]
    signer = [card["signers"][thumbprint] for card in cards[own] if thumbprint in card["signers"]][0]
    verify(signer, header["alg"], signed, signature)
    payload = spelled(dict(exportedAt=at, exportedBy=by, members={name: digest(members[name]) for name in sorted(members)}, v=1))
    header = spelled({"alg": header["alg"], "typ": "silkgate-evidence+jose", "x5t#S256": thumbprint})
    need(manifest_bytes == spelled(dict(payload=url(payload), protected=url(header), signature=url(signature))))
    need(re.fullmatch("[A-Z]{2}/[a-z0-9]+(-[a-z0-9]+)*[0-9-]{10}T[0-9:]{8}[.][0-9]{3}Z", by + at))
    need(valid(signer)[0] <= at <= valid(signer)[1])
    print(f"ok     {by} exported the bundle at {at} and signed every member's digest.")
    editions = {room[9:-1]: edition(room[9:-1], texts) for room, texts in rooms.items() if room[0] == "e"}
    messages = [room for room in sorted(rooms) if room[0] == "m"]
    used = [judge_message(rooms[room], own, cards, keys, editions, logs) for room in messages]
    need(used, messages == [f"messages/{n + 1:04}/" for n in range(len(messages))])
    need({own, *(p for p, _ in used)} == {*cards}, {e for _, e in used if e} == {*editions})  # and nothing beside
if __name__ == "__main__":
    good = len(sys.argv) > 1
    for path in sys.argv[1:]:
        try: print(judge(open(path, "rb").read()) or f"{path}: GOOD")
        except Exception as error:  # whatever a file makes this program stumble over: it is refused
            place = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__][-1]
            good = print(f"FAILED {error!r} in `{place}`\n{path}: REFUSED, it proves nothing")
    sys.exit(0 if good else 1)
