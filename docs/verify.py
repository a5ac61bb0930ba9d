"""Judges evidence bundles by docs/evidence.md. python3 docs/verify.py FILE... exits 0 or 1; needs `cryptography` 42."""
import base64, collections, contextlib, datetime, hashlib, io, json, re, sys, traceback, zipfile
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.x509 import load_der_x509_certificate as load, load_der_x509_crl as load_crl
ENTRY = "v kind at from to id type jws body cert schema verdict code n what digest of rule role".split()
SHARED = "RvERRbZ5KIfzK_e31EZw_hbLs4WxSUjvQvR1-bIvyXk", "PT8IsSbVDya-nTxGFnVW5YUE3ecPyttiqqfCXiRRVAY"
PROOF = re.compile("c2sp.org/tlog-proof@v1\nextra (.*)\nindex (0|[1-9][0-9]*)\n((?:.{44}\n)*)\n"
                   "(([^\0-\x1f]+)\n([1-9][0-9]*)\n(.{44})\n(?:[^\0-\x1f]+\n)*)\n((?:\u2014 [^\\s+]+ [^ \n]+\n)+)")
def need(*holds): return {True: None}[all(holds)]  # raises otherwise; what did not hold, says the line
def sha(data): return hashlib.sha256(data).digest()
def b64(data, alphabet=b"-_"): return base64.b64encode(data, alphabet).decode().rstrip("=" if alphabet else "")
def digest(data): return b64(sha(data))
def decoded(text, alphabet=b"-_"):  # base64url, or base64 where the alphabet is None; strict
    return need(b64(data := base64.b64decode(text + "=" * (-len(text) % 4), alphabet), alphabet) == text) or data
def spelled(value, **how): return json.dumps(value, separators=(",", ":"), ensure_ascii=False, **how).encode()
def once(pairs): return need(len(dict(pairs)) == len(pairs)) or dict(pairs)
def num(text): return need(abs(float(text)) < 2**53) or json.loads(text)  # RFC 8259 as narrowed by RFC 7493
def loads(d, n=num): return json.loads(d.decode(), object_pairs_hook=once, parse_int=n, parse_float=n, parse_constant=n)
def jws(data):  # header, payload, signing input and signature of a flattened JWS
    header, payload, signature = map(decoded, map((outer := loads(data)).pop, ("protected", "payload", "signature")))
    need(not outer or [*outer, *outer["header"]] == ["header", "etsiU"])
    return loads(header), loads(payload), f"{b64(header)}.{b64(payload)}".encode(), signature
def instant(time): return time.strftime("%FT%T.000Z")
def valid(cert): return {"notBefore": instant(cert.not_valid_before_utc), "notAfter": instant(cert.not_valid_after_utc)}
def key_id(name, kind, key): return name, sha(name.encode() + b"\n" + bytes([kind]) + key)[:4]  # C2SP signed-note
def ed(key, data, signature): ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
def verify(key, alg, data, sig):
    if alg == "EdDSA": return ed(key.public_bytes_raw(), data, sig)
    half, algo = {"ES256": (32, ec.hashes.SHA256), "ES384": (48, ec.hashes.SHA384)}[alg]
    raw = utils.encode_dss_signature(*(int.from_bytes(n, "big") for n in (sig[:half], sig[half:])))
    return need(key.curve.name == f"secp{8 * half}r1", len(sig) == 2 * half) or key.verify(raw, data, ec.ECDSA(algo()))
def container(data):  # the members of the ZIP file, which must be in its one spelling
    with zipfile.ZipFile(io.BytesIO(data)) as file, zipfile.ZipFile(again := io.BytesIO(), "w") as copy:
        need(sum(member.file_size for member in file.infolist()) < len(data) <= 2**26, len(file.namelist()) <= 20000)
        for info in map(zipfile.ZipInfo, sorted(members := {name: file.read(name) for name in file.namelist()})):
            info.create_system, info.external_attr = 3, 0o600 << 16; copy.writestr(info, members[info.filename])
    return need(again.getvalue() == data) or members
