"""Judges Silkgate evidence bundles offline, by docs/evidence.md and docs/protocol.md; needs `cryptography` 42 or newer.
python3 docs/verify.py [IQ=FINGERPRINT] [JO=FINGERPRINT] FILE...     exit code 0: every bundle is good, 1: one is not"""
import base64, collections, datetime, hashlib, io, itertools, json, re, sys, zipfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
ENTRY = "v kind at from to id type jws body cert schema verdict code n what digest of rule role".split()
ABOUT, VERDICTS = ("jws", "id", "from", "to", "type"), {"received": "accepted", "rejected": "rejected"}
EDITION = ("common/1/rules.json common/1/schema.json codes/iso3166-1.json codes/iso4217.json codes/rec21.json "
           "codes/hs6-2022.txt codes/unlocode.txt common/2/schema.json common/2/rules.json codes/crossings-1.json "
           "codes/icao9303-3-arabic.csv codes/icao9303-3-latin.csv").split()
def need(holds, what):
    if not holds: raise ValueError(what)
def fits(pattern, text): return re.fullmatch(pattern, text) is not None
def sha(data): return hashlib.sha256(data).digest()
def std(data): return base64.b64encode(data).decode()
def url(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
def digest(data): return url(sha(data))
def decoded(text, way=url):  # strict: only what encodes to the same text again
    data = base64.b64decode(text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4))
    return need(way(data) == text, "not strict base64") or data
def spelled(value, sort=True): return json.dumps(value, sort_keys=sort, separators=(",", ":"), ensure_ascii=False).encode()
def once(pairs): return need(len(dict(pairs)) == len(pairs), "a member stands twice") or dict(pairs)
def number(text): return need(abs(float(text)) < 2**53, "a number is out of range") or json.loads(text)
def strict(data):  # RFC 8259 as narrowed by RFC 7493, at most 32 deep; `spelled` refuses halves of surrogate pairs
    steps = ((c in b"[{") - (c in b"]}") for c in re.sub(rb'"(?:\\.|[^"\\])*"', b"", data))
    found = json.loads(data.decode(), object_pairs_hook=once, parse_int=number, parse_float=number, parse_constant=number)
    return need(max(itertools.accumulate(steps), default=0) <= 32 and spelled(found), "nested too deep") or found
def jws(data):  # header, payload, signing input and signature of a flattened JWS
    outer = strict(data)
    need(len(outer) == 3 + (outer.get("header", {}).keys() == {"etsiU"}), "not a flattened JWS")
    protected, payload = outer["protected"], outer["payload"]
    return strict(decoded(protected)), strict(decoded(payload)), f"{protected}.{payload}".encode(), decoded(outer["signature"])
def instant(seconds): return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%FT%T.000Z")
def ed(key, data, signature): ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
def named(name, kind, key): return name, sha(name.encode() + b"\n" + bytes([kind]) + key)[:4]  # C2SP signed-note

def container(data):  # the members of the ZIP file, which must be in its one spelling
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        need(sum(member.file_size for member in file.infolist()) < len(data) <= 2**26, "larger than any bundle")
        members, again = {name: file.read(name) for name in file.namelist()}, io.BytesIO()
    with zipfile.ZipFile(again, "w") as file:
        for name in sorted(members):
            need(fits("[A-Za-z0-9._/-]{1,200}", name) and not {"", ".", ".."} & {*name.split("/")}, "a name is no path")
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, 0o600 << 16
            file.writestr(info, members[name])
    return need(0 < len(members) <= 20000 and again.getvalue() == data, "not the one spelling of a bundle") or members
def certificate(der):  # key, algorithm, hash, from when and until when it is valid
    found = x509.load_der_x509_certificate(der)
    key, times = found.public_key(), (found.not_valid_before_utc, found.not_valid_after_utc)
    curve = "" if isinstance(key, ed25519.Ed25519PublicKey) else key.curve.name
    kinds = {"": ("EdDSA", None), "secp256r1": ("ES256", hashes.SHA256()), "secp384r1": ("ES384", hashes.SHA384())}
    return key, *kinds[curve], *(instant(time.timestamp()) for time in times)
