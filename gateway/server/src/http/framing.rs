//! Strict HTTP/1.1 framing (RFC 9112) before any other reader sees the bytes.
//!
//! Where one request ends and the next begins is what two HTTP readers in a row can be made to see differently. Here
//! every form but the plainest is refused: line ends other than CRLF, folded lines, two lengths, a length beside chunks, chunk
//! extensions, trailers, targets other than a path, versions other than 1.1.

/// Bytes of a head, at most.
pub const HEAD_MAX: usize = 16 << 10;
/// Fields of a head, at most.
pub const FIELDS_MAX: usize = 64;

/// What is refused, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A head that is malformed: it is answered.
    Head(&'static str),
    /// A head or a field count beyond the bounds.
    TooLarge,
    /// A body whose chunks are malformed: where the next head would begin is unknown.
    Chunks(&'static str),
}

/// Where in the stream of requests we are.
#[derive(Debug)]
pub struct Framing(State);

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Body(u64),
    ChunkSize { size: u64, digits: u8 },
    ChunkSizeEnd(u64),
    Chunk(u64),
    ChunkEnd { last: bool, seen_cr: bool },
}

impl Default for Framing {
    fn default() -> Self {
        Self(State::Head)
    }
}

impl Framing {
    /// Takes bytes in their order: how many of them may go on to the reader. The rest is the beginning of a head and is shown
    /// again with what follows it. A refusal comes with the number of bytes before what is refused.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, (usize, Refused)> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let taken = match self.0 {
                State::Head => match head_end(rest).map_err(|refused| (at, refused))? {
                    Some(end) => {
                        self.0 = body_of(&rest[..end]).map_err(|refused| (at, refused))?;
                        end
                    }
                    None => return Ok(at),
                },
                State::Body(left) | State::Chunk(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.after(left - taken as u64);
                    taken
                }
                _ => {
                    self.chunk_byte(rest[0]).map_err(|what| (at, Refused::Chunks(what)))?;
                    1
                }
            };
            at += taken;
        }
        Ok(at)
    }

    fn after(&mut self, left: u64) {
        self.0 = match (self.0, left) {
            (State::Body(_), 0) => State::Head,
            (State::Body(_), left) => State::Body(left),
            (_, 0) => State::ChunkEnd { last: false, seen_cr: false },
            (_, left) => State::Chunk(left),
        };
    }

    /// RFC 9112 §7.1 without extensions and trailers.
    fn chunk_byte(&mut self, byte: u8) -> Result<(), &'static str> {
        self.0 = match (self.0, byte) {
            (State::ChunkSize { digits: 8.., .. }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                return Err("a chunk's size has more than eight digits");
            }
            (State::ChunkSize { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                State::ChunkSize { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (State::ChunkSize { size, digits: 1.. }, b'\r') => State::ChunkSizeEnd(size),
            (State::ChunkSize { .. }, _) => {
                return Err("a chunk's size is hexadecimal digits and CRLF, without extensions");
            }
            (State::ChunkSizeEnd(0), b'\n') => State::ChunkEnd { last: true, seen_cr: false },
            (State::ChunkSizeEnd(size), b'\n') => State::Chunk(size),
            (State::ChunkEnd { last, seen_cr: false }, b'\r') => State::ChunkEnd { last, seen_cr: true },
            (State::ChunkEnd { last: false, seen_cr: true }, b'\n') => {
                State::ChunkSize { size: 0, digits: 0 }
            }
            (State::ChunkEnd { last: true, seen_cr: true }, b'\n') => State::Head,
            (State::ChunkEnd { last: true, .. }, _) => return Err("trailers are not taken"),
            _ => return Err("a chunk ends with CRLF"),
        };
        Ok(())
    }
}

/// The length of the head at the beginning of `bytes`; None while it is incomplete.
fn head_end(bytes: &[u8]) -> Result<Option<usize>, Refused> {
    let bounded = &bytes[..bytes.len().min(HEAD_MAX)];
    let mut line = 0;
    while let Some(length) = bounded[line..].iter().position(|byte| *byte == b'\n') {
        let end = line + length;
        if length == 0 || bounded[end - 1] != b'\r' {
            return Err(Refused::Head("lines end with CRLF"));
        }
        if length == 1 {
            return Ok(Some(end + 1));
        }
        line = end + 1;
    }
    if bytes.len() >= HEAD_MAX { Err(Refused::TooLarge) } else { Ok(None) }
}

/// What follows a complete head.
fn body_of(head: &[u8]) -> Result<State, Refused> {
    let refused = |what| Err(Refused::Head(what));
    // Every byte is visible ASCII or a blank: what is not cannot be read in two ways afterwards.
    if head.iter().any(|byte| !matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t')) {
        return refused("a head is printable ASCII");
    }
    let Ok(text) = std::str::from_utf8(head) else {
        return refused("a head is printable ASCII");
    };
    let mut lines = text.split("\r\n");
    let has_body = request_line(lines.next().unwrap_or_default()).map_err(Refused::Head)?;
    let (mut length, mut chunked, mut hosts, mut fields) = (None, false, 0, 0);
    for line in lines.take_while(|line| !line.is_empty()) {
        fields += 1;
        if fields > FIELDS_MAX {
            return Err(Refused::TooLarge);
        }
        let (name, value) = field(line).map_err(Refused::Head)?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_some() => return refused("Content-Length stands twice"),
            "content-length" => length = Some(content_length(value).map_err(Refused::Head)?),
            "transfer-encoding" if chunked => return refused("Transfer-Encoding stands twice"),
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => chunked = true,
            "transfer-encoding" => return refused("Transfer-Encoding is `chunked` or is not there"),
            "host" if is_host(value) => hosts += 1,
            "host" => return refused("Host is a name or an address, and a port"),
            "connection" if !matches_any(value, &["close", "keep-alive", "te"]) => {
                return refused("Connection is `close` or `keep-alive`");
            }
            "expect" if !value.eq_ignore_ascii_case("100-continue") => {
                return refused("Expect is `100-continue`");
            }
            "upgrade" | "http2-settings" => return refused("no other protocol is spoken; ALPN picks HTTP/2"),
            "proxy-connection" | "keep-alive" => return refused("fields of a single hop do not pass"),
            // What a reader that takes `_` for `-` would see.
            "content_length" | "transfer_encoding" => return refused("a field's name has `_`"),
            _ => {}
        }
    }
    if hosts != 1 {
        return refused("Host must stand once");
    }
    if chunked && length.is_some() {
        return refused("Content-Length and Transfer-Encoding exclude each other");
    }
    if !has_body && (chunked || length.is_some_and(|length| length > 0)) {
        return refused("GET and HEAD have no body");
    }
    Ok(match (chunked, length) {
        (true, _) => State::ChunkSize { size: 0, digits: 0 },
        (false, Some(1..)) => State::Body(length.unwrap_or_default()),
        (false, _) => State::Head,
    })
}