def card_of(data):
    header, card, signed, signature = jws(data)
    need(header == {"alg": "EdDSA", "typ": "silkgate-card+jose"}, not ed(decoded(card["cardKey"]), signed, signature))
    witness, *ours = (decoded(log["key"].split("+", 2)[2], None)[1:] for log in (card["witness"], *card["logs"]))
    signers = {digest(der): load(der) for der in map(decoded, card["signingCertificates"])}
    return {**card, "digest": digest(data), "signers": signers, "keys": ours, "cosigner": witness}
def on(cards, cert): return [card["signers"][cert] for card in cards if cert in card["signers"]][0]
def root(i, n, leaf, path):  # of a tree of n leaves, by the audit path of leaf i (RFC 6962 section 2.1.1)
    if n == 1: return leaf if not path else b""
    half, (*path, last) = 1 << (n - 1).bit_length() - 1, path
    return sha(b"\1" + (root(i, half, leaf, path) + last if i < half else last + root(i - half, n - half, leaf, path)))
def prove(data, all_known, keys):  # a C2SP tlog-proof of a log entry: the note, its origin, the index and the entry
    raw, index, path, text, origin, size, top, lines = PROOF.fullmatch(data.decode()).groups()
    signers, entry, index = set(), loads(raw := decoded(raw, None)), int(index)
    for name, line in (line[2:].split(" ") for line in lines.split("\n")[:-1]):
        kind, key = keys.get((name, (line := decoded(line, None))[:4]), (0, b"")); signers.add((name, kind))
        if kind == 1: ed(key, text.encode(), line[4:])
        elif kind: ed(key, f"cosignature/v1\ntime {int.from_bytes(line[4:12], 'big')}\n{text}".encode(), line[12:])
    need((origin, 1) in signers, not all_known or all(kind for _, kind in signers), index < int(size))
    need(root(index, int(size), sha(b"\0" + raw), [decoded(h, None) for h in path.split()]) == decoded(top, None))
    need(spelled({m: entry[m] for m in ENTRY if m in entry}) == raw, len(raw) < 512, entry["v"] == 1)
    need(re.fullmatch(rb'[\w:./{}",-]+', raw), *(type(v) is (int if m in "vn" else str) for m, v in entry.items()))
    verdicts = {"received": ["accepted"], "rejected": ["rejected"], "receipted": ["accepted", "rejected"]}
    return need(entry.get("verdict") in verdicts.get(entry["kind"], [None])) or (text + lines, origin, index, entry)
def edition(name, texts):  # type and $id of its schema; SHARED: digests of the paths in protocol.md
    digests, paths = zip(*(line.split(" ") for line in texts.pop("DIGESTS").decode().split("\n")[:-1]))
    own, kind = re.fullmatch("(([a-z.]+)/[1-9][0-9]*/)schema[.]json", paths[0]).groups()
    need(paths[1] == own + "rules.json", digest(" ".join(paths[2:]).encode()) in SHARED)
    need({p: digest(text) for p, text in texts.items()} == {p: d for p, d in zip(paths, digests) if p[:6] != "codes/"})
    return need(digest(b"".join(map(decoded, digests))) == name) or (kind, loads(texts[paths[0]])["$id"])
def by(cert, ca):  # whether that authority made the certificate
    with contextlib.suppress(Exception): return cert.verify_directly_issued_by(ca) is None
