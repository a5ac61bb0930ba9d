//! The command line.
//!
//! Exit codes of every command: 0 done, or nothing found wrong; 1 what was asked about is wrong
//! (violations, a failed verification, a refused message); 2 the command could not do its work.

mod admin;
mod agreement;
mod approval;
mod audit;
mod backend;
mod card;
mod carry;
mod check;
mod client;
mod clients;
mod convert;
mod courier;
mod crl;
mod dead;
mod demo;
mod desk;
mod erase;
mod evidence;
mod init;
mod key;
mod log;
mod logging;
mod open;
mod partner;
mod probe;
mod ready;
mod reconcile;
mod schema;
pub(crate) mod serve;
mod show;
mod status;
mod submit;
mod verify;
mod verify_timestamp;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Parser, Subcommand};
use serde::Serialize;
use silkgate_message::instant::Instant;
use time::UtcOffset;

use crate::config::Home;

const EXAMPLES: &str = "\
A first message, on each side:
  silkgate -d iq init IQ/traffic-police --host gateway.iq.example
  silkgate -d iq card > iq.card                      (and read the fingerprint to the neighbour over the telephone)
  silkgate -d iq partner add jo.card --fingerprint XXXX-XXXX-…
  silkgate -d iq serve
  silkgate -d iq submit alert.json --to JO/public-security

See it all at once:
  silkgate demo

Exit codes: 0 done; 1 what was asked about is wrong (violations, failed verification, refused); 2 could not do it.";

/// A gateway between two states: validates, signs, logs and exchanges messages over mutual TLS.
#[derive(Parser)]
#[command(name = "silkgate", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    /// The gateway's home folder.
    #[arg(
        short = 'd',
        long = "home",
        global = true,
        value_name = "DIR",
        default_value = ".",
        env = "SILKGATE_HOME"
    )]
    home: PathBuf,
    /// Print JSON for a program to read.
    #[arg(long, global = true)]
    json: bool,
    /// The operator who gives the command, where two are needed: a name under clients/, or a certificate whose key lies beside it.
    #[arg(long = "as", global = true, value_name = "NAME|FILE")]
    operator: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a gateway's home: keys, certificates, configuration, database.
    Init(init::Args),
    /// Print this gateway's card, to be handed to partners, and its fingerprint.
    Card(card::Args),
    /// Add, list, test, allow, suspend or remove partners.
    #[command(subcommand)]
    Partner(partner::Partner),
    /// Issue client certificates for back ends.
    #[command(subcommand)]
    Backend(backend::Backend),
    /// Register operators, auditors and data-protection officers on the national plane, or take any certificate off it.
    #[command(subcommand)]
    Client(clients::Clients),
    /// Let a new signing, log or witness key follow the one in use.
    #[command(subcommand)]
    Key(key::Key),
    /// Run the gateway.
    Serve(serve::Args),
    /// Submit an event to one or more parties, and wait for the outcome.
    Submit(submit::Args),
    /// Check events against schema and rules; no gateway needed.
    Check(check::Args),
    /// Convert passenger lists (UN/EDIFACT PAXLST) to messages, and back.
    #[command(subcommand)]
    Convert(convert::Convert),
    /// Look at the message types: schemas, rules, examples.
    #[command(subcommand)]
    Schema(schema::Schema),
    /// Verify a receipt or an evidence bundle offline; no gateway and no database needed.
    Verify(verify::Args),
    /// Write what proves a message into one file, for a judge.
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Audit the whole store.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Hold our messages against the log that a partner keeps of the same channel.
    Reconcile(reconcile::Args),
    /// Show the logs in readable lines.
    Log(log::Args),
    /// Show a message's whole life.
    Show(show::Args),
    /// List, explain, retry or drop what was given up.
    #[command(subcommand)]
    Dead(dead::Dead),
    /// List, approve or refuse what another operator proposed.
    Approve(approval::Args),
    /// Erase a message's payload at once.
    Erase(erase::Args),
    /// Carry messages and receipts by hand while the line is down.
    #[command(subcommand)]
    Courier(courier::Courier),
    /// Carry a stopped gateway's state from one kind of database to the other.
    Move(carry::moving::Args),
    /// Back the state up into one file, beside a running gateway.
    Backup(carry::backup::Args),
    /// Put a backup in force, and ask the partners what they have seen since.
    Restore(carry::restore::Args),
    /// Tell what this version of the program would do to a home, and do it behind a backup.
    Upgrade(carry::upgrade::Args),
    /// Make a link that opens the pages in a browser on this machine.
    Open(open::Args),
    /// Ask the running gateway whether it can take messages, and what is missing.
    Ready(ready::Args),
    /// Show how the gateway stands.
    Status(status::Args),
    /// Show two states exchanging messages, start to end.
    Demo(demo::Args),
}

