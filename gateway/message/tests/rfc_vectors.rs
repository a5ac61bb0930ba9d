//! Published signatures verify through the function that verifies every message.
#![allow(clippy::unwrap_used)]

use silkgate_message::jws::{Algorithm, decode};

/// A signing input, a signature and a public key, as printed in an RFC.
struct Vector {
    algorithm: Algorithm,
    input: &'static str,
    signature: &'static str,
    key: Vec<u8>,
}

fn vectors() -> [Vector; 2] {
    // RFC 7515, appendix A.3: ES256, public key by its coordinates, uncompressed (SEC 1 §2.3.3).
    let x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU").unwrap();
    let y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0").unwrap();
    [
        Vector {
            algorithm: Algorithm::Es256,
            input: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            key: [vec![4], x, y].concat(),
        },
        // RFC 8037, appendices A.2 (key) and A.4: Ed25519.
        Vector {
            algorithm: Algorithm::EdDsa,
            input: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            signature: "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
            key: decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap(),
        },
    ]
}

#[test]
fn published_signatures_verify_and_no_altered_one_does() {
    for vector in vectors() {
        let signature = decode(vector.signature).unwrap();
        let verify = |input: &[u8], signature: &[u8]| vector.algorithm.verify(&vector.key, input, signature);
        assert!(verify(vector.input.as_bytes(), &signature));
        for at in 0..signature.len() {
            let mut altered = signature.clone();
            altered[at] ^= 1;
            assert!(
                !verify(vector.input.as_bytes(), &altered),
                "{:?}: signature byte {at}",
                vector.algorithm
            );
        }
        for at in 0..vector.input.len() {
            let mut altered = vector.input.as_bytes().to_vec();
            altered[at] ^= 1;
            assert!(!verify(&altered, &signature), "{:?}: input byte {at}", vector.algorithm);
        }
    }
}
