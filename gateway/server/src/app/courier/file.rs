//! A courier's file: JSON Lines, one object with one member on each. Nothing in it is trusted but signatures.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read, Seek, SeekFrom};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use silkgate_message::instant::Instant;
use silkgate_message::json;
use silkgate_message::jws::Digest;
use silkgate_message::party::{Country, Party};

/// The edition of the format.
pub(super) const VERSION: u32 = 1;
/// The largest file.
pub(super) const FILE_MAX_BYTES: u64 = 1 << 30;
/// The longest line: a message of 10 MiB in base64url, and what stands around it.
pub(super) const LINE_MAX_BYTES: usize = 14 << 20;
/// Messages in one file, and answers.
pub(super) const ITEMS_MAX: u64 = 100_000;
/// Notes of what was cosigned: of two logs.
const NOTES_MAX: u64 = 2;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// The first one.
    Courier(Head),
    /// A checkpoint of a log of the recipient's, under its signature and the sender's cosignature: the newest that the sender cosigned.
    Witnessed(String),
    /// An answer to a message of the recipient's.
    Answer(Answer),
    /// A message, in base64url.
    Message(String),
    /// The last one: how much stands before it.
    End(Count),
}

/// Who writes to whom.
#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) v: u32,
    pub(super) from: Country,
    pub(super) to: Country,
    /// When it was written, for the reader: an instant.
    pub(super) at: String,
}

/// What the line would have answered.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// `source` of the message.
    pub(super) source: Party,
    /// Its `id`.
    pub(super) id: String,
    /// The HTTP status.
    pub(super) status: u16,
    /// Receipt or problem document, in base64url.
    pub(super) body: String,
}

/// How much a file holds.
#[derive(Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Count {
    pub(super) answers: u64,
    pub(super) messages: u64,
}

impl Line {
    /// As it stands in the file, with its line feed.
    pub(super) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Lines stand in this order; those of one place as often as there are any.
    fn place(&self) -> u8 {
        match self {
            Line::Courier(_) => 0,
            Line::Witnessed(_) => 1,
            Line::Answer(_) => 2,
            Line::Message(_) => 3,
            Line::End(_) => 4,
        }
    }
}

/// Why a file, or an answer in it, is refused. Messages are refused with the codes of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// Not of this format.
    Malformed,
    /// It ends before its end.
    Truncated,
    /// Larger than the limit.
    TooLarge,
    /// For another state.
    Foreign,
    /// From a state that is no partner.
    PartnerUnknown,
    /// Nothing may be written at present.
    Unavailable,
    /// The answer is to no message of ours.
    MessageUnknown,
    /// The answer proves nothing.
    AnswerUnproven,
    /// An earlier version of the record waits for its answer still.
    PredecessorWaits,
}

impl Refusal {
    /// The stable code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Refusal::Malformed => "courier_malformed",
            Refusal::Truncated => "courier_truncated",
            Refusal::TooLarge => "courier_too_large",
            Refusal::Foreign => "recipient_foreign",
            Refusal::PartnerUnknown => "partner_unknown",
            Refusal::Unavailable => "unavailable",
            Refusal::MessageUnknown => "message_unknown",
            Refusal::AnswerUnproven => "answer_unproven",
            Refusal::PredecessorWaits => "predecessor_waits",
        }
    }
}

/// A refusal with its reason. Text from the file does not enter it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) detail: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal.code(), self.detail)
    }
}

/// A refusal of what stands in that line.
pub(super) fn refused(refusal: Refusal, detail: impl Into<String>) -> Refused {
    Refused { refusal, detail: detail.into() }
}

/// A file whose form was checked from the first byte to the last.
pub(super) struct Survey {
    pub(super) head: Head,
    /// What the sender has cosigned of our logs.
    pub(super) witnessed: Vec<String>,
    /// SHA-256 of the file.
    pub(super) digest: Digest,
}

/// The lines of a file, one after another. Its form is checked; what the lines hold is not.
pub(super) struct Lines<R> {
    reader: std::io::Take<BufReader<R>>,
    hash: Context,
    place: u8,
    number: u64,
    notes: u64,
    count: Count,
}

/// Reading fails, or what was read is refused.
pub(super) enum Fault {
    Io(std::io::Error),
    Refused(Refused),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Fault::Io(error)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Fault::Refused(refused)
    }
}

impl<R: Read + Seek> Lines<R> {
    /// From the beginning of the file.
    pub(super) fn of(mut file: R) -> std::io::Result<Self> {
        file.rewind()?;
        Ok(Self {
            reader: BufReader::new(file).take(FILE_MAX_BYTES + 1),
            hash: Context::new(&SHA256),
            place: 0,
            number: 0,
            notes: 0,
            count: Count::default(),
        })
    }

