//! HTTP/2 frame by frame (RFC 9113 §4, §6), for what no library would send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustls::{ClientConnection, StreamOwned};

use crate::Client;

/// Kinds of frames, RFC 9113 §6.
pub mod kind {
    #![allow(missing_docs, reason = "the names of the standard")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Debug)]
pub struct Frame {
    /// Of [`kind`].
    pub kind: u8,
    /// Bits.
    pub flags: u8,
    /// 0: the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A connection after the preface.
pub struct Line {
    tls: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

impl Line {
    /// Connects; `settings` are pairs of identifier and value, RFC 9113 §6.5.2.
    pub fn open(client: &Client, settings: &[(u16, u32)]) -> Self {
        let mut line = Self { tls: client.connect().expect("a connection"), read: Vec::new() };
        assert_eq!(line.tls.conn.alpn_protocol(), Some(b"h2".as_slice()));
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        bytes.extend(frame(kind::SETTINGS, 0, 0, &payload));
        line.tls.write_all(&bytes).expect("the preface is sent");
        line
    }

    /// Sends; false once the server has ended the connection.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.tls.write_all(bytes).and_then(|()| self.tls.flush()).is_ok()
    }

    /// The next frame; None at the end of the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut buffer = [0; 16384];
        loop {
            if let [a, b, c, kind, flags, s @ ..] = self.read.as_slice()
                && let Some(stream) = s.first_chunk::<4>()
            {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                if self.read.len() >= 9 + length {
                    let (kind, flags, stream) = (*kind, *flags, u32::from_be_bytes(*stream));
                    let payload = self.read[9..9 + length].to_vec();
                    self.read.drain(..9 + length);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            match self.tls.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.read.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Reads to the end of the connection; how many frames came.
    pub fn to_the_end(&mut self) -> usize {
        std::iter::from_fn(|| self.frame()).count()
    }

    /// The body of the answer on a stream, or None where the connection or the stream ends without one.
    pub fn body(&mut self, stream: u32) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let frame = self.frame()?;
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::DATA => body.extend_from_slice(&frame.payload),
                kind::RST_STREAM => return None,
                _ => {}
            }
            if frame.flags & END_STREAM != 0 && matches!(frame.kind, kind::DATA | kind::HEADERS) {
                return Some(body);
            }
        }
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A request without a body; fields as literals that no table keeps (RFC 7541 §6.2.2).
pub fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &block(fields))
}

/// The same, whose body follows.
pub fn request_with_body(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS, stream, &block(fields))
}

/// The beginning of a request whose fields go on.
pub fn request_unended(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM, stream, &block(fields))
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A length with a prefix of seven bits, RFC 7541 §5.1.
fn integer(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        block.push(value as u8);
        return;
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push((value % 128) as u8 | 128);
        value /= 128;
    }
    block.push(value as u8);
}
