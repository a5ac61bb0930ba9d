//! What to check: files, folders, patterns and standard input, as documents one after another.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::judge::Document;

/// The longest document, in bytes: more than any agreement lets through.
const DOCUMENT_MAX: usize = 16 << 20;
/// Folders within one another, at most.
const DEPTH_MAX: usize = 32;

/// One place to read from.
pub(super) enum Input {
    File(PathBuf),
    Standard,
}

/// Every file that the arguments name, in order.
pub(super) fn expand(arguments: &[String]) -> Vec<Result<Input>> {
    let mut inputs = Vec::new();
    for argument in arguments {
        let path = Path::new(argument);
        if argument == "-" {
            inputs.push(Ok(Input::Standard));
        } else if path.is_dir() {
            let before = inputs.len();
            folder(path, 0, &mut inputs);
            if inputs.len() == before {
                let what = "the folder holds no .json, .jsonl, .ndjson or .jws file";
                inputs.push(Err(anyhow!("{argument}: {what}")));
            }
        } else if path.exists() || !argument.contains(['*', '?', '[']) {
            inputs.push(Ok(Input::File(path.to_owned())));
        } else {
            pattern(argument, &mut inputs);
        }
    }
    inputs
}

fn pattern(pattern: &str, inputs: &mut Vec<Result<Input>>) {
    let before = inputs.len();
    match glob::glob(pattern) {
        Ok(paths) => {
            inputs.extend(paths.filter(|path| path.as_ref().map_or(true, |p| p.is_file())).map(|path| {
                path.map(Input::File).map_err(|error| anyhow!("{}: {error}", error.path().display()))
            }))
        }
        Err(error) => inputs.push(Err(anyhow!("{pattern}: {error}"))),
    }
    if inputs.len() == before {
        inputs.push(Err(anyhow!("{pattern}: no file has such a name")));
    }
}

fn folder(path: &Path, depth: usize, inputs: &mut Vec<Result<Input>>) {
    let listed = std::fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries = match listed {
        Ok(entries) => entries,
        Err(error) => return inputs.push(Err(anyhow!("{}: {error}", path.display()))),
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link is not followed: it could lead round in a circle.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => folder(&path, depth + 1, inputs),
            Ok(kind) if kind.is_file() && has_ending(&path, &["json", "jsonl", "ndjson", "jws"]) => {
                inputs.push(Ok(Input::File(path)));
            }
            _ => {}
        }
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
}

impl Input {
    /// Its documents, read as they are asked for.
    pub(super) fn documents(self, lines: bool) -> Result<Documents> {
        let (file, reader, lines): (_, Box<dyn BufRead>, _) = match self {
            Input::Standard => ("-".to_owned(), Box::new(BufReader::new(std::io::stdin())), lines),
            Input::File(path) => {
                let name = path.display().to_string();
                let opened = File::open(&path).with_context(|| name.clone())?;
                if opened.metadata().with_context(|| name.clone())?.is_dir() {
                    bail!("{name}: is a folder");
                }
                let lines = lines || has_ending(&path, &["jsonl", "ndjson"]);
                (name, Box::new(BufReader::with_capacity(1 << 16, opened)), lines)
            }
        };
        let form = if lines { Form::Lines } else { Form::Unknown };
        Ok(Documents { file, reader, form, line: 0 })
    }
}

#[derive(PartialEq)]
enum Form {
    /// Nothing was read yet.
    Unknown,
    /// A message in each line.
    Lines,
    /// Everything was read.
    Ended,
}

/// The documents of one input. No more than one is in memory.
pub(super) struct Documents {
    file: String,
    reader: Box<dyn BufRead>,
    form: Form,
    line: usize,
}

impl Iterator for Documents {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = match self.form {
            Form::Ended => return None,
            Form::Lines => self.next_line(),
            Form::Unknown => self.first(),
        };
        if !matches!(read, Ok(Some(_))) {
            self.form = Form::Ended;
        }
        read.map_err(|error| error.context(self.file.clone())).transpose()
    }
}

impl Documents {
    /// A first line that is a whole value, with more behind it, begins a file of lines.
    fn first(&mut self) -> Result<Option<Document>> {
        let mut bytes = Vec::new();
        self.line_into(&mut bytes)?;
        let whole =
            !bytes.trim_ascii().is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        if whole && self.has_more()? {
            self.form = Form::Lines;
            self.line = 1;
            return Ok(Some(self.document(bytes, 0, true)));
        }
        self.form = Form::Ended;
        let limit = (DOCUMENT_MAX - bytes.len().min(DOCUMENT_MAX) + 1) as u64;
        (&mut self.reader).take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > DOCUMENT_MAX {
            bail!("a message has at most {} MiB", DOCUMENT_MAX >> 20);
        }
        Ok(Some(self.document(bytes, 0, false)))
    }

    fn next_line(&mut self) -> Result<Option<Document>> {
        loop {
            let mut bytes = Vec::new();
            if self.line_into(&mut bytes)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !bytes.trim_ascii().is_empty() {
                return Ok(Some(self.document(bytes, self.line - 1, true)));
            }
        }
    }

    fn document(&self, bytes: Vec<u8>, lines_before: usize, is_line: bool) -> Document {
        Document { file: self.file.clone(), lines_before, is_line, bytes }
    }

    fn line_into(&mut self, bytes: &mut Vec<u8>) -> Result<usize> {
        let limit = DOCUMENT_MAX as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', bytes)?;
        if read > DOCUMENT_MAX {
            bail!("line {}: a message has at most {} MiB", self.line + 1, DOCUMENT_MAX >> 20);
        }
        Ok(read)
    }

    /// Whether anything but white space follows in what is read already, or at all.
    fn has_more(&mut self) -> Result<bool> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            if !buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
            let length = buffer.len();
            self.reader.consume(length);
        }
    }
}
