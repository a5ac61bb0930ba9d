//! A token of a test's own: SoftHSM2, with pkcs11-tool as the hand of an operator or of a thief.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Home;

/// Where Debian has it.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The tokens' PIN.
pub const PIN: &str = "73519462";

/// A place with tokens.
pub struct Tokens {
    folder: PathBuf,
}

impl Tokens {
    /// One token, `silkgate`.
    pub fn new(folder: &Path) -> Self {
        let tokens = Self { folder: folder.join("hsm") };
        fs::create_dir_all(tokens.folder.join("tokens")).expect("a folder for tokens");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.folder.join("tokens").display()
        );
        fs::write(tokens.config(), text).expect("the configuration is written");
        tokens.add("silkgate");
        tokens
    }

    /// One more.
    pub fn add(&self, label: &str) {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "08154711"])
            .env("SOFTHSM2_CONF", self.config())
            .output()
            .expect("softhsm2 is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn config(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    /// Has a home know of them, by the manual's own lines.
    pub fn connect(&self, home: &mut Home) {
        home.with_environment("SOFTHSM2_CONF", &self.config().to_string_lossy());
        let file = home.path.join("silkgate.toml");
        let text = fs::read_to_string(&file).expect("the configuration");
        let text = text.replace("\n#[token]", "\n[token]").replace("\n#module", "\nmodule");
        fs::write(&file, text).expect("the configuration is written");
        self.give_pin(home, PIN);
    }

    /// Puts a PIN into the home.
    pub fn give_pin(&self, home: &Home, pin: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let file = home.path.join("keys/token.pin");
        fs::write(&file, format!("{pin}\n")).expect("the PIN is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is private");
    }

    /// Pulls the plug.
    pub fn take_away(&self) {
        fs::rename(self.folder.join("tokens"), self.folder.join("away")).expect("they are there");
    }

    /// Puts it in again.
    pub fn bring_back(&self) {
        fs::rename(self.folder.join("away"), self.folder.join("tokens")).expect("they are away");
    }

    /// `pkcs11-tool`, logged in at a token.
    pub fn tool(&self, label: &str, args: &[&str]) -> Output {
        Command::new("pkcs11-tool")
            .args(["--module", MODULE, "--login", "--pin", PIN, "--token-label", label])
            .args(args)
            .env("SOFTHSM2_CONF", self.config())
            .output()
            .expect("opensc is installed")
    }

    /// The private keys of a token, as `pkcs11-tool` shows them, by their labels.
    pub fn private_keys(&self, label: &str) -> Vec<(String, String)> {
        let shown = self.tool(label, &["--list-objects", "--type", "privkey"]);
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        let keys = text.split("Private Key Object").skip(1).map(|key| {
            let name = key.lines().find_map(|line| line.trim().strip_prefix("label:"));
            (name.unwrap_or_default().trim().to_owned(), key.to_owned())
        });
        keys.collect()
    }
}
