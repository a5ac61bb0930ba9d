//! HTTP/1.1 by hand, for a partner or a back end that answers as a test likes.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::{ServerConnection, StreamOwned};

/// One request: its head in lower case, and its body.
pub fn request(stream: &mut impl Read) -> (String, Vec<u8>) {
    let mut request = Vec::new();
    let mut buffer = [0; 16384];
    loop {
        let read = stream.read(&mut buffer).expect("a request");
        request.extend_from_slice(&buffer[..read]);
        let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or("0", |rest| rest.split("\r\n").next().unwrap_or("0"));
        if request.len() >= end + 4 + length.parse::<usize>().expect("a length") {
            return (head, request.split_off(end + 4));
        }
    }
}

/// Answers it, and closes.
pub fn respond(
    tls: &mut StreamOwned<ServerConnection, TcpStream>,
    status: u16,
    headers: &[(&str, &str)],
    text: &str,
) {
    let kind = if status == 200 { "text/plain" } else { "application/problem+json" };
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    tls.write_all(head.as_bytes()).expect("the head is written");
    tls.write_all(text.as_bytes()).expect("the body is written");
    tls.conn.send_close_notify();
    let _ = tls.flush();
}
