//! Two states set up by command, and their running gateways.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::super::client::Client;
use super::proxy::Proxy;
use crate::clock;
use crate::config::{Config, Home};
use crate::keys::{self, Identity};

/// How long a gateway may take to come up.
const START: Duration = Duration::from_secs(20);

/// One state.
pub(super) struct State {
    /// ISO 3166-1 alpha-2.
    pub(super) country: &'static str,
    /// Its name in the story.
    pub(super) name: &'static str,
    /// Its home.
    pub(super) home: Home,
    /// Its configuration.
    pub(super) config: Config,
    gateway: Child,
}

/// Both states, and the line between them.
pub(super) struct Pair {
    pub(super) folder: PathBuf,
    pub(super) iq: State,
    pub(super) jo: State,
    /// All that IQ sends to JO passes here.
    pub(super) proxy: Proxy,
}

/// What to make of a state.
struct Plan {
    country: &'static str,
    name: &'static str,
    folder: &'static str,
    party: &'static str,
    second_back_end: &'static str,
    partner_port: u16,
    national_port: u16,
    pages_port: u16,
}

impl Pair {
    /// Makes both homes, exchanges the cards and starts both gateways.
    pub(super) async fn set_up(folder: &Path) -> Result<Self> {
        // Held until each is needed: nobody else can take them meanwhile.
        let [iq_partner_held, iq_national_held, iq_pages_held] = free_ports()?;
        let [jo_partner_held, jo_national_held, jo_pages_held, proxy_held] = free_ports()?;
        let port = |held: &TcpListener| Ok::<_, anyhow::Error>(held.local_addr()?.port());
        let (iq_partner, iq_national) = (port(&iq_partner_held)?, port(&iq_national_held)?);
        let (jo_partner, jo_national) = (port(&jo_partner_held)?, port(&jo_national_held)?);
        let iq = Plan {
            country: "IQ",
            name: "Iraq",
            folder: "iq",
            party: "IQ/traffic-police",
            second_back_end: "IQ/general-customs-authority",
            partner_port: iq_partner,
            national_port: iq_national,
            pages_port: port(&iq_pages_held)?,
        };
        let jo = Plan {
            country: "JO",
            name: "Jordan",
            folder: "jo",
            party: "JO/public-security",
            second_back_end: "JO/customs-department",
            partner_port: jo_partner,
            national_port: jo_national,
            pages_port: port(&jo_pages_held)?,
        };
        let mut cards = Vec::new();
        for plan in [&iq, &jo] {
            cards.push(plan.init(folder).await?);
        }
        let via = format!("127.0.0.1:{}", port(&proxy_held)?);
        iq.add_partner(folder, "JO", &cards[1], Some(&via)).await?;
        jo.add_partner(folder, "IQ", &cards[0], None).await?;
        let proxy = Proxy::start(proxy_held, &folder.join("iq"), &folder.join("jo"), jo_partner).await?;
        drop((iq_partner_held, iq_national_held, iq_pages_held));
        let iq = iq.start(folder).await?;
        drop((jo_partner_held, jo_national_held, jo_pages_held));
        let jo = jo.start(folder).await?;
        Ok(Self { folder: folder.to_owned(), iq, jo, proxy })
    }

    /// Links that open the pages of each state's auditor once.
    pub(super) async fn links(&self) -> Result<Vec<String>> {
        let mut links = Vec::new();
        for state in [&self.iq, &self.jo] {
            links.push(state.silkgate(&["open", "auditor-huda"]).await?.trim().to_owned());
        }
        Ok(links)
    }

    /// Ends both gateways.
    pub(super) async fn stop(&mut self) {
        for state in [&mut self.iq, &mut self.jo] {
            state.stop().await;
        }
    }

    /// Where things are, and what to try next; `links` open the pages.
    pub(super) fn how_to_go_on(&self, running: bool, links: &[String]) -> String {
        let folder = self.folder.display();
        let first = if running {
            "Both gateways are running; Ctrl-C ends them. By hand, in another terminal:"
        } else {
            "Both gateways have ended; their homes are kept. By hand:"
        };
        let mut lines = vec![
            String::new(),
            first.to_owned(),
            format!("  silkgate -d {folder}/jo log                  the ledger in readable lines"),
            format!("  silkgate -d {folder}/iq status               partners, logs, queues"),
            format!("  silkgate -d {folder}/jo audit verify         recompute everything"),
        ];
        for (link, name) in links.iter().zip([self.iq.name, self.jo.name]) {
            lines.push(format!("  {link}   what {name}'s auditor sees, in one browser"));
        }
        if running {
            lines
                .push(format!("  silkgate -d {folder}/jo open auditor-huda     another link to these pages"));
            lines.push(format!(
                "  silkgate -d {folder}/iq partner test JO      the way to Jordan, step by step"
            ));
            lines.push(format!(
                "  silkgate -d {folder}/iq submit {folder}/alert.json --to JO/public-security"
            ));
        } else {
            lines.push(format!("  silkgate -d {folder}/iq serve                run Iraq's gateway again"));
            lines.push(format!("  rm -r {folder}                               forget it all"));
        }
        lines.join("\n")
    }
}

