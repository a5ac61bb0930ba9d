//! How far the file is that somebody asked for: a browser shows nothing of it before it comes.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::frame::Frame;
use super::page;
use crate::gateway::Gateway;
use crate::making::{File, Stage};
use crate::roles::NationalPeer;

/// What a page calls the file that is asked for, so that it is told of that one alone: others may be made in other windows, or by
/// another gateway.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Named {
    pub(super) file: String,
}

#[derive(Template)]
#[template(path = "making.html")]
struct Page {
    f: Frame,
    file: Option<File>,
    said: String,
}

/// `GET /making`: of whoever asks, the newest file. It says nothing of what is in it, so it is not recorded.
pub async fn making(
    State(gateway): State<Arc<Gateway>>,
    Extension(peer): Extension<NationalPeer>,
    f: Frame,
) -> Response {
    let file = gateway.making.newest(&peer.certificate);
    let said = match &file {
        Some(file) => said(&f, file),
        None => f.say("making-none"),
    };
    page(&Page { f, file, said })
}

fn said(f: &Frame, file: &File) -> String {
    let stage = match (file.stage, file.end) {
        (Stage::Found(count), None) => f.count("making-found", count),
        (Stage::Entries(done, of), None) => f.part("making-entries", done, of),
        (Stage::Messages(done, of), None) => f.part("making-messages", done, of),
        (Stage::Messages(count, _), Some(true)) => f.count("making-in-it", count),
        // A bundle that is not whole is none.
        (Stage::Found(_) | Stage::Entries(..) | Stage::Messages(..), Some(_)) => String::new(),
        (Stage::Written(count, back_to), end) => {
            let back_to = back_to.filter(|_| end.is_none());
            let back_to = back_to.map(|at| f.say_of("making-back-to", f.instant(&at))).unwrap_or_default();
            format!("{} {back_to}", f.count("making-in-it", count))
        }
    };
    let end = match file.end {
        None => f.say("making-under-way"),
        Some(true) => f.say("making-whole"),
        Some(false) => f.say("making-given-up"),
    };
    format!("{end} {stage}").trim_end().to_owned()
}