def message(parts, own, cards, keys, rules, lists):
    def claim(part, state=own, **stated):  # proves an entry that states this much; one checkpoint of each own log
        note, origin, index, entry = prove(lists.get(part := part + ".receipt") or parts.pop(part), state == own, keys)
        need(origin.split("/")[1] == state, state != own or keys.setdefault(origin, note) == note)
        return need(all(entry.get(m) == stated[m] for m in stated)) or (origin, index, entry)
    def listed(n):  # whether a revocation list names the certificate; an authority made it, it was in force before
        crl, cas = load_crl(der := lists[n + ".crl"]), [load(decoded(a)) for c in cards[peer] for a in c["tlsAnchors"]]
        if cer := lists.get(n + ".cer"): cas = [load(cer) for ca in cas if by(load(cer), ca)]
        need(any(crl.issuer == ca.subject and crl.is_signature_valid(ca.public_key()) for ca in cas), kind != "sent")
        need(digest(der) == n[3:], instant(crl.last_update_utc - datetime.timedelta(0, 300)) <= entry["at"])
        need((origin, -1) < claim(n, kind="admin", what="crl", digest=n[3:])[:2] < (origin, index))
        return bool(crl.issuer == found.issuer and crl.get_revoked_certificate_by_serial_number(found.serial_number))
    origin, index, entry = claim("entry")
    kind, peer, said = entry["kind"], origin[-2:], {m: entry.get(m) for m in ("jws", "id", "from", "to", "type")}
    need(kind == "rejected" or said["from"][:2] + said["to"][:2] == {"sent": own + peer, "received": peer + own}[kind])
    need(peer in {*cards} - {own}, keys.setdefault((origin, index), parts) is parts)  # of a channel, and once
    (a, at, card), (b, then, deal) = (claim(what, kind="admin", what=what) for what in ("card", "agreement"))
    need(a == b == origin, at < index > then, digest(parts.pop("agreement.toml", b"")) in (deal["digest"], digest(b"")))
    [card], cert = [c for c in cards[peer] if c["digest"] == card["digest"]], entry["cert"]
    found = on(cards[own] if kind == "sent" else [card], cert)
    state = {"certificate": cert, "loggedAt": entry["at"], **valid(found)}
    event, code, proof = None, entry["code"] if kind == "rejected" else None, parts.get("partner.receipt", b"").decode()
    if "erased.receipt" in parts:
        log, at, erased = claim("erased", kind="erased", of=str(index), **{m: said[m] for m in ("id", "jws", "type")})
        need(log == origin, at > index, kind != "rejected", "rule" in erased)
    elif kind != "rejected":
        header, event, signed, signature = jws(parts.pop("message.jws"))
        verify(found.public_key(), header["alg"], signed, signature)
        state["signedAt"] = instant(datetime.datetime.fromtimestamp(header["iat"], datetime.timezone.utc))
        need(header == {**header, "typ": "jose+json", "cty": "cloudevents+json", "x5t#S256": cert}, len(header) == 5)
        need(type(header["iat"]) is int, state["notBefore"] <= state["signedAt"] <= state["notAfter"])
        need([digest(signed), *(event[m] for m in ("id", "source", "recipient", "type"))] == [*said.values()])
    told = {name: listed(f"{peer}/{name}") for name in loads(parts["revocation.json"])["lists"]}
    forms = [([], 1), (told, 2)][:1 + (kind == "rejected" if True in told.values() else code != "certificate_revoked")]
    need(parts.pop("revocation.json") in [spelled({**state, "lists": l, "v": v}, sort_keys=True) for l, v in forms])
    if "outcome.receipt" in parts:
        log, at, outcome = claim("outcome", **said)
        verdict, place = outcome.get("verdict"), {"receipted": origin, "expired": origin, "dead": origin[:-2] + "house"}
        need(kind == "sent", log == place[outcome["kind"]], at > index or log != origin)
        if verdict:
            kinds, code = {"accepted": "received", "rejected": "rejected"}, outcome.get("code")
            log, _, theirs = claim("partner", peer, **said, verdict=verdict, code=code, kind=kinds[verdict])
            need(log[-3:] == "/" + own, theirs.get("cert", cert) == cert)
    if code and (kind, code) != ("rejected", "id_conflict"):
        need((why := loads(parts.pop("problem.json")))["code"] == code, why.get("receipt", proof) == proof)
    of, schema = rules[entry["schema"]] if kind != "rejected" or "schema" in entry else (entry.get("type"), None)
    need(not parts, of == entry.get("type"), event is None or event["dataschema"] == schema)
    return print(f"ok     {origin} entry {index}: {kind} {said} {code} {told}") or (peer, entry.get("schema"), told)
