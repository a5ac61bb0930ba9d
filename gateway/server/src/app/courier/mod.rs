//! `silkgate courier`: messages and receipts carried by hand while the line is down.

mod export;
mod file;
mod import;

use anyhow::Result;

use super::{Cx, Found};

/// Carriage by hand.
#[derive(clap::Subcommand)]
pub(crate) enum Courier {
    /// Write what waits for a partner, and the answers that it waits for, into a file.
    #[command(after_help = "Example:\n  silkgate -d iq courier export JO to-jordan.courier\n\n\
                            The file holds every message that waits to be sent, and the answer to each that came by courier. Have it imported on the \
                            other side, and carry theirs back: it brings the receipts. Writing a file settles nothing, and may be repeated. A message that \
                            was in a file and expires without an answer is `unknown`: it may have arrived. What the file holds is signed, not encrypted.\n\n\
                            Works beside a running gateway and with the gateway stopped. See docs/operations/courier.md.\n\n\
                            Exit codes: 0 written, 1 nothing goes to this partner at present or something was left out, 2 it could not be written.")]
    Export(export::Args),
    /// Judge what a partner's file brings, as if it had come on the line.
    #[command(
        after_help = "Example:\n  silkgate -d jo courier import to-jordan.courier\n  silkgate -d jo courier export IQ to-iraq.courier      (the answers)\n\n\
                            Each message gets the checks, the verdict, the log entries and the receipt that it would get on the line; an answer settles a message \
                            of ours where its receipt proves it. The same file again, or the same messages on the line, change nothing. What is refused is named \
                            with its code and does not hold up the rest.\n\n\
                            Works beside a running gateway and with the gateway stopped. See docs/operations/courier.md.\n\n\
                            Exit codes: 0 everything was taken, 1 something was refused or must come again, 2 it could not be read."
    )]
    Import(import::Args),
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Courier) -> Result<Found> {
    match command {
        Courier::Export(args) => export::run(cx, args).await,
        Courier::Import(args) => import::run(cx, args).await,
    }
}
