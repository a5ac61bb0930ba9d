"""A peer that knows JOSE and nothing of ours: joserfc signs and verifies what crosses the border.

verify CERTIFICATE MESSAGE   verifies a flattened JWS with the certificate's key; prints header and payload as one JSON object
sign CERTIFICATE KEY EVENT   signs the event's bytes as a flattened JWS; prints it
"""

import base64
import hashlib
import json
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

ALGORITHMS = ["ES256", "EdDSA"]
# joserfc wants to know of members that its registry does not list.
REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def certificate(path):
    found = x509.load_pem_x509_certificate(read(path))
    thumbprint = hashlib.sha256(found.public_bytes(Encoding.DER)).digest()
    pem = found.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found.public_key(), pem, base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()


def key_of(public, pem):
    if isinstance(public, ec.EllipticCurvePublicKey):
        return "ES256", ECKey.import_key(pem)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    return "EdDSA", OKPKey.import_key(pem)


def verify(certificate_path, message_path):
    public, pem, thumbprint = certificate(certificate_path)
    algorithm, key = key_of(public, pem)
    message = json.loads(read(message_path))
    found = jws.deserialize_json(message, key, registry=REGISTRY)
    header = found.members[0].protected
    assert header["alg"] == algorithm, header
    assert header["typ"] == "jose+json" and header["cty"] == "cloudevents+json", header
    assert header["x5t#S256"] == thumbprint, header
    assert abs(header["iat"] - time.time()) < 300, header
    print(json.dumps({"header": header, "payload": json.loads(found.payload)}))


def sign(certificate_path, key_path, event_path):
    public, _, thumbprint = certificate(certificate_path)
    algorithm, key = key_of(public, read(key_path))
    header = {
        "alg": algorithm,
        "typ": "jose+json",
        "cty": "cloudevents+json",
        "iat": int(time.time()),
        "x5t#S256": thumbprint,
    }
    print(json.dumps(jws.serialize_json({"protected": header}, read(event_path), key, registry=REGISTRY)))


if __name__ == "__main__":
    {"verify": verify, "sign": sign}[sys.argv[1]](*sys.argv[2:])