def judge(members):
    rooms, cards, keys = collections.defaultdict(dict), collections.defaultdict(list), {}  # keys, and what was seen
    for n in members: rooms[r := re.match("(cards|lists|(editions|messages)/.+?)/|", n)[0]][n[len(r):]] = members[n]
    for name, card in sorted(((n, card_of(c)) for n, c in rooms.pop("cards/").items()), key=lambda p: p[1]["version"]):
        last = [dict(card, version=0, digest=card["previous"]), *cards[card["country"]]][-1]
        need([last[m] for m in ("cardKey", "host", "digest")] == [card[m] for m in ("cardKey", "host", "previous")])
        need(name == card["digest"] + ".card", last["version"] < card["version"]) or cards[card["country"]].append(card)
    header, manifest, signed, signature = jws(outer := members.pop("manifest.jws"))
    by, at, own, cert = manifest["exportedBy"], manifest["exportedAt"], manifest["exportedBy"][:2], header["x5t#S256"]
    for state, card in [(state, card) for state in cards for card in cards[state]]:
        bits = int.from_bytes(sha(b"silkgate card key v1\0" + decoded(card["cardKey"]))[:20], "big")
        letters = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[bits >> shift & 31] for shift in range(155, -1, -5))
        print(f"ok     The card key of {state:.2} has the fingerprint {letters}: compare it with the published one.")
        for k in card["keys"]: keys |= {key_id(f'{card["host"]}/{state}/{o}', 1, k): (1, k) for o in (*cards, "house")}
        if state != own: keys[key_id(card["witness"]["origin"], 4, card["cosigner"])] = 4, card["cosigner"]
    verify((signer := on(cards[own], cert)).public_key(), header["alg"], signed, signature)
    head = spelled({"alg": header["alg"], "typ": "silkgate-evidence+jose", "x5t#S256": cert})
    payload = spelled(dict(exportedAt=at, exportedBy=by, members={n: digest(members[n]) for n in sorted(members)}, v=1))
    need(outer == spelled(dict(payload=b64(payload), protected=b64(head), signature=b64(signature))))
    need(re.fullmatch("[A-Z]{2}/[a-z0-9-]+ [0-9-]{10}T[0-9:]{8}[.][0-9]{3}Z", f"{by} {at}"))
    need([*rooms.pop("")] == ["index.html", "manifest.jws"], sorted([at, *valid(signer).values()])[1] == at)
    lists = rooms.pop("lists/", {})
    rules = {room[9:-1]: edition(room[9:-1], rooms.pop(room)) for room in [*rooms] if room[0] == "e"}
    used = [message(rooms[f"messages/{n + 1:04}/"], own, cards, keys, rules, lists) for n in range(len(rooms))]
    need(used, {own, *(p for p, _, _ in used)} == {*cards}, {e for _, e, _ in used if e} == {*rules})  # nothing beside
    need({*lists} <= {f"{p}/{n}.{end}" for p, _, told in used for n in told for end in ("crl", "cer", "receipt")})
    return f"ok     {by} exported the bundle at {at} and signed every member's digest."
good = len(sys.argv) > 1
for path in sys.argv[1:]:
    try: print(f"{judge(container(open(path, 'rb').read()))}\n{path}: GOOD")
    except Exception:  # whatever a file makes this program stumble over: it is refused
        good = print(traceback.format_exc(limit=-2), f"{path}: REFUSED, it proves nothing", sep="")
sys.exit(0 if good else 1)