def verify(signer, alg, data, signature):
    key, expected, hashed, *_ = signer
    half = hashed.digest_size if hashed else 32
    need(alg == expected and len(signature) == 2 * half, "another algorithm than the certificate's")
    if not hashed: return key.verify(signature, data)
    pair = utils.encode_dss_signature(*(int.from_bytes(part, "big") for part in (signature[:half], signature[half:])))
    key.verify(pair, data, ec.ECDSA(hashed))
def read_card(data):
    header, card, signed, signature = jws(data)
    ed(decoded(card["cardKey"]), signed, signature)
    own = f'{card["host"]}/{card["country"]}/'
    need(header == {"alg": "EdDSA", "typ": "silkgate-card+jose"} and fits("[a-z0-9.-]+/[A-Z]{2}/", own), "not a card")
    for log in [card["witness"], *card["logs"]]:
        name, short, key = log["key"].split("+", 2)
        kind, log["public"] = decoded(key, std)[0], decoded(key, std)[1:]
        need(named(name, kind, log["public"])[1].hex() == short and name == log["origin"] and name.startswith(own)
             and len(log["public"]) == 32 and (kind == 1 or log is card["witness"]), "a key is not what it is named")
    signers = {digest(der): certificate(der) for der in map(decoded, card["signingCertificates"])}
    return {**card, "digest": digest(data), "signers": signers}
def root(index, size, leaf, path):  # of a tree, by the audit path of a leaf (RFC 6962 section 2.1.1)
    if size == 1: return leaf if not path else b""
    half = 1 << (size - 1).bit_length() - 1
    if index < half: return sha(b"\1" + root(index, half, leaf, path[:-1]) + path[-1])
    return sha(b"\1" + path[-1] + root(index - half, size - half, leaf, path[:-1]))
def prove(data, keys, all_known):  # entry, index, note and cosignatures of a C2SP tlog-proof, by keys of these names and ids
    text, _, note = data.decode().partition("\n\n")
    (version, extra, index, *path), (text, _, lines) = text.split("\n"), note.rpartition("\n\n")
    origin, size, top, *more = text.split("\n")
    need(version == "c2sp.org/tlog-proof@v1" and fits("extra [^ ]* index (0|[1-9][0-9]*)", f"{extra} {index}") and all(more) and
         fits("[1-9][0-9]*", size) and fits("(\u2014 [^\\s+]+ [^ \n]+\n)+", lines) and not re.search(r"[\0-\t\v-\x1f]", note), "no proof")
    raw, index, text, times = decoded(extra[6:], std), int(index[6:]), text.encode() + b"\n", {}
    for name, line in (line[2:].split(" ") for line in lines.split("\n")[:-1]):
        line = decoded(line, std)
        kind, key = keys.get((name, line[:4]), (0, b""))
        need(kind or not all_known, f"a signature line of {name}, whose key is on no card here")
        times[name] = int.from_bytes(line[4:12], "big") if kind == 4 else times.get(name, kind - 1)
        if kind: ed(key, b"cosignature/v1\ntime %d\n" % times[name] + text if kind == 4 else text, line[12 if kind == 4 else 4:])
    need(times.get(origin) == 0, f"the checkpoint of {origin} is not signed by that log's key")
    path = [decoded(line, std) for line in path]
    need(index < int(size) and root(index, int(size), sha(b"\0" + raw), path) == decoded(top, std), "the entry is not in the log")
    entry = json.loads(raw.decode(), object_pairs_hook=once)
    need(spelled({m: entry[m] for m in ENTRY if m in entry}, False) == raw and len(raw) < 512 and entry["v"] == 1
         and all(type(v) is (int if m in "vn" else str) and fits("[A-Za-z0-9:._/-]{1,64}", str(v)) for m, v in entry.items())
         and (entry["kind"] == "receipted" or entry.get("verdict") == VERDICTS.get(entry["kind"])), "not an entry's one spelling")
    return entry, index, note, [f"{name} at {instant(time)}" for name, time in times.items() if time > 0]
def edition(name, texts):  # type and $id of the schema of an edition, whose digest and texts must fit
    digests, paths = zip(*(line.split(" ") for line in texts.pop("DIGESTS").decode().split("\n")[:-1]))
    kind, own = re.fullmatch(r"(([a-z.]+)/[1-9][0-9]*/)schema\.json", paths[0]).group(2, 1)
    need(paths == (own + "schema.json", own + "rules.json", *EDITION[:len(paths) - 2]) and len(paths) in (9, 14)
         and digest(b"".join(map(decoded, digests))) == name and {p: digest(text) for p, text in texts.items()}
         == {p: d for p, d in zip(paths, digests) if p[:6] != "codes/"}, f"the edition {name} has another digest or other texts")
    return kind, strict(texts[paths[0]])["$id"]

