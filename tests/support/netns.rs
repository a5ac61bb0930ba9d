//! A network namespace of a test's own, joined to the host by one line that can be cut, slowed down and made to lose packets.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The namespace and its line. Gone when it is dropped.
pub struct Network {
    name: String,
    /// The host's end of the line.
    host: String,
    /// The address inside.
    pub inside: String,
}

impl Network {
    /// A namespace with a loopback and one line: `10.213.A.1` outside, `10.213.A.2` inside.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = (std::process::id() + NUMBER.fetch_add(1, Ordering::SeqCst) * 7919) % 250;
        let name = format!("silkgate-{number}");
        let (host, inner) = (format!("sg{number}h"), format!("sg{number}i"));
        let network = Self { name, host, inside: format!("10.213.{number}.2") };
        network.host(&["ip", "netns", "add", &network.name]);
        network.host(&[
            "ip",
            "link",
            "add",
            &network.host,
            "type",
            "veth",
            "peer",
            "name",
            &inner,
            "netns",
            &network.name,
        ]);
        network.host(&["ip", "address", "add", &format!("10.213.{number}.1/30"), "dev", &network.host]);
        network.host(&["ip", "link", "set", &network.host, "up"]);
        network.inside(&["ip", "link", "set", "lo", "up"]);
        network.inside(&["ip", "address", "add", &format!("10.213.{number}.2/30"), "dev", &inner]);
        network.inside(&["ip", "link", "set", &inner, "up"]);
        network.inside(&["nft", "add", "table", "inet", "faults"]);
        network.inside(&[
            "nft",
            "add",
            "chain",
            "inet",
            "faults",
            "in",
            "{ type filter hook input priority 0 ; }",
        ]);
        network
    }

    /// What a program is started with to run inside.
    pub fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(ToOwned::to_owned).to_vec()
    }

    /// Cuts the line, or joins it again. Packets are dropped without a word, as by a router that died.
    pub fn cut(&self, cut: bool) {
        self.inside(&["nft", "flush", "chain", "inet", "faults", "in"]);
        if cut {
            self.drop_of("iifname != lo");
        }
    }

    /// Loses so many of a hundred packets that come in.
    pub fn lose(&self, percent: u32) {
        self.inside(&["nft", "flush", "chain", "inet", "faults", "in"]);
        if percent > 0 {
            self.drop_of(&format!("iifname != lo numgen random mod 100 < {percent}"));
        }
    }

    /// Lets so many bits a second out of the host's end.
    pub fn slow(&self, rate: &str) {
        self.host(&[
            "tc", "qdisc", "replace", "dev", &self.host, "root", "tbf", "rate", rate, "burst", "4kb",
            "latency", "2s",
        ]);
    }

    fn drop_of(&self, what: &str) {
        let rule = format!("{what} drop");
        let mut command = vec!["nft", "add", "rule", "inet", "faults", "in"];
        command.extend(rule.split(' '));
        self.inside(&command);
    }

    fn inside(&self, command: &[&str]) {
        let mut all = vec!["ip", "netns", "exec", &self.name];
        all.extend(command);
        self.host(&all);
    }

    fn host(&self, command: &[&str]) {
        let done = Command::new(command[0]).args(&command[1..]).output().expect("the tool starts");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{}: {said}", command.join(" "));
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // With the namespace goes its end of the line, and with that the host's.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}
