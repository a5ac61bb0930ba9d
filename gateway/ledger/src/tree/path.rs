//! Tile resources by path: `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]` (C2SP tlog-tiles).

use std::fmt;
use std::str::FromStr;

use super::{TILE_WIDTH, TileId};
use crate::parse_decimal;

/// Highest tile level a path may name (C2SP tlog-tiles).
const LEVEL_MAX: u64 = 63;

/// A tile of hashes or a bundle of entries, with its width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TilePath {
    /// `tile/<L>/<N>[.p/<W>]`
    Hashes {
        /// Level and index.
        id: TileId,
        /// Hashes in it, 1 to 256.
        width: u16,
    },
    /// `tile/entries/<N>[.p/<W>]`
    Entries {
        /// Position, as of the level-0 tile that holds the entries' leaf hashes.
        index: u64,
        /// Entries in it, 1 to 256.
        width: u16,
    },
}

/// The text is not the one form of a tile path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path of C2SP tlog-tiles, such as tile/0/x001/x234/067.p/8")]
pub struct TilePathError;

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Hashes { id, width } => {
                write!(f, "tile/{}/", id.level)?;
                (id.index, *width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (*index, *width)
            }
        };
        // Groups of three digits, all but the last marked with an x; 20 digits make at most 7.
        let digits = index.to_string();
        let digits = format!("{}{digits}", ["", "00", "0"][digits.len() % 3]);
        for (at, digit) in digits.chars().enumerate() {
            let last_group = at + 3 >= digits.len();
            match at % 3 {
                0 if at > 0 && last_group => write!(f, "/{digit}")?,
                0 if at > 0 => write!(f, "/x{digit}")?,
                0 if !last_group => write!(f, "x{digit}")?,
                _ => write!(f, "{digit}")?,
            }
        }
        if width == TILE_WIDTH { Ok(()) } else { write!(f, ".p/{width}") }
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        let rest = text.strip_prefix("tile/").ok_or(TilePathError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TilePathError)?;
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, parse_width(width).ok_or(TilePathError)?),
            None => (rest, TILE_WIDTH),
        };
        let index = parse_index(groups).ok_or(TilePathError)?;
        let path = if kind == "entries" {
            Self::Entries { index, width }
        } else {
            let level = parse_decimal(kind).filter(|level| *level <= LEVEL_MAX).ok_or(TilePathError)?;
            let level = u8::try_from(level).map_err(|_| TilePathError)?;
            Self::Hashes { id: TileId { level, index }, width }
        };
        // Surplus zero groups (`x000/001`) are another spelling of the same tile: refuse them.
        if path.to_string() == text { Ok(path) } else { Err(TilePathError) }
    }
}

/// The width of a partial tile, 1 to 255.
fn parse_width(text: &str) -> Option<u16> {
    let width = u16::try_from(parse_decimal(text)?).ok()?;
    (1..TILE_WIDTH).contains(&width).then_some(width)
}

/// `x001/x234/067` as 1234067.
fn parse_index(groups: &str) -> Option<u64> {
    let mut index = 0_u64;
    for group in groups.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(level: u8, index: u64, width: u16) -> TilePath {
        TilePath::Hashes { id: TileId { level, index }, width }
    }

    #[test]
    fn writes_and_reads_the_paths_of_the_specification() {
        for (text, path) in [
            ("tile/0/x001/x234/067", hashes(0, 1_234_067, 256)), // the example of C2SP tlog-tiles
            ("tile/0/000", hashes(0, 0, 256)),
            ("tile/63/999.p/255", hashes(63, 999, 255)),
            ("tile/1/x001/000.p/1", hashes(1, 1000, 1)),
            ("tile/entries/x123/456.p/7", TilePath::Entries { index: 123_456, width: 7 }),
            ("tile/0/x018/x446/x744/x073/x709/x551/615", hashes(0, u64::MAX, 256)),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse(), Ok(path));
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/0/0001",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x000/001",
            "tile/00/001",
            "tile/64/001",
            "tile/-1/001",
            "tile/+1/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/001.p/",
            "tile/0/001.p",
            "tile/0/001/",
            "/tile/0/001",
            "tile/0/+01",
            "tile/0/xx01",
            "tile/data/001",
            "tile/8/0/001",
            "tile/0/001.p/1/",
            "tile/0/00١",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert!(bad.parse::<TilePath>().is_err(), "{bad}");
        }
    }
}
