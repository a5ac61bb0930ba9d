//! What takes longer than a test may: drills and long runs of the shipped binary, counted and printed.

mod drill;

use anyhow::{Result, bail};
use serde_json::Value;

fn main() -> Result<()> {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let as_json = all.iter().any(|argument| argument == "--json");
    let args: Vec<&str> = all.iter().map(String::as_str).filter(|argument| *argument != "--json").collect();
    let number = |at: usize, default: usize| match args.get(at) {
        Some(text) => Ok(text.parse::<usize>()?),
        None => anyhow::Ok(default),
    };
    let report = match args.first() {
        Some(&"drill") => drill::run(number(1, 20)?)?,
        _ => bail!("which part? `drill [ROUNDS]`: restores an older backup under traffic, 20 times"),
    };
    print(&report, as_json);
    if report["passed"] == true { Ok(()) } else { bail!("the goal was missed") }
}

/// One object, or a line for each of its members.
fn print(report: &Value, as_json: bool) {
    if as_json {
        println!("{report}");
        return;
    }
    for (name, value) in report.as_object().into_iter().flatten() {
        println!("{:<34}{value}", name.replace('_', " "));
    }
}
