//! A gateway without its planes and tasks: what a command needs to judge messages and answers as the running one does, beside it
//! or with it stopped.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use silkgate_message::agreement::Direction;
use silkgate_message::party::Country;
use tokio::task::JoinHandle;

use super::{Cx, serve};
use crate::accept::Halted;
use crate::directory::Partner;
use crate::gateway::Gateway;
use crate::keys::Keys;
use crate::standing::Standing;
use crate::store::{Open, partner, witness};

/// The gateway's parts, and its committer at work.
pub(super) struct Desk {
    pub(super) gateway: Arc<Gateway>,
    commits: JoinHandle<Result<(), Halted>>,
}

impl Desk {
    /// Opens the home. Its own committer takes turns with that of a running gateway.
    pub(super) async fn open(cx: &Cx) -> Result<Self> {
        let config = cx.home.config()?;
        let standing = Arc::new(Standing::default());
        let keys = Keys::read(&cx.home, &config)?;
        let store = serve::open_store(cx, &config, Open::Existing, &standing).await?;
        let (gateway, committer) =
            serve::join(config, keys, store, standing, Some((&cx.home.stated(), false))).await?;
        let commits = {
            let gateway = gateway.clone();
            tokio::spawn(committer.run(move |changed| gateway.changed(&changed)))
        };
        Ok(Self { gateway, commits })
    }

    /// Reads the open alarms. As at a start, nothing is written to the channel before a partner that has cosigned our logs has given
    /// its word.
    ///
    /// How old the last cosignature is does not count here: what carries messages while the line is down must not stop for that.
    pub(super) async fn read_standing(&self, country: Country) -> Result<()> {
        let mut tx = self.gateway.store.read().await?;
        let known = witness::witnesses(&mut tx).await?;
        self.gateway
            .standing
            .await_word(known.iter().any(|known| known == country.as_str()).then_some(country));
        self.gateway.read_standing(&mut tx, self.gateway.standing.added()).await?;
        Ok(())
    }

    /// The partner, if there is one of that name.
    pub(super) fn partner(&self, country: Country) -> Option<Arc<Partner>> {
        let directory = self.gateway.directory();
        directory.partner(country).filter(|partner| partner.state != "removed").cloned()
    }

    /// Commits what waits, and has a running gateway look again.
    pub(super) async fn close(self) -> Result<()> {
        self.gateway.refusals.summarise(&self.gateway.accept).await;
        self.gateway.accept.close();
        self.commits.await.context("the committer died")??;
        let mut tx = self.gateway.store.write().await?;
        partner::touch(&mut tx).await?;
        tx.commit().await?;
        self.gateway.store.close().await;
        Ok(())
    }

    /// An error where what a command asks for is closed to the partner at present.
    pub(super) fn passes(&self, partner: &Partner) -> Result<()> {
        if !partner.is_active() {
            bail!(
                "{} is suspended; `silkgate partner allow {0} --resume` lets messages pass again",
                partner.country
            );
        }
        if let Some(reason) = self.gateway.standing.read_only() {
            bail!("{reason}");
        }
        match self.gateway.flow(partner, Direction::Send).reason() {
            Some(reason) => bail!("messages to {} are halted: {reason}", partner.country),
            None => Ok(()),
        }
    }
}
