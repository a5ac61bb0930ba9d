//! Two operators: one proposes, another one approves.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::super::line;
use super::states::Pair;

/// What Iraq's operator wants to change.
const CHANGE: [&str; 6] =
    ["partner", "allow", "JO", "--type=manifest.cargo", "--purpose=revenue-collection", "--send"];

/// Iraq asks for four eyes, and then one of its operators cannot change an agreement alone.
pub(super) async fn four_eyes(pair: &Pair) -> Result<()> {
    let iq = &pair.iq;
    line("\nFour eyes: one of Iraq's operators proposes to change the agreement, another one approves it:")?;
    iq.silkgate(&["client", "add", "operator", "samira"]).await?;
    let file = iq.home.path().join("silkgate.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replacen("four_eyes = false", "four_eyes = true", 1))?;
    let by = |who: &'static str| [&CHANGE[..], &["--as", who, "--json"]].concat();
    if iq.silkgate(&CHANGE).await.is_ok() {
        bail!("an agreement was changed by nobody");
    }
    let proposed: Value = serde_json::from_str(&iq.silkgate(&by("operator")).await?)?;
    let id = proposed["proposed"].as_str().context("nothing was proposed")?.to_owned();
    line("  proposed  by operator; nothing is changed yet")?;
    if iq.silkgate(&["approve", &id, "--as", "operator"]).await.is_ok() {
        bail!("whoever proposed it approved it too");
    }
    line("  refused   operator cannot approve what operator proposed")?;
    iq.silkgate(&["approve", &id, "--as", "operator-samira"]).await?;
    let agreement = iq.silkgate(&["partner", "show", "JO", "--agreement"]).await?;
    if !agreement.contains("revenue-collection") {
        bail!("what was approved was not done");
    }
    line("  approved  by samira: the agreement holds revenue-collection, and the house log both certificates")
}
