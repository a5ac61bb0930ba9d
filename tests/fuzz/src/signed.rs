//! What is signed: messages and cards.

use serde_json::Value;
use silkgate_message::card::{Card, CardContent, Fingerprint};
use silkgate_message::instant::Instant;
use silkgate_message::json;
use silkgate_message::jws::{Digest, Jws, decode, encode};

use crate::keys::{CERTIFICATE, PKCS8, PUBLIC, SIGNING_KEY};
use crate::{changed, choice};

pub(crate) const JWS_WORDS: &[&str] = &[
    "{\"payload\":\"",
    "\",\"protected\":\"",
    "\",\"signature\":\"",
    "\"header\":{\"etsiU\":[]}",
    "\"header\":{\"alg\":\"none\"}",
    "eyJhbGciOiJub25lIn0",
    "\"}",
    "=",
    "\\u0065",
    "e30",
    "AA",
    "\"protected\"",
    "\"payload\"",
    "\"signatures\":[]",
];

pub(crate) const CARD_WORDS: &[&str] = &[
    "\"v\":1",
    "\"country\":\"JO\"",
    "\"previous\":null",
    "https://[::1]:1/",
    "https://a:65536",
    "https://a@b",
    "-",
    ".",
    "..",
    "+00000000+",
    "\"authorities\":[]",
    "\"schemas\":[]",
    "\\u202e",
    "\\u001b[2J",
    "9007199254740991",
    "/JO/",
    "house",
    "witness",
    "A+",
];

/// A message: it is read as its parts stand there, and the digest is that of its signing input. Whatever strict JSON we sign verifies;
/// with any byte changed it does not.
pub fn jws(data: &[u8]) {
    if let Ok(jws) = Jws::parse(data) {
        let outer: Value = serde_json::from_slice(data).unwrap();
        let part = |name: &str| outer.get(name).and_then(Value::as_str).unwrap();
        let input = format!("{}.{}", part("protected"), part("payload"));
        assert_eq!(jws.digest(), Digest::of(input.as_bytes()));
        assert_eq!(encode(&jws.payload), part("payload"), "one spelling of base64url");
        assert_eq!(json::parse(&jws.payload).as_ref(), Ok(&jws.event));
        let header: Value = serde_json::from_slice(&decode(part("protected")).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&jws.header).unwrap(), header);
        // Who can forge the published key's signature may: the fuzzer cannot.
        let _ = jws.verify(&CERTIFICATE);
    }
    if json::parse(data).is_ok() {
        let iat = Instant::from_seconds(i64::try_from(choice(data)).unwrap());
        let bytes = SIGNING_KEY.sign(data, iat).unwrap();
        let jws = Jws::parse(&bytes).unwrap();
        assert_eq!(jws.verify(&CERTIFICATE), Ok(()));
        assert_eq!((jws.payload.as_slice(), jws.iat), (data, iat));
        let altered = changed(&bytes, data);
        let taken = Jws::parse(&altered).is_ok_and(|jws| jws.verify(&CERTIFICATE).is_ok());
        assert!(!taken, "altered, and it verifies: {}", String::from_utf8_lossy(&altered));
    }
}

/// A card: what one says is signed only if it would be taken, and then it is read as it was written; with any byte changed it is refused,
/// or only white space between its members differs. And the fingerprint that is read over the telephone.
pub fn card(data: &[u8]) {
    if let Ok(card) = Card::parse(data) {
        assert_eq!(card.digest(), Digest::of(data).0);
        assert_eq!(card.succeeds(&card).map_err(|error| error.code()), Err("card_not_successor"));
    }
    if let Ok(mut content) = json::parse_closed::<CardContent>(data) {
        PUBLIC.clone_into(&mut content.card_key);
        if let Some(bytes) = Card::sign(&content, &PKCS8) {
            let card = Card::parse(&bytes).unwrap();
            assert_eq!(card.content(), &content);
            assert_eq!(
                Card::sign(&content, &PKCS8),
                Some(bytes.clone()),
                "Ed25519 signs the same in the same way"
            );
            if let Ok(card) = Card::parse(&changed(&bytes, data)) {
                assert_eq!(card.content(), &content, "altered, and it says something else");
            }
        }
    }
    if let Some(fingerprint) =
        std::str::from_utf8(data).ok().and_then(|text| text.parse::<Fingerprint>().ok())
    {
        assert_eq!(fingerprint.to_string().parse::<Fingerprint>(), Ok(fingerprint));
    }
}
