//! A key in a token is destroyed once nothing signs with it any more.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use super::super::{Cx, Found};
use super::{Name, destroyed, remove};
use crate::keys::{self, TokenKey, Uri, staged};

/// How long the gateway may take to let go of a key whose file is away.
const WITHIN: Duration = Duration::from_secs(30);

/// Destroys what keys/NAME.retired.key names. The file goes last: until then the command can be repeated.
pub(super) async fn run(cx: &Cx, name: Name) -> Result<Found> {
    let retired = staged(name.as_str(), "retired");
    let uri = keys::in_token(&cx.home, &retired)?;
    let uri = uri.ok_or_else(|| anyhow!("{}: names no key in a token", cx.home.key(&retired).display()))?;
    if names_it(cx, &uri)? > 1 {
        bail!("{}: another key file names the same key, so it stays: {uri}", cx.home.key(&retired).display());
    }
    let look = async {
        while is_held(cx, &uri) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(WITHIN, look).await.is_err() {
        bail!(
            "the running gateway still holds the key, which is not destroyed: its log tells why. Then repeat the command"
        );
    }
    let destroy =
        || if TokenKey::is_absent(&cx.home, &uri)? { Ok(()) } else { TokenKey::destroy(&cx.home, &uri) };
    destroy()
        .context("the key is out of use, but not destroyed: repeat the command when its token is reached")?;
    remove(&cx.home.key(&retired))?;
    destroyed(cx, name)
}

/// Whether a gateway that serves this home may still sign with it.
fn is_held(cx: &Cx, uri: &Uri) -> bool {
    let lock = fs::File::open(cx.home.path().join("silkgate.lock"));
    let is_running = lock.is_ok_and(|file| file.try_lock().is_err());
    let held = fs::read_to_string(keys::held_file(&cx.home));
    // A gateway that has not said yet what it holds may hold it.
    is_running && held.map_or(true, |text| text.lines().any(|line| line == uri.to_string()))
}

/// How many key files of the home name this key.
fn names_it(cx: &Cx, uri: &Uri) -> Result<usize> {
    let folder = cx.home.path().join("keys");
    let mut count = 0;
    for file in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".key"));
        let Some(name) = name else { continue };
        count += usize::from(keys::in_token(&cx.home, name)?.as_ref() == Some(uri));
    }
    Ok(count)
}
