//! What one without any key can do to a bundle: to its bytes, to the container, to the members.

use silkgate_evidence::container::{self, Members};

use super::Altered;

/// One bit of the file, at places spread over it.
pub(super) fn flips(bytes: &[u8], count: usize) -> Vec<Altered> {
    let step = (bytes.len() / count).max(1);
    let flip = |at: usize| {
        let mut altered = bytes.to_vec();
        altered[at] ^= 1 << (at % 8);
        Altered::new("one bit of the file", format!("at {at}"), altered)
    };
    (0..bytes.len()).step_by(step).map(flip).collect()
}

/// How a ZIP file may be written otherwise.
#[derive(Clone)]
struct Spelling {
    flags: u16,
    method: u16,
    time: u16,
    made_by: u16,
    attributes: u32,
    extra: &'static [u8],
    local_extra: &'static [u8],
    comment: &'static [u8],
    file_comment: &'static [u8],
    before: &'static [u8],
    between: &'static [u8],
    behind: &'static [u8],
    /// The directory's name or size of the first member.
    directory_lie: Option<(Vec<u8>, u32)>,
}

impl Default for Spelling {
    fn default() -> Self {
        Self {
            flags: 0,
            method: 0,
            time: 0,
            made_by: 3 << 8 | 20,
            attributes: 0o600 << 16,
            extra: b"",
            local_extra: b"",
            comment: b"",
            file_comment: b"",
            before: b"",
            between: b"",
            behind: b"",
            directory_lie: None,
        }
    }
}

/// Members in the order in which they are written.
type List = Vec<(String, Vec<u8>)>;

fn write(members: &[(String, Vec<u8>)], how: &Spelling) -> Vec<u8> {
    let mut out = how.before.to_vec();
    let mut directory = Vec::new();
    for (n, (name, data)) in members.iter().enumerate() {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let (name, length) = (name.as_bytes(), u32::try_from(data.len()).unwrap());
        let about = |name: &[u8], length: u32, extra: &[u8]| {
            let sizes = [length.to_le_bytes(), length.to_le_bytes()].concat();
            let lengths = words(&[u16::try_from(name.len()).unwrap(), u16::try_from(extra.len()).unwrap()]);
            let crc = crc32(data).to_le_bytes().to_vec();
            [words(&[20, how.flags, how.method, how.time, 33]), crc, sizes, lengths].concat()
        };
        let offset = u32::try_from(out.len()).unwrap();
        out.extend(
            [b"PK\x03\x04", &about(name, length, how.local_extra)[..], name, how.local_extra, data].concat(),
        );
        let lie = how.directory_lie.as_ref().filter(|_| n == 0);
        let (name, length) = lie.map_or((name, length), |(name, length)| (name.as_slice(), *length));
        let comment = u16::try_from(how.comment.len()).unwrap();
        let rest =
            [words(&[comment, 0, 0]), how.attributes.to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()];
        directory
            .extend([b"PK\x01\x02", &words(&[how.made_by])[..], &about(name, length, how.extra)].concat());
        directory.extend([&rest.concat(), name, how.extra, how.comment].concat());
    }
    out.extend(how.between);
    let (size, offset) = (u32::try_from(directory.len()).unwrap(), u32::try_from(out.len()).unwrap());
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    out.extend(directory);
    out.extend(
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size.to_le_bytes(), &offset.to_le_bytes()].concat(),
    );
    out.extend(u16::try_from(how.file_comment.len()).unwrap().to_le_bytes());
    out.extend([how.file_comment, how.behind].concat());
    out
}

/// CRC-32 (ITU-T V.42), bit by bit.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (!(crc & 1)).wrapping_add(1)))
    })
}