/// RFC 9112 §3, in origin-form only: whether the method may have a body.
fn request_line(line: &str) -> Result<bool, &'static str> {
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("a request line is method, target and version with one blank between them");
    };
    if method.is_empty() || method.len() > 16 || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err("a method is upper-case letters");
    }
    if matches!(method, "CONNECT" | "TRACE") {
        return Err("CONNECT and TRACE are not spoken");
    }
    // No fragment, and nothing that some readers take for `/` or for an end.
    if !target.starts_with('/')
        || target.bytes().any(|byte| matches!(byte, b'#' | b'\\' | b'\t' | b'"' | b'<' | b'>'))
    {
        return Err("a target is a path");
    }
    if version != "HTTP/1.1" {
        return Err("the version is HTTP/1.1");
    }
    Ok(!matches!(method, "GET" | "HEAD"))
}

/// RFC 9110 §5.1, 9112 §5: no blank before the colon, no folded line.
fn field(line: &str) -> Result<(&str, &str), &'static str> {
    if line.starts_with([' ', '\t']) {
        return Err("folded lines are not taken");
    }
    let Some((name, value)) = line.split_once(':') else {
        return Err("a field is name, colon and value");
    };
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("a field's name is a token, with the colon right after it");
    }
    if value.contains('\r') {
        return Err("lines end with CRLF");
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

/// RFC 9110 §8.6, in its shortest spelling.
fn content_length(value: &str) -> Result<u64, &'static str> {
    let plain = (value == "0" || !value.starts_with('0')) && value.bytes().all(|byte| byte.is_ascii_digit());
    let length = if plain { value.parse().ok() } else { None };
    length.ok_or("Content-Length is one decimal number without sign or leading zero")
}

