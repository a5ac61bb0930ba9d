//! Whether the answers are what they should be: receipts of the receiving gateway's log for the very
//! messages sent.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use silkgate_ledger::{Receipt, VerifierKey};
use silkgate_message::jws::Jws;
use support::Home;

/// Of so many answers one is verified with its signature and its proof.
const SAMPLE: usize = 64;

/// A message and the receipt it was answered with.
pub(crate) struct Answered {
    pub(crate) message: Bytes,
    pub(crate) receipt: Bytes,
}

/// The key of the receiving gateway's log, as the sender registered it.
pub(crate) fn log_key(sender: &Home, receiver: &Home) -> Result<VerifierKey> {
    let partner = sender.json(&["partner", "show", &receiver.country]);
    let key = partner["log"].as_str().context("the partner's log key")?;
    Ok(key.parse()?)
}

/// Every answer is a receipt with its own place in the log; a sample is verified. Gives the sample's size.
pub(crate) fn check(answered: &[Answered], key: &VerifierKey) -> Result<u64> {
    let mut places = HashSet::with_capacity(answered.len());
    let mut verified = 0;
    for (n, answer) in answered.iter().enumerate() {
        let receipt = Receipt::parse(&answer.receipt)?;
        ensure!(places.insert(receipt.proof().index), "two messages were given one place in the log");
        if n % SAMPLE == 0 {
            let proven = receipt.verify(std::slice::from_ref(key))?;
            let digest = Jws::parse(&answer.message).ok().map(|jws| jws.digest().0);
            let entered = proven.entry.jws.map(|hash| *hash.as_bytes());
            ensure!(entered.is_some() && entered == digest, "a receipt is for another message");
            verified += 1;
        }
    }
    Ok(verified)
}