impl Plan {
    async fn init(&self, folder: &Path) -> Result<PathBuf> {
        let home = folder.join(self.folder);
        let host = format!("gateway.{}.example", self.country.to_lowercase());
        let (partner, national) =
            (format!("127.0.0.1:{}", self.partner_port), format!("127.0.0.1:{}", self.national_port));
        let endpoint = format!("https://{partner}");
        silkgate(
            &home,
            &[
                "init",
                self.party,
                "--host",
                &host,
                "--listen",
                &partner,
                "--endpoint",
                &endpoint,
                "--national-listen",
                &national,
                "--pages-listen",
                &format!("127.0.0.1:{}", self.pages_port),
            ],
        )
        .await?;
        silkgate(&home, &["client", "add", "auditor", "huda"]).await?;
        silkgate(&home, &["backend", "add", self.second_back_end]).await?;
        let card = folder.join(format!("{}.card", self.folder));
        std::fs::write(&card, silkgate(&home, &["card"]).await?)?;
        Ok(card)
    }

    async fn add_partner(
        &self,
        folder: &Path,
        country: &str,
        card: &Path,
        connect: Option<&str>,
    ) -> Result<()> {
        let home = folder.join(self.folder);
        // In life, the fingerprint comes by telephone. Here the other state's own command prints it.
        let other = folder.join(country.to_lowercase());
        let said: Value = serde_json::from_str(&silkgate(&other, &["card", "--json"]).await?)?;
        let fingerprint = said["fingerprint"].as_str().unwrap_or_default();
        let card = card.to_string_lossy();
        let mut add = vec!["partner", "add", &card, "--fingerprint", fingerprint];
        add.extend(connect.map(|address| ["--connect", address]).into_iter().flatten());
        silkgate(&home, &add).await?;
        silkgate(&home, &["partner", "allow", country, "--status", "actual"]).await?;
        Ok(())
    }

    async fn start(&self, folder: &Path) -> Result<State> {
        let home = Home::new(folder.join(self.folder));
        let config = home.config()?;
        let log = std::fs::File::create(home.path().join("gateway.log"))?;
        let gateway = Command::new(std::env::current_exe()?)
            .arg("-d")
            .arg(home.path())
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut state = State { country: self.country, name: self.name, home, config, gateway };
        state.wait_until_up(self.party).await?;
        Ok(state)
    }
}

impl State {
    /// A client of this state's national plane, as the back end of `party`.
    pub(super) fn back_end(&self, party: &str) -> Result<Client> {
        let slug = party.split_once('/').map_or(party, |(_, slug)| slug);
        Client::back_end(&self.home, &self.config, slug)
    }

    /// A client of `other`'s partner plane with this state's own gateway certificate.
    pub(super) fn as_partner_of(&self, other: &State) -> Result<Client> {
        let identity = Identity::partner_plane(&self.home)?;
        let anchor = keys::one(&other.home.certificate("tls-ca"))?;
        Client::new(&[anchor], identity, &other.config.host, &other.config.partner_plane.listen.to_string())
    }

    /// Runs a command of the shipped binary on this home and gives what it prints.
    pub(super) async fn silkgate(&self, args: &[&str]) -> Result<String> {
        silkgate(self.home.path(), args).await
    }

    async fn wait_until_up(&mut self, party: &str) -> Result<()> {
        let client = self.back_end(party)?;
        let started = tokio::time::Instant::now();
        loop {
            if client.get("/v1/deliveries").await.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(ended) = self.gateway.try_wait()? {
                let log = std::fs::read_to_string(self.home.path().join("gateway.log")).unwrap_or_default();
                bail!("{}'s gateway ended at its start ({ended}):\n{log}", self.name);
            }
            if started.elapsed() > START {
                bail!("{}'s gateway did not come up within {} s", self.name, START.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(&mut self) {
        if let Some(id) = self.gateway.id() {
            let _ = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
        }
        if tokio::time::timeout(Duration::from_secs(15), self.gateway.wait()).await.is_err() {
            let _ = self.gateway.kill().await;
        }
    }
}

/// Runs this very binary on a home; what it printed, or an error with what it said.
async fn silkgate(home: &Path, args: &[&str]) -> Result<String> {
    let output =
        Command::new(std::env::current_exe()?).arg("-d").arg(home).args(args).stdin(Stdio::null()).output();
    let output = output.await.context("this binary cannot be started again")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(anyhow!("silkgate {}: {} {said}", args.join(" "), output.status));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Listeners on free ports below those that the system gives to outgoing connections.
fn free_ports<const N: usize>() -> Result<[TcpListener; N]> {
    let mut listeners = Vec::new();
    for _ in 0..1000 {
        if listeners.len() == N {
            break;
        }
        let port = 10_000 + u16::from_be_bytes(clock::random()) % 8_000;
        listeners.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    listeners.try_into().map_err(|_| anyhow!("no free ports between 10000 and 18000"))
}