/// The same members in another ZIP file.
pub(super) fn containers(bytes: &[u8]) -> Vec<Altered> {
    let members: Vec<(String, Vec<u8>)> = container::decode(bytes).unwrap().into_iter().collect();
    let plain = Spelling::default();
    assert!(write(&members, &plain) == bytes, "the writer of this test writes what we write");
    let mut all = Vec::new();
    let mut add =
        |name: &str, bytes: Vec<u8>| all.push(Altered::new("the container", name.to_owned(), bytes));
    let first = members[0].clone();
    for (name, how) in [
        ("a flag", Spelling { flags: 1 << 11, ..plain.clone() }),
        ("encrypted, it says", Spelling { flags: 1, ..plain.clone() }),
        ("deflated, it says", Spelling { method: 8, ..plain.clone() }),
        ("a time", Spelling { time: 1, ..plain.clone() }),
        ("made on another system", Spelling { made_by: 20, ..plain.clone() }),
        ("other permissions", Spelling { attributes: 0o755 << 16, ..plain.clone() }),
        ("extra field in the directory", Spelling { extra: b"\xff\xff\x02\0ab", ..plain.clone() }),
        ("extra field in the member", Spelling { local_extra: b"\xff\xff\x02\0ab", ..plain.clone() }),
        ("comment of a member", Spelling { comment: b"x", ..plain.clone() }),
        ("comment of the file", Spelling { file_comment: b"x", ..plain.clone() }),
        ("bytes before", Spelling { before: b"#!/bin/sh\n", ..plain.clone() }),
        ("bytes before the directory", Spelling { between: b"x", ..plain.clone() }),
        ("bytes behind", Spelling { behind: b"\0", ..plain.clone() }),
        ("a line end behind", Spelling { behind: b"\n", ..plain.clone() }),
        (
            "another name in the directory",
            Spelling { directory_lie: Some((b"cards/x".to_vec(), 1)), ..plain.clone() },
        ),
        (
            "another size in the directory",
            Spelling { directory_lie: Some((first.0.clone().into_bytes(), 1)), ..plain.clone() },
        ),
    ] {
        add(name, write(&members, &how));
    }
    let altered = |edit: &dyn Fn(&mut List)| {
        let mut members = members.clone();
        edit(&mut members);
        write(&members, &plain)
    };
    add("another order", altered(&|members| members.reverse()));
    add("two exchanged", altered(&|members| members.swap(0, 1)));
    add("a member twice", altered(&|members| members.insert(0, first.clone())));
    add(
        "a member twice, the other differs",
        altered(&|members| members.insert(0, (first.0.clone(), b"x".to_vec()))),
    );
    add("a member twice at the end", altered(&|members| members.push(first.clone())));
    for name in [
        "../index.html",
        "/index.html",
        "./index.html",
        "messages//0001",
        "a\\b",
        "index.html/",
        "C:",
        "é",
        "a b",
        "~",
    ] {
        add(
            &format!("a name such as {name}"),
            altered(&|members| members.push((name.to_owned(), Vec::new()))),
        );
    }
    add("a folder", altered(&|members| members.insert(0, ("cards/".to_owned(), Vec::new()))));
    add("no member", altered(&|members| members.clear()));
    add("two files one after the other", [bytes, bytes].concat());
    add("nothing", Vec::new());
    for part in 1..12 {
        add(&format!("cut to {part}/12"), bytes[..bytes.len() * part / 12].to_vec());
    }
    add("the last byte cut", bytes[..bytes.len() - 1].to_vec());
    all
}

/// Members changed by one who cannot sign the manifest.
pub(super) fn members(members: &Members) -> Vec<Altered> {
    let mut all = Vec::new();
    let mut add = |name: String, members: &Members| {
        all.push(Altered::new("a member, the manifest as it was", name, container::encode(members).unwrap()));
    };
    for (name, bytes) in members {
        for (how, edited) in [
            ("one bit", flip(bytes, bytes.len() / 2)),
            ("empty", Vec::new()),
            ("a line end", [bytes, &b"\n"[..]].concat()),
        ] {
            let mut altered = members.clone();
            altered.insert(name.clone(), edited);
            add(format!("{name}: {how}"), &altered);
        }
        let mut altered = members.clone();
        altered.remove(name);
        add(format!("{name}: dropped"), &altered);
        altered.insert(format!("{name}.old"), bytes.clone());
        add(format!("{name}: renamed"), &altered);
    }
    for name in ["README", "messages/0001/note.txt", "cards/x.card", "messages/0002/entry.receipt", "zz"] {
        let mut altered = members.clone();
        altered.insert(name.to_owned(), b"x".to_vec());
        add(format!("{name}: added"), &altered);
    }
    all
}

pub(super) fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut altered = bytes.to_vec();
    altered[at] ^= 1;
    altered
}
