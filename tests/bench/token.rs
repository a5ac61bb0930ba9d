//! What keys in a token cost a gateway that takes messages: the same load on two gateways, the one with its keys in files, the other with them in
//! SoftHSM2, which computes beside the gateway on the same processors. Networked hardware computes elsewhere, and is further away.

use anyhow::{Result, ensure};
use support::Pair;
use support::token::Tokens;

use crate::load::{self, Shape};
use crate::{ROUND, print_rows};

const SHAPES: [(&str, Shape); 2] = [
    ("1 connection", Shape { connections: 1, streams: 1, h2: false }),
    ("64 connections", Shape { connections: 64, streams: 1, h2: false }),
];

/// Measures and prints.
pub fn run(rounds: usize, as_json: bool) -> Result<()> {
    let mut files = Pair::set_up_files(None);
    let mut token = Pair::set_up_files(None);
    let tokens = Tokens::new(token.folder.path());
    tokens.connect(&mut token.jo);
    let names = ["message", "log", "witness", "tls"];
    let hand_over = || {
        let (card, fingerprint) = token.jo.card();
        token.iq.ok(&["partner", "add", &card.to_string_lossy(), "--fingerprint", &fingerprint]);
    };
    for step in ["new", "use", "retire"] {
        for name in names {
            let mut args = vec!["key", step, name];
            // Two log keys would sign twice.
            args.extend(match step {
                "new" => Some("--token"),
                "retire" => Some("--stolen"),
                _ => None,
            });
            token.jo.ok(&args);
        }
        hand_over();
    }
    files.jo.start();
    token.jo.start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows: Vec<(String, Vec<load::Round>)> = Vec::new();
    for (place, _) in [("files", ()), ("SoftHSM2", ())] {
        rows.extend(SHAPES.iter().map(|(name, _)| (format!("{name}, {place}"), Vec::new())));
    }
    // In turns, so that a slow minute of the machine meets all. The first round warms up.
    for round in 0..=rounds {
        for (at, pair) in [&files, &token].into_iter().enumerate() {
            for (n, (_, shape)) in SHAPES.iter().enumerate() {
                let bodies = load::sign_bodies(pair, shape.bodies(ROUND));
                let done = runtime.block_on(load::round(pair, *shape, bodies, ROUND))?;
                ensure!(done.refused == 0, "{} messages were refused: {}", done.refused, done.first_refusal);
                if round > 0 {
                    rows[at * SHAPES.len() + n].1.push(done);
                }
            }
        }
        eprintln!("round {round} of {rounds}");
    }
    print_rows(&rows, as_json);
    Ok(())
}