    /// The next line and its number, from 1; None after the last.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Line)>, Fault> {
        let mut bytes = Vec::new();
        let limit = LINE_MAX_BYTES as u64 + 1;
        (&mut self.reader).take(limit).read_until(b'\n', &mut bytes)?;
        self.number += 1;
        let number = self.number;
        let malformed = |what: &str| refused(Refusal::Malformed, format!("line {number}: {what}"));
        if self.reader.limit() == 0 {
            return Err(too_large().into());
        }
        if self.place > 4 {
            let end =
                if bytes.is_empty() { Ok(None) } else { Err(malformed("something stands after the end")) };
            return end.map_err(Fault::from);
        }
        if bytes.first().is_some_and(|first| *first != b'{') {
            return Err(malformed("not a line of a courier's file").into());
        }
        if bytes.pop() != Some(b'\n') {
            let whole = bytes.len() >= LINE_MAX_BYTES;
            let refused = if whole { malformed("longer than any line") } else { truncated() };
            return Err(refused.into());
        }
        if bytes.last() != Some(&b'}') {
            return Err(malformed("not a line of a courier's file").into());
        }
        self.hash.update(&bytes);
        self.hash.update(b"\n");
        let line: Line = json::parse_closed(&bytes).map_err(|error| {
            malformed(&format!("not a line of a courier's file ({})", error.fault.code()))
        })?;
        self.take(&line).map_err(|what| malformed(&what))?;
        Ok(Some((number, line)))
    }

    /// SHA-256 of all that was read.
    pub(super) fn digest(self) -> Digest {
        Digest(self.hash.finish().as_ref().try_into().unwrap_or_default())
    }

    /// Holds a line against those before it.
    fn take(&mut self, line: &Line) -> Result<(), String> {
        let place = line.place();
        if place < self.place || (self.number == 1) != (place == 0) {
            return Err("it stands at the wrong place".to_owned());
        }
        // One first line, and one last.
        self.place = if matches!(line, Line::Courier(_) | Line::End(_)) { place + 1 } else { place };
        match line {
            Line::Courier(head) if head.v != VERSION => {
                return Err(format!(
                    "written by edition {} of the format; this program reads {VERSION}",
                    head.v
                ));
            }
            Line::Courier(head) if Instant::parse(&head.at).is_none() => {
                return Err("`at` is no instant".to_owned());
            }
            Line::End(said) if *said != self.count => {
                return Err("the end counts other lines than stand before it".to_owned());
            }
            Line::Courier(_) | Line::End(_) => {}
            Line::Witnessed(_) => self.notes += 1,
            Line::Answer(_) => self.count.answers += 1,
            Line::Message(_) => self.count.messages += 1,
        }
        let too_many =
            self.notes > NOTES_MAX || self.count.answers > ITEMS_MAX || self.count.messages > ITEMS_MAX;
        if too_many { Err("more lines of this kind than a file may hold".to_owned()) } else { Ok(()) }
    }
}

/// Reads a file from end to end without any effect.
pub(super) fn survey(mut file: impl Read + Seek) -> Result<Survey, Fault> {
    if file.seek(SeekFrom::End(0))? > FILE_MAX_BYTES {
        return Err(too_large().into());
    }
    let mut lines = Lines::of(file)?;
    let (mut head, mut witnessed) = (None, Vec::new());
    while let Some((_, line)) = lines.next()? {
        match line {
            Line::Courier(said) => head = Some(said),
            Line::Witnessed(note) => witnessed.push(note),
            Line::Answer(_) | Line::Message(_) | Line::End(_) => {}
        }
    }
    Ok(Survey { head: head.ok_or_else(truncated)?, witnessed, digest: lines.digest() })
}

fn too_large() -> Refused {
    refused(Refusal::TooLarge, format!("more than {FILE_MAX_BYTES} bytes"))
}

fn truncated() -> Refused {
    refused(Refusal::Truncated, "it ends before its end; carry it again")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const HEAD: &str = r#"{"courier":{"v":1,"from":"IQ","to":"JO","at":"2026-11-24T08:00:00Z"}}"#;
    const ANSWER: &str = r#"{"answer":{"source":"JO/x","id":"0","status":200,"body":""}}"#;
    const END: &str = r#"{"end":{"answers":1,"messages":1}}"#;

    fn survey_of(text: &str) -> Result<(), &'static str> {
        match survey(Cursor::new(text.as_bytes())) {
            Ok(survey) => {
                assert_eq!(survey.digest, Digest::of(text.as_bytes()));
                Ok(())
            }
            Err(Fault::Refused(refused)) => Err(refused.refusal.code()),
            Err(Fault::Io(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn one_order_one_beginning_one_end() {
        let (message, note) = (r#"{"message":"AA"}"#, r#"{"witnessed":"x"}"#);
        let whole = [HEAD, note, ANSWER, message, END].map(|line| format!("{line}\n"));
        assert_eq!(survey_of(&whole.concat()), Ok(()));
        for missing in [0, 2, 3, 4] {
            let mut lines = whole.to_vec();
            lines.remove(missing);
            assert!(survey_of(&lines.concat()).is_err(), "without line {missing}");
            let mut lines = whole.to_vec();
            lines.insert(missing, whole[missing].clone());
            assert_eq!(survey_of(&lines.concat()).err(), Some("courier_malformed"), "line {missing} twice");
        }
        for (one, other) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            let mut lines = whole.to_vec();
            lines.swap(one, other);
            assert_eq!(
                survey_of(&lines.concat()).err(),
                Some("courier_malformed"),
                "{one} and {other} swapped"
            );
        }
        assert_eq!(survey_of("\x7fELF").err(), Some("courier_malformed"));
        for text in ["", "\n", "garbage", "{}\n", "{\"end\":{\"answers\":0,\"messages\":0}}\n"] {
            assert!(survey_of(text).is_err(), "{text}");
        }
        for changed in [
            whole.concat().replace('\n', "\r\n"),
            format!(" {}", whole.concat()),
            whole.concat().replace(r#""v":1"#, r#""v":2"#),
            whole.concat().replace(r#""v":1"#, r#""v":1,"w":1"#),
            whole.concat().replace(r#""v":1"#, r#""v":1,"v":1"#),
            whole.concat().replace("2026-11-24T08:00:00Z", "yesterday"),
            format!("{}x\n", whole.concat()),
        ] {
            assert_eq!(survey_of(&changed).err(), Some("courier_malformed"), "{changed}");
        }
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_is_refused() {
        let whole = format!("{HEAD}\n{ANSWER}\n{}\n{END}\n", r#"{"message":"AA"}"#);
        for length in 0..whole.len() {
            assert_eq!(survey_of(&whole[..length]).err(), Some("courier_truncated"), "{length}");
        }
    }
}
