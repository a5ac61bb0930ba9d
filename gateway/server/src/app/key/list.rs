//! Which keys there are, where each lives, and whether it is reached.

use anyhow::Result;
use serde_json::json;
use silkgate_message::jws::Digest;

use super::super::{Cx, Found};
use super::{Name, public_digest};
use crate::keys::{self, Uri, staged};

/// A key of the home.
pub(in super::super) struct Row {
    name: Name,
    stage: &'static str,
    uri: Option<Uri>,
    digest: Result<Digest>,
}

impl Row {
    /// Whether it is in a token.
    pub(in super::super) fn is_in_token(&self) -> bool {
        self.uri.is_some()
    }

    /// For a program.
    pub(in super::super) fn json(&self) -> serde_json::Value {
        let mut row = json!({
            "key": self.name.as_str(), "stage": self.stage,
            "digest": self.digest.as_ref().ok().map(Digest::to_string),
            "where": if self.is_in_token() { "token" } else { "file" },
        });
        if let Some(uri) = &self.uri {
            row["uri"] = uri.to_string().into();
            row["reached"] = self.digest.is_ok().into();
        }
        if let Err(error) = &self.digest {
            row["why"] = format!("{error:#}").into();
        }
        row
    }

    /// For people.
    pub(in super::super) fn text(&self) -> String {
        let place =
            self.uri.as_ref().map_or_else(|| "file".to_owned(), |uri| format!("token `{}`", uri.token));
        let digest = match &self.digest {
            Ok(digest) => digest.to_string(),
            Err(error) => format!("NOT REACHED: {error:#}"),
        };
        format!("{:<8} {:<7} {digest} ({place})", self.name.as_str(), self.stage)
    }
}

/// Every key and what follows it.
pub(in super::super) fn rows(cx: &Cx) -> Result<Vec<Row>> {
    let config = cx.home.config()?;
    let mut rows = Vec::new();
    for name in Name::ALL {
        for (stage, is) in [("retired", "retired"), ("previous", "before"), ("", "in use"), ("next", "next")]
        {
            let file = staged(name.as_str(), stage);
            if !cx.home.key(&file).exists() {
                continue;
            }
            let uri = keys::in_token(&cx.home, &file)?;
            // A certificate would tell of its key also where the token is away.
            let reached = keys::reached(&cx.home, &file);
            let digest = reached.and_then(|()| public_digest(cx, &config, name, stage));
            // What a file holds is read or is an error; what a token holds can be away.
            let digest = if uri.is_some() { digest } else { Ok(digest?) };
            rows.push(Row { name, stage: is, uri, digest });
        }
    }
    Ok(rows)
}

/// Runs the command.
pub(super) fn run(cx: &Cx) -> Result<Found> {
    let rows = rows(cx)?;
    let report: Vec<_> = rows.iter().map(Row::json).collect();
    cx.print(&report, || rows.iter().map(Row::text).collect::<Vec<_>>().join("\n"))?;
    Ok(Found::Good)
}