/// What every command gets.
pub(crate) struct Cx {
    home: Home,
    json: bool,
    /// Who gives the command.
    operator: Option<String>,
    /// By whose approval it is done.
    approved: Option<approval::Approved>,
}

impl Cx {
    /// Prints `value` as JSON, or the text.
    fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string(value)? } else { text() };
        line(&text)
    }
}

/// Writes to standard output; a reader that went away (`| head`) ends the command quietly.
fn line(text: &str) -> anyhow::Result<()> {
    if cfg!(test) {
        // The tests' harness would not keep it apart from its own lines.
        return Ok(());
    }
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// What a command found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing wrong.
    Good,
    /// What was asked about is wrong.
    Wrong,
}

/// Parses the command line, runs the command and gives its exit code.
pub(crate) fn run() -> ExitCode {
    let _ = LOCAL.set(UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC));
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("silkgate: {error}");
            return ExitCode::from(2);
        }
    };
    let done = runtime.block_on(command(cli));
    // Connections that a pool is still making at this moment are nobody's any more: the process does not wait for them.
    runtime.shutdown_background();
    match done {
        Ok(Found::Good) => ExitCode::SUCCESS,
        Ok(Found::Wrong) => ExitCode::from(1),
        Err(error) => {
            eprintln!("silkgate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs a command for the tests.
#[cfg(test)]
pub(crate) async fn run_line(line: &[&str]) -> anyhow::Result<Found> {
    command(Cli::try_parse_from(std::iter::once(&"silkgate").chain(line))?).await
}

async fn command(cli: Cli) -> anyhow::Result<Found> {
    let cx = Cx { home: Home::new(cli.home), json: cli.json, operator: cli.operator, approved: None };
    match cli.command {
        Command::Init(args) => init::run(&cx, args).await,
        Command::Card(args) => card::run(&cx, args).await,
        Command::Partner(command) => partner::run(&cx, command).await,
        Command::Backend(command) => backend::run(&cx, command).await,
        Command::Client(command) => clients::run(&cx, command).await,
        Command::Key(command) => key::run(&cx, command).await,
        Command::Serve(args) => serve::run(&cx, args).await,
        Command::Submit(args) => submit::run(&cx, args).await,
        Command::Check(args) => check::run(&cx, args),
        Command::Convert(command) => convert::run(&cx, command),
        Command::Schema(command) => schema::run(&cx, command),
        Command::Verify(args) => verify::run(&cx, &args),
        Command::Evidence(command) => evidence::run(&cx, command).await,
        Command::Audit(command) => audit::run(&cx, command).await,
        Command::Reconcile(args) => reconcile::run(&cx, args).await,
        Command::Log(args) => log::run(&cx, args).await,
        Command::Show(args) => show::run(&cx, args).await,
        Command::Dead(command) => dead::run(&cx, command).await,
        Command::Approve(args) => approval::run(&cx, args).await,
        Command::Erase(args) => erase::run(&cx, args).await,
        Command::Courier(command) => courier::run(&cx, command).await,
        Command::Move(args) => carry::moving::run(&cx, args).await,
        Command::Backup(args) => carry::backup::run(&cx, args).await,
        Command::Restore(args) => carry::restore::run(&cx, args).await,
        Command::Upgrade(args) => carry::upgrade::run(&cx, args).await,
        Command::Open(args) => open::run(&cx, args).await,
        Command::Ready(args) => ready::run(&cx, args).await,
        Command::Status(args) => status::run(&cx, args).await,
        Command::Demo(args) => demo::run(&cx, args).await,
    }
}

/// The local offset, read before the first thread starts: later the operating system's answer could
/// not be trusted (its reader shares the environment with every thread).
static LOCAL: OnceLock<UtcOffset> = OnceLock::new();

/// An instant for a reader: UTC, and local time beside it where that differs.
fn both_times(at: Instant) -> String {
    let offset = LOCAL.get().copied().unwrap_or(UtcOffset::UTC);
    if offset == UtcOffset::UTC {
        return at.to_string();
    }
    let local = at.to_offset(offset);
    let (hours, minutes, _) = offset.as_hms();
    let sign = if offset.is_negative() { '-' } else { '+' };
    format!(
        "{at} (local {:02}:{:02}:{:02} {sign}{:02}:{:02})",
        local.hour(),
        local.minute(),
        local.second(),
        hours.abs(),
        minutes.abs()
    )
}

/// Resolves on SIGINT or SIGTERM; both are caught from this call on, not only once it is awaited.
fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        match signals {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            _ => drop(tokio::signal::ctrl_c().await),
        }
    }
}

/// Whether standard output is a terminal: colour only there.
fn colourful() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