def judge_message(parts, own, cards, editions, logs):
    def proof(name, state=own):
        origin = parts[name].decode().partition("\n\n")[2].split("\n")[0]
        host, kept_by, _ = origin.split("/")
        logs_of = [card["logs"][0]["public"] for card in cards[state] if (card["host"], state) == (host, kept_by)]
        keys = {named(origin, 1, key): (1, key) for key in logs_of}
        for witness in [card["witness"] for other in cards for card in cards[other] if other != own == state]:
            keys[named(witness["origin"], 4, witness["public"])] = 4, witness["public"]
        entry, index, note, cosigned = prove(parts.pop(name), keys, state == own)
        need(state != own or logs.setdefault(origin, note) == note, f"two checkpoints of {origin}")
        return entry, index, origin, cosigned
    def in_force(what):
        admin, before, log, _ = proof(what + ".receipt")
        need((admin["kind"], admin["what"], log) == ("admin", what, origin) and before < index, f"no {what} came into force before")
        return admin["digest"]
    def alike(other, members=ABOUT): return all(other.get(m) == entry.get(m) for m in members)
    entry, index, origin, cosigned = proof("entry.receipt")
    kind, partner, states = entry["kind"], origin[-2:], (entry.get("from", "")[:2], entry.get("to", "")[:2])
    need(partner in {*cards} - {own} and logs.setdefault((origin, index), parts) is parts, "an entry of no channel, or twice")
    need({"sent": (own, partner), "received": (partner, own), "rejected": states}[kind] == states, "an entry of other states")
    card, agreement, event, code = in_force("card"), in_force("agreement"), None, None
    need("agreement.toml" not in parts or digest(parts.pop("agreement.toml")) == agreement, "another agreement's text")
    [in_force_then] = [c for c in cards[partner] if c["digest"] == card]
    signer = [c["signers"][entry["cert"]] for c in (cards[own] if kind == "sent" else [in_force_then]) if entry["cert"] in c["signers"]][0]
    state = {"certificate": entry["cert"], "lists": [], "loggedAt": entry["at"], "notBefore": signer[3], "notAfter": signer[4], "v": 1}
    if "erased.receipt" in parts:
        erased, after, log, _ = proof("erased.receipt")
        need((erased["kind"], erased["of"], log) == ("erased", str(index), origin) and after > index and kind != "rejected"
             and alike(erased, ("id", "jws", "type")), "the erasure is not this message's")
    elif kind != "rejected":
        header, event, signed, signature = jws(parts.pop("message.jws"))
        verify(signer, header["alg"], signed, signature)
        state["signedAt"] = at = instant(header["iat"])
        need(header == {"alg": header["alg"], "typ": "jose+json", "cty": "cloudevents+json", "iat": header["iat"], "x5t#S256": entry["cert"]}
             and type(header["iat"]) is int and signer[3] <= at <= signer[4] and digest(signed) == entry["jws"]
             and [event[m] for m in ("id", "source", "recipient", "type")] == [entry[m] for m in ABOUT[1:]], "not the entry's message")
    need(parts.pop("revocation.json") == spelled(state), "the certificate's state is not what certificate, message and entry say")
    code, receipt = entry.get("code") if kind == "rejected" else None, parts.get("partner.receipt", b"").decode()
    if "outcome.receipt" in parts:
        outcome, after, log, _ = proof("outcome.receipt")
        place = origin[:-2] + "house" if outcome["kind"] == "dead" else origin
        need(outcome["kind"] in ("dead", "expired", "receipted") and kind == "sent" and alike(outcome) and log == place
             and (after > index or log != origin), "the outcome is another message's")
        if outcome["kind"] == "receipted":
            theirs, _, log, _ = proof("partner.receipt", partner)
            code = outcome.get("code")
            need(alike(theirs) and (theirs["kind"], theirs.get("code"), log[-3:]) == ("received" if outcome["verdict"] == "accepted"
                 else "rejected", code, "/" + own) and theirs.get("cert", entry["cert"]) == entry["cert"], "another verdict's receipt")
    if code and (kind, code) != ("rejected", "id_conflict"):
        problem = strict(parts.pop("problem.json"))
        need(problem["code"] == code and problem.get("receipt", receipt) == receipt, "the problem document is another refusal's")
    need(not parts and ("schema" in entry or kind == "rejected"), f"{[*parts]} have no place, or no edition is named")
    of, schema = editions[entry["schema"]] if "schema" in entry else (None, None)
    need(of in (None, entry.get("type")) and (event is None or event["dataschema"] == schema), "the edition is not the message's")
    print(f"ok     {origin} entry {index}: {[entry.get(m) for m in ('kind', 'at', *ABOUT)]} {code or ''}; cosigned by {cosigned}")
    return partner, entry.get("schema")
