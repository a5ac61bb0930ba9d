//! Two neighbours witness each other's logs (C2SP tlog-witness): `serve` cosigns what a partner shows of
//! its logs, `show` shows ours and keeps the cosignatures, `guard` holds our logs against what partners have
//! seen of them, on the line, and `carried` by what a courier brings. What was cosigned can be rewritten by nobody: not by us, not by who restores an old backup.

mod carried;
mod guard;
mod serve;
mod show;

pub use carried::hear;
pub use serve::{add_checkpoint, cosigned, newest};
pub use show::run;

use ring::digest::{SHA256, digest};

/// Who may be shown what: a partner shows its log of our channel, and its house log.
const NOTE_MAX_BYTES: usize = 64 << 10;

/// The name of a log in a path: SHA-256 of its origin in hexadecimal (C2SP tlog-witness).
pub fn origin_hash(origin: &str) -> String {
    digest(&SHA256, origin.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
