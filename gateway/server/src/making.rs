//! How far the files are that are made for whoever asked for them: of each certificate the newest one. Nothing is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;

/// Certificates whose files are remembered; more than a gateway has people. Beyond it those that have ended are forgotten.
const KNOWN_MAX: usize = 256;
/// Characters of a file's name that are kept.
const NAME_MAX: usize = 64;

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// So many messages were found that belong in it.
    Found(usize),
    /// So many entries of a log were read, of so many.
    Entries(u64, u64),
    /// So many messages are in it, of so many.
    Messages(usize, usize),
    /// So many messages were written, the last of them of that time.
    Written(u64, Option<Instant>),
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What whoever asked calls it.
    pub name: String,
    number: u64,
    /// How far it is.
    pub stage: Stage,
    /// Whether it was made whole; None: it is being made.
    pub end: Option<bool>,
}

/// The newest file of each certificate.
#[derive(Clone, Default)]
pub struct Making(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    newest: HashMap<Digest, File>,
    begun: u64,
}

/// Who makes a file tells here how far it is. Dropped before the file was whole, it was not made.
pub struct Told {
    making: Making,
    certificate: Digest,
    number: u64,
}

impl Making {
    /// A file of that name is begun for the holder of that certificate.
    pub fn begin(&self, certificate: Digest, name: &str) -> Told {
        let name = name.chars().take(NAME_MAX).collect();
        let mut known = self.lock();
        known.begun += 1;
        let number = known.begun;
        if known.newest.len() >= KNOWN_MAX {
            known.newest.retain(|_, file| file.end.is_none());
        }
        if known.newest.len() < KNOWN_MAX {
            known.newest.insert(certificate, File { name, number, stage: Stage::Found(0), end: None });
        }
        drop(known);
        Told { making: self.clone(), certificate, number }
    }

    /// The newest file of that certificate.
    pub fn newest(&self, certificate: &Digest) -> Option<File> {
        self.lock().newest.get(certificate).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// How far it is.
    pub fn tell(&self, stage: Stage) {
        self.change(|file| file.stage = stage);
    }

    /// It is whole.
    pub fn whole(self) {
        self.change(|file| file.end = Some(true));
    }

    fn change(&self, change: impl FnOnce(&mut File)) {
        let mut known = self.making.lock();
        // A newer one has taken its place, or it was never noted.
        if let Some(file) = known.newest.get_mut(&self.certificate).filter(|file| file.number == self.number)
        {
            change(file);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.change(|file| file.end = file.end.or(Some(false)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_file_of_a_certificate_is_told_to_its_end() {
        let making = Making::default();
        let of = |n: u8| Digest([n; 32]);
        let first = making.begin(of(1), "");
        let second = making.begin(of(1), "");
        let other = making.begin(of(2), "");
        first.tell(Stage::Entries(5, 9));
        second.tell(Stage::Messages(1, 3));
        drop(first);
        let file = making.newest(&of(1)).unwrap();
        assert_eq!((file.stage, file.end), (Stage::Messages(1, 3), None), "not the one before it");
        second.whole();
        assert_eq!(making.newest(&of(1)).unwrap().end, Some(true));
        drop(other);
        assert_eq!(making.newest(&of(2)).unwrap().end, Some(false), "given up");
        assert!(making.newest(&of(3)).is_none());
    }

    #[test]
    fn few_are_remembered() {
        let making = Making::default();
        let of = |n: usize| Digest([u8::try_from(n % 256).unwrap(); 32]);
        let all: Vec<_> = (0..KNOWN_MAX).map(|n| making.begin(of(n), "")).collect();
        let mut late = Digest([0; 32]);
        late.0[31] = 1;
        drop(making.begin(late, ""));
        assert!(making.newest(&late).is_none(), "no room: it is made all the same");
        drop(all);
        drop(making.begin(late, ""));
        assert!(making.newest(&late).is_some());
    }
}
