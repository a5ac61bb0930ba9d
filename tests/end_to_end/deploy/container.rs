//! The image and the two states of compose.yaml. No image is built here and no container runs: that needs a registry. What can be told
//! without one is.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::process::Command;

use support::binary;
use tempfile::TempDir;

use super::{file, run, text};

const IMAGE: &str = "deploy/container/Containerfile";

/// Whether a pattern with one `*` at most fits.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => pattern == name,
    }
}

#[test]
fn the_image_takes_files_that_a_release_has_and_the_archive_holds_what_is_installed() {
    // The packages of a small program, made in another folder: the repository's own stay.
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(file(".")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "target" {
            symlink(entry.path().canonicalize().unwrap(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let (packed, said) = run(Command::new(folder.path().join("deploy/package"))
        .env("SILKGATE_BINARY", "/bin/true")
        .env("SOURCE_DATE_EPOCH", "1795507200"));
    assert!(packed, "{said}");
    let out = folder.path().join("target/package");
    let names: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();

    let (_, architecture) = run(Command::new("dpkg").arg("--print-architecture"));
    let image = text(IMAGE).replace("${TARGETARCH}", architecture.trim());
    let copied = image.lines().find_map(|line| line.strip_prefix("COPY SHA256SUMS ")).unwrap();
    let copied = copied.split(' ').next().unwrap();
    assert_eq!(names.iter().filter(|name| fits(copied, name)).count(), 1, "{copied} of {names:?}");
    // deploy/release writes both beside each other.
    let release = text("deploy/release");
    assert!(release.contains("cp target/package/silkgate_* $out/") && release.contains("> SHA256SUMS"));

    let archive = names.iter().find(|name| fits(copied, name)).unwrap();
    let (_, held) = run(Command::new("tar").arg("-tzf").arg(out.join(archive)));
    let held: BTreeSet<&str> = held.lines().collect();
    assert_eq!(held, BTreeSet::from(["silkgate", "silkgate.service", "silkgate.sysusers"]));
    let package = names.iter().find(|name| name.ends_with(".deb")).unwrap();
    let (_, held) = run(Command::new("dpkg-deb").arg("--contents").arg(out.join(package)));
    for path in
        ["usr/bin/silkgate", "usr/lib/systemd/system/silkgate.service", "usr/lib/sysusers.d/silkgate.conf"]
    {
        assert!(held.lines().any(|line| line.ends_with(&format!("./{path}"))), "{path}: {held}");
    }
}

#[test]
fn the_image_has_each_library_that_the_binary_links() {
    // Of gcr.io/distroless/cc: glibc, libgcc and libstdc++.
    let base = [
        "linux-vdso.so.1",
        "libc.so.6",
        "libm.so.6",
        "libgcc_s.so.1",
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/ld-linux-aarch64.so.1",
    ];
    let (linked, said) = run(Command::new("ldd").arg(binary()));
    assert!(linked && said.contains("libc.so.6"), "{said}");
    for line in said.lines() {
        let library = line.split_whitespace().next().unwrap();
        assert!(base.contains(&library), "{library} is not in the image");
    }
}

#[test]
fn the_image_runs_as_nobody_in_particular_and_starts_the_gateway() {
    let image = text(IMAGE);
    let last = image.rsplit("\nFROM ").next().unwrap();
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(!user.starts_with("root") && !user.starts_with('0'), "{user}");
    assert!(last.contains(&format!("--chown={user} /tree/var/lib/ /var/lib/")), "the home is that user's");
    for line in
        ["ENV SILKGATE_HOME=/var/lib/silkgate", "ENTRYPOINT [\"/usr/bin/silkgate\"]", "CMD [\"serve\"]"]
    {
        assert!(last.lines().any(|there| there == line), "{line}");
    }
}

#[test]
fn two_states_are_set_up_by_the_script_and_a_message_passes() {
    let work = TempDir::new().unwrap();
    let (passed, said) = run(Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "bash"])
        .arg(file("tests/end_to_end/deploy/compose.sh"))
        .args([file("."), work.path().to_owned(), binary()]));
    assert!(passed, "{said}");
    for expected in [
        "JO has added IQ, for test messages",
        "JO/public-security: receipted",
        "IQ/traffic-police: there already",
        "IQ knows JO already",
        "the gateway's role: silkgate",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// Without a parser of YAML: the file is our own, and so is its form.
#[test]
fn every_container_is_bounded_and_only_the_loopback_is_published() {
    let compose = text("deploy/compose/compose.yaml");
    for kind in ["x-gateway: ", "x-database: ", "x-prometheus: "] {
        let block = compose.split(kind).nth(1).unwrap().split("\n\n").next().unwrap();
        for bound in ["read_only: true", "cap_drop: [\"ALL\"]", "no-new-privileges:true"] {
            assert!(block.contains(bound), "{kind}{bound}");
        }
    }
    let ports: Vec<&str> = compose.lines().filter(|line| line.trim().starts_with("ports: ")).collect();
    assert!(ports.len() == 4 && ports.iter().all(|line| line.contains("[\"127.0.0.1:")), "{ports:?}");
    // What it mounts of the repository is there.
    let mounts: Vec<&str> = compose.lines().filter_map(|line| line.trim().strip_prefix("- .")).collect();
    assert!(mounts.len() >= 10, "{mounts:?}");
    for mount in mounts {
        let path = format!("deploy/compose/.{}", mount.split(':').next().unwrap());
        assert!(file(&path).exists(), "{path}");
    }
    // Who is on the network between the states: the two gateways, each with a name that its card has.
    assert_eq!(compose.matches("border: { ipv4_address").count(), 2);
    assert!(compose.contains("border: { internal: true"));
}
