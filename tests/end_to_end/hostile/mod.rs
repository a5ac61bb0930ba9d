//! Hostile inputs over the line: malformed JSON, nesting bombs, numbers of every form, and strings in every
//! field. Each gets the answer that the protocol gives it, and the gateway goes on.

mod json;
mod strings;

use serde_json::{Value, json};
use silkgate_message::instant::Instant;
use silkgate_message::jws::SigningKey;
use support::home::set;
use support::{Answer, Client, Pair, event, now_ms, sign};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

/// Jordan's gateway, and Iraq as whoever may speak for it.
struct Stage {
    pair: Pair,
    client: Client,
    key: SigningKey,
}

impl Stage {
    fn begin() -> Self {
        let mut pair = Pair::set_up(None);
        pair.jo.ok(&["partner", "allow", "IQ", "--rate", "50000"]);
        set(&pair.jo, "handshakes_per_second", "100000");
        pair.jo.start();
        let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
        Self { pair, client, key }
    }

    fn header(&self) -> String {
        json!({ "alg": "ES256", "typ": "jose+json", "cty": "cloudevents+json", "iat": now_ms() / 1000,
                "x5t#S256": self.key.thumbprint().to_string() })
        .to_string()
    }

    /// Signs these bytes as the payload, whatever they are.
    fn payload(&self, payload: &[u8]) -> Vec<u8> {
        self.key.sign(payload, Instant(now_ms())).unwrap()
    }

    fn send(&self, body: &[u8]) -> Answer {
        self.client.message(body)
    }

    /// The gateway is as it was: it takes a sound message, its store is sound, and its lines are clean.
    fn is_well(&self) {
        assert_eq!(self.send(&sign(&self.key, &event(IQ, JO)).bytes).status, 200);
        assert!(self.pair.jo.audit().is_empty());
        let log = self.pair.jo.gateway_log();
        assert!(!log.contains("panicked"), "{log}");
        let dirty = log.lines().find(|line| line.chars().any(|c| c.is_control() || is_invisible(c)));
        assert_eq!(dirty, None, "a line with a character that could deceive who reads it");
    }
}

/// Characters that show nothing or turn the direction of others: no text of a message may hold one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200d}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What is wrong with some answers; nothing, where all are as they must be.
fn none_wrong(found: Vec<Option<String>>) {
    let count = found.len();
    let wrong: Vec<String> = found.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

fn corpus(name: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_ascii());
    serde_json::from_str(&text).unwrap()
}
