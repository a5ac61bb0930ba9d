//! HTTP that two readers could understand differently: each form is refused, and what is hidden behind it is never read.

use std::io::Write as _;

use support::wire::read_answer;
use support::{Client, Pair, event, sign};

/// A form, and what is hidden behind it is a whole sound message.
struct Form {
    name: String,
    /// Up to where the hidden message begins.
    bytes: Vec<u8>,
    /// What answers it, and nothing after that.
    codes: &'static [&'static str],
}

const MALFORMED: &[&str] = &["request_malformed"];
/// The chunks are those of a request that was sound so far.
const BROKEN_BODY: &[&str] = &["body_incomplete"];

fn head(line: &str, fields: &[&str]) -> String {
    format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"))
}

const POST: &str = "POST /v1/messages HTTP/1.1";
const GET: &str = "GET /v1/channel HTTP/1.1";
const JOSE: &str = "Content-Type: application/jose+json";

fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    let mut add = |name: &str, bytes: String, codes| {
        forms.push(Form { name: name.to_owned(), bytes: bytes.into_bytes(), codes });
    };
    // One length beside another, and lengths that readers take for different numbers.
    for (name, lengths) in [
        ("the same length twice", &["Content-Length: 5", "Content-Length: 5"][..]),
        ("two lengths", &["Content-Length: 5", "Content-Length: 0"]),
        ("two lengths, the other first", &["Content-Length: 0", "Content-Length: 5"]),
        ("a list of one length", &["Content-Length: 5, 5"]),
        ("a list of lengths", &["Content-Length: 0, 5"]),
        ("a sign", &["Content-Length: +5"]),
        ("a minus", &["Content-Length: -5"]),
        ("minus nothing", &["Content-Length: -0"]),
        ("leading zeros", &["Content-Length: 05"]),
        ("octal", &["Content-Length: 0o5"]),
        ("hexadecimal", &["Content-Length: 0x5"]),
        ("an exponent", &["Content-Length: 5e0"]),
        ("a fraction", &["Content-Length: 5.0"]),
        ("a blank inside", &["Content-Length: 1 0"]),
        ("an underscore inside", &["Content-Length: 1_0"]),
        ("no number", &["Content-Length: five"]),
        ("nothing", &["Content-Length: "]),
        ("quotes", &["Content-Length: \"5\""]),
        ("more than 64 bits", &["Content-Length: 18446744073709551621"]),
        ("a tail", &["Content-Length: 5;a=b"]),
        ("a blank before the colon", &["Content-Length : 5"]),
        ("a tab before the colon", &["Content-Length\t: 5"]),
        ("a blank before the name", &[" Content-Length: 5"]),
        ("an underscore in the name", &["Content_Length: 5"]),
        ("a folded value", &["Content-Length:", " 5"]),
        ("a folded value by a tab", &["Content-Length: 5", "\t0"]),
        ("a vertical tab", &["Content-Length:\x0b5"]),
        ("a form feed", &["Content-Length:\x0c5"]),
        ("a NUL behind the name", &["Content-Length\0: 5"]),
        ("a NUL behind the value", &["Content-Length: 5\0"]),
        ("no colon", &["Content-Length 5"]),
        ("no name", &[": 5"]),
        ("a semicolon for the colon", &["Content-Length; 5"]),
        // One kind of framing beside the other.
        ("length and chunks", &["Content-Length: 5", "Transfer-Encoding: chunked"]),
        ("chunks and length", &["Transfer-Encoding: chunked", "Content-Length: 5"]),
        ("chunks and no length", &["Transfer-Encoding: chunked", "Content-Length: 0"]),
        ("chunks twice", &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]),
        ("chunks in chunks", &["Transfer-Encoding: chunked, chunked"]),
        ("identity", &["Transfer-Encoding: identity"]),
        ("chunks, then identity", &["Transfer-Encoding: chunked", "Transfer-Encoding: identity"]),
        ("identity, then chunks", &["Transfer-Encoding: identity", "Transfer-Encoding: chunked"]),
        ("a list with identity", &["Transfer-Encoding: identity, chunked"]),
        ("an unknown coding", &["Transfer-Encoding: xchunked"]),
        ("gzip", &["Transfer-Encoding: gzip"]),
        ("gzip and chunks", &["Transfer-Encoding: gzip, chunked"]),
        ("chunks and a coding after them", &["Transfer-Encoding: chunked, gzip"]),
        ("chunks in quotes", &["Transfer-Encoding: \"chunked\""]),
        ("chunks with a parameter", &["Transfer-Encoding: chunked;a=b"]),
        ("chunks with a comma", &["Transfer-Encoding: chunked,"]),
        ("a comma before chunks", &["Transfer-Encoding: ,chunked"]),
        ("no coding", &["Transfer-Encoding:"]),
        ("chunks behind a vertical tab", &["Transfer-Encoding:\x0bchunked"]),
        ("chunks behind a form feed", &["Transfer-Encoding:\x0cchunked"]),
        ("chunks before a vertical tab", &["Transfer-Encoding: chunked\x0b"]),
        ("chunks before a NUL", &["Transfer-Encoding: chunked\0"]),
        ("chunks with a long s", &["Transfer-Encoding: \u{17f}hunked"]),
        ("chunks beyond ASCII", &["Transfer-Encoding: chunked\u{a0}"]),
        ("a blank before the colon of chunks", &["Transfer-Encoding : chunked"]),
        ("a blank before the name of chunks", &[" Transfer-Encoding: chunked"]),
        ("an underscore in the name of chunks", &["Transfer_Encoding: chunked"]),
        ("folded chunks", &["Transfer-Encoding:", " chunked"]),
        ("a field with folded chunks", &["X: y", " Transfer-Encoding: chunked"]),
        ("a NUL in the name of chunks", &["Transfer-Encoding\0: chunked"]),
        ("a bare CR before chunks", &["X: y\rTransfer-Encoding: chunked"]),
        ("a bare LF before chunks", &["X: y\nTransfer-Encoding: chunked"]),
        ("CR CR LF before chunks", &["X: y\r", "Transfer-Encoding: chunked"]),
        ("LF CR before chunks", &["X: y\n\rTransfer-Encoding: chunked"]),
        ("parentheses in a name", &["X(y): z"]),
        ("a name beyond ASCII", &["X\u{e9}: z"]),
        ("an escape in a value", &["X: \x1b[2J"]),
        // The authority.
        ("two hosts", &["Host: other.example"]),
        ("the same host twice", &["Host: x"]),
        ("a host with an address inside", &["Host: x@other.example"]),
        ("a host with a path", &["Host: x/y"]),
        ("a list of hosts", &["Host: x, y"]),
        // Other protocols, and fields of one hop.
        ("an upgrade to h2c", &["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"]),
        ("an upgrade to a web socket", &["Upgrade: websocket"]),
        ("a hop's own length", &["Connection: close, Content-Length", "Content-Length: 5"]),
        ("a hop's own chunks", &["Connection: Transfer-Encoding", "Transfer-Encoding: chunked"]),
        ("a hop's own host", &["Connection: Host"]),
        ("an upgrade by connection", &["Connection: Upgrade"]),
        ("a proxy's connection", &["Proxy-Connection: keep-alive"]),
        ("an unknown expectation", &["Expect: 200-ok"]),
        ("two expectations", &["Expect: 100-continue, x"]),
        ("our own mark", &["silkgate-refused: no"]),
    ] {
        let fields: Vec<&str> = ["Host: x", JOSE].iter().chain(lengths).copied().collect();
        add(name, head(POST, &fields) + "0\r\n\r\n", MALFORMED);
    }
    add("no host", head(POST, &[JOSE, "Content-Length: 5"]) + "hello", MALFORMED);
    add("an empty host", head(POST, &["Host:", JOSE, "Content-Length: 5"]) + "hello", MALFORMED);
    // The request line.
    for (name, line) in [
        ("a whole address", "POST https://x/v1/messages HTTP/1.1"),
        ("another's address", "POST http://other.example/v1/messages HTTP/1.1"),
        ("no path", "POST v1/messages HTTP/1.1"),
        ("an asterisk", "OPTIONS * HTTP/1.1"),
        ("an authority", "CONNECT x:443 HTTP/1.1"),
        ("a trace", "TRACE / HTTP/1.1"),
        ("a backslash", "POST /v1\\messages HTTP/1.1"),
        ("a fragment", "POST /v1/messages#x HTTP/1.1"),
        ("a tab in the target", "POST /v1/\tmessages HTTP/1.1"),
        ("a NUL in the target", "POST /v1/\0messages HTTP/1.1"),
        ("letters beyond ASCII in the target", "POST /v1/m\u{e9}ssages HTTP/1.1"),
        ("two blanks", "POST  /v1/messages HTTP/1.1"),
        ("a tab for a blank", "POST\t/v1/messages HTTP/1.1"),
        ("a blank in the target", "POST /v1/mess ages HTTP/1.1"),
        ("a blank at the end", "POST /v1/messages HTTP/1.1 "),
        ("a blank before", " POST /v1/messages HTTP/1.1"),
        ("an empty line before", "\r\nPOST /v1/messages HTTP/1.1"),
        ("HTTP/1.0", "POST /v1/messages HTTP/1.0"),
        ("HTTP/0.9", "POST /v1/messages"),
        ("HTTP/1.2", "POST /v1/messages HTTP/1.2"),
        ("HTTP/11.1", "POST /v1/messages HTTP/11.1"),
        ("HTTP/2.0", "POST /v1/messages HTTP/2.0"),
        ("http/1.1", "POST /v1/messages http/1.1"),
        ("a method in lower case", "post /v1/messages HTTP/1.1"),
        ("a method with a tail", "POST, /v1/messages HTTP/1.1"),
        ("a long method", "POSTPOSTPOSTPOSTPOST /v1/messages HTTP/1.1"),
        ("the preface of HTTP/2", "PRI * HTTP/2.0"),
    ] {
        add(name, head(line, &["Host: x", JOSE, "Content-Length: 5"]) + "hello", MALFORMED);
    }
    // Line ends.
    let sound = head(POST, &["Host: x", JOSE, "Content-Length: 5"]) + "hello";
    add("bare LF", sound.replace("\r\n", "\n"), MALFORMED);
    add("bare CR", sound.replace("\r\n", "\r") + "\r\n\r\n", MALFORMED);
    add("one bare LF", sound.replacen("Host: x\r\n", "Host: x\n", 1), MALFORMED);
    add("LF at the end of the head", sound.replacen("\r\n\r\n", "\r\n\n", 1), MALFORMED);
    add("CR CR LF at the end of the head", sound.replacen("\r\n\r\n", "\r\n\r\r\n", 1), MALFORMED);
    // A request that has no body, and what another reader takes for one.
    for (name, method) in [("GET", "GET"), ("HEAD", "HEAD")] {
        let line = GET.replacen("GET", method, 1);
        add(&format!("{name} with a length"), head(&line, &["Host: x", "Content-Length: 5"]), MALFORMED);
        add(
            &format!("{name} with chunks"),
            head(&line, &["Host: x", "Transfer-Encoding: chunked"]),
            MALFORMED,
        );
    }
    // The head's size.
    let long = format!("X: {}", "y".repeat(17 << 10));
    add("a long field", head(POST, &["Host: x", JOSE, &long]), &["head_too_large"]);
    let many = vec!["X: y"; 65];
    add("many fields", head(POST, &[&["Host: x", JOSE][..], &many].concat()), &["head_too_large"]);
    // Chunks.
    for (name, chunks) in [
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("an extension that hides a line", "5;a=\nb\r\nhello\r\n0\r\n\r\n"),
        ("a bare LF behind the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare CR behind the size", "5\rhello\r\n0\r\n\r\n"),
        ("a bare LF behind the chunk", "5\r\nhello\n0\r\n\r\n"),
        ("nothing behind the chunk", "5\r\nhello0\r\n\r\n"),
        ("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("a size behind a blank", " 5\r\nhello\r\n0\r\n\r\n"),
        ("a size before a blank", "5 \r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("a size of many zeros", "0000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("more than the size", "5\r\nhello!\r\n0\r\n\r\n"),
        ("a trailer", "5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        ("a trailer that is a length", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"),
        ("an end without CRLF", "5\r\nhello\r\n0\r\n"),
        ("an end by LF", "5\r\nhello\r\n0\r\n\n"),
    ] {
        let head = head(POST, &["Host: x", JOSE, "Transfer-Encoding: chunked"]);
        add(&format!("chunks with {name}"), head + chunks, BROKEN_BODY);
    }
    forms
}

/// Every answer on one connection, until it ends.
fn answers(client: &Client, bytes: &[u8]) -> Vec<support::Answer> {
    let mut line = client.connect().unwrap();
    // The server may have closed before all is written.
    let _ = line.write_all(bytes).and_then(|()| line.flush());
    std::iter::from_fn(|| read_answer(&mut line).ok()).collect()
}

#[test]
fn nothing_is_read_behind_a_form_that_two_readers_understand_differently() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let forms = forms();
    assert!(forms.len() >= 100, "{} forms", forms.len());
    let accepted = || pair.jo.log(&["--partner", "IQ", "--verdict", "accepted"]).len();
    for form in &forms {
        let hidden = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security")).bytes;
        let hidden_head =
            head(POST, &["Host: x", JOSE, &format!("Content-Length: {}", hidden.len()), "Connection: close"]);
        let bytes = [&form.bytes[..], hidden_head.as_bytes(), &hidden].concat();
        let answers = answers(&client, &bytes);
        let codes: Vec<_> = answers.iter().map(support::Answer::code).collect();
        assert_eq!(codes, form.codes, "{}: {answers:?}", form.name);
        for answer in &answers {
            assert!((400..500).contains(&answer.status), "{}: {}", form.name, answer.status);
            assert_eq!(answer.header("connection"), Some("close"), "{}", form.name);
        }
    }
    assert_eq!(accepted(), 0, "no hidden message was read");
    println!("{} forms of smuggling refused", forms.len());
    // Two sound requests in one piece are two requests.
    let sound = || sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security")).bytes;
    let (first, second) = (sound(), sound());
    let chunked = head(POST, &["Host: x", JOSE, "Transfer-Encoding: chunked"]);
    let length = format!("Content-Length: {}", second.len());
    let bytes = [
        chunked.as_bytes(),
        format!("{:x}\r\n", first.len()).as_bytes(),
        &first,
        b"\r\n0\r\n\r\n",
        head(POST, &["Host: x", JOSE, &length, "Connection: close"]).as_bytes(),
        &second,
    ]
    .concat();
    let statuses: Vec<_> = answers(&client, &bytes).iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200]);
    assert_eq!(accepted(), 2);
    assert!(pair.jo.audit().is_empty());
}
