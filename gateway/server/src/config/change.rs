//! Changing a configuration by a program: one setting, and everything else as it was.

use std::path::Path;

use super::{Config, Home, Place};

impl Place {
    /// As a setting, without a password.
    pub fn without_password(&self) -> String {
        let Place::Server(url) = self else { return self.to_string() };
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (user, server) =
            rest.rsplit_once('@').map_or((None, rest), |(user, server)| (Some(user), server));
        let user = user.map(|user| user.split(':').next().unwrap_or_default().to_owned() + "@");
        let kept =
            query.iter().flat_map(|query| query.split('&')).filter(|part| !part.starts_with("password="));
        let kept = kept.collect::<Vec<_>>().join("&");
        let mark = if kept.is_empty() { "" } else { "?" };
        format!("{scheme}://{}{server}{mark}{kept}", user.unwrap_or_default())
    }
}

impl Config {
    /// The text of a configuration with one top-level setting changed, and everything else as it was.
    pub fn with_setting(text: &str, name: &str, value: &str) -> Result<String, String> {
        let table = |text: &str| toml::from_str::<toml::Table>(text).map_err(|error| error.to_string());
        let mut wanted = table(text)?;
        wanted.insert(name.to_owned(), toml::Value::String(value.to_owned()));
        let setting = format!("{name} = {}", toml::Value::String(value.to_owned()));
        let top = text.lines().take_while(|line| !line.trim_start().starts_with('['));
        let stated = |line: &&str| line.split('=').next().is_some_and(|key| key.trim() == name);
        let changed = match top.clone().find(stated) {
            Some(line) => text.replacen(line, &setting, 1),
            // A default that is left out goes before the first table.
            None => {
                let at: usize = top.map(|line| line.len() + 1).sum();
                let (top, rest) = text.split_at_checked(at).unwrap_or((text, ""));
                let end = if top.is_empty() || top.ends_with('\n') { "" } else { "\n" };
                format!("{top}{end}{setting}\n{rest}")
            }
        };
        // The line may have been found inside a text of several lines: what counts is what is read.
        if table(&changed)? == wanted {
            Ok(changed)
        } else {
            Err(format!("`{name}` cannot be changed by a program in this file: change it by hand"))
        }
    }
}

impl Home {
    /// Puts another configuration in the place of this one, at one stroke. It keeps its mode; where it names a server, whose
    /// password may stand there, nobody else may read it.
    pub fn replace_config(&self, text: &str, names_server: bool) -> std::io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let file = self.config_file();
        let found = std::fs::metadata(&file)?;
        let mode = if names_server { 0o600 } else { found.permissions().mode() & 0o777 };
        let new = self.0.join("silkgate.toml.new");
        let _ = std::fs::remove_file(&new);
        let mut written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        written.write_all(text.as_bytes())?;
        own_like(&new, &found)?;
        written.set_permissions(std::fs::Permissions::from_mode(mode))?;
        written.sync_all()?;
        std::fs::rename(&new, &file)?;
        std::fs::File::open(&self.0)?.sync_all()
    }
}

/// Gives a new file the owner of what it takes the place of: an operator may be root, the gateway is not.
pub fn own_like(new: &Path, former: &std::fs::Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let found = std::fs::metadata(new)?;
    if (found.uid(), found.gid()) == (former.uid(), former.gid()) {
        return Ok(());
    }
    chown(new, Some(former.uid()), Some(former.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_setting_changes_and_nothing_else() {
        let url = "postgres://silkgate:a\"b@db.example/iq";
        let text =
            "# database = \"old\"\nparty = \"IQ/a\"\ndatabase = \"silkgate.db\" # here\n[x]\ndatabase = 1\n";
        let changed = Config::with_setting(text, "database", url).unwrap();
        let read: toml::Table = toml::from_str(&changed).unwrap();
        assert_eq!(read["database"].as_str(), Some(url));
        assert_eq!((read["x"]["database"].as_integer(), changed.lines().count()), (Some(1), 5));
        let added = Config::with_setting("party = \"IQ/a\"\n[x]\na = 1\n", "key_store", "k.db").unwrap();
        assert_eq!(added, "party = \"IQ/a\"\nkey_store = \"k.db\"\n[x]\na = 1\n");
        assert!(Config::with_setting("party = \"IQ/a\"", "database", "a.db").is_ok());
    }
}
