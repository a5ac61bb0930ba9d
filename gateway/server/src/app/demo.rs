//! demo
use super::{Cx, Found};
use anyhow::Result;
/// Demo.
#[derive(clap::Args)]
pub(crate) struct Args {}
/// Runs.
pub(crate) async fn run(_: &Cx, _: Args) -> Result<Found> {
    Ok(Found::Good)
}