fn is_host(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    !value.is_empty() && value.bytes().all(allowed)
}

fn matches_any(value: &str, known: &[&str]) -> bool {
    value.split(',').all(|part| known.iter().any(|known| part.trim().eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &[u8] = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: x:1\r\n\r\n\
POST /a HTTP/1.1\r\nhost: [::1]:8\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";

    /// However the stream is cut into pieces, everything passes and nothing is held at the end.
    fn passes(bytes: &[u8], cuts: &[usize]) -> Result<usize, (usize, Refused)> {
        let (mut framing, mut held, mut passed) = (Framing::default(), Vec::new(), 0);
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            held.extend_from_slice(&bytes[from..to.max(from)]);
            from = to.max(from);
            let taken = framing.feed(&held).map_err(|(at, refused)| (passed + at, refused))?;
            passed += taken;
            held.drain(..taken);
        }
        Ok(passed)
    }

    #[test]
    fn requests_one_after_another_pass() {
        assert_eq!(passes(GOOD, &[]), Ok(GOOD.len()));
        let all: Vec<usize> = (0..GOOD.len()).collect();
        assert_eq!(passes(GOOD, &all), Ok(GOOD.len()));
    }

    #[test]
    fn what_comes_before_a_refusal_passes() {
        let good = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice();
        let bad = [good, b"GET /\nHTTP/1.1\r\n"].concat();
        assert_eq!(passes(&bad, &[]), Err((good.len(), Refused::Head("lines end with CRLF"))));
    }

    #[test]
    fn a_head_is_bounded() {
        let long = [b"GET / HTTP/1.1\r\nHost: x\r\nA: ".as_slice(), &[b'a'; HEAD_MAX]].concat();
        assert_eq!(passes(&long, &[]), Err((0, Refused::TooLarge)));
        let many = ["GET / HTTP/1.1\r\nHost: x\r\n", &"A: b\r\n".repeat(FIELDS_MAX), "\r\n"].concat();
        assert_eq!(passes(many.as_bytes(), &[]), Err((0, Refused::TooLarge)));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(mut cuts in proptest::collection::vec(0..GOOD.len(), 0..8)) {
            cuts.sort_unstable();
            prop_assert_eq!(passes(GOOD, &cuts), Ok(GOOD.len()));
        }

        /// Whatever comes, the verdict does not hang on the pieces it came in.
        #[test]
        fn never_panics_and_never_depends_on_cuts(
            bytes in "(GET|POST|get) ?/[ab]? HTTP/1.[01](\r\n|\n)((Host|Content-Length|Transfer-Encoding) ?: ?(x|5|05|chunked|,)(\r\n|\n|\r)){0,3}\r\n[0-9a;\r\n]{0,12}",
            mut cuts in proptest::collection::vec(0..60usize, 0..6),
        ) {
            let bytes = bytes.as_bytes();
            cuts.retain(|cut| *cut < bytes.len());
            cuts.sort_unstable();
            prop_assert_eq!(passes(bytes, &cuts).map_err(|e| e.1), passes(bytes, &[]).map_err(|e| e.1));
        }
    }
}
