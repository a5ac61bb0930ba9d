//! Inputs for the stable runs: changes of kept ones, the same for the same seed on every machine.

/// SplitMix64 (Steele, Lea and Flood 2014): small, and every seed is a good one.
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or_default()
    }

    fn one<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        of.get(self.below(of.len()))
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.below(length + 1);
        // Mostly short pieces.
        let most = [2, 8, 64, length][self.below(4)];
        from..(from + self.below(most + 1)).min(length)
    }
}

/// Bytes that parsers mind.
const MINDED: &[u8] = b"\0\n\r\t \"\\'{}[],:;=+-./<?#\x7f\x80\xff09azAZ";
/// No input grows beyond this: what is large is slow, and finds nothing more.
const LENGTH_MAX: usize = 64 << 10;

/// One kept input, changed in one to eight places.
pub fn mutated(corpus: &[Vec<u8>], words: &[&str], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = chance.one(corpus).cloned().unwrap_or_default();
    for _ in 0..=chance.below(8) {
        change(&mut bytes, corpus, words, chance);
        bytes.truncate(LENGTH_MAX);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str], chance: &mut Chance) {
    let at = chance.below(bytes.len());
    match chance.below(11) {
        // A bit, a byte, one that parsers mind.
        0 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << chance.below(8)),
        1 => bytes
            .get_mut(at)
            .into_iter()
            .for_each(|byte| *byte = u8::try_from(chance.below(256)).unwrap_or(0)),
        2 => {
            let byte = chance.one(MINDED).copied().unwrap_or_default();
            bytes.get_mut(at).into_iter().for_each(|place| *place = byte);
        }
        // A piece out, doubled, moved, or the end cut off.
        3 => drop(bytes.drain(chance.range(bytes.len()))),
        4 => {
            let piece = bytes[chance.range(bytes.len())].to_vec();
            let times = [1, 1, 2, 40][chance.below(4)];
            bytes.splice(at..at, piece.repeat(times));
        }
        5 => {
            let piece: Vec<u8> = bytes.drain(chance.range(bytes.len())).collect();
            let at = chance.below(bytes.len() + 1);
            bytes.splice(at..at, piece);
        }
        6 => bytes.truncate(at),
        // A word of the format in, or in the place of a piece.
        7 | 8 => {
            let word = chance.one(words).copied().unwrap_or_default().bytes();
            let range = if chance.below(2) == 0 { at..at } else { chance.range(bytes.len()) };
            bytes.splice(range, word.collect::<Vec<_>>());
        }
        // A piece of another kept input.
        9 => {
            let other = chance.one(corpus).cloned().unwrap_or_default();
            let piece = other[chance.range(other.len())].to_vec();
            let range = chance.range(bytes.len());
            bytes.splice(range, piece);
        }
        // Another number in the place of one.
        _ => {
            let digits = |b: &u8| b.is_ascii_digit();
            let from = bytes.iter().skip(at).position(digits).map_or(at, |found| at + found);
            let length = bytes.iter().skip(from).take_while(|b| digits(b)).count();
            const NUMBERS: [&str; 10] = [
                "0",
                "1",
                "-1",
                "00",
                "255",
                "256",
                "9007199254740992",
                "18446744073709551616",
                "1e9",
                "0.1",
            ];
            bytes.splice(from..from + length, NUMBERS[chance.below(10)].bytes());
        }
    }
}
