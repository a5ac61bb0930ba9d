//! `silkgate demo`: two states, two gateways, every kind of exchange, and the proof of it.
//!
//! Both gateways are child processes of this very binary with homes of their own, set up by the same
//! commands that a ministry would type. What is printed is read back from the other side.

mod answers;
mod operators;
mod proxy;
mod states;
mod story;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{Cx, Found, line, stop_signal};
use crate::clock;
use states::Pair;

/// How to run it.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate demo\n  silkgate demo --keep --dir /tmp/silkgate-demo\n\nExit codes: 0 everything was exchanged \
                        and verified, 1 something did not verify, 2 the demo could not run."
)]
pub(crate) struct Args {
    /// Leave both gateways running until interrupted.
    #[arg(long)]
    keep: bool,
    /// Put both homes under this folder instead of a fresh temporary one.
    #[arg(long = "dir", id = "demo_dir", value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the demo.
pub(crate) async fn run(_: &Cx, args: Args) -> Result<Found> {
    let folder = match &args.dir {
        Some(folder) => folder.clone(),
        None => {
            let [a, b, c, d] = clock::random();
            std::env::temp_dir().join(format!("silkgate-demo-{a:02x}{b:02x}{c:02x}{d:02x}"))
        }
    };
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let folder = folder.canonicalize()?;
    // What was started by then is killed with the future that holds it.
    let mut pair = tokio::select! {
        pair = Pair::set_up(&folder) => pair?,
        () = stop_signal() => anyhow::bail!("interrupted"),
    };
    // Interrupted or failed: the gateways end with the demo.
    let told = tokio::select! {
        told = story::tell(&mut pair) => told,
        () = stop_signal() => Err(anyhow::anyhow!("interrupted")),
    };
    let found = match told {
        Ok(found) => found,
        Err(error) => {
            pair.stop().await;
            return Err(error.context(format!("the gateways' logs are under {}", folder.display())));
        }
    };
    let links = if args.keep { pair.links().await? } else { Vec::new() };
    line(&pair.how_to_go_on(args.keep, &links))?;
    if args.keep {
        stop_signal().await;
    }
    pair.stop().await;
    Ok(found)
}
