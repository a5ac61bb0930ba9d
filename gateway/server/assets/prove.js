// Verifies a message in the browser, from the bytes: the sender's signature, the path to the root, the signatures on the
// checkpoint. The keys come from the gateway that is judged: compare their fingerprints with what each state published.
// Standards: RFC 7515 and 8037 (JWS), RFC 9162 §2.1.3.2 (inclusion), C2SP signed-note and tlog-cosignature.

const utf8 = new TextEncoder();
const bytes = (base64) => Uint8Array.from(atob(base64.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const join = (...parts) => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
};
const equal = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);
const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));
const base64url = (data) => btoa(String.fromCharCode(...data)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

async function ed25519(raw, signature, message) {
  const key = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

/** The SubjectPublicKeyInfo of a certificate (RFC 5280 §4.1): the sixth field of what is signed, or the seventh behind a version. */
function publicKeyInfo(der) {
  const read = (at) => {
    let length = der[at + 1], head = 2;
    if (length & 0x80) {
      const count = length & 0x7f;
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + der[at + 2 + i];
      head += count;
    }
    return { tag: der[at], from: at, inside: at + head, end: at + head + length };
  };
  const signed = read(read(0).inside);
  let field = read(signed.inside);
  if (field.tag === 0xa0) field = read(field.end);
  for (let i = 0; i < 5; i++) field = read(field.end);
  return der.slice(field.from, field.end);
}

const ALGORITHMS = {
  EdDSA: [{ name: "Ed25519" }, { name: "Ed25519" }],
  ES256: [{ name: "ECDSA", namedCurve: "P-256" }, { name: "ECDSA", hash: "SHA-256" }],
  ES384: [{ name: "ECDSA", namedCurve: "P-384" }, { name: "ECDSA", hash: "SHA-384" }],
};

async function messageSigned(jws, proof) {
  const header = JSON.parse(new TextDecoder().decode(bytes(jws.protected)));
  const algorithm = ALGORITHMS[header.alg];
  if (!algorithm) return false;
  for (const der of proof.certificates.map(bytes)) {
    if (base64url(await sha256(der)) !== header["x5t#S256"]) continue;
    const key = await crypto.subtle.importKey("spki", publicKeyInfo(der), algorithm[0], false, ["verify"]);
    return crypto.subtle.verify(algorithm[1], key, bytes(jws.signature), utf8.encode(`${jws.protected}.${jws.payload}`));
  }
  return false;
}

async function leadsToRoot(proof) {
  let at = await sha256(join(Uint8Array.of(0), utf8.encode(proof.entry)));
  let index = proof.index, last = proof.size - 1;
  if (index > last) return false;
  for (const step of proof.path) {
    if (last === 0) return false;
    const beside = bytes(step.hash);
    if (index % 2 === 1 || index === last) {
      at = await sha256(join(Uint8Array.of(1), beside, at));
      while (index % 2 === 0 && index !== 0) { index /= 2; last = Math.floor(last / 2); }
    } else {
      at = await sha256(join(Uint8Array.of(1), at, beside));
    }
    index = Math.floor(index / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equal(at, bytes(note(proof).root));
}

function note(proof) {
  const end = proof.checkpoint.indexOf("\n\n");
  const text = proof.checkpoint.slice(0, end + 1);
  const [origin, size, root] = text.split("\n");
  const lines = proof.checkpoint.slice(end + 2).split("\n").filter((line) => line.startsWith("\u2014 "));
  const signatures = lines.map((line) => {
    const [, name, encoded] = line.split(" ");
    const all = bytes(encoded);
    return { name, id: all.slice(0, 4), rest: all.slice(4) };
  });
  return { text, origin, size: Number(size), root, signatures };
}

/** A verifier key `name+hash+base64`: its id must be the hash of its name and its bytes. */
async function key(text) {
  const [name, , encoded] = text.split("+").length === 3 ? text.split("+") : [text.slice(0, text.indexOf("+")), "", text.slice(text.indexOf("+") + 10)];
  const typed = bytes(encoded);
  const id = (await sha256(join(utf8.encode(name), Uint8Array.of(10), typed))).slice(0, 4);
  return { name, id, raw: typed.slice(1) };
}

async function checkpointSigned(proof, keys, message) {
  const checkpoint = note(proof);
  for (const known of await Promise.all(keys.map(key))) {
    for (const line of checkpoint.signatures) {
      if (line.name !== known.name || !equal(line.id, known.id)) continue;
      const { signed, signature } = message(checkpoint, line);
      if (await ed25519(known.raw, signature, signed)) return true;
      return false;
    }
  }
  return null;
}

const plain = (checkpoint, line) => ({ signed: utf8.encode(checkpoint.text), signature: line.rest });
/** C2SP tlog-cosignature: eight bytes of time, then the signature over a header with it and the text. */
const cosigned = (checkpoint, line) => {
  const time = new DataView(line.rest.buffer, line.rest.byteOffset, 8).getBigUint64(0);
  return { signed: utf8.encode(`cosignature/v1\ntime ${time}\n${checkpoint.text}`), signature: line.rest.slice(8) };
};

async function prove(box) {
  const says = box.dataset, steps = box.querySelector(".steps");
  steps.replaceChildren();
  let wrong = false;
  const step = (text, good) => {
    const item = document.createElement("li");
    item.className = good === null ? "wait" : good ? "good" : "bad";
    item.textContent = `${text}: ${good === null ? says.skip : good ? says.good : says.bad}`;
    steps.append(item);
    wrong ||= good === false;
  };
  const safely = async (work) => { try { return await work(); } catch { return false; } };
  const answer = await fetch(says.proof, { headers: { accept: "application/json" } });
  const proof = answer.ok ? (await answer.json())[Number(says.place)] : null;
  if (!proof) return step(says.path, false);
  const held = box.closest(".sheet").querySelector(".jws");
  const entry = JSON.parse(proof.entry), checkpoint = note(proof);
  if (held) {
    const jws = JSON.parse(held.dataset.jws);
    step(says.message, await safely(() => messageSigned(jws, proof)));
    step(says.digest, await safely(async () => base64url(await sha256(utf8.encode(`${jws.protected}.${jws.payload}`))) === entry.jws));
  } else {
    step(says.message, null);
  }
  step(says.path, await safely(async () => checkpoint.size === proof.size && (await leadsToRoot(proof))));
  step(says.checkpoint, (await safely(() => checkpointSigned(proof, proof.log_keys, plain))) ?? false);
  step(says.cosignature, await safely(() => checkpointSigned(proof, proof.witness_keys, cosigned)));
  const end = document.createElement("li");
  end.className = `verdict ${wrong ? "bad" : "good"}`;
  end.textContent = wrong ? says.not : says.all;
  steps.append(end);
  box.dataset.done = wrong ? "wrong" : "good";
}

for (const box of document.querySelectorAll(".prove")) {
  const button = box.querySelector("button");
  button.hidden = false;
  button.addEventListener("click", () => prove(box));
}
