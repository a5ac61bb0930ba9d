//! The container: a ZIP file (PKWARE APPNOTE 6.3) in the one spelling that we write.
//!
//! Members are stored, not compressed, in ascending order of their names, all of one date, without extra
//! fields and comments. The reader takes the members and demands that writing them again gives the same
//! bytes. So no bit of the file can change unseen, and a program that reads the central directory sees
//! what a program sees that reads the local headers.

use std::collections::BTreeMap;

/// Most members of a bundle.
pub const MEMBERS_MAX: usize = 20_000;
/// The largest bundle, in bytes.
pub const BUNDLE_MAX_BYTES: usize = 64 << 20;
/// The longest name of a member, in bytes.
const NAME_MAX_BYTES: usize = 200;

/// The members by name.
pub type Members = BTreeMap<String, Vec<u8>>;

/// The first four bytes of a ZIP file, by which a bundle is told from a receipt.
pub const MAGIC: [u8; 4] = LOCAL;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const LOCAL_BYTES: usize = 30;
/// "Version needed to extract" 2.0: folders.
const VERSION: u16 = 20;
/// "Version made by": 2.0 on Unix, where the attributes are permissions.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// Extracted files are their owner's alone: messages hold personal data.
const ATTRIBUTES: u32 = 0o600 << 16;
/// 1980-01-01 in MS-DOS form; the time is 0.
const DATE: u16 = 1 << 5 | 1;

/// Why bytes are no container, or members fit in none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// Larger than [`BUNDLE_MAX_BYTES`].
    #[error("a bundle has at most {BUNDLE_MAX_BYTES} bytes")]
    TooLarge,
    /// None, or more than [`MEMBERS_MAX`].
    #[error("a bundle has 1 to {MEMBERS_MAX} members")]
    Count,
    /// A name that is no plain relative path.
    #[error("the name of a member is no plain path of letters, digits, dots, hyphens and underscores")]
    Name,
    /// The bytes end within a member.
    #[error("the file ends within a member")]
    Cut,
    /// Not the one spelling: another order, date, method, a comment, bytes before, between or behind, or
    /// a checksum, size or directory that does not fit.
    #[error("the file is not the one spelling of its members: it was altered, or another program wrote it")]
    Spelling,
}

/// The bytes of a bundle with these members.
pub fn encode(members: &Members) -> Result<Vec<u8>, ContainerError> {
    if members.is_empty() || members.len() > MEMBERS_MAX {
        return Err(ContainerError::Count);
    }
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, data) in members {
        if !is_name(name) {
            return Err(ContainerError::Name);
        }
        // Sizes and offsets have 32 bits; the limit lies far below.
        if out.len() + data.len() > BUNDLE_MAX_BYTES {
            return Err(ContainerError::TooLarge);
        }
        let offset = number(out.len())?;
        let about = about(name, data)?;
        out.extend_from_slice(&LOCAL);
        out.extend_from_slice(&about);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(data);
        directory.extend_from_slice(&CENTRAL);
        directory.extend_from_slice(&MADE_BY.to_le_bytes());
        directory.extend_from_slice(&about);
        // No comment, disk 0, no internal attributes.
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let count = u16::try_from(members.len()).map_err(|_| ContainerError::Count)?.to_le_bytes();
    let (size, offset) = (number(directory.len())?, number(out.len())?);
    out.append(&mut directory);
    out.extend_from_slice(&END);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[count, count].concat());
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    if out.len() > BUNDLE_MAX_BYTES { Err(ContainerError::TooLarge) } else { Ok(out) }
}

/// What local header and directory say alike of a member: APPNOTE 4.3.7, from "version needed" on.
fn about(name: &str, data: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let size = number(data.len())?.to_le_bytes();
    let length = u16::try_from(name.len()).map_err(|_| ContainerError::Name)?;
    let mut about = Vec::with_capacity(LOCAL_BYTES - 4);
    // Version, no flags, stored, time 0, date.
    for word in [VERSION, 0, 0, 0, DATE] {
        about.extend_from_slice(&word.to_le_bytes());
    }
    about.extend_from_slice(&crc32fast::hash(data).to_le_bytes());
    about.extend_from_slice(&size);
    about.extend_from_slice(&size);
    about.extend_from_slice(&length.to_le_bytes());
    // No extra field.
    about.extend_from_slice(&[0; 2]);
    Ok(about)
}

/// The members of a bundle.
pub fn decode(bytes: &[u8]) -> Result<Members, ContainerError> {
    if bytes.len() > BUNDLE_MAX_BYTES {
        return Err(ContainerError::TooLarge);
    }
    let mut members = Members::new();
    let mut rest = bytes;
    while rest.starts_with(&LOCAL) {
        let (head, behind) = rest.split_at_checked(LOCAL_BYTES).ok_or(ContainerError::Cut)?;
        let word = |at: usize| head.get(at..at + 2).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes);
        let size = head.get(18..22).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let size = size.and_then(|size| usize::try_from(size).ok()).ok_or(ContainerError::Cut)?;
        let length = word(26).map(usize::from).ok_or(ContainerError::Cut)?;
        let (name, behind) = behind.split_at_checked(length).ok_or(ContainerError::Cut)?;
        let (data, behind) = behind.split_at_checked(size).ok_or(ContainerError::Cut)?;
        let name = std::str::from_utf8(name).map_err(|_| ContainerError::Name)?;
        if members.len() == MEMBERS_MAX {
            return Err(ContainerError::Count);
        }
        members.insert(name.to_owned(), data.to_vec());
        rest = behind;
    }
    if encode(&members)? == bytes { Ok(members) } else { Err(ContainerError::Spelling) }
}

fn number(size: usize) -> Result<u32, ContainerError> {
    u32::try_from(size).map_err(|_| ContainerError::TooLarge)
}

/// A relative path that means the same on every system: no empty part, no `.` and no `..`.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    name.len() <= NAME_MAX_BYTES && name.split('/').all(part)
}