def judge(data, pins):
    members, rooms, cards = container(data), collections.defaultdict(dict), collections.defaultdict(list)
    for name in members:
        room, rest = re.fullmatch("(cards/|editions/[^/]+/|messages/[0-9]{4}/|)(.+)", name).groups()
        rooms[room][rest] = members[name]
    need({*rooms.pop("")} == {"index.html", "manifest.jws"}, "a member has no place")
    for name, card in sorted({name: read_card(card) for name, card in rooms.pop("cards/").items()}.items(), key=lambda pair: pair[1]["version"]):
        before = cards[card["country"]][-1:] or [dict(card, version=0, digest=card["previous"])]
        need(name == card["digest"] + ".card" and [before[0][m] for m in ("cardKey", "host", "digest")]
             == [card[m] for m in ("cardKey", "host", "previous")] and before[0]["version"] < card["version"], "cards out of succession")
        cards[card["country"]].append(card)
    for state in cards:
        bits = int.from_bytes(sha(b"silkgate card key v1\0" + decoded(cards[state][0]["cardKey"]))[:20], "big")
        letters = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[bits >> shift & 31] for shift in range(155, -1, -5))
        print(f"ok     The card key of {state} has the fingerprint {'-'.join(re.findall('....', letters))}: compare it.")
        need(pins.get(state, letters) == letters, f"the card key of {state} is not the one given")
    header, manifest, signed, signature = jws(members["manifest.jws"])
    by, at, thumbprint, own = manifest["exportedBy"], manifest["exportedAt"], header["x5t#S256"], manifest["exportedBy"][:2]
    signer = [card["signers"][thumbprint] for card in cards[own] if thumbprint in card["signers"]][0]
    verify(signer, header["alg"], signed, signature)
    digests = {name: digest(member) for name, member in members.items() if name != "manifest.jws"}
    protected = url(spelled({"alg": signer[1], "typ": "silkgate-evidence+jose", "x5t#S256": thumbprint}))
    payload = url(spelled({"v": 1, "exportedAt": at, "exportedBy": by, "members": digests}))
    need(spelled({"payload": payload, "protected": protected, "signature": url(signature)}) == members["manifest.jws"]
         and fits("[A-Z]{2}/[a-z0-9]+(-[a-z0-9]+)*", by) and fits("[-0-9]{10}T[:0-9]{8}[.][0-9]{3}Z", at) and signer[3] <= at <= signer[4],
         "the manifest does not name every member with its digest, or not in its one spelling")
    print(f"ok     {by} exported the bundle at {at} and signed every member's digest.")
    editions = {room[9:-1]: edition(room[9:-1], texts) for room, texts in rooms.items() if room[0] == "e"}
    messages, logs = sorted(room for room in rooms if room[0] == "m"), {}
    need(messages and messages == [f"messages/{n + 1:04}/" for n in range(len(messages))], "messages are not numbered from 1 on")
    used = [judge_message(rooms[room], own, cards, editions, logs) for room in messages]
    need({partner for partner, _ in used} | {own} == {*cards} and {e for _, e in used if e} == {*editions} and {*pins} <= {*cards}, "too many")

if __name__ == "__main__":
    good, pins = True, {arg[:2]: arg[3:].upper().replace("-", "") for arg in sys.argv[1:] if arg[2:3] == "="}
    for path in [arg for arg in sys.argv[1:] if arg[2:3] != "="]:
        try: print(judge(open(path, "rb").read(), pins) or f"{path}: GOOD")
        except Exception as error:  # whatever a file makes this program stumble over: it is refused
            good = print(f"FAILED {type(error).__name__}: {error}\n{path}: REFUSED, it proves nothing")
    sys.exit(0 if good else 1)
