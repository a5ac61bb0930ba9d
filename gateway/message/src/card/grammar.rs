//! The grammar of each member of a card. What a signature covers is still only what its signer
//! chose to write: it ends up in terminals, URLs, TLS settings and logs.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CardContent, CardError, LogKey, SchemaRef};
use crate::instant::Instant;
use crate::jws::{Digest, SigningCertificate};

/// Endpoints, anchors, signing certificates and logs, each.
const KEYS_MAX: usize = 8;
/// Authorities and schemas, each.
const LIST_MAX: usize = 64;
/// Signature type byte of Ed25519 (C2SP signed-note, "Signature types").
const TYPE_ED25519: u8 = 0x01;

/// The first member that breaks its grammar, if any.
pub(super) fn check(content: &CardContent) -> Result<(), CardError> {
    let own = format!("{}/{}/", content.host, content.country);
    let is_own_log = |key: &LogKey| is_verifier_key(key, &own) == Some(TYPE_ED25519);
    let rules = [
        (content.v == 1, "format is not 1"),
        (is_name(&content.name), "name is empty, too long or not printable"),
        (is_host(&content.host), "host is no lower-case host name"),
        (
            all(&content.endpoints, KEYS_MAX, |url| is_endpoint(url)),
            "endpoints are not one to eight https URLs",
        ),
        (are_authorities(content), "authorities are too many, named twice or of another state"),
        (
            all(&content.tls_anchors, KEYS_MAX, |der| is_certificate(der)),
            "TLS anchors are not one to eight certificates",
        ),
        (
            all(&content.signing_certificates, KEYS_MAX, |der| SigningCertificate::parse(der).is_some()),
            "signing certificates are not one to eight certificates with P-256, P-384 or Ed25519 keys",
        ),
        (
            all(&content.logs, KEYS_MAX, is_own_log),
            "log keys are not one to eight Ed25519 verifier keys under its own host and state",
        ),
        (
            is_verifier_key(&content.witness, &own).is_some(),
            "witness key is no verifier key under its own host and state",
        ),
        (
            content.schemas.len() <= LIST_MAX && content.schemas.iter().all(is_schema),
            "schemas are too many, or one has no type, version, id or digest",
        ),
        (content.version > 0, "version is not above zero"),
        (
            content.previous.as_ref().is_none_or(|digest| Digest::parse(digest).is_some()),
            "previous card is no SHA-256",
        ),
        (Instant::parse(&content.issued_at).is_some(), "time of issue is no instant"),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, fault)) => Err(CardError::Content(fault)),
    }
}

/// One to `most` items, each right.
fn all<T>(items: &[T], most: usize, right: impl Fn(&T) -> bool) -> bool {
    (1..=most).contains(&items.len()) && items.iter().all(right)
}

/// A name to show: no controls, and none of the directional formatting characters (UAX #9 §2) by
/// which a text could look like another.
fn is_name(text: &str) -> bool {
    let directional = |c: char| matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    !text.trim().is_empty()
        && text.chars().count() <= 120
        && !text.chars().any(|c| c.is_control() || directional(c))
}

/// A lower-case DNS name (RFC 1123 §2.1), short enough for the origin of a log entry.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 100 && text.split('.').all(label)
}

/// `https://host[:port][/path]` of at most 200 characters: no user, query or fragment (RFC 3986 §3).
fn is_endpoint(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://").filter(|_| url.len() <= 200) else {
        return false;
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (host_is_right, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => (false, ""),
        },
        None => {
            let (host, port) = authority.find(':').map_or((authority, ""), |at| authority.split_at(at));
            (is_host(&host.to_ascii_lowercase()), port)
        }
    };
    let port_is_right = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
        });
    // Unreserved characters (RFC 3986 §2.3) and slashes.
    let path_is_right =
        path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'.' | b'_' | b'~'));
    host_is_right && port_is_right && path_is_right
}

fn are_authorities(content: &CardContent) -> bool {
    let distinct: BTreeSet<_> = content.authorities.iter().collect();
    content.authorities.len() <= LIST_MAX
        && distinct.len() == content.authorities.len()
        && distinct.iter().all(|party| party.country() == content.country)
}

fn is_certificate(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty())
}

/// The signature type of a verifier key of 32 bytes (C2SP signed-note, "Verifier keys":
/// `<name>+<key id>+<base64 of type and key>`, the id being the first four bytes of
/// SHA-256(name ‖ 0x0A ‖ type ‖ key)) whose name is its origin, under `own`. None for anything else.
fn is_verifier_key(key: &LogKey, own: &str) -> Option<u8> {
    let name = &key.origin;
    let below = name.strip_prefix(own)?;
    let word = !below.is_empty() && below.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (key_id, base64) = key.key.strip_prefix(name.as_str())?.strip_prefix('+')?.split_once('+')?;
    let typed = STANDARD.decode(base64).ok().filter(|typed| typed.len() == 33)?;
    let hash = Digest::of(&[name.as_bytes(), b"\n", &typed].concat()).0;
    let expected = format!("{:08x}", u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    (word && key_id == expected).then(|| typed.first().copied())?
}

fn is_schema(schema: &SchemaRef) -> bool {
    // The event's grammar of a type: lower-case words joined by dots.
    let words = schema.kind.contains('.')
        && schema.kind.split('.').all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()));
    words
        && schema.kind.len() <= 40
        && schema.version > 0
        && schema.id.starts_with("https://")
        && schema.id.len() <= 200
        && schema.id.bytes().all(|b| b.is_ascii_graphic())
        && Digest::parse(&schema.digest).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert!(is_host("gateway.iq.example") && is_host("localhost") && is_host("127.0.0.1"));
        for bad in ["", "Gateway.iq", "a..b", "-a.b", "a-.b", "a b", "gätewäy.iq", "a.", "*.iq", "a:1"] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn endpoints() {
        for good in [
            "https://gateway.iq.example",
            "https://gateway.iq.example:8443",
            "https://Gateway.iq.example:8443/silkgate/",
            "https://127.0.0.1:41001",
            "https://[2001:db8::1]:8443",
            "https://[::1]",
        ] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https://:8443",
            "http://gateway.iq.example",
            "HTTPS://gateway.iq.example",
            "https://user@gateway.iq.example",
            "https://gateway.iq.example:",
            "https://gateway.iq.example:0",
            "https://gateway.iq.example:65536",
            "https://gateway.iq.example:+443",
            "https://gateway.iq.example?x",
            "https://gateway.iq.example/#x",
            "https://gateway.iq.example/%2e",
            "https://gateway.iq.example\n",
            "https://[::1",
            "https://[::1]8443",
            "https://[localhost]",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }

    #[test]
    fn names() {
        for good in ["IQ/traffic-police", "الهيئة العامة للجمارك", "گومرکی سلێمانی", "Gümrük Müdürlüğü"]
        {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(121);
        for bad in ["", " ", "a\u{1b}[31m", "a\nb", "a\u{202e}b", "a\u{2066}b", "\u{200f}", &long] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
